"""Rows out of a folder of class folders: one a media file, labelled by the folder that it is in. Tables in parts.

Knows names of files and folders; opens none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from savs.data.example import Media
from savs.data.formats import SUFFIXES, BadRow, Row
from savs.data.media import guess_kind
from savs.data.remote import AnyPath
from savs.errors import DataError

#: What the parts of a data set are called that must not be mixed.
_SPLITS = re.compile(r"(?:^|[-_.])(train|test|val|dev)", re.IGNORECASE)
#: What other programs leave in folders.
_JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


def folder_rows(folder: AnyPath) -> Iterator[Row | BadRow]:
    """One row a media file: `image`, `label` (the name of the folder it is in) and `id` (its path in `folder`).

    Files that stand in `folder` itself have no label. Hidden files are passed over, and so is anything but media
    beside the class folders; inside a class folder it is a bad row, and so is a class folder without anything.

    Raises:
        DataError: there is no image or video in it.
    """
    entries = _visible(folder)
    classes = [entry for entry in entries if entry.is_dir()]
    loose = [entry for entry in entries if entry.is_file() and guess_kind(entry.name)]
    files = [(entry, None) for entry in loose] + [(entry, c.name) for c in classes for entry in _visible(c)]
    if not any(guess_kind(entry.name) for entry, _ in files):
        instead = [*(e for e in entries if e.name.endswith(SUFFIXES)), *(e.parent for e, _ in files if e.is_dir())]
        hint = f"; did you mean {' or '.join(list(dict.fromkeys(map(str, instead)))[:4])}?" if instead else ""
        raise DataError(f"holds no images and no class folders with images{hint}", location=str(folder))
    filled = {label for _, label in files}
    for empty in [c for c in classes if c.name not in filled]:
        yield BadRow(str(empty), empty.name, "is an empty class folder; put its images there, or take it away")
    for entry, label in files:
        name = entry.name if label is None else f"{label}/{entry.name}"
        kind = guess_kind(entry.name)
        if entry.is_dir() or kind is None:
            what = "a folder" if entry.is_dir() else "neither an image nor a video"
            yield BadRow(
                str(entry), name, f"is {what}; expected only images and videos in a class folder. Move it away"
            )
            continue
        cells = {"image": Media(entry, kind), "id": name, "label": label}
        yield Row(cells, str(entry), name)


def table_parts(folder: AnyPath) -> list[AnyPath]:
    """The Parquet files of a folder that holds one table in parts; none where it holds folders, media or splits."""
    entries = _visible(folder)
    parts = [entry for entry in entries if entry.suffix.lower() == ".parquet" and entry.is_file()]
    splits = {found[1].lower() for part in parts if (found := _SPLITS.search(part.name))}
    mixed = len(splits) > 1 or any(guess_kind(entry.name) or entry.is_dir() for entry in entries)
    return [] if mixed else parts


def _visible(folder: AnyPath) -> list[AnyPath]:
    return sorted(e for e in folder.iterdir() if not e.name.startswith(".") and e.name.lower() not in _JUNK)
