"""Every rule on the same features: which is more accurate, with how many shots, and whether that was expected."""
