"""Files that are there whole or not at all, whatever happens while they are written. Knows bytes and names only."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

_MARK = ".tmp"
#: Seconds after which an unfinished file of another machine counts as left behind. One is written in seconds.
_ABANDONED = 24 * 3600.0


def write_whole(path: Path, data: bytes, *, over: bool = True) -> None:
    """Write a file under another name, force it to the disk, and only then give it its name.

    Args:
        path: of the file.
        data: all of it.
        over: whether it takes the place of a file of that name; otherwise such a file stays, and this one is dropped.

    Raises:
        OSError: it cannot be written; nothing is left of it then.
    """
    temporary = path.with_name(f"{uuid4().hex}.{socket.gethostname()}.{os.getpid()}{_MARK}")
    try:
        with temporary.open("wb", buffering=0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())
        if over:
            temporary.replace(path)
        else:
            _name_if_free(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _name_if_free(temporary: Path, path: Path) -> None:
    """Give a file its name unless another has it. Of several processes that do so at one instant, one succeeds."""
    try:
        with suppress(FileExistsError):
            os.link(temporary, path)
    except OSError:  # file systems without links
        if not path.exists():
            temporary.replace(path)
    temporary.unlink(missing_ok=True)


def is_unfinished(name: str) -> bool:
    """Whether a file of that name was never finished."""
    return name.endswith(_MARK)


def sweep(folder: Path) -> None:
    """Remove what killed writers left behind: unfinished files of dead processes here, and old ones of anywhere.

    What another process is writing at this moment stays.
    """
    for path in folder.glob(f"*{_MARK}"):
        _, _, writer = path.name.removesuffix(_MARK).partition(".")
        host, _, process = writer.rpartition(".")
        own = host == socket.gethostname() and process.isdigit()
        try:
            if (own and not _is_alive(int(process))) or time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()
        except FileNotFoundError:
            continue  # its writer has just finished it, or another sweep was quicker


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # elsewhere there is no signal that does nothing
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync_folder(folder: Path) -> None:
    """Force a new name to the disk, where folders can be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
