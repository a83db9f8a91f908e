"""What SAVs make of a model folder on images of training's kind: `python training/probes.py FOLDER ...`.

By these scores one recipe is chosen before another, so that no benchmark has to choose. Two things are asked that no
question of training is: which digit is printed, and what is known well, in wordings that neither training nor the demo
has. Twenty shots a class; scenes and digits are drawn by seeds of their own.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import letters
import tower
from asking import options, pick
from images import SIDE
from savs.backbones.huggingface import HuggingFaceBackbone, load_backbone
from savs.classify.classifier import SAVClassifier
from savs.data.example import Example, Media
from savs.demo.scenes import Scene, absent_names, article, render, sample_scene
from wordings import STATEMENTS

SHOTS = 20
DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Probe:
    """Something to be told apart, asked in each of some wordings, and how many of each class are tested."""

    name: str
    classes: tuple[str, ...]
    tests: int
    wordings: tuple[str, ...]
    draw: Callable[[str, np.random.Generator], Example]

    def examples(self, wording: str, per_class: int, seed: int) -> list[Example]:
        """So many of each class, freshly drawn."""
        rng, found, counts = np.random.default_rng(seed), list[Example](), Counter[str]()
        while len(found) < per_class * len(self.classes):
            example = self.draw(wording, rng)
            if example.label in self.classes and counts[example.label] < per_class:
                counts[example.label] += 1
                found.append(example)
        return found


def shown(image: Image.Image, prompt: str, label: str) -> Example:
    """One image with what is asked about it."""
    return Example("", prompt, (Media(image),), label=label)


def printed_digit(wording: str, rng: np.random.Generator) -> Example:
    """A digit, drawn as training's letters are."""
    digit = pick(rng, DIGITS)
    return shown(Image.fromarray(letters.draw(digit, rng, SIDE)), wording, digit)


def two_things(rng: np.random.Generator) -> Scene:
    """Two things that share neither shape nor colour."""
    return sample_scene(rng, n_objects=2, held_out=False, distinct="both")


def whether(wording: str, rng: np.random.Generator) -> Example:
    """Whether a thing is there."""
    scene, there = two_things(rng), bool(rng.random() < 0.5)
    noun = pick(rng, scene.objects).name if there else pick(rng, absent_names(scene, held_out=False)[:14])
    told = pick(rng, STATEMENTS["exists"]).format(x=article(noun))
    return shown(render(scene), wording.format(t=told), "yes" if there else "no")


def shape(wording: str, rng: np.random.Generator) -> Example:
    """The shape of one of two things, given its colour."""
    scene = two_things(rng)
    item = pick(rng, scene.objects)
    return shown(render(scene), wording.format(c=item.colour), item.shape)


def colour(wording: str, rng: np.random.Generator) -> Example:
    """The colour of one of two things, given its shape."""
    scene = two_things(rng)
    item = pick(rng, scene.objects)
    return shown(render(scene), wording.format(s=item.shape), item.colour)


def choice(wording: str, rng: np.random.Generator) -> Example:
    """Which of four options is there."""
    scene = sample_scene(rng, n_objects=1, held_out=False)
    absent = absent_names(scene, held_out=False)[:16]
    others = [absent[i] for i in rng.choice(len(absent), 3, replace=False)]
    listed, letter = options(rng, scene.objects[0].name, others)
    return shown(render(scene), wording.format(o=listed), letter)


PROBES = (
    Probe("printed digits", DIGITS, 40, ("Which of the kinds is this?", "What is shown?"), printed_digit),
    Probe(
        "whether a thing is there",
        ("yes", "no"),
        150,
        (
            "My neighbour swears that {t}. Has he judged the photo well? Answer yes or no.",
            'Suppose a postcard carried the sentence "{t}". Would that be honest about this image? yes or no?',
            "Verify for me, please: {t}. Is this confirmed? yes or no?",
            "According to the diary, {t}. Does the diary speak truthfully of this view? yes or no?",
        ),
        whether,
    ),
    Probe(
        "shape, given colour",
        ("circle", "heart", "square", "star", "triangle"),
        60,
        (
            "Imagine cutting out the {c} item with scissors. What outline would remain?",
            "In geometry class, pupils discuss the {c} figure. Which word describes it?",
            "Consider solely the {c} element. Identify its silhouette.",
            "A robot must grasp the {c} piece. Which category should its program report?",
        ),
        shape,
    ),
    Probe(
        "colour, given shape",
        ("blue", "green", "purple", "red", "yellow"),
        60,
        (
            "If you wanted to repaint the {s} exactly as before, which pigment would you buy?",
            "The printer needs ink for the {s}. Which cartridge?",
            "Concerning the {s}, report its hue.",
            "Someone wears a sweater matching the {s}. Guess what tint that sweater has.",
        ),
        colour,
    ),
    Probe(
        "multiple choice",
        ("a", "b", "c", "d"),
        60,
        (
            "Exam question. Circle whichever entry appears. {o} Your letter:",
            "Which entry of this menu corresponds to the drawing? {o} Write just one letter.",
        ),
        choice,
    ),
)


def score(probe: Probe, features: Callable[[Sequence[Example]], np.ndarray], *, k: int = 20) -> list[float]:
    """The share that SAVs get right, in each wording."""
    shares = []
    for number, wording in enumerate(probe.wordings):
        train, test = (probe.examples(wording, n, 2 * number + half) for half, n in enumerate((SHOTS, probe.tests)))
        classifier = SAVClassifier(k=k).fit(features(train), [e.label for e in train])
        shares.append(float(classifier.score(features(test), [e.label for e in test])))
    return shares


@torch.no_grad()
def pooled(backbone: HuggingFaceBackbone, examples: Sequence[Example], *, projected: bool) -> np.ndarray:
    """The mean of an image's tokens as one head `[n, 1, width]`: the tower's, or what the projector makes of them."""
    images = np.stack([np.asarray(example.media[0].source) for example in examples])
    model = backbone.model.model
    tokens = tower.see(model.vision_tower, tower.pixels_to_input(images))
    return (model.multi_modal_projector(tokens) if projected else tokens).mean(1)[:, None].numpy()


def scores(folder: Path) -> dict[str, list[float]]:
    """Of a model folder, by probe and wording: SAVs, and class means of what the decoder is given of printed digits."""
    backbone = load_backbone(str(folder), dtype="float32", device="cpu")
    digits, *_ = PROBES
    return {
        f"{digits.name}, class means of the tower": score(digits, partial(pooled, backbone, projected=False), k=1),
        f"{digits.name}, class means of the projector": score(digits, partial(pooled, backbone, projected=True), k=1),
        **{probe.name: score(probe, partial(backbone.head_activations, batch_size=64)) for probe in PROBES},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the scores of model folders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="model folders, such as src/savs/demo/model")
    for folder in parser.parse_args(arguments).folders:
        print(folder)
        for name, shares in scores(folder).items():
            print(f"  {name}: {np.mean(shares):.3f} ({', '.join(f'{share:.2f}' for share in shares)})")


if __name__ == "__main__":
    main()
