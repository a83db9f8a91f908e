"""Writes the saved classifiers of this folder, which every later version must open and answer alike.

Run it once for a new format version, never again for an old one: `python tests/data_files/make_classifiers.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from savs.backbones.base import BackboneSpec
from savs.classifier_folder import FORMAT_VERSION
from savs.classify import SAVClassifier
from savs.data.example import Example
from savs.data.shot_keys import shot_key
from savs.features import HeadFeatures, HeadLayout
from savs.model import SAVModel

HERE = Path(__file__).parent
PRESETS = ("sav", "calm", "knn")
LAYOUT = HeadLayout.grid(3, 4, 8)
SPEC = BackboneSpec(model="tiny/model", revision="0123456789abcdef", dtype="float32", attention="sdpa")


@dataclass
class NamedOnly:
    """A backbone by name: it has a spec and a layout, and is never run."""

    spec: BackboneSpec
    layout: HeadLayout


def features(seed: int, per_class: int = 6) -> HeadFeatures:
    """The same numbers for ever: seeded integers, and centres that only some heads tell apart."""
    rng = np.random.default_rng(seed)
    labels = [label for label in ("cat", "dog", "fish") for _ in range(per_class)]
    centres = np.random.default_rng(0).integers(-3, 4, (3, 12, 8)) * (np.arange(12) % 3)[None, :, None]
    z = np.repeat(centres, per_class, axis=0) + rng.integers(-6, 7, (len(labels), 12, 8))
    return HeadFeatures(z.astype(np.float32), tuple(f"{seed}-{i}" for i in range(len(z))), tuple(labels), LAYOUT)


def main() -> None:
    """Write a folder for each preset, and what its classifier answers."""
    shots = features(1)
    keys = [shot_key(Example(id_, "What is it?")) for id_ in shots.ids]
    for preset in PRESETS:
        model = SAVModel.fit_features(
            shots,
            backbone=NamedOnly(SPEC, LAYOUT),  # type: ignore[arg-type]
            classifier=SAVClassifier.from_preset(preset, k=5),
            shot_keys=keys,
        )
        folder = model.save_pretrained(HERE / f"format_{FORMAT_VERSION}_{preset}")
        answers = [prediction.to_json() for prediction in model.predict_features(features(2, per_class=2))]
        (folder.parent / f"{folder.name}.answers.json").write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    main()
