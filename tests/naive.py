"""The paper's algorithm (arXiv 2412.00142, section 3) as plain loops over Python numbers: slow, and easy to check.

Classes are given by index; lists stand for arrays. No numpy: nothing here can share a mistake with the package.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import fsum, sqrt
from typing import Any

Vector = Sequence[float]
#: `[n_samples][n_heads]` vectors.
Heads = Sequence[Sequence[Vector]]


def class_mean(z: Heads, y: Sequence[int], label: int, head: int) -> list[float]:
    members = [example[head] for example, target in zip(z, y, strict=True) if target == label]
    return [fsum(values) / len(members) for values in zip(*members, strict=True)]


def cosine(a: Vector, b: Vector) -> float:
    length = sqrt(fsum(x * x for x in a)) * sqrt(fsum(x * x for x in b))
    return fsum(x * y for x, y in zip(a, b, strict=True)) / length if length > 0 else 0.0


def exact_cosine_order(a: Sequence[int], b: Sequence[int]) -> Fraction:
    """A rational number that orders vectors `b` as their cosine with `a` does: `sign(a.b) (a.b)^2 / |b|^2`."""
    inner = sum(x * y for x, y in zip(a, b, strict=True))
    length = sum(y * y for y in b)
    return Fraction(inner * abs(inner), length) if length else Fraction(0)


def nearest(x: Vector, means: Sequence[Vector]) -> int:
    """The class of the mean at the smallest angle; the lowest of equals, which rounding may set apart by 1e-12."""
    cosines = [cosine(x, mean) for mean in means]
    return next(i for i, value in enumerate(cosines) if value >= max(cosines) - 1e-12)


def rank(scores: Sequence[float], tie_break: Sequence[float] | None = None) -> list[int]:
    """Heads by falling score, then by falling tie-break, then by rising index."""
    breaks = tie_break if tie_break is not None else [0.0] * len(scores)
    return sorted(range(len(scores)), key=lambda head: (-scores[head], -breaks[head], head))


def majority(votes: Sequence[int]) -> int:
    """The class with most votes; of equals, the one that the first, best-ranked head chose."""
    most = max(votes.count(vote) for vote in votes)
    for vote in votes:
        if votes.count(vote) == most:
            return vote
    raise AssertionError("a vote with the most votes is among the votes")


def fit_and_predict(z: Heads, y: Sequence[int], queries: Heads, k: int) -> dict[str, Any]:
    """All three steps: means, head scores by counting, the k best heads, their votes, the majority."""
    n_heads = len(z[0])
    means = [[class_mean(z, y, label, head) for label in sorted(set(y))] for head in range(n_heads)]
    right = [
        sum(nearest(example[head], means[head]) == target for example, target in zip(z, y, strict=True))
        for head in range(n_heads)
    ]
    selected = rank(right)[:k]
    votes = [[nearest(query[head], means[head]) for head in selected] for query in queries]
    return {"right": right, "selected": selected, "votes": votes, "labels": [majority(row) for row in votes]}
