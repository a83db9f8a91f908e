"""How fast the package is, against a plain implementation of the method on the same model in the same run."""
