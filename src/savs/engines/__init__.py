"""The same extraction and prediction on many machines."""
