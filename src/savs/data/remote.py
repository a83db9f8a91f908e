"""Files in object stores and on other machines, by URL: `s3://bucket/rows.jsonl`, `gs://`, `az://`, `sftp://`, ...

They are paths like any other (`upath.UPath`), read when they are needed and kept nowhere. Needs universal-pathlib
(`pip install "savs[remote]"`) and the library of the protocol (s3fs, gcsfs, adlfs, ...). Knows no format.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from savs.data.hints import shortened
from savs.errors import DataError

if TYPE_CHECKING:
    from upath import UPath

#: A file here, or elsewhere.
AnyPath: TypeAlias = "Path | UPath"

#: Chains of protocols are URLs too, as in `simplecache::s3://bucket/rows.jsonl`.
_URL = re.compile(r"[a-z][a-z0-9+.:-]+://", re.IGNORECASE)
_WEB = ("http://", "https://")


def as_path(name: str | Path) -> AnyPath:
    """The path that `name` writes: of this machine, or, where it is a URL, of another.

    Raises:
        DataError: the URL is a web page's, its protocol is not known, or a library that it needs is not installed.
    """
    if isinstance(name, Path) or not _URL.match(name):
        return Path(name)
    shown = shortened(name)
    if name.lower().startswith(_WEB):
        raise DataError(f"{shown!r} is a web address; expected a file. Download it and give its path")
    try:
        from upath import UPath
    except ImportError as error:
        raise DataError(
            f"{shown!r} is a URL, which needs universal-pathlib; run: pip install 'savs[remote]'"
        ) from error
    try:
        path = UPath(name)
        _ = path.fs  # found out now, and not at the first row that is read
    except (ImportError, ValueError) as error:
        raise DataError(f"{shown!r} cannot be read ({error}); expected a path, or a URL that fsspec knows") from error
    return path
