"""What the embedded model never sees in training, in one place. Knows no image, no question and no model.

A thing is held out by the hash of its name, so that the rule needs no list, and so that adding a shape or a
pictogram moves no other thing across the line. `training/` asks these functions before it draws or reads anything;
the demo's evaluation tasks are built from what they hold out.
"""

from __future__ import annotations

import hashlib

#: One in how many is held out.
ONE_IN = 5

#: Packages whose images must never be read by `training/`, and how the names of their modules begin: they are
#: evaluation data only.
EVALUATION_PACKAGES = {"conformal-clip-data": "conformal_clip", "openmoji": "openmoji", "scikit-learn": "sklearn"}

#: Folders of training packages that are evaluation data.
EVALUATION_SPLITS = {"easy-vqa": "easy_vqa/data/test"}

#: Words that mean nothing to the model: the evaluation's invented classes. No training text contains them.
INVENTED_NAMES = ("blicket", "dax", "fep", "gorp", "kiki", "modi", "toma", "wug", "zavo", "lopa", "bouba", "tupe")

#: Code points for who is shown (from man to family), for gender and direction, and for joining.
PERSONS = frozenset({"1F468", "1F469", "1F9D1", "1F466", "1F467", "1F9D2", "1F476", "1F46A"})
MARKS = frozenset({"2640", "2642", "27A1"})
JOINTS = frozenset({"200D", "FE0F"})


def _is_held_out(kind: str, name: str) -> bool:
    digest = hashlib.sha256(f"{kind}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % ONE_IN == 0


def is_held_out_combination(shape: str, colour: str) -> bool:
    """Whether objects of this shape in this colour are kept out of training."""
    return _is_held_out("combination", f"{colour} {shape}")


def is_held_out_pictogram(name: str) -> bool:
    """Whether a pictogram concept, by its Unicode name, is kept out of training in every drawing hand."""
    return _is_held_out("pictogram", " ".join(name.lower().split()))


def kin(code: str) -> str:
    """What is shown, whoever it is: a woman, a man and a person surfing share this, and so do all families.

    Pictograms that differ in the person alone are drawn nearly alike, in some hands exactly alike.
    """
    parts = [part for part in code.upper().split("-") if part not in JOINTS]
    rest = [part for part in parts if part not in PERSONS | MARKS]
    if rest:
        return "-".join(["person", *rest] if PERSONS & set(parts) else rest)
    return "family" if len(parts) > 1 or parts == ["1F46A"] else parts[0]
