"""`SAVClassifier`: rank the heads on labelled examples, keep the best, let them vote.

A scikit-learn estimator over arrays. It knows no model, no file and no prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d, validate_data

from savs.classify.head_classifiers import HEAD_CLASSIFIERS, FittedHeads, HeadClassifier
from savs.classify.readers import HeadReader, InMemory, blocks, read_block
from savs.classify.selector import Ranking, rank_heads, score_heads
from savs.classify.similarity import Float, Index, best_class, class_means, margins, softmax

ScoredOn = Literal["shots", "leave_one_out", "cross_validation"]
Combination = Literal["majority", "mean_probability", "reliability"]

#: A preset is a name for three choices (and a number of heads); it has no code of its own.
PRESETS: dict[str, dict[str, Any]] = {
    "sav": {},
    "sav-loo": {"scored_on": "leave_one_out"},
    "hec": {"head_classifier": "gda", "ranking": "probability", "combination": "mean_probability"},
    "gda-loo": {"head_classifier": "gda", "scored_on": "leave_one_out", "combination": "mean_probability"},
    "calm": {"k": None, "ranking": "margin", "scored_on": "leave_one_out", "combination": "reliability"},
    "knn": {"head_classifier": "knn", "scored_on": "leave_one_out"},
    "linear": {"head_classifier": "linear", "scored_on": "cross_validation"},
}


class SAVClassifier(ClassifierMixin, TransformerMixin, BaseEstimator):
    """Sparse Attention Vectors (arXiv 2412.00142): the best few attention heads vote.

    The defaults are the paper's rule. Three independent choices lead from there to its ablations and successors:
    how a head classifies, how heads are ranked, how their answers combine. `PRESETS` names the usual combinations.

    Ties follow one rule. Heads: higher score first, then (with `ranking="margin"`) higher mean margin, then lower
    (layer, head). Votes: among the classes with the most votes, the one that the best-ranked head chose. One head:
    the lowest class index, classes sorted. The order of the training examples plays no part, except that
    `scored_on="cross_validation"` cuts its folds by it.

    Args:
        k: how many heads to keep; all of them where there are fewer, or where it is None.
        head_classifier: `centroid` (nearest class mean by cosine), `gda` (Gaussians with a shared covariance),
            `knn` or `linear`.
        ranking: `accuracy`, `probability` of the true class, or `margin` (accuracy, ties broken by margin).
        scored_on: the `shots` themselves (the paper), `leave_one_out`, or stratified `cross_validation`.
        combination: `majority` of votes, `mean_probability`, or `reliability`-weighted probabilities (CALM).
        temperature: of the softmax behind probabilities; None takes the head classifier's own.

    Attributes:
        classes_: `[n_classes]` labels, sorted.
        head_scores_: `[n_heads]` score of every head; for `accuracy`, the share of examples it gets right.
        selected_heads_: `[k]` indices of the kept heads, best first.
        class_means_: `[n_classes, k, head_dim]` class means at the kept heads, in the order of `selected_heads_`.
        heads_: the kept heads, fitted.
        head_weights_: `[k, n_classes]` weight of each kept head in each class's mean probability, each class summing
            to one: equal, or by reliability.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = np.repeat(["cat", "dog"], 20)
        >>> X = rng.normal(size=(40, 12, 8))
        >>> X[y == "dog", 3] += 3.0
        >>> classifier = SAVClassifier(k=1).fit(X, y)
        >>> classifier.selected_heads_.tolist(), classifier.score(X, y)
        ([3], 0.875)
    """

    def __init__(
        self,
        k: int | None = 20,
        *,
        head_classifier: str = "centroid",
        ranking: Ranking = "accuracy",
        scored_on: ScoredOn = "shots",
        combination: Combination = "majority",
        temperature: float | None = None,
    ) -> None:
        self.k = k
        self.head_classifier = head_classifier
        self.ranking = ranking
        self.scored_on = scored_on
        self.combination = combination
        self.temperature = temperature

    @classmethod
    def from_preset(cls, name: str, **changes: Any) -> Self:
        """An estimator with the choices of a named preset, some of them changed.

        Raises:
            ValueError: no preset has that name.

        >>> SAVClassifier.from_preset("hec", k=10)
        SAVClassifier(combination='mean_probability', head_classifier='gda', k=10,
                      ranking='probability')
        """
        if name not in PRESETS:
            raise ValueError(f"no preset is called {name!r}; choose one of {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **changes})

    @property
    def min_shots(self) -> int:
        """Examples of each class that `fit` needs: two where heads are tried on examples that they have not seen."""
        return 1 if self.scored_on == "shots" and self.combination != "reliability" else 2

    def fit(self, X: ArrayLike | HeadReader, y: ArrayLike) -> Self:
        """Score every head on the labelled examples and keep the best `k`.

        Heads are taken in blocks, so that memory grows with the examples and not with the heads: features that a
        `HeadReader` gives, such as `StoredFeatures`, need not fit in it.

        Args:
            X: `[n_samples, n_heads, head_dim]`, or `[n_samples, head_dim]` for a single head.
            y: `[n_samples]` class labels.

        Raises:
            ValueError: a parameter is not one of its choices, there is only one class, or a class has fewer than
                two examples where heads are scored on examples they have not seen.
        """
        rule = self._validated_rule()
        features, labels = self._validated_features(X, y)
        check_classification_targets(labels)
        n_samples, n_heads, head_dim = features.shape
        self.head_dim_in_ = head_dim
        self.classes_, targets = np.unique(labels, return_inverse=True)
        n_classes = len(self.classes_)
        if n_classes < 2:
            raise ValueError(f"SAVClassifier needs at least two classes; got one class, {self.classes_.tolist()[0]!r}")
        smallest = int(np.bincount(targets).argmin())
        if np.bincount(targets)[smallest] < self.min_shots:
            raise ValueError(
                f"class {self.classes_.tolist()[smallest]!r} has one example; scoring heads on examples they have not "
                "seen needs at least two in every class. Add examples, or use scored_on='shots'"
            )

        scores = np.empty(n_heads)
        tie_break = np.empty(n_heads)
        temperature = self._temperature(rule)
        elements = n_samples * max(n_classes, head_dim)
        for block in blocks(n_heads, elements):
            decisions = self._scoring_decisions(rule, read_block(features, block), targets)
            scores[block], tie_break[block] = score_heads(
                decisions, targets, ranking=self.ranking, temperature=temperature
            )
        self.head_scores_ = scores
        self.selected_heads_ = rank_heads(scores, tie_break)[: self.k]

        means, fitted, reliability = [], [], []
        for block in blocks(len(self.selected_heads_), elements):
            kept = read_block(features, self.selected_heads_[block].tolist())
            means.append(class_means(kept, targets, n_classes))
            fitted.append(rule.fit(kept, targets, n_classes))
            if self.combination == "reliability":
                reliability.append(self._reliability(rule, kept, targets))
        self.class_means_ = np.concatenate(means, axis=1)
        self.heads_: FittedHeads = rule.fitted.joined(fitted)
        n_kept = len(self.selected_heads_)
        self.head_weights_ = np.full((n_kept, n_classes), 1.0 / n_kept)
        if reliability:
            mean = np.concatenate(reliability)
            total = mean.sum(axis=0)
            self.head_weights_ = np.where(total > 0, mean / np.where(total > 0, total, 1.0), self.head_weights_)
        return self

    def predict(self, X: ArrayLike | HeadReader, offered: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """`[n_samples]` the class of each example.

        Args:
            X: `[n_samples, n_heads, head_dim]`.
            offered: `[n_samples, n_classes]`, which classes each example may have, where not all; every head then
                chooses among these.

        Raises:
            ValueError: `offered` has another shape, or offers an example nothing.
        """
        chosen = self._answers(X, offered, self._choose)
        return np.asarray(self.classes_[chosen])

    def predict_proba(self, X: ArrayLike | HeadReader, offered: NDArray[np.bool_] | None = None) -> Float:
        """`[n_samples, n_classes]`: the share of the heads' votes, mean probability, or reliability-weighted mean.

        Rows sum to one. None of the three is calibrated; a vote share in particular moves in steps of 1 / k. A class
        that is not `offered` (see `predict`) has none.
        """
        return self._answers(X, offered, self._combine)

    def head_votes(self, X: ArrayLike | HeadReader, offered: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """`[n_samples, k]` the class that each kept head would choose alone, best-ranked head first."""
        votes = self._answers(X, offered, best_class)
        return np.asarray(self.classes_[votes])

    def transform(self, X: ArrayLike | HeadReader) -> NDArray[np.floating]:
        """`[n_samples, k * head_dim]`: the kept heads' features side by side, for use as an embedding."""
        features = self._validated_input(X)
        return features.read_heads(self.selected_heads_.tolist()).reshape(features.shape[0], -1)

    def compact(self) -> Self:
        """This classifier for features of its kept heads alone, best first: `[n_samples, k, head_dim]`.

        Its arrays are float32, as they are stored, so that a saved classifier answers exactly as this one does.
        """
        check_is_fitted(self)
        return self.from_tensors(self.get_params(), self.classes_, self.tensors())

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What was learned at the kept heads, by name, as float32 (and class indices as int64)."""
        check_is_fitted(self)
        return {
            "head_scores": self.head_scores_[self.selected_heads_].astype(np.float32),
            "class_means": self.class_means_.astype(np.float32),
            "head_weights": self.head_weights_.astype(np.float32),
            **{
                name: array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
                for name, array in self.heads_.tensors().items()
            },
        }

    @classmethod
    def from_tensors(cls, params: dict[str, Any], classes: ArrayLike, tensors: dict[str, NDArray[Any]]) -> Self:
        """The compact classifier that `tensors` came from.

        Raises:
            ValueError: a parameter is not one of its choices.
            KeyError: a tensor is missing.
        """
        self = cls(**params)
        rule = self._validated_rule()
        self.classes_ = np.asarray(classes)
        self.class_means_ = tensors["class_means"]
        self.head_scores_ = tensors["head_scores"]
        self.head_weights_ = tensors["head_weights"]
        self.n_features_in_, self.head_dim_in_ = self.class_means_.shape[1:]
        self.selected_heads_ = np.arange(self.n_features_in_)
        self.heads_ = rule.fitted.from_tensors(tensors)
        return self

    def _validated_rule(self) -> HeadClassifier:
        choices = {
            "head_classifier": tuple(HEAD_CLASSIFIERS),
            "ranking": ("accuracy", "probability", "margin"),
            "scored_on": ("shots", "leave_one_out", "cross_validation"),
            "combination": ("majority", "mean_probability", "reliability"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r}; choose one of {', '.join(allowed)}")
        if self.k is not None and (isinstance(self.k, bool) or not isinstance(self.k, int | np.integer) or self.k < 1):
            raise ValueError(f"k={self.k!r}; expected a positive number of heads, or None for all")
        if self.temperature is not None and not self.temperature > 0:
            raise ValueError(f"temperature={self.temperature!r}; expected a positive number, or None")
        return HEAD_CLASSIFIERS[self.head_classifier]

    def _temperature(self, rule: HeadClassifier) -> float:
        return rule.temperature if self.temperature is None else self.temperature

    def _validated_features(self, X: ArrayLike | HeadReader, y: ArrayLike) -> tuple[HeadReader, NDArray[Any]]:
        if isinstance(X, HeadReader):
            labels = column_or_1d(y)
            check_consistent_length(X, labels)
            self.n_features_in_ = X.shape[1]
            return X, labels
        checked, labels = validate_data(self, X, y, allow_nd=True, ensure_2d=True, dtype=(np.float64, np.float32))
        return InMemory(_as_heads(checked)), labels

    def _scoring_decisions(self, rule: HeadClassifier, z: Float, y: Index) -> Float:
        """How every head decides on the shots, having seen them or not: `[n_samples, n_heads, n_classes]`."""
        n_classes = len(self.classes_)
        if self.scored_on == "shots":
            return rule.fit(z, y, n_classes).decide(z)
        if self.scored_on == "leave_one_out":
            return rule.leave_one_out(z, y, n_classes)
        decisions = np.empty((*z.shape[:2], n_classes))
        folds = StratifiedKFold(n_splits=min(5, int(np.bincount(y).min())))
        for seen, held_out in folds.split(z[:, 0], y):
            decisions[held_out] = rule.fit(z[seen], y[seen], n_classes).decide(z[held_out])
        return decisions

    def _reliability(self, rule: HeadClassifier, z: Float, y: Index) -> Float:
        """Mean positive margin of each head on unseen examples of each class (CALM, arXiv 2602.07077)."""
        probabilities = softmax(rule.leave_one_out(z, y, len(self.classes_)) / self._temperature(rule))
        positive = np.maximum(margins(probabilities, y), 0.0)
        return np.stack([positive[y == c].mean(axis=0) for c in range(len(self.classes_))], axis=1)

    def _validated_input(self, X: ArrayLike | HeadReader) -> HeadReader:
        check_is_fitted(self)
        if isinstance(X, HeadReader):
            features = X
            if X.shape[1] != self.n_features_in_:
                raise ValueError(f"X has {X.shape[1]} heads; fitted with {self.n_features_in_}")
        else:
            checked = validate_data(self, X, reset=False, allow_nd=True, ensure_2d=True, dtype=(np.float64, np.float32))
            features = InMemory(_as_heads(checked))
        if features.shape[2] != self.head_dim_in_:
            raise ValueError(f"heads have {features.shape[2]} dimensions; fitted with {self.head_dim_in_}")
        return features

    def _answers(
        self, X: ArrayLike | HeadReader, offered: NDArray[np.bool_] | None, answer: Callable[[Float], NDArray[Any]]
    ) -> NDArray[Any]:
        """`answer` to the decisions `[n_rows, k, n_classes]`, some examples at a time: there may be many of either."""
        features = self._validated_input(X)
        n_samples, _, head_dim = features.shape
        kept = self.selected_heads_.tolist()
        expected = (n_samples, len(self.classes_))
        if offered is not None and (offered.shape != expected or not offered.any(axis=1).all()):
            raise ValueError(f"offered has shape {offered.shape}; expected {expected}, with a class in every row")
        answers = []
        for rows in blocks(n_samples, len(kept) * max(len(self.classes_), head_dim)):
            decisions = self.heads_.decide(features.read_heads(kept, rows).astype(np.float64))
            if offered is not None:
                decisions = np.where(offered[rows, None], decisions, -np.inf)
            answers.append(answer(decisions))
        return np.concatenate(answers)

    def _choose(self, decisions: Float) -> Index:
        """`[n_rows]` class indices."""
        if self.combination == "majority":
            return _majority(best_class(decisions), len(self.classes_))
        return best_class(self._combine(decisions))

    def _combine(self, decisions: Float) -> Float:
        n_classes = decisions.shape[-1]
        if self.combination == "majority":
            return np.asarray(_vote_counts(best_class(decisions), n_classes) / decisions.shape[1])
        probabilities = softmax(decisions / self._temperature(HEAD_CLASSIFIERS[self.head_classifier]))
        weighted = (probabilities * self.head_weights_).sum(axis=1)
        return np.asarray(weighted / weighted.sum(axis=-1, keepdims=True))


def _as_heads(X: NDArray[np.floating]) -> NDArray[np.floating]:
    if X.ndim > 3:
        raise ValueError(f"X has shape {X.shape}; expected [n_samples, n_heads, head_dim]")
    return X[:, None, :] if X.ndim == 2 else X


def _vote_counts(votes: Index, n_classes: int) -> Index:
    """`[n_samples, k]` class indices -> `[n_samples, n_classes]` votes for each class."""
    counts = np.zeros((len(votes), n_classes), dtype=np.intp)
    np.add.at(counts, (np.arange(len(votes))[:, None], votes), 1)
    return counts


def _majority(votes: Index, n_classes: int) -> Index:
    """The class with most votes; among equals, the one that the best-ranked head chose.

    >>> _majority(np.array([[2, 0, 0, 2, 1]]), 3)
    array([2])
    """
    counts = _vote_counts(votes, n_classes)
    support = np.take_along_axis(counts, votes, axis=1)
    winner = support.argmax(axis=1)  # argmax takes the first, and heads stand best first
    return np.take_along_axis(votes, winner[:, None], axis=1)[:, 0]
