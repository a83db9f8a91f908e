"""Words that a question can do without: what is asked must not hang on the wordings that training happens to have.

Knows no kind of question. A word that was never read falls apart into pieces that mean nothing to the decoder; here
pieces that mean nothing are put into questions whose answers it knows, so that it learns to pass them over.
"""

from __future__ import annotations

import re

import numpy as np

from asking import pick
from savs.demo.holdout import INVENTED_NAMES
from savs.demo.scenes import COLOURS, SHAPES
from wordings import all_templates

#: Words of the wordings that carry nothing of what is asked, so that others may stand before them or in their place.
IDLE = tuple(
    "a an the is are do does has have of to in on it its this that there here what which who so you we me tell say"
    " give name find see look shown show shows image picture scene would call please can seen lies with for".split()
)
#: What no made-up word may hold, or be: so none names a thing, let alone one that is held out, and none says "not".
_NAMES = (*SHAPES, *COLOURS, *INVENTED_NAMES)
_WORDS = frozenset(word for template in all_templates() for word in re.findall("[a-z]+", template))
_BEGINS = ("b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "br", "ch", "fl", "gr")
_BEGINS += ("pl", "sh", "st", "th", "tr", "")
_MIDDLES = ("a", "e", "i", "o", "u", "ea", "ou", "ai", "oo")
_ENDS = ("", "", "d", "g", "l", "m", "n", "nd", "ng", "p", "r", "rs", "s", "st", "t", "y")


def made_up(rng: np.random.Generator) -> str:
    """A word of one or two syllables that training uses for nothing."""
    while True:
        syllables = (
            pick(rng, _BEGINS) + pick(rng, _MIDDLES) + pick(rng, _ENDS) for _ in range(int(rng.integers(1, 3)))
        )
        word = "".join(syllables)
        if word not in _WORDS and not any(name in word for name in _NAMES):
            return word


def fill(text: str, rng: np.random.Generator) -> str:
    """A question with made-up words before or instead of some of its idle ones, and at times a remark in front."""
    rate = 0.6 * rng.random()
    words = [filled for word in text.split(" ") for filled in _around(word, rng, rate)]
    if rng.random() < 0.4:
        remark = [made_up(rng) if rng.random() < 0.6 else pick(rng, IDLE) for _ in range(int(rng.integers(2, 9)))]
        words = [*remark[:-1], remark[-1] + pick(rng, (".", ",", ":", "?", "")), *words]
    return " ".join(words)


def _around(word: str, rng: np.random.Generator, rate: float) -> tuple[str, ...]:
    if word not in IDLE or rng.random() >= rate:
        return (word,)
    return (made_up(rng), word) if rng.random() < 0.5 else (made_up(rng),)
