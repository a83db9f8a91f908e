"""Tasks: how the rows of a data set are asked and scored. A task is a short TOML file, never a function.

Knows which column plays which part and how a row becomes a prompt; knows no file, no media and no model.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Formatter
from typing import Any

from savs.data.hints import closest, listed
from savs.data.layouts import Cells, Layout, Signs, is_empty, placeholders, written
from savs.data.tables import from_table, to_table
from savs.errors import DataError

METRICS = ("accuracy", "pairs", "groups", "average_precision")


@dataclass(frozen=True)
class Fields:
    """Which columns of a row play which part.

    Attributes:
        media: columns that hold images or videos (a path, a list of paths, or nothing), in the order of their marks.
        label: the column that holds the class.
        id: the column that names a row; without one, a row is named by file and line.
        group: columns that together name the group a row is scored in.
        split: the column that names the part of the data set (a subtask, a category) that a row belongs to.
        choices: the column that holds the options of a multiple-choice question.
        choices_pattern: where set, a regular expression whose first group finds each option in the `choices` text.
        kind: the column that says "image" or "video" where a file's suffix does not.
    """

    media: tuple[str, ...] = ()
    label: str | None = None
    id: str | None = None
    group: tuple[str, ...] = ()
    split: str | None = None
    choices: str | None = None
    choices_pattern: str | None = None
    kind: str | None = None


@dataclass(frozen=True)
class LabelRule:
    """How the text in the label column becomes a class.

    Attributes:
        pattern: a regular expression that the whole text must match; its first group is the class.
        map: what each text stands for; a text that is not listed stands for itself.
        otherwise: where set, the class of every text that is not listed in `map`.
        is_open: whether an answer of that class is any text at all, for which the prompt has no word of its own.
        hidden: texts that say that the label is kept secret: such a row has none.
        blank: where set, a character that stands for a blank in the names of classes.
    """

    pattern: str | None = None
    map: Mapping[str, str] = field(default_factory=dict, hash=False)
    otherwise: str | None = None
    is_open: bool = False
    hidden: tuple[str, ...] = ()
    blank: str | None = None

    def apply(self, text: str) -> str | None:
        """The class that `text` stands for, None where it is kept secret.

        Raises:
            DataError: `text` does not match the pattern.
        """
        if text in self.hidden:
            return None
        if self.pattern is not None:
            match = re.fullmatch(self.pattern, text)
            if match is None:
                raise DataError(f"label {text!r} has an unexpected form; expected one that matches {self.pattern}")
            text = match[1]
        if self.blank is not None:
            text = text.replace(self.blank, " ")
        return self.map.get(text, text if self.otherwise is None else self.otherwise)


@dataclass(frozen=True)
class Task:
    """How the examples of a data set are asked and scored.

    Attributes:
        name: what `--task` takes.
        template: the prompt; `{column}` stands for the row's text in that column.
        labels: the classes, or None where the data say.
        fields: which columns play which part.
        metric: one of `METRICS`.
        positive: the class that average precision is about, for tasks that are measured by it, alone or beside.
        answers: the word that stands for a label in a free answer ("Yes" for "harmful"), where it is not the label.
        description: one line for `savs tasks`.
        source: where the data live, and their licence.
        min_media: how many images or videos a row must have at least.
        defaults: what a column holds where the row has nothing.
        label_rule: how the text in the label column becomes a class.
        layouts: how rows of other shapes come to have these columns; the first that fits a row is taken.
        signs: what rows of this data set look like, for those who name no task.
        caption: where set, a regular expression whose first group finds, in the prompt, the caption that it asks about:
            for models that compare images with captions, and can be asked nothing.
    """

    name: str
    template: str
    labels: tuple[str, ...] | None = None
    fields: Fields = Fields()
    metric: str = "accuracy"
    positive: str | None = None
    answers: Mapping[str, str] = field(default_factory=dict, hash=False)
    description: str = ""
    source: str = ""
    min_media: int = 1
    defaults: Mapping[str, str] = field(default_factory=dict, hash=False)
    label_rule: LabelRule = LabelRule()
    layouts: tuple[Layout, ...] = ()
    signs: Signs = Signs()
    caption: str | None = None

    def __post_init__(self) -> None:
        _check(self)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the template names, in order."""
        return placeholders(self.template)

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The columns of the task itself, which rows have or a layout gives them."""
        fields = self.fields
        single = (fields.label, fields.id, fields.split, fields.choices, fields.kind)
        return tuple(dict.fromkeys((*fields.media, *self.columns, *filter(None, single), *fields.group)))

    @property
    def reads(self) -> tuple[str, ...]:
        """Every column of a row that the task or one of its layouts has a use for."""
        in_layouts = (column for layout in self.layouts for column in layout.reads)
        return tuple(dict.fromkeys((*self.own_columns, *in_layouts)))

    @property
    def template_hash(self) -> str:
        """12 hex digits of the sha256 of everything that decides which text and media an example has."""
        table = to_table(self)
        deciding = {key: table.get(key) for key in ("template", "fields", "defaults", "layouts")}
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:12]

    def answer(self, label: str) -> str:
        """The word that stands for `label` in a free answer."""
        return self.answers.get(label, label)

    @property
    def open_label(self) -> str | None:
        """The class of any answer that the prompt has no word for: `label_rule.otherwise`, where the rule says so."""
        return self.label_rule.otherwise if self.label_rule.is_open else None

    def render(self, row: Cells) -> str:
        """The prompt for one row (after `expand`, with its defaults).

        Raises:
            DataError: a column that the template names is missing, or holds no text.
        """
        return written(self.template, row)

    def layout_of(self, row: Cells) -> Layout | None:
        """The layout that leads from this row to the task's own columns; None where it has them already."""
        return next((layout for layout in self.layouts if layout.signs.fit(row)), None)

    def expand(self, row: Cells) -> tuple[tuple[str, Cells], ...]:
        """The examples one row holds, as (suffix of the id, row with the task's own columns), without defaults.

        Raises:
            DataError: the row is not as its layout says.
        """
        layout = self.layout_of(row)
        return (("", row),) if layout is None else tuple(layout.rows(row))

    def defaults_for(self, cells: Cells) -> dict[str, str]:
        """The defaults of those columns in which a row (after `expand`) has nothing."""
        return {name: text for name, text in self.defaults.items() if is_empty(cells.get(name))}

    def to_json(self) -> dict[str, Any]:
        """The task as JSON's own types, in the form of the task files."""
        return to_table(self)

    @classmethod
    def from_json(cls, table: Mapping[str, Any], *, where: str = "task") -> Task:
        """Read back what `to_json` gave, or what a task file holds.

        Raises:
            DataError: a key is unknown or missing, or a value makes no sense; `where` begins the message.
        """
        return from_table(cls, table, where)


def load_task(name_or_path: str | Path) -> Task:
    """A built-in task by its name, or the task in a TOML file.

    Raises:
        DataError: there is no such task or file, or the file is no task.
    """
    path = Path(name_or_path)
    for task in builtin_tasks():
        if task.name == str(name_or_path):
            return task
    if path.suffix != ".toml":
        names = [task.name for task in builtin_tasks()]
        close = closest(str(name_or_path), names)
        hint = f"did you mean {close!r}?" if close else f"expected one of {', '.join(names)}, or a .toml file"
        raise DataError(f"there is no task {str(name_or_path)!r}; {hint}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError("there is no such task file; check the path", location=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"is not valid TOML ({error})", location=str(path)) from error
    return Task.from_json(table, where=str(path))


def task_file(name_or_path: str | Path) -> str:
    """The text of the file behind `load_task`: of a built-in task, or of a task file. Raises as `load_task`."""
    name = load_task(name_or_path).name
    builtin = files("savs.data") / "tasks" / f"{name}.toml"
    path = builtin if name == str(name_or_path) and builtin.is_file() else Path(name_or_path)
    return path.read_text(encoding="utf-8")


@cache
def builtin_tasks() -> tuple[Task, ...]:
    """The tasks that come with the package, by name."""
    entries = [entry for entry in (files("savs.data") / "tasks").iterdir() if entry.name.endswith(".toml")]
    tasks = [Task.from_json(tomllib.loads(e.read_text(encoding="utf-8")), where=e.name) for e in entries]
    return tuple(sorted(tasks, key=lambda task: task.name))


def sniff_task(rows: Sequence[Cells]) -> Task:
    """The built-in task that most of the rows look like; of several the one with the most signs; else `GENERIC`.

    Where several tasks bear equally many signs, as for plain images with labels, the rows do not tell which it is. Nor
    do those of a layout that needs a file beside them, which may not be there.

    Raises:
        DataError: the rows look like no task, and have none of the columns that `GENERIC` reads.
    """
    fitting = {task: max((_weight(signs, rows) for signs in _telling(task)), default=0) for task in builtin_tasks()}
    best = max(fitting.values())
    told = [task for task, weight in fitting.items() if weight == best]
    if best and len(told) == 1:
        return told[0]
    readable = {*GENERIC.fields.media, *GENERIC.columns}
    present = sorted({str(column) for row in rows for column in row})
    if rows and readable.isdisjoint(present):
        raise DataError(
            f"no task reads these columns: {listed(present)}. Expected {', '.join(sorted(readable))} and "
            f"{GENERIC.fields.label}; rename the columns, or name a task or a task file that fits them"
        )
    return GENERIC


def _signs(task: Task) -> list[Signs]:
    """What rows of a task look like, in its own columns and in those of its layouts."""
    return [task.signs, *(layout.signs for layout in task.layouts)]


def _telling(task: Task) -> list[Signs]:
    """The signs that tell a task by its rows alone."""
    alone = (layout for layout in task.layouts if not any(lookup.file for lookup in layout.lookups.values()))
    return [task.signs, *(layout.signs for layout in alone)]


def _weight(signs: Signs, rows: Sequence[Cells]) -> int:
    """How many signs most of the rows bear; none where they bear only some."""
    borne = signs.columns and 2 * sum(map(signs.fit, rows)) > len(rows)
    return len(signs.columns) + len(signs.patterns) if borne else 0


def _check(task: Task) -> None:
    if task.metric not in METRICS:
        raise DataError(f"task {task.name!r} has the metric {task.metric!r}; expected one of {', '.join(METRICS)}")
    try:
        parts = list(Formatter().parse(task.template))
    except ValueError as error:
        raise DataError(
            f"the template of task {task.name!r} is not well formed ({error}); write {{{{ and }}}} for plain braces"
        ) from error
    for _, name, spec, conversion in parts:
        if name is not None and (not name or name.isdigit() or spec or conversion or set(name) & set(".[")):
            raise DataError(
                f"the template of task {task.name!r} has the placeholder {{{name}}} with more or less than a column's "
                "name; expected {column} only, and {{ and }} for plain braces"
            )
    if task.metric in ("pairs", "groups") and not task.fields.group:
        raise DataError(
            f"task {task.name!r} is scored by {task.metric}, but its fields name no group; add fields.group"
        )
    lookups = [lookup for layout in task.layouts for lookup in layout.lookups.values()]
    patterns = (task.fields.choices_pattern, task.label_rule.pattern, task.caption)
    for pattern in (*patterns, *(lookup.pattern for lookup in lookups)):
        if pattern is not None and _groups(task, pattern) != 1:
            raise DataError(f"task {task.name!r}: the pattern {pattern!r} must have exactly one group in parentheses")
    for signs in _signs(task):
        for pattern in signs.patterns.values():
            _groups(task, pattern)
    if task.labels is not None:
        named = [*task.answers, *task.label_rule.map.values(), task.label_rule.otherwise, task.positive]
        for label in named:
            if label is not None and label not in task.labels:
                raise DataError(f"task {task.name!r} speaks of the label {label!r}, which is not in its labels")


def _groups(task: Task, pattern: str) -> int:
    try:
        return re.compile(pattern).groups
    except re.error as error:
        raise DataError(f"task {task.name!r}: {pattern!r} is not a regular expression ({error})") from error


#: The project's own contract: `{"image": ..., "question": ..., "label": ...}`.
GENERIC = load_task("general")
