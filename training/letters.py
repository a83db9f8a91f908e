"""Letters drawn in the fonts that Matplotlib brings: strokes, for a tower that knew whole shapes alone.

A letter counts as a pictogram of the group "letters". No digit is drawn. Knows no question and no model.
"""

from __future__ import annotations

import string
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fetch import augment

GROUP = "letters"
LETTERS = string.ascii_letters
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic"),
)
#: The least difference of ink and ground, of 255, in grey.
CONTRAST = 90


def describe(letter: str) -> dict[str, str]:
    """What a picture of the letter shows, in the words of a pictogram's."""
    case = "capital" if letter.isupper() else "small"
    return {"group": GROUP, "subgroup": f"{case} letters", "name": f"{case} {letter.lower()}"}


def draw(letter: str, rng: np.random.Generator, side: int) -> np.ndarray:
    """One letter, uint8 `[side, side, 3]`: any font, size, weight, slant and pair of colours, often coarse."""
    ground, ink = rng.integers(0, 256, (2, 3))
    while abs(int(ground.mean()) - int(ink.mean())) < CONTRAST:
        ground, ink = rng.integers(0, 256, (2, 3))
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{FONTS[rng.integers(len(FONTS))]}.ttf")
    font = ImageFont.truetype(path, int(side * rng.uniform(0.6, 1.3)))
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
