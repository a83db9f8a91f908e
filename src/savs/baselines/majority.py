"""The least that any method must beat: always the same answer. Looks at no input."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from savs.backbones.base import Progress
from savs.baselines.method import Problem
from savs.prediction import Prediction


@dataclass(frozen=True)
class MajorityClass:
    """Always the commonest label among the shots; of equally common ones, the first by name."""

    name: str = "majority"

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot answer: see `Method.obstacle`."""
        return None if problem.shots else "it needs shots to count"

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Answer every test example alike, with the labels' shares among the shots as probabilities."""
        counts = Counter(str(example.label) for example in problem.shots)
        label = min(counts, key=lambda name: (-counts[name], name))
        shares = {name: counts[name] / len(problem.shots) for name in problem.classes}
        return [Prediction(example.id, label, shares, {}) for example in problem.test]
