"""Where the media file is that a row names: beside the data file, or under a root that holds the media.

Knows only paths. Where a root is given, nothing outside it is ever named.
"""

from __future__ import annotations

from pathlib import Path

from savs.data.hints import shortened
from savs.data.remote import AnyPath, as_path
from savs.errors import DataError


def locate(name: str, folder: AnyPath | None, root: Path | None) -> AnyPath:
    r"""The file that `name` means.

    Without a root, a relative name is relative to `folder` (the data file's own), and an absolute one or a URL is taken
    as it is.
    With a root, only files under it count: `name` is tried there whole, then without its first folder, without its
    first two, and so on, so that a path from another machine (`/their/disk/coco/val/1.jpg`, `C:\coco\val\1.jpg`)
    finds `root/val/1.jpg`. The longest match wins.

    Raises:
        DataError: no such file exists, or `name` leaves the root through `..`, a link or an absolute path.
    """
    if root is not None:
        return _locate_under(name, root)
    for written in dict.fromkeys((name, name.replace("\\", "/"))):  # the second, where Windows wrote it
        path = as_path(written)
        if not path.is_absolute():
            if folder is None:
                raise DataError(f"{shortened(name)!r} is a path without a folder to be relative to; give an image root")
            path = folder / path
        if _is_file(path):
            return path
    raise DataError(f"there is no file {shortened(str(path))}; correct the path, or give an image root that holds it")


def _locate_under(name: str, root: Path) -> Path:
    if not root.is_dir():
        raise DataError(f"the image root {root} is no folder; give the folder that holds the media")
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts:
        raise DataError(f"{shortened(name)!r} leaves the image root {root} through '..'; write the path without it")
    inside = root.resolve()
    given = Path(name)
    candidates = [given] if given.is_absolute() and _is_within(given, inside) else []
    candidates += [root.joinpath(*parts[i:]) for i in range(len(parts))]
    for candidate in candidates:
        if _is_file(candidate):
            if not _is_within(candidate, inside):
                raise DataError(f"{candidate} is a link that leaves the image root {root}; put the file itself there")
            return candidate
    raise DataError(
        f"neither {shortened(name)!r} nor any shorter end of it is a file under the image root {root}; "
        "check the root, or put the file there"
    )


def _is_within(path: Path, inside: Path) -> bool:
    return path.resolve().is_relative_to(inside)


def _is_file(path: AnyPath) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for the file system, or with a null byte
        return False
