"""Text tasks made from tables of names: what a pictogram is of, and where a country lies.

Knows names, groups and prompts: no model and no score. Every prompt and every number here was written before any
result.
"""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.embedded.sources import COUNTRIES, EMOJI_NAMES, Source, fetch
from savs.data.example import Example
from savs.data.sampling import sample_shots

#: Examples to draw shots from; a class with fewer, beside those to test on, stays out.
POOL = 20
#: Of the draw that sets test examples aside; draws of shots count from 0.
_TEST_SEED = 1000
#: Flags name a country each, and components no thing.
_NO_GROUPS = ("Flags", "Component")


@dataclass(frozen=True)
class TextTask:
    """One task with its data.

    Attributes:
        name: in tables.
        asks: what is told apart.
        template: the prompt, `{}` standing for the name.
        pool: labelled examples to draw shots from, at least `POOL` of each class.
        test: examples to test on, as many of each class.
        source: package that the names come from.
    """

    name: str
    asks: str
    template: str
    pool: tuple[Example, ...]
    test: tuple[Example, ...]
    source: Source

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, sorted."""
        return tuple(sorted({str(example.label) for example in self.test}))


def load_tasks() -> tuple[TextTask, ...]:
    """The tasks, their tables fetched where they are missing.

    Raises:
        DataError: a table cannot be fetched.
    """
    pictograms = [row for row in _rows(EMOJI_NAMES, "package/emoji.json") if row["category"] not in _NO_GROUPS]
    countries = _rows(COUNTRIES, "package/countries.min.json")
    continents = _rows(COUNTRIES, "package/continents.min.json")
    return (
        _task(
            "groups",
            "The group of Unicode pictograms that a name belongs to",
            "A pictogram is called: {}. What kind of thing does it show?",
            {_words(row["name"] or row["short_name"]): _words(row["category"]) for row in pictograms},
            n_test=40,
            source=EMOJI_NAMES,
        ),
        _task(
            "subgroups",
            "The subgroup, of those with enough names",
            "A pictogram is called: {}. What exactly does it show?",
            {_words(row["name"] or row["short_name"]): _words(row["subcategory"]) for row in pictograms},
            n_test=10,
            source=EMOJI_NAMES,
        ),
        _task(
            "continents",
            "The continent of a country, of those with enough countries",
            "On which continent is {}?",
            {row["name"]: continents[row["continent"]] for row in countries.values()},
            n_test=20,
            source=COUNTRIES,
        ),
    )


def _task(name: str, asks: str, template: str, labels: Mapping[str, str], *, n_test: int, source: Source) -> TextTask:
    """The task of telling the label of each key; classes too small for the pool and the test stay out."""
    counts = Counter(labels.values())
    examples: Sequence[Example] = [
        Example(f"{name}:{key}", template.format(key), label=label)
        for key, label in labels.items()
        if counts[label] >= POOL + n_test
    ]
    test, rest = sample_shots(examples, n_test, _TEST_SEED)
    return TextTask(name, asks, template, tuple(rest), tuple(test), source)


def _rows(source: Source, member: str) -> Any:
    with tarfile.open(fetch(source)) as archive:
        file = archive.extractfile(member)
        return json.loads(file.read()) if file is not None else []


def _words(name: str) -> str:
    return name.lower().replace("&", "and").replace("-", " ")
