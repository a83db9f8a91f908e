"""The paper's tables and figures as recipes: which data, which methods, which numbers, in miniature and for real."""
