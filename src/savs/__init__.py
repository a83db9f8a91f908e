"""Sparse Attention Vectors: a classifier out of any frozen vision-language model (arXiv 2412.00142).

Importing this package is light and changes nothing: every public name is loaded when it is first used.
"""

__version__ = "0.1.0"
