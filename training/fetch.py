"""Fetch what training reads from outside: easy-VQA's training half and two sets of pictograms.

Downloads go through pip and npm, at pinned versions, and are checked against their SHA-256. Knows no question and no
model. Which pictograms training may see is decided here and nowhere else.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from savs.demo.holdout import EVALUATION_SPLITS, is_held_out_pictogram, kin
from savs.demo.scenes import combinations

Hand = Literal["google", "twitter"]
HANDS: tuple[Hand, ...] = ("google", "twitter")
CACHE = Path(__file__).parent / "cache"
#: Skin tones and hair styles: parts of pictograms, not pictograms.
SKIPPED_GROUPS = ("Component",)


@dataclass(frozen=True)
class Source:
    """One pinned download: what it is, where it comes from, and under which licence."""

    what: str
    version: str
    file: str
    sha256: str
    command: tuple[str, ...]
    licence: str


SOURCES = {
    "easy-vqa": Source(
        "easy-VQA, training half (PyPI `easy-vqa`)",
        "1.0",
        "easy_vqa-1.0-py3-none-any.whl",
        "fcb51b309b78c7b00f97b64cdbcbcf5c105f94da1b39c0796cee5a787c4f650f",
        (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "easy-vqa==1.0"),
        "MIT",
    ),
    "google": Source(
        "Noto Emoji (npm `emoji-datasource-google`)",
        "16.0.0",
        "emoji-datasource-google-16.0.0.tgz",
        "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
        ("npm", "pack", "--silent", "emoji-datasource-google@16.0.0"),
        "Apache-2.0 (package: MIT)",
    ),
    "twitter": Source(
        "Twemoji (npm `emoji-datasource-twitter`)",
        "16.0.0",
        "emoji-datasource-twitter-16.0.0.tgz",
        "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
        ("npm", "pack", "--silent", "emoji-datasource-twitter@16.0.0"),
        "CC-BY 4.0 (package: MIT)",
    ),
}


@dataclass(frozen=True)
class Pictogram:
    """One pictogram in one hand: RGBA bytes, its code points, its name, group and subgroup as words.

    `held_out` concepts are what the gates and the benchmark ask about.
    """

    png: bytes
    code: str
    name: str
    group: str
    subgroup: str
    held_out: bool

    def draw(self, background: tuple[int, int, int] = (250, 250, 250), size: int = 64) -> Image.Image:
        """The pictogram on a plain background."""
        picture = Image.open(io.BytesIO(self.png)).convert("RGBA")
        canvas = Image.new("RGBA", picture.size, (*background, 255))
        return Image.alpha_composite(canvas, picture).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)


@dataclass(frozen=True)
class EasyImage:
    """One easy-VQA image with its questions and answers."""

    image: Image.Image
    questions: tuple[tuple[str, str], ...]


def fetch(name: str) -> Path:
    """The path of a download, fetched where it is missing.

    Raises:
        RuntimeError: where the file is not the one that the checksum names.
    """
    source = SOURCES[name]
    path = CACHE / source.file
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(source.command, cwd=CACHE, check=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != source.sha256:
        raise RuntimeError(f"{path} has SHA-256 {digest}, expected {source.sha256}: delete it and fetch again")
    return path


def words(text: str) -> str:
    """A name as plain lower-case words."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def training_pictograms(found: Sequence[Pictogram]) -> list[Pictogram]:
    """Those of all hands' pictograms that training may see.

    Left out are held-out concepts, their kin, what is drawn pixel for pixel like one of them, and names of shapes in
    colours in which scenes never show them.
    """
    concepts = {kin(item.code) for item in found if item.held_out}
    drawn = {item.draw().tobytes() for item in found if item.held_out}
    combined = [{shape, colour} for shape, colour in combinations(held_out=True)]
    return [
        item
        for item in found
        if kin(item.code) not in concepts
        and item.draw().tobytes() not in drawn
        and not any(pair <= set(item.name.split()) for pair in combined)
    ]


def pictograms(hand: Hand) -> list[Pictogram]:
    """All pictograms of one hand, held-out ones marked."""
    found = []
    with tarfile.open(fetch(hand)) as archive:
        files = {member.name: member for member in archive.getmembers()}
        entries = json.load(_member(archive, files["package/emoji.json"]))
        for entry in entries:
            member = files.get(f"package/img/{hand}/64/{entry['image']}")
            if member is None or entry["category"] in SKIPPED_GROUPS:
                continue
            name = words(entry["name"] or entry["short_name"])
            found.append(
                Pictogram(
                    _member(archive, member).read(),
                    entry["unified"],
                    name,
                    words(entry["category"].replace("&", "and")),
                    words(entry["subcategory"]),
                    is_held_out_pictogram(name),
                )
            )
    return found


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> io.BufferedReader | io.BytesIO:
    stream = archive.extractfile(member)
    if stream is None:
        raise RuntimeError(f"{member.name} is not a file: the archive is not what was expected")
    return io.BytesIO(stream.read())


def easy_vqa() -> list[EasyImage]:
    """The training half of easy-VQA."""
    return _easy_half("easy_vqa/data/train")


def easy_vqa_test() -> list[EasyImage]:
    """The test half of easy-VQA, for `gates.py` only."""
    return _easy_half(EVALUATION_SPLITS["easy-vqa"])


def _easy_half(folder: str) -> list[EasyImage]:
    with zipfile.ZipFile(fetch("easy-vqa")) as archive:
        questions: dict[int, list[tuple[str, str]]] = {}
        for question, answer, image in json.loads(archive.read(f"{folder}/questions.json")):
            questions.setdefault(image, []).append((question, answer))
        return [
            EasyImage(
                Image.open(io.BytesIO(archive.read(f"{folder}/images/{image}.png"))).convert("RGB"),
                tuple(pairs),
            )
            for image, pairs in sorted(questions.items())
        ]
