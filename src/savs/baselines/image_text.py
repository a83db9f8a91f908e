"""CLIP and SigLIP as rows of a comparison: zero-shot, few-shot class means, cross-modal adaptation.

Knows vectors of images and texts, and how examples become them. Knows no model library, no head and no metric.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression

from savs.backbones.base import BackboneSpec, Progress
from savs.baselines.heads import labels_of
from savs.baselines.method import Problem
from savs.classify.similarity import class_means, normalise, softmax
from savs.data.choices import offered
from savs.data.example import IMAGE_MARK, Example, Media
from savs.data.media import content_key, open_image, sample_frames
from savs.prediction import Prediction

Float = NDArray[np.float64]

#: How a class's word becomes a caption.
TEMPLATE = "a photo of a {}."

#: Answers that judge instead of naming something to be seen, and those of them that assent.
_VERDICTS = frozenset({"yes", "no", "true", "false", "same", "different"})
_ASSENT = frozenset({"yes", "true"})


#: Media that are decoded before they are encoded.
_AT_ONCE = 64


class Encoder(Protocol):
    """Two towers with one space: see `backbones.dual_encoder.DualEncoder`."""

    spec: BackboneSpec
    scale: float

    def encode_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """`[n_images, dim]`, of length one."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`[n_texts, dim]`, of length one."""
        ...


class Towers:
    """An encoder that encodes nothing twice, so that every draw and every row after the first costs next to nothing.

    Args:
        encoder: what encodes.
        video_frames: taken of each video.
    """

    def __init__(self, encoder: Encoder, *, video_frames: int = 8) -> None:
        self.encoder = encoder
        self.video_frames = video_frames
        self._known: dict[str, Float] = {}

    @property
    def spec(self) -> BackboneSpec:
        """What identifies the encoder."""
        return self.encoder.spec

    def images_of(self, examples: Sequence[Example]) -> Float:
        """Each example's media as one vector, the mean of their vectors, of length one: `[n_samples, dim]`."""
        keys = [[f"{media.kind}:{content_key(media)}" for media in example.media] for example in examples]
        named = dict(zip(chain(*keys), chain(*(example.media for example in examples)), strict=True))
        new = [(key, media) for key, media in named.items() if key not in self._known]
        for start in range(0, len(new), _AT_ONCE):
            some = new[start : start + _AT_ONCE]
            shown = [self._frames(media) for _, media in some]
            vectors = iter(self.encoder.encode_images(list(chain(*shown))).astype(np.float64))
            for (key, _), frames in zip(some, shown, strict=True):
                self._known[key] = np.mean(list(islice(vectors, len(frames))), axis=0)
        means = [np.mean([self._known[key] for key in of_example], axis=0) for of_example in keys]
        return normalise(np.stack(means))

    def _frames(self, media: Media) -> list[Image.Image]:
        return sample_frames(media, self.video_frames) if media.kind == "video" else [open_image(media)]

    def texts(self, texts: Sequence[str]) -> Float:
        """Each text as a vector of length one: `[n_texts, dim]`."""
        new = [text for text in dict.fromkeys(texts) if f"text:{text}" not in self._known]
        if new:
            vectors = self.encoder.encode_texts(new).astype(np.float64)
            self._known.update({f"text:{text}": vector for text, vector in zip(new, vectors, strict=True)})
        return np.stack([self._known[f"text:{text}"] for text in texts])


@dataclass(frozen=True)
class ImageText:
    """Zero-shot: the class whose caption is nearest to the image.

    Where labels are yes and no, whether a caption fits can only be said by comparison: of the captions that a group
    asks of an image, those nearer to it than their mean are taken to fit (of the group's images, where each is asked
    one caption). The probability does not follow the label: it rises with the similarity within the group, so that it
    ranks the captions of an image and the images of a caption, by which pairs and 2 x 2 groups are usually scored. This
    compares test examples with each other as no other row does.

    Attributes:
        towers: of the dual encoder.
        template: how a class's word becomes a caption.
        name: of the row.
    """

    towers: Towers
    template: str = TEMPLATE
    name: str = "clip-zero-shot"

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot answer: see `Method.obstacle`."""
        if any(not example.media for example in problem.test):
            return "it compares images with captions, and some examples have no image"
        if any(_options(example, problem.classes) for example in problem.test) or not _judges(problem):
            return None
        if _assent(problem) is None:
            return f"its labels ({', '.join(problem.classes[:4])}) are no captions, and no words for right and wrong"
        if any(example.group is None for example in problem.test):
            return "it can only say which of several captions fits an image, and here each is asked by itself"
        if any(caption is None for caption in _captions(problem)):
            return "it compares images with captions, and the task does not say which part of its prompts is one"
        return None

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Compare each test example's image with captions; shots play no part."""
        images = self.towers.images_of(problem.test)
        scale = self.towers.encoder.scale
        if _judges(problem) and not any(_options(example, problem.classes) for example in problem.test):
            return self._in_groups(problem, images)
        predictions = []
        for example, image in zip(problem.test, images, strict=True):
            words = _options(example, problem.classes) or [problem.task.answer(label) for label in problem.classes]
            logits = scale * (self.towers.texts([self.template.format(word) for word in words]) @ image)
            predictions.append(_pick(example, problem.classes, logits))
        return predictions

    def _in_groups(self, problem: Problem, images: Float) -> list[Prediction]:
        yes = str(_assent(problem))
        no = next(label for label in problem.classes if label != yes)
        texts = self.towers.texts([str(caption) for caption in _captions(problem)])
        similarity = np.einsum("nd,nd->n", images, texts)
        in_group = _above_mean(similarity, [example.group for example in problem.test])
        shown = [(e.group, *(content_key(media) for media in e.media)) for e in problem.test]
        asked = Counter(shown)
        alone = np.array([asked[image] == 1 for image in shown])
        nearer = np.where(alone, in_group, _above_mean(similarity, shown)) > 0
        # Cosines differ by two at most. A softmax would make two that differ much from a third alike.
        fits = 0.5 + in_group / 4
        return [
            Prediction(e.id, yes if near else no, {c: float(p if c == yes else 1 - p) for c in problem.classes}, {})
            for e, near, p in zip(problem.test, nearer, fits, strict=True)
        ]


@dataclass(frozen=True)
class ClassMeans:
    """Few-shot: the class whose mean vector is nearest (arXiv 2412.00142, tables 2b and 2c).

    Attributes:
        towers: of the dual encoder.
        with_text: append the vector of the example's own text, for tasks that interleave the two.
        name: of the row.
    """

    towers: Towers
    with_text: bool = False
    name: str = "clip-means"

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot answer: see `Method.obstacle`."""
        return _imageless(problem)

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Take the class means of the shots, and the nearest to each test example."""
        classes, targets = np.unique(labels_of(problem.shots), return_inverse=True)
        means = normalise(class_means(self._vectors(problem.shots)[:, None], targets, len(classes))[:, 0])
        logits = self.towers.encoder.scale * (self._vectors(problem.test) @ means.T)
        known = [str(label) for label in classes]
        return [_pick(example, known, row) for example, row in zip(problem.test, logits, strict=True)]

    def _vectors(self, examples: Sequence[Example]) -> Float:
        images = self.towers.images_of(examples)
        if not self.with_text:
            return images
        texts = self.towers.texts([_own_text(example) for example in examples])
        return normalise(np.concatenate([images, texts], axis=1))


@dataclass(frozen=True)
class CrossModal:
    """Few-shot: a linear classifier on the shots' images and the classes' captions together (arXiv 2301.06267).

    The captions are one more shot of each class. Logistic regression stands in for the original's gradient descent
    with early stopping.

    Attributes:
        towers: of the dual encoder.
        template: how a class's word becomes a caption.
        strength: inverse of the penalty on the weights.
        name: of the row.
    """

    towers: Towers
    template: str = TEMPLATE
    strength: float = 100.0
    name: str = "clip-cross-modal"

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot answer: see `Method.obstacle`."""
        return _imageless(problem)

    def predict(self, problem: Problem, *, progress: Progress | None = None) -> list[Prediction]:
        """Fit on images and captions, and classify the test images."""
        captions = self.towers.texts([self.template.format(problem.task.answer(label)) for label in problem.classes])
        vectors = np.concatenate([self.towers.images_of(problem.shots), captions])
        labels = np.concatenate([labels_of(problem.shots), np.array(problem.classes)])
        fitted = LogisticRegression(C=self.strength, max_iter=1000).fit(vectors, labels)
        known = [str(label) for label in fitted.classes_]
        log_shares = fitted.predict_log_proba(self.towers.images_of(problem.test))
        return [_pick(example, known, row) for example, row in zip(problem.test, log_shares, strict=True)]


def _above_mean(values: Float, keys: Sequence[Hashable]) -> Float:
    """`[n]` how far each value is above the mean of those with the same key."""
    rows: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    above = np.empty(len(values))
    for of_key in rows.values():
        above[of_key] = values[of_key] - values[of_key].mean()
    return above


def _pick(example: Example, classes: Sequence[str], logits: Float) -> Prediction:
    """The likeliest class that the example offers."""
    shares = softmax(np.where(offered([example], classes)[0], logits, -np.inf))
    return Prediction(
        example.id,
        classes[int(shares.argmax())],
        {label: float(share) for label, share in zip(classes, shares, strict=True)},
        {},
    )


def _options(example: Example, classes: Sequence[str]) -> list[str] | None:
    """The texts that option letters stand for, where the classes are letters and the example has its options."""
    letters = [chr(ord("A") + i) for i in range(len(classes))]
    if list(classes) != letters or example.choices is None or len(example.choices) != len(letters):
        return None
    return list(example.choices)


def _judges(problem: Problem) -> bool:
    """Whether the answers are verdicts or letters, and name nothing that could be seen."""
    words = [problem.task.answer(label).casefold() for label in problem.classes]
    return all(word in _VERDICTS or re.fullmatch(r"\(?[a-z]\)?", word) for word in words)


def _assent(problem: Problem) -> str | None:
    """The label that says yes, of two."""
    said = [label for label in problem.classes if problem.task.answer(label).casefold() in _ASSENT]
    return said[0] if len(said) == 1 and len(problem.classes) == 2 else None


def _captions(problem: Problem) -> list[str | None]:
    """The caption that each test example asks about, where its task tells."""
    found = [re.search(problem.task.caption or "(?!)()", example.text, re.DOTALL) for example in problem.test]
    return [match and match[1] for match in found]


def _own_text(example: Example) -> str:
    return " ".join(example.text.replace(IMAGE_MARK, " ").split())


def _imageless(problem: Problem) -> str | None:
    if any(not example.media for example in (*problem.shots, *problem.test)):
        return "it compares images, and some examples have none"
    return None if len({e.label for e in problem.shots}) > 1 else "it needs shots of at least two classes"
