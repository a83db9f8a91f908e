"""Frozen models whose attention heads can be read. The only room that imports torch and transformers."""
