"""The paper's tables and figures, as data: which columns, which rows, beside what. Runs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from savs.baselines.heads import SAVs
from savs.baselines.method import Method
from savs.baselines.registry import METHODS, Resources
from savs.bench.columns import COLUMNS
from savs.bench.rows import Row, row
from savs.classify import SAVClassifier

#: The row that the others are measured against.
FIRST = "sav"
#: The row of another model, which answers behind an endpoint.
ENDPOINT = "zero-shot-endpoint"
#: Where the curves of figure 4 are measured; the last number of heads is all there are.
SHOT_COUNTS = (1, 2, 5, 10, 20, 40)
HEAD_COUNTS = (1, 2, 5, 10, 20, 40, None)
CURVES = ("sav", "sav-loo", "gda-loo")
#: Where heads that know classes by name are chosen: on classes that are named by what is to be seen.
_NAMED_ELSEWHERE = ("pets", "eurosat")
#: Methods that run the model for every draw stand in table 1 in the form that spares them answers of no class; the
#: written form, which the paper used, costs as much again and is there for the asking.
_TWICE = ("icl-free", "mtv-free", "lora-free")
#: Methods of the registry that have a table of their own, or a line of their own under every table.
_ELSEWHERE = (
    *("majority", "knn", "linear", "transferred-heads", "sparse-layers"),
    *("transferred-lora-free", "transferred-lora-choice"),
    *("clip-concatenated", "siglip-concatenated"),
)


@dataclass(frozen=True)
class Panel:
    """One table or one set of curves.

    Attributes:
        name: such as `2a`; empty where a recipe has one panel.
        title: what it shows.
        columns: the data sets, by name.
        rows: the methods.
        counts: what the rows of a curve count; empty for a table.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    counts: str = ""

    @property
    def file(self) -> str:
        """What its figure's file is called, after the recipe's name."""
        return self.name or "scores"


@dataclass(frozen=True)
class Recipe:
    """One table or figure of the paper.

    Attributes:
        name: what `savs bench` takes.
        title: what it shows.
        panels: its tables or curves.
        shows: `scores` of cells, or `heads` on their grid.
    """

    name: str
    title: str
    panels: tuple[Panel, ...]
    shows: Literal["scores", "heads"] = "scores"

    @property
    def columns(self) -> tuple[str, ...]:
        """Every data set, once, in the order of table 1."""
        wanted = {name for panel in self.panels for name in panel.columns}
        return tuple(column.name for column in COLUMNS if column.name in wanted)

    def rows(self, column: str) -> tuple[Row, ...]:
        """The rows of every panel that shows a data set, each once: panels share rows of one name."""
        return tuple(
            {each.name: each for panel in self.panels if column in panel.columns for each in panel.rows}.values()
        )

    def only(self, *, columns: Sequence[str] | None = None, methods: Sequence[str] | None = None) -> Recipe:
        """The recipe with some of its columns and rows; `FIRST` stays, since the others are measured against it.

        Columns and rows that are shown only when they are named are left out unless they are.
        """
        shown = [each.name for each in COLUMNS if (not each.only_if_named if columns is None else each.name in columns)]

        def wanted(each: Row) -> bool:
            named = not each.only_if_named if methods is None else _method(each) in methods
            return named or each.name == FIRST

        def kept(panel: Panel) -> Panel:
            return replace(
                panel,
                columns=tuple(name for name in panel.columns if name in shown),
                rows=tuple(each for each in panel.rows if wanted(each)),
            )

        panels = (kept(panel) for panel in self.panels)
        return replace(self, panels=tuple(panel for panel in panels if panel.columns and panel.rows))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of all rows, once."""
        return tuple(dict.fromkeys(_method(each) for panel in self.panels for each in panel.rows))


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        KeyError: there is none.
    """
    return _RECIPES[name]()


def _table1() -> Recipe:
    rows = tuple(
        row(name, only_if_named=name in _TWICE, elsewhere=_NAMED_ELSEWHERE if name == "hec-t" else ())
        for name in METHODS
        if name not in _ELSEWHERE
    )
    panel = Panel("", "Every method on every data set", tuple(column.name for column in COLUMNS), rows)
    return Recipe("table1", "Table 1: methods and data sets", (panel,))


def _table2() -> Recipe:
    panels = (
        Panel(
            "2a",
            "Heads or adapters from VLGuard, used on MHaluBench",
            ("mhalubench", "vlguard"),
            (
                row("sav"),
                row("transferred-heads", elsewhere=("vlguard",)),
                row("transferred-lora-choice", elsewhere=("vlguard",)),
                row("transferred-lora-free", elsewhere=("vlguard",), only_if_named=True),
                *_those("zero-shot-free", "zero-shot-choice"),
            ),
        ),
        Panel(
            "2b",
            "Interleaved inputs: concatenated features of a dual encoder",
            ("mhalubench", "naturalbench_vqa"),
            (row("sav"), *_those("clip-concatenated", "siglip-concatenated")),
        ),
        Panel(
            "2c",
            "Few-shot SigLIP",
            ("naturalbench_vqa", "eurosat"),
            (row("sav"), *_those("siglip-means", "siglip-cross-modal")),
        ),
    )
    return Recipe("table2", "Table 2: other tasks' heads, and dual encoders", panels)


def _table3() -> Recipe:
    columns = ("mhalubench", "naturalbench_vqa", "eurosat")
    panels = (
        Panel("3a", "How a head classifies", columns, _those("sav", "knn", "linear", "gda-loo")),
        Panel("3b", "Sparse heads or sparse layers", columns, _those("sav", "sparse-layers")),
    )
    return Recipe("table3", "Table 3: head classifiers, and layers in place of heads", panels)


def _figure3() -> Recipe:
    panel = Panel("", "Scores", tuple(c.name for c in COLUMNS), (row("sav"),))
    return Recipe("figure3", "Figure 3: where the heads lie, and what the best one sees", (panel,), shows="heads")


def _figure4() -> Recipe:
    columns = tuple(column.name for column in COLUMNS)
    by_shots = tuple(_with_shots(name, count) for name in CURVES for count in SHOT_COUNTS)
    by_heads = tuple(_with_heads(name, count) for name in CURVES for count in HEAD_COUNTS)
    panels = (
        Panel("shots", "Accuracy against shots", columns, by_shots, counts="shots a class"),
        Panel("heads", "Accuracy against heads kept", columns, by_heads, counts="heads kept"),
    )
    return Recipe("figure4", "Figure 4: how many shots, how many heads", panels)


def _those(*names: str) -> tuple[Row, ...]:
    """The rows of these methods, as far as the registry has them."""
    return tuple(row(name) for name in names if name in METHODS)


def _with_shots(name: str, shots: int) -> Row:
    return replace(row(name, shots=shots, x=shots), name=f"{name}, {_count(shots, 'shot')}")


def _with_heads(name: str, k: int | None) -> Row:
    called = f"{name}, all heads" if k is None else f"{name}, {_count(k, 'head')}"
    return Row(called, partial(_keeping, name, k), x=float("inf") if k is None else k)


def _keeping(name: str, k: int | None, resources: Resources) -> Method:
    """A preset that keeps another number of heads."""
    made = METHODS[name](resources)
    if not isinstance(made, SAVs):
        return made
    return replace(made, classifier=SAVClassifier.from_preset(name, k=k))


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _method(each: Row) -> str:
    return each.name.partition(",")[0]


_RECIPES = {"table1": _table1, "table2": _table2, "table3": _table3, "figure3": _figure3, "figure4": _figure4}
#: What `savs bench` takes.
RECIPES: Mapping[str, str] = {name: make().title for name, make in _RECIPES.items()}
