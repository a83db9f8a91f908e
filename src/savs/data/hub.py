"""Rows out of a data set on the Hugging Face Hub (`pip install 'savs[hub]'`).

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
        if match is not None and (text.startswith(_PREFIX) or not text.lower().endswith(SUFFIXES)):
            return cls(match["name"], match["config"], match["split"])
        if text.startswith(_PREFIX):
            raise DataError(f"{text!r} names no data set; expected hf://owner/name[:config][/split]")
        return None


def hub_rows(hub: HubName, limit: int | None) -> Iterator[Row]:
    """The rows of one split, class numbers replaced by class names; with a limit, no more than needed is downloaded.

    Raises:
        DataError: `datasets` is not installed, the data set cannot be had, or it has several splits and none is named.
    """
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"{hub} is on the Hub, and reading it needs datasets; run: pip install 'savs[hub]'") from error
    try:
        split = hub.split or _only_split(hub, datasets.get_dataset_split_names(hub.name, hub.config))
        data = datasets.load_dataset(hub.name, hub.config, split=split, streaming=limit is not None)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"cannot be read from the Hub ({error}); check owner, name, configuration and split, your network, and "
            "whether you must ask for access",
            location=str(hub),
        ) from error
    features = dict(data.features or {})
    for column, feature in features.items():
        if isinstance(feature, datasets.Image):
            data = data.cast_column(column, datasets.Image(decode=False))
        elif type(feature).__name__ == "Video":
            data = data.cast_column(column, datasets.Video(decode=False))
    place = HubName(hub.name, hub.config, split)
    stem = hub.name.split("/")[-1]
    for index, row in enumerate(islice(data, limit)):
        cells = {column: _cell(value, features.get(column)) for column, value in row.items()}
        yield Row(cells, f"{place}[{index}]", f"{stem}:{split}:{index}")


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
