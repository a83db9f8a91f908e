"""The embedded model and its data: a tiny multimodal model, and the scenes it is shown."""
