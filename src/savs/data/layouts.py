"""Layouts: how the rows of one distribution of a data set become rows with the columns that a task knows.

The same data set comes in several shapes: as the Hub serves it, as its owners pack it, as other people's code wrote
it down. A layout is data, not code. It knows columns; it knows no prompt, no media and opens no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import isnan
from string import Formatter
from typing import Any

from savs.data.hints import closest, listed
from savs.errors import DataError

Cells = Mapping[str, Any]


@dataclass(frozen=True)
class Signs:
    """What the rows of a data set look like: all of `columns` are there, and `patterns` are found in their texts."""

    columns: tuple[str, ...] = ()
    patterns: Mapping[str, str] = field(default_factory=dict, hash=False)

    def fit(self, row: Cells) -> bool:
        """Whether one row looks like that. A pattern says nothing about a row that lacks its column."""
        return all(column in row for column in self.columns) and all(
            isinstance(row[column], str) and re.search(pattern, row[column]) is not None
            for column, pattern in self.patterns.items()
            if row.get(column) is not None
        )


@dataclass(frozen=True)
class Lookup:
    """A new column, found by what stands in another.

    Attributes:
        column: the column that is looked at.
        pattern: where set, a regular expression that the whole text must match; its first group is looked up.
        values: what each text stands for; without values and without a file, the text stands for itself.
        file: where set, the values are in the first of these files that lies beside the data or in a folder above.
        every: where set, the column counts rows from 1, and so many in a row share one number, from 0.
    """

    column: str
    pattern: str | None = None
    values: Mapping[str, str] = field(default_factory=dict, hash=False)
    file: tuple[str, ...] = ()
    every: int | None = None

    def find(self, row: Cells) -> str | None:
        """What the row's column stands for; nothing stands for nothing.

        Raises:
            DataError: the column is missing, does not match, or holds what is not listed.
        """
        if is_empty(cell_in(row, self.column)):
            return None
        text = text_in(row, self.column)
        if self.pattern is not None:
            match = re.fullmatch(self.pattern, text)
            if match is None:
                raise DataError(f"column {self.column!r} holds {text!r}; expected a text that matches {self.pattern}")
            text = match[1]
        if self.every is not None:
            if not text.isdecimal() or int(text) < 1:
                raise DataError(f"column {self.column!r} holds {text!r}; expected a count that begins at 1")
            text = str((int(text) - 1) // self.every)
        if not self.values:
            return text
        if text not in self.values:
            known = listed(map(repr, self.values))
            raise DataError(f"column {self.column!r} holds {text!r}; expected one of {known}")
        return self.values[text]


@dataclass(frozen=True)
class Members:
    """A column that lists what is true of a row, asked about one by one.

    Every entry of `asked` becomes a row with the columns `member` (its name), `asked` (its text), and `holds`: Yes
    where the column lists the name, else No.
    """

    column: str
    asked: Mapping[str, str] = field(hash=False)

    def rows(self, row: Cells) -> Iterator[tuple[str, Cells]]:
        """The rows of one row, each with the suffix of its id.

        Raises:
            DataError: the column is missing, or is no list.
        """
        listed = cell_in(row, self.column)
        if not isinstance(listed, list | tuple):
            raise DataError(f"column {self.column!r} holds a {type(listed).__name__}; expected a list of names")
        for name, text in self.asked.items():
            yield name, {**row, "member": name, "asked": text, "holds": "Yes" if name in listed else "No"}


@dataclass(frozen=True)
class Variant:
    """One of several examples that a single row holds.

    Attributes:
        suffix: is appended to the row's id.
        columns: columns under new names.
        texts: new columns, written out; `{column}` stands for the text in that column.
        needs: where set, the variant is there only for rows that have something in this column.
    """

    suffix: str
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)
    texts: Mapping[str, str] = field(default_factory=dict, hash=False)
    needs: str | None = None


@dataclass(frozen=True)
class Layout:
    """From the rows of one distribution to the columns that a task knows, in this order.

    Attributes:
        name: what the distribution is called.
        signs: the rows it is for; without signs, every row.
        each: columns that hold lists of one length, walked together: every entry becomes a row. An entry with named
            values of its own spreads into columns.
        members: where set, a column of names that are asked about one by one.
        columns: columns under new names; of several old names the first that the row has.
        lookups: new columns, found by what stands in others.
        texts: new columns, written out; `{column}` stands for the text in that column.
        unfold: the examples that one row holds, where it holds several.
    """

    name: str = "rows"
    signs: Signs = Signs()
    each: tuple[str, ...] = ()
    members: Members | None = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    lookups: Mapping[str, Lookup] = field(default_factory=dict, hash=False)
    texts: Mapping[str, str] = field(default_factory=dict, hash=False)
    unfold: tuple[Variant, ...] = ()

    def rows(self, row: Cells) -> list[tuple[str, dict[str, Any]]]:
        """The rows that one row holds, each with the suffix of its id.

        Raises:
            DataError: a column that the layout reads is missing or holds something else, or no variant fits.
        """
        found = []
        for number, cells in self._entries(row):
            full = dict(cells)
            full |= {
                new: cell_in(cells, next((o for o in old if o in cells), old[0])) for new, old in self.columns.items()
            }
            for new, lookup in self.lookups.items():
                full[new] = lookup.find(full)
            full |= {new: written(text, full) for new, text in self.texts.items()}
            found += [("/".join(filter(None, (number, suffix))), cells) for suffix, cells in self._variants(full)]
        return found

    @property
    def reads(self) -> tuple[str, ...]:
        """Every column of a row that the layout has a use for."""
        written_out = [*self.texts.values(), *(text for v in self.unfold for text in v.texts.values())]
        return (
            *self.each,
            *([] if self.members is None else [self.members.column]),
            *(old for several in self.columns.values() for old in several),
            *(column for text in written_out for column in placeholders(text)),
            *(lookup.column for lookup in self.lookups.values()),
            *(old for variant in self.unfold for old in variant.columns.values()),
        )

    def with_values(self, values: Mapping[str, Mapping[str, str]]) -> Layout:
        """The same layout with the values that the files of its lookups hold, by the name of the new column."""
        known = {name: replace(self.lookups[name], values=found, file=()) for name, found in values.items()}
        return replace(self, lookups={**self.lookups, **known})

    def _entries(self, row: Cells) -> Iterator[tuple[str, Cells]]:
        if self.members is not None:
            yield from self.members.rows(row)
            return
        if not self.each:
            yield "", row
            return
        lists = [cell_in(row, column) for column in self.each]
        if not all(isinstance(values, list | tuple) for values in lists) or len({len(values) for values in lists}) != 1:
            came = ", ".join(f"{c!r} ({_size(v)})" for c, v in zip(self.each, lists, strict=True))
            raise DataError(f"columns {came} are walked together; expected lists of one length")
        for number, entries in enumerate(zip(*lists, strict=True)):
            spread: dict[str, Any] = {}
            for column, entry in zip(self.each, entries, strict=True):
                spread |= entry if isinstance(entry, Mapping) else {column: entry}
            yield str(number), {**row, **spread}

    def _variants(self, row: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        if not self.unfold:
            return [("", row)]
        fitting = [v for v in self.unfold if v.needs is None or not is_empty(row.get(v.needs))]
        if not fitting:
            raise DataError(f"has none of the columns {', '.join(repr(v.needs) for v in self.unfold)}")
        rows = []
        for variant in fitting:
            full = {**row, **{new: cell_in(row, old) for new, old in variant.columns.items()}}
            rows.append((variant.suffix, {**full, **{new: written(text, full) for new, text in variant.texts.items()}}))
        return rows


def placeholders(template: str) -> tuple[str, ...]:
    """The columns that a template names, in order.

    >>> placeholders("{a} is {b}, not {a}")
    ('a', 'b')
    """
    return tuple(dict.fromkeys(name for _, name, _, _ in Formatter().parse(template) if name))


def written(template: str, row: Cells) -> str:
    """A template with the row's texts in it; a width may follow a column's name, as in `{number:0>5}`.

    Raises:
        DataError: a column that the template names is missing, or holds no text.
    """
    return template.format_map({column: text_in(row, column) for column in placeholders(template)})


def cell_in(row: Cells, column: str) -> Any:
    """What the row has in a column.

    Raises:
        DataError: the row has no such column.
    """
    if column not in row:
        close = closest(column, map(str, row))
        hint = f"did you mean {close!r}?" if close else "add it, or choose the task that fits these columns"
        raise DataError(f"has no column {column!r}; it has {listed(row)}; {hint}")
    return row[column]


def is_empty(cell: object) -> bool:
    """Whether a cell holds nothing: null, an empty text, or NaN, which is how pandas writes what is missing.

    >>> [is_empty(cell) for cell in (None, "", float("nan"), 0, " ", [])]
    [True, True, True, False, False, False]
    """
    return cell is None or (isinstance(cell, str) and not cell) or (isinstance(cell, float) and isnan(cell))


def text_in(row: Cells, column: str) -> str:
    """The text that the row has in a column; numbers are texts.

    Raises:
        DataError: the row has no such column, or no text in it.
    """
    value = cell_in(row, column)
    if isinstance(value, str) or (isinstance(value, int | float) and not is_empty(value)):
        return str(value)
    came = "nothing (null)" if is_empty(value) else f"a {type(value).__name__}"
    raise DataError(f"column {column!r} holds {came}; expected text")


def _size(value: object) -> str:
    return f"{len(value)} entries" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
