"""Letters drawn in the fonts that Matplotlib brings: strokes, for a tower that knew whole shapes alone.

A letter is told in the words of a pictogram, of the group "letters". No digit is drawn. Knows no question and no model.
"""

from __future__ import annotations

import hashlib
import string
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from augment import augment

GROUP = "letters"
LETTERS = string.ascii_letters
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic"),
)
#: Of their files in turn, and the version of Matplotlib whose fonts the shipped weights learned from.
FONTS_SHA256 = "759e6551147cc60a7f7c345f07780fa39671040bd8a01c65ecfd21067d5bf747"
FONTS_VERSION = "3.11.2"
#: The least difference of ink and ground, of 255, in grey.
CONTRAST = 90


def describe(letter: str) -> dict[str, str]:
    """What a picture of the letter shows, in the words of a pictogram's."""
    case = "capital" if letter.isupper() else "small"
    return {"group": GROUP, "subgroup": f"{case} letters", "name": f"{case} {letter.lower()}"}


@cache
def font_files() -> tuple[Path, ...]:
    """The files of the fonts, in the order of `FONTS`.

    Raises:
        RuntimeError: where they are not those that the checksum names.
    """
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    files = tuple(folder / f"{name}.ttf" for name in FONTS)
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    if digest != FONTS_SHA256:
        raise RuntimeError(
            f"the {len(files)} fonts in {folder} have SHA-256 {digest}, expected {FONTS_SHA256}: "
            f"install matplotlib=={FONTS_VERSION}"
        )
    return files


def draw(letter: str, rng: np.random.Generator, side: int) -> np.ndarray:
    """One letter, uint8 `[side, side, 3]`: any font, size, weight, slant and pair of colours, often coarse.

    Raises:
        RuntimeError: the fonts are not those that the checksum names.
    """
    fonts = font_files()
    ground, ink = rng.integers(0, 256, (2, 3))
    while abs(int(ground.mean()) - int(ink.mean())) < CONTRAST:
        ground, ink = rng.integers(0, 256, (2, 3))
    font = ImageFont.truetype(fonts[rng.integers(len(fonts))], int(side * rng.uniform(0.6, 1.3)))
    image = Image.new("RGB", (side, side), tuple(ground.tolist()))
    ImageDraw.Draw(image).text(
        tuple(side * rng.normal(0.5, 0.04, 2)),
        letter,
        fill=tuple(ink.tolist()),
        font=font,
        anchor="mm",
        stroke_width=int(rng.integers(3)),
    )
    slant = float(rng.normal(0, 0.12))
    leaning = (1, slant, -slant * side / 2, 0, 1, 0)
    fill = tuple(ground.tolist())
    image = image.transform(image.size, Image.Transform.AFFINE, leaning, Image.Resampling.BILINEAR, fillcolor=fill)
    if rng.random() < 0.6:
        coarse = int(rng.integers(8, 25))
        image = image.resize((coarse, coarse), Image.Resampling.BOX).resize((side, side), Image.Resampling.BICUBIC)
    return augment(image, rng, strong=True)
