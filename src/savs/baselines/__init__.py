"""What a user would try instead of SAVs. Each method is usable alone and answers with `Prediction`s."""
