"""Rows out of a data set of the `datasets` library, on the Hugging Face Hub or saved (`pip install 'savs[hub]'`).

Knows how a data set is named and served, not what its columns mean. Images and videos stay in the bytes they are
stored in, so that equal media have equal content keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from savs.data.example import Media
from savs.data.formats import SUFFIXES, Row
from savs.data.media import guess_kind
from savs.data.remote import AnyPath
from savs.errors import DataError

_PREFIX = "hf://"
_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?::(?P<config>[\w.-]+))?(?:/(?P<split>[\w.-]+))?")


@dataclass(frozen=True)
class HubName:
    """Which rows of which data set: `hf://owner/name[:config][/split]`, or a folder with a snapshot of it."""

    name: str
    config: str | None = None
    split: str | None = None

    def __str__(self) -> str:
        prefix = "" if Path(self.name).is_absolute() else _PREFIX
        return (
            prefix + self.name + (f":{self.config}" if self.config else "") + (f"/{self.split}" if self.split else "")
        )

    @classmethod
    def parse(cls, text: str) -> HubName | None:
        """Read `hf://owner/name[:config][/split]`, or the same without `hf://`; None where `text` is something else.

        Raises:
            DataError: `text` begins with `hf://` and goes on otherwise.
        """
        match = _NAME.fullmatch(text.removeprefix(_PREFIX))
        is_file = text.lower().endswith(SUFFIXES) or guess_kind(text) is not None
        if match is not None and (text.startswith(_PREFIX) or not is_file):
            return cls(match["name"], match["config"], match["split"])
        if text.startswith(_PREFIX):
            raise DataError(f"{text!r} names no data set; expected hf://owner/name[:config][/split]")
        return None


def hub_rows(hub: HubName, limit: int | None) -> Iterator[Row]:
    """The rows of one split, class numbers replaced by class names; no other split is fetched.

    With a limit no more than needed is downloaded; without one, the split's files are kept in the cache of `datasets`.

    Raises:
        DataError: `datasets` is not installed, the data set cannot be had, or it has several splits and none is named.
    """
    datasets = _library(f"{hub} is on the Hub")
    try:
        split = hub.split or _only_split(hub, datasets.get_dataset_split_names(hub.name, hub.config))
        only = _files_of(hub, split, datasets)
        data = datasets.load_dataset(hub.name, hub.config, split=split, streaming=limit is not None, **only)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"cannot be read from the Hub ({error}); check owner, name, configuration and split (or the path, if you "
            "meant a file), your network, and whether you must ask for access",
            location=str(hub),
        ) from error
    place = HubName(hub.name, hub.config, split)
    yield from islice(_rows(data, str(place), f"{hub.name.split('/')[-1]}:{split}"), limit)


def _files_of(hub: HubName, split: str, datasets: Any) -> dict[str, Any]:
    """What tells `load_dataset` to fetch the files of one split: it fetches those of all (huggingface/datasets#6793).

    Raises:
        ValueError: there is no such split.
    """
    builder = datasets.load_dataset_builder(hub.name, hub.config)
    files = builder.config.data_files
    if not files:  # without a network, of a data set that another program has fetched whole
        return {}
    if split not in files:
        raise ValueError(f"there is no split {split!r} among {', '.join(map(str, files))}")
    return {"data_files": {split: files[split]}, "features": builder.info.features}


def is_saved(folder: AnyPath) -> bool:
    """Whether a folder is what `save_to_disk` of `datasets` wrote: a data set, or its splits."""
    return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))


def saved_rows(folder: AnyPath) -> Iterator[Row]:
    """The rows that `save_to_disk` of `datasets` wrote, class numbers replaced by class names.

    Raises:
        DataError: `datasets` is not installed, the files cannot be read, or hold several splits.
    """
    datasets = _library(f"{folder} was saved by datasets")
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        raise DataError(
            f"has the splits {', '.join(splits)}; name one, as in {folder / splits[0]}", location=str(folder)
        )
    try:
        data = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"cannot be read ({error}); save the data set again", location=str(folder)) from error
    yield from _rows(data, str(folder), folder.name)


def _library(why: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"{why}, and reading it needs datasets; run: pip install 'savs[hub]'") from error
    return datasets


def _rows(data: Any, place: str, name: str) -> Iterator[Row]:
    """The rows of a data set, with media in the bytes that they are stored in."""
    features = dict(data.features or {})
    for column, feature in features.items():
        if type(feature).__name__ in ("Image", "Video"):
            data = data.cast_column(column, type(feature)(decode=False))
    for index, row in enumerate(data):
        cells = {column: _cell(value, features.get(column)) for column, value in row.items()}
        yield Row(cells, f"{place}[{index}]", f"{name}:{index}")


def _only_split(hub: HubName, splits: list[str]) -> str:
    if len(splits) == 1:
        return splits[0]
    raise DataError(f"has the splits {', '.join(splits)}; name one, as in {hub}/{splits[0]}", location=str(hub))


def _cell(value: Any, feature: Any) -> Any:
    kind = type(feature).__name__
    if kind == "ClassLabel" and isinstance(value, int):
        return feature.int2str(value) if value >= 0 else None
    if kind == "Video" and isinstance(value, dict) and value.get("bytes") is not None:
        return Media(value["bytes"], "video")
    return value
