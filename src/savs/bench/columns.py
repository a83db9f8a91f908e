"""The data sets that are measured, and the names of their scores. Knows no data and no method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from savs.data.hints import closest
from savs.errors import DataError

#: What a task's metric gives: the scores of its column, in the order of the table.
SCORES: Mapping[str, tuple[str, ...]] = {
    "accuracy": ("accuracy",),
    "pairs": ("pair",),
    "groups": ("question", "image", "group"),
    "average_precision": ("average_precision",),
}


@dataclass(frozen=True)
class Column:
    """One data set.

    Attributes:
        name: what `--columns` takes.
        title: what a reader knows it by.
        short: for a narrow table.
        asks: what it asks, in a few words.
        metric: what it is scored by, one of `SCORES`.
        called: the name of each score to `load_benchmark` and in the paper's tables.
        by_part: whether heads are chosen, and scores taken, for each of its subtasks, and then averaged.
        only_if_named: whether it is left out unless it is asked for by name, being in no table of the paper.
    """

    name: str
    title: str
    short: str
    asks: str
    metric: str = "accuracy"
    called: Mapping[str, str] = field(default_factory=dict)
    by_part: bool = False
    only_if_named: bool = False

    @property
    def scores(self) -> tuple[str, ...]:
        """The names of its scores."""
        return SCORES[self.metric]

    def score_title(self, score: str) -> str:
        """`NaturalBench, group`; a plain accuracy needs no name."""
        return self.title if score == "accuracy" else f"{self.title}, {score.replace('_', ' ')}"

    def score_short(self, score: str) -> str:
        """`NB-VQA grp`."""
        return self.short if score == "accuracy" else f"{self.short} {_SHORT_SCORES[score]}"


_SHORT_SCORES = {"pair": "pair", "question": "qst", "image": "img", "group": "grp", "average_precision": "AP"}


def _classification(name: str, title: str, short: str, asks: str) -> Column:
    return Column(name, title, short, asks, called={"accuracy": name})


#: Table 1, in the paper's order: twelve data sets with sixteen scores. Then two beside it.
COLUMNS: tuple[Column, ...] = (
    _classification("mhalubench", "MHaluBench", "MHalu", "hallucination"),
    _classification("vlguard", "VLGuard", "VLGuard", "safety"),
    Column("blink", "BLINK", "BLINK", "visual comparison", called={"accuracy": "blink"}, by_part=True),
    _classification("vizwiz", "VizWiz", "VizWiz", "answerability"),
    Column(
        "naturalbench_vqa",
        "NaturalBench",
        "NB-VQA",
        "adversarial questions",
        "groups",
        {
            "question": "naturalbench_text",
            "image": "naturalbench_image",
            "group": "naturalbench_group",
        },
    ),
    Column(
        "naturalbench_retrieval",
        "NaturalBench retrieval",
        "NB-Ret",
        "adversarial retrieval",
        "groups",
        {
            "question": "naturalbench_ret_text",
            "image": "naturalbench_ret_image",
            "group": "naturalbench_ret_group",
        },
    ),
    Column("sugarcrepe", "SugarCrepe", "SugarCrepe", "hard negative captions", "pairs", {"pair": "sugarcrepe"}),
    _classification("eurosat", "EuroSAT", "EuroSAT", "land use, 4-way"),
    _classification("pets", "Pets", "Pets", "breeds, 4-way"),
    _classification("imagenet", "ImageNet", "ImageNet", "objects, 16-way"),
    _classification("flowers", "Flowers", "Flowers", "species, 4-way"),
    _classification("cub", "CUB", "CUB", "species, 4-way"),
    Column(
        "camerabench",
        "CameraBench",
        "CamBench",
        "motion of a video's camera",
        "average_precision",
        {"average_precision": "camerabench"},
        by_part=True,
        only_if_named=True,
    ),
    Column(
        "rewardbench",
        "Multimodal RewardBench",
        "MM-RB",
        "the better of two answers",
        called={"accuracy": "rewardbench"},
        only_if_named=True,
    ),
)


def column(name: str) -> Column:
    """The column of that name.

    Raises:
        DataError: there is none.
    """
    for found in COLUMNS:
        if found.name == name:
            return found
    names = [each.name for each in COLUMNS]
    close = closest(name, names)
    hint = f"did you mean {close!r}? There are" if close else "there are"
    raise DataError(f"no column is called {name!r}; {hint} {', '.join(names)}")
