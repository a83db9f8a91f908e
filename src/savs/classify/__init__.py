"""The method, as an appendix to the paper: similarity, head classifiers, selection, votes.

Arrays in, labels out. Knows no file, no model and no prompt, and needs only numpy and scikit-learn.
"""

from savs.classify.classifier import PRESETS, SAVClassifier

__all__ = ["PRESETS", "SAVClassifier"]
