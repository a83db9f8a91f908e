"""Which method is best on a user's own examples: all of them cross-validated on the same folds, and compared.

Knows methods by their interface alone. Loads no model, reads no file, prints nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from savs.backbones.base import Progress
from savs.baselines.majority import MajorityClass
from savs.baselines.method import Method, Problem
from savs.baselines.registry import takes_shots
from savs.baselines.zero_shot import UNMATCHED
from savs.data.clusters import clusters_of
from savs.data.example import Example
from savs.data.tasks import GENERIC, Task
from savs.errors import DataError, SavsError
from savs.evaluation import correctness
from savs.grouping import clusters_of_groups
from savs.intervals import Interval, draws_interval, holm, paired_difference, sign_flip_test
from savs.prediction import Prediction

#: A difference is believed below this p-value.
LEVEL = 0.05

#: Entered around the work of one method, whose name it is given; gives its progress callback.
Stage = Callable[[str], AbstractContextManager[Progress | None]]


@dataclass(frozen=True)
class Contender:
    """How one method fared on examples that it had not seen.

    Attributes:
        name: of the method.
        cheap: whether it is one of those to be beaten.
        score: share of examples right, or of whole groups where the task scores groups; None where it could not run.
        lead: how far it is ahead of the best of the cheap ones, on the same examples; None for those.
        p_value: that both are equally often right, corrected for the number of methods that are compared with it.
        unmatched: share of the answers that name no class.
        obstacle: why it could not run.
    """

    name: str
    cheap: bool
    score: Interval | None
    lead: Interval | None = None
    p_value: float | None = None
    unmatched: float = 0.0
    obstacle: str | None = None


@dataclass(frozen=True)
class BakeOff:
    """What came of a comparison.

    Attributes:
        contenders: best first, those that could not run last.
        n_examples: that every method was tested on, each held out in turn.
        n_classes: that there are.
        scored: `example` or `group`: what a score is a share of.
        folds: the examples were cut into.
        repeats: how often they were cut anew.
        seed: of the cuts.
    """

    contenders: tuple[Contender, ...]
    n_examples: int
    n_classes: int
    scored: str
    folds: int
    repeats: int
    seed: int

    @property
    def best(self) -> Contender | None:
        """The best of those that use the shots' features, or None where none could run."""
        return next((c for c in self.contenders if not c.cheap and c.score is not None), None)

    @property
    def to_beat(self) -> Contender | None:
        """The best of the cheap ones, or None where none could run."""
        return next((c for c in self.contenders if c.cheap and c.score is not None), None)

    @property
    def winner(self) -> Contender | None:
        """The best of the methods that are ahead of the cheap ones by more than chance would have it; else None.

        Where no cheap one ran, the best method.
        """
        if self.best is None or self.to_beat is None:
            return self.best
        ahead = (c for c in self.contenders if c.lead is not None and c.lead.value > 0)
        return next((c for c in ahead if c.p_value is not None and c.p_value < LEVEL), None)

    @property
    def verdict(self) -> str:
        """What follows from the numbers, in a sentence or two."""
        best, rival = self.best, self.to_beat
        if best is None or best.score is None:
            if rival is None or rival.score is None:
                return "No method could run."
            return f"None but the cheap ones ran; {rival.name} is the best of them, at {_percent(rival.score.value)} %."
        if rival is None or rival.score is None or best.lead is None or best.p_value is None:
            return f"{best.name} is best, at {_percent(best.score.value)} %; nothing cheap ran to compare it with."
        ahead, winner = _ahead(best.lead, best.p_value), self.winner
        if winner is not None and winner.score and winner.lead and winner.p_value is not None:
            won = (
                f"{winner.name} wins: {_percent(winner.score.value)} % against {_percent(rival.score.value)} % of "
                f"{rival.name}, the best of the cheap ones: {_ahead(winner.lead, winner.p_value)}."
            )
            higher = f" {best.name} scores higher, {_percent(best.score.value)} %, but its {ahead} may be chance."
            return won if best is winner else won + higher
        if best.lead.value > 0:
            return (
                f"Nothing beats {rival.name} ({_percent(rival.score.value)} %) for certain. {best.name} stands at "
                f"{ahead}, which may be chance with so few examples."
            )
        return (
            f"Nothing beats {rival.name} ({_percent(rival.score.value)} %). The best of the others, {best.name}, "
            f"stands at {ahead}."
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object: the attributes, the names of `winner` and of what was `to_beat`, and the `verdict`."""
        return {
            **asdict(self),
            "winner": self.winner.name if self.winner else None,
            "to_beat": self.to_beat.name if self.to_beat else None,
            "verdict": self.verdict,
        }


def bake_off(
    examples: Sequence[Example],
    methods: Sequence[Method],
    cheap: Sequence[Method],
    *,
    task: Task = GENERIC,
    folds: int = 5,
    repeats: int = 3,
    seed: int = 0,
    stage: Stage = lambda _name: nullcontext(),
) -> BakeOff:
    """Cross-validate methods on labelled examples, and compare each with the best of the cheap ones.

    Every method is asked the same examples in the same folds, cut by class. Examples that share a group, an image or a
    video stay in one fold, since one would give the other away. A method that takes no shots is asked once, and the
    majority class is that of all examples.

    Args:
        examples: labelled.
        methods: that are to be worth their while.
        cheap: that they must beat.
        task: how the examples are asked and scored.
        folds: parts that the examples are cut into; fewer where a class has fewer.
        repeats: how often they are cut anew.
        seed: of the cuts.
        stage: told of each method as it is run.

    Raises:
        DataError: an example has no label, there is one class only, or a class cannot be cut in two.
    """
    labels, clusters = check_comparable(examples)
    cuts = _cuts(labels, clusters, folds, repeats, seed)
    unit = "group" if task.metric in ("pairs", "groups") else "example"
    answers: dict[str, list[list[Prediction]]] = {}
    obstacles: dict[str, str] = {}
    for method in (*methods, *cheap):
        with stage(method.name) as progress:
            try:
                found = _out_of_fold(method, examples, task, cuts, seed, progress)
            except SavsError as error:  # an endpoint that is down costs its own row, and no other
                found = str(error)
        if isinstance(found, str):
            obstacles[method.name] = found
        else:
            answers[method.name] = found
    right = {name: _right(examples, of_repeats, unit) for name, of_repeats in answers.items()}
    units = clusters if unit == "example" else clusters_of_groups(examples, clusters)
    names = {"cheap": [m.name for m in cheap], "methods": [m.name for m in methods]}
    to_beat = max((n for n in names["cheap"] if n in right), key=lambda n: float(right[n].mean()), default=None)
    run = [name for name in names["methods"] if name in right]
    p_values: dict[str, float] = {}
    if to_beat is not None:
        raw = [sign_flip_test(right[name], right[to_beat], clusters=units, seed=seed) for name in run]
        p_values = dict(zip(run, holm(raw), strict=True))
    contenders = [
        Contender(
            name,
            cheap=name in names["cheap"],
            score=draws_interval(right[name], clusters=units, seed=seed) if name in right else None,
            lead=paired_difference(right[name], right[to_beat], clusters=units, seed=seed)
            if name in p_values and to_beat
            else None,
            p_value=p_values.get(name),
            unmatched=_unmatched(answers.get(name, [])),
            obstacle=obstacles.get(name),
        )
        for name in (*names["methods"], *names["cheap"])
    ]
    ranked = sorted(contenders, key=lambda c: -1.0 if c.score is None else c.score.value, reverse=True)
    return BakeOff(tuple(ranked), len(examples), len(set(labels)), unit, len(cuts[0]), repeats, seed)


def check_comparable(examples: Sequence[Example]) -> tuple[list[str], NDArray[np.intp]]:
    """The labels and clusters of examples, or why they cannot be cut in two: told before a model is loaded.

    Raises:
        DataError: as `bake_off`.
    """
    for example in examples:
        if example.label is None:
            raise DataError("has no label; methods are compared on labelled examples", location=example.location)
    labels = [str(example.label) for example in examples]
    if len(set(labels)) < 2:
        came = f"only the class {labels[0]!r}" if labels else "no examples"
        raise DataError(f"got {came}; a comparison needs examples of at least two classes")
    clusters = clusters_of(examples)
    label, fewest = _fewest(labels, clusters)
    if fewest < 2:
        raise DataError(
            f"class {label!r} cannot be cut in two: its examples are one, or share an image or a group; add others"
        )
    return labels, clusters


def _fewest(labels: Sequence[str], clusters: NDArray[np.intp]) -> tuple[str, int]:
    """The class that lies in the fewest clusters, and in how many."""
    counts = Counter(label for label, _ in {*zip(labels, clusters.tolist(), strict=True)})
    return min(counts.items(), key=lambda item: (item[1], item[0]))


def _cuts(
    labels: Sequence[str], clusters: NDArray[np.intp], folds: int, repeats: int, seed: int
) -> list[list[NDArray[np.intp]]]:
    """Per repeat, the rows held out in each fold."""
    cuts = []
    for repeat in range(repeats):
        splitter = StratifiedGroupKFold(
            min(folds, _fewest(labels, clusters)[1]), shuffle=True, random_state=seed + repeat
        )
        cuts.append([test for _, test in splitter.split(np.zeros(len(labels)), labels, clusters)])
    return cuts


def _out_of_fold(
    method: Method,
    examples: Sequence[Example],
    task: Task,
    cuts: Sequence[Sequence[NDArray[np.intp]]],
    seed: int,
    progress: Progress | None,
) -> list[list[Prediction]] | str:
    """A method's answers to every example, once a repeat, none of them seen before; or why it has none."""
    classes = tuple(sorted({str(example.label) for example in examples}))
    if not takes_shots(method.name) or isinstance(method, MajorityClass):
        # Of classes equally common, each fold would hold more of the one that the rest holds less of: the commonest
        # class of all is the fairer thing to beat.
        shots = tuple(examples) if isinstance(method, MajorityClass) else ()
        problem = Problem(classes, shots, tuple(examples), task, seed)
        return method.obstacle(problem) or [method.predict(problem, progress=progress)]
    repeats = []
    for repeat, held_out in enumerate(cuts):
        by_row: dict[int, Prediction] = {}
        for number, test in enumerate(held_out):
            of_test = set(test.tolist())
            problem = Problem(
                classes,
                tuple(example for row, example in enumerate(examples) if row not in of_test),
                tuple(examples[row] for row in test),
                task,
                seed + repeat,
            )
            obstacle = method.obstacle(problem)
            if obstacle:
                return obstacle
            by_row.update(zip(test.tolist(), method.predict(problem), strict=True))
            if progress is not None:
                progress(repeat * len(held_out) + number + 1, len(cuts) * len(held_out))
        repeats.append([by_row[row] for row in range(len(examples))])
    return repeats


def _right(examples: Sequence[Example], repeats: Sequence[Sequence[Prediction]], unit: Any) -> NDArray[np.bool_]:
    return np.stack([correctness(examples, predictions, unit=unit) for predictions in repeats])


def _unmatched(repeats: Sequence[Sequence[Prediction]]) -> float:
    said = [prediction.label == UNMATCHED for predictions in repeats for prediction in predictions]
    return float(np.mean(said)) if said else 0.0


def _ahead(lead: Interval, p_value: float) -> str:
    value, low, high = (f"{100 * points:+.1f}" for points in (lead.value, lead.low, lead.high))
    return f"{value} points ({low} to {high}; p {_p(p_value)})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
