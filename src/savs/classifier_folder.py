"""A saved classifier as files: written whole, read back with every damage named. Knows JSON and tensors, no model.

`config.json` says what it is, `heads.safetensors` holds what was learned, `README.md` is the model card, and
`shots.json` holds the digests of the examples it was fitted on, so that a test set can be checked against them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from savs.data.shot_keys import ShotKey
from savs.errors import DataError, OutputExistsError

CONFIG_FILE = "config.json"
TENSORS_FILE = "heads.safetensors"
CARD_FILE = "README.md"
SHOTS_FILE = "shots.json"
FILES = (CONFIG_FILE, TENSORS_FILE, CARD_FILE, SHOTS_FILE)
FORMAT_VERSION = 1
#: Where the configuration keeps the digest of the tensors' file. The first folders of format 1 have none.
_DIGEST = "heads_sha256"


@dataclass(frozen=True)
class Contents:
    """What the folder of a classifier holds.

    Attributes:
        config: of `config.json`.
        tensors: of `heads.safetensors`.
        card: of `README.md`.
        shot_keys: of `shots.json`; none where the classifier was fitted on features alone.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, NDArray[Any]]
    card: str
    shot_keys: tuple[ShotKey, ...]


def check_free(folder: str | Path, *, overwrite: bool) -> None:
    """Refuse to write over anything but an empty folder or, on purpose, a classifier.

    Raises:
        OutputExistsError: the folder holds a classifier and `overwrite` is not set, or it holds something else.
    """
    folder = Path(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / TENSORS_FILE).is_file():
        what = "is a folder with other files" if folder.is_dir() else "is a file"
        raise OutputExistsError(f"{folder} exists and {what}, not a classifier; choose another name")
    if not overwrite:
        raise OutputExistsError(f"{folder} exists and holds a classifier; choose another name, or overwrite it")


def write_folder(folder: Path, contents: Contents) -> None:
    """Write the files; the configuration comes last, since a folder without it is not a classifier."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).unlink(missing_ok=True)
    save_file({name: np.ascontiguousarray(array) for name, array in contents.tensors.items()}, folder / TENSORS_FILE)
    (folder / CARD_FILE).write_text(contents.card, encoding="utf-8")
    if contents.shot_keys:
        rows = ",\n".join(json.dumps(asdict(key)) for key in contents.shot_keys)
        (folder / SHOTS_FILE).write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    else:
        (folder / SHOTS_FILE).unlink(missing_ok=True)
    config = {**contents.config, _DIGEST: _digest(folder / TENSORS_FILE)}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def read_folder(folder: Path) -> Contents:
    """Read the files back.

    Raises:
        DataError: there is no classifier, a file is damaged, or the format is of another version.
    """
    path = folder / CONFIG_FILE
    if not folder.is_dir():
        raise DataError(f"there is no classifier {folder}; expected a folder that savs fit wrote, or a Hub id")
    if not path.is_file() or not (folder / TENSORS_FILE).is_file():
        raise DataError(
            f"{folder} holds no classifier; expected {CONFIG_FILE} and {TENSORS_FILE}, as savs fit writes them"
        )
    config = _json(path)
    version = config.get("format") if isinstance(config, dict) else None
    if version != FORMAT_VERSION:
        raise DataError(
            f"has format {version!r}; this version of savs reads format {FORMAT_VERSION}. "
            "Upgrade savs, or fit the classifier again",
            location=str(path),
        )
    digest = _digest(folder / TENSORS_FILE)
    if config.get(_DIGEST, digest) != digest:
        raise damaged(folder / TENSORS_FILE, ValueError(f"its bytes are not those that {CONFIG_FILE} was written with"))
    try:
        tensors = load_file(folder / TENSORS_FILE)
    except (SafetensorError, OSError) as error:
        raise damaged(folder / TENSORS_FILE, error) from error
    card = folder / CARD_FILE
    return Contents(
        config, tensors, card.read_text(encoding="utf-8") if card.is_file() else "", _shot_keys(folder / SHOTS_FILE)
    )


def file_sizes(folder: Path) -> dict[str, int]:
    """The size in bytes of each of a classifier's files that is there."""
    return {name: (folder / name).stat().st_size for name in FILES if (folder / name).is_file()}


def download(repo_id: str, revision: str | None) -> Path:
    """Fetch the files of a classifier from the Hub.

    Raises:
        DataError: there is none by that name, or the Hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=list(FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise DataError(
            f"there is no folder {repo_id} and no such classifier can be reached on the Hub; "
            "expected a folder written by savs fit, or a Hub id"
        ) from error


def damaged(path: Path, error: Exception) -> DataError:
    """The error for a file of a classifier that does not hold what it should."""
    what = f"lacks {error}" if isinstance(error, KeyError) else str(error).strip() or type(error).__name__
    return DataError(f"is damaged ({what}); fit the classifier again, or fetch it again", location=str(path))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _shot_keys(path: Path) -> tuple[ShotKey, ...]:
    if not path.is_file():
        return ()
    try:
        return tuple(ShotKey(row["id"], row["text"], tuple(row["media"])) for row in _json(path))
    except (KeyError, TypeError) as error:
        raise damaged(path, error) from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path, error) from error
