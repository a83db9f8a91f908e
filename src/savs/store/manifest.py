"""What a store says of itself: whose features it holds, of which heads, in which precision. Written once.

It does not list the shards: a shard is there when its file is, and a second list could only disagree with the folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from savs.backbones.base import BackboneSpec
from savs.errors import StoreError
from savs.features import HeadId, HeadLayout
from savs.store.files import write_whole

StoreDtype = Literal["float32", "float16"]

MANIFEST_FILE = "manifest.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """What all rows of a store have in common.

    Attributes:
        spec: the backbone that made them.
        layout: the heads, in the order of the shards' first axis.
        dtype: in which the features are stored.
    """

    spec: BackboneSpec
    layout: HeadLayout
    dtype: StoreDtype

    def write(self, folder: Path) -> None:
        """Write it into the folder of a store, unless one is there: of writers at one instant, one makes the store."""
        fields = {
            "format": FORMAT_VERSION,
            "backbone": self.spec.to_json(),
            "heads": [str(head) for head in self.layout.heads],
            "head_dim": self.layout.head_dim,
            "dtype": self.dtype,
        }
        text = json.dumps({**fields, "sha256": _digest(fields)}, indent=1)
        write_whole(folder / MANIFEST_FILE, text.encode(), over=False)

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read it back.

        Raises:
            StoreError: there is no store in the folder, its manifest is damaged, or it is of a later format.
        """
        path = folder / MANIFEST_FILE
        if not path.is_file():
            what = "there is no store" if not folder.exists() else "holds no store:"
            raise StoreError(f"{what} {path.name}; expected a folder that savs extract wrote", location=str(folder))
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            version = data["format"]
            if version == FORMAT_VERSION and data.pop("sha256") != _digest(data):
                raise ValueError("its digest does not fit its content")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(path, error) from error
        if version != FORMAT_VERSION:
            raise StoreError(
                f"has format {version!r}; this version of savs reads format {FORMAT_VERSION}. Upgrade savs, or "
                "extract into another folder",
                location=str(path),
            )
        try:
            if data["dtype"] not in get_args(StoreDtype):
                raise ValueError(f"dtype {data['dtype']!r}")
            heads = tuple(HeadId.parse(head) for head in data["heads"])
            return cls(BackboneSpec.from_json(data["backbone"]), HeadLayout(heads, data["head_dim"]), data["dtype"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(path, error) from error


def _digest(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _damaged(path: Path, error: Exception) -> StoreError:
    what = f"it lacks {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
    return StoreError(f"is damaged ({what}); put back a copy of it, or extract into another folder", location=str(path))
