"""CLIP rows: right where images and words agree, at a loss where they must be, and in words where they cannot run."""

import re
from dataclasses import replace

import numpy as np
import pytest

from problems import accuracy
from savs.backbones.base import BackboneSpec
from savs.baselines.image_text import ClassMeans, CrossModal, ImageText, Towers
from savs.baselines.method import Problem
from savs.baselines.registry import Resources, build
from savs.bench.miniature import draw_column
from savs.data.example import Example, Media
from savs.data.tasks import Task, load_task
from tiny_dual_encoders import COLOURS, colour
from tiny_dual_encoders import build as build_model


class Seeing:
    """An encoder whose vectors are colours: of an image its own, of a text those that it names."""

    spec = BackboneSpec("seeing", "1", "float32", "none")
    scale = 20.0

    def __init__(self):
        self.images, self.texts = 0, 0

    def encode_images(self, images):
        self.images += len(images)
        return self._unit([np.array(image.convert("RGB")).mean(axis=(0, 1)) for image in images])

    def encode_texts(self, texts):
        self.texts += len(texts)
        named = [[rgb for name, rgb in COLOURS.items() if name in text] or [(9, 9, 9)] for text in texts]
        return self._unit([np.mean(rgb, axis=0) for rgb in named])

    def _unit(self, vectors):
        return (np.array(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def picture(name, shade=0):
    return Media(colour(name, shade=shade))


NAMES = tuple(COLOURS)
SHOTS = tuple(Example(f"s{i}", "What colour?", (picture(NAMES[i % 4], i % 3),), label=NAMES[i % 4]) for i in range(8))
TEST = tuple(
    Example(f"t{i}", "What colour?", (picture(NAMES[i % 4], i % 5 + 1),), label=NAMES[i % 4]) for i in range(20)
)
PROBLEM = Problem(NAMES, SHOTS, TEST)
YES_NO = Task(name="t", template="{q}", answers={"fits": "Yes", "does not": "no"}, caption="Is this (.*)[?]")


def rows(towers):
    return [ImageText(towers), ClassMeans(towers), ClassMeans(towers, with_text=True), CrossModal(towers)]


@pytest.mark.parametrize("row", range(4))
def test_colours_are_told_apart(row):
    method = rows(Towers(Seeing()))[row]
    assert method.obstacle(PROBLEM) is None
    predictions = method.predict(PROBLEM)
    assert accuracy(predictions, TEST) == 1.0
    assert all(sum(p.probabilities.values()) == pytest.approx(1) for p in predictions)
    relabelled = replace(PROBLEM, shots=tuple(replace(s, label=NAMES[i % 3]) for i, s in enumerate(SHOTS)))
    if row:  # what learns from shots goes wrong with them; zero-shot does not look
        assert accuracy(method.predict(relabelled), TEST) < 0.9
    else:
        assert method.predict(relabelled) == predictions


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_model_taught_colours_tells_them_apart_and_an_untaught_one_does_not(kind, tmp_path):
    from savs.backbones.dual_encoder import load_dual_encoder

    taught = load_dual_encoder(build_model(kind, tmp_path / "taught", steps=80), device="cpu")
    untaught = load_dual_encoder(build_model(kind, tmp_path / "untaught"), device="cpu")
    assert [accuracy(row.predict(PROBLEM), TEST) for row in rows(Towers(taught))] == [1.0] * 4
    assert accuracy(ImageText(Towers(untaught)).predict(PROBLEM), TEST) < 0.8


def test_nothing_is_encoded_twice():
    encoder = Seeing()
    towers = Towers(encoder)
    for _ in range(2):
        for row in rows(towers):
            row.predict(PROBLEM)
    different = {(e.media[0].source.getpixel((0, 0))) for e in (*SHOTS, *TEST)}
    assert encoder.images == len(different)
    assert encoder.texts == len(NAMES) + 1  # the captions, and the one question


def test_only_what_is_offered_competes():
    towers = Towers(Seeing())
    offered = tuple(replace(e, choices=("green", "blue")) for e in TEST)
    for row in rows(towers):
        predictions = row.predict(replace(PROBLEM, test=offered))
        assert {p.label for p in predictions} <= {"green", "blue"}
        assert all(p.label == e.label for p, e in zip(predictions, TEST, strict=True) if e.label in ("green", "blue"))


def test_option_letters_stand_for_their_texts():
    letters = ("A", "B", "C", "D")
    test = tuple(
        replace(e, choices=tuple(np.roll(NAMES, i)), label=letters[list(np.roll(NAMES, i)).index(e.label)])
        for i, e in enumerate(TEST)
    )
    method = ImageText(Towers(Seeing()))
    problem = Problem(letters, (), test)
    assert method.obstacle(problem) is None
    assert accuracy(method.predict(problem), test) == 1.0
    without = replace(problem, test=tuple(replace(e, choices=None) for e in test))
    assert "(A, B, C, D) are no captions" in method.obstacle(without)


def group(number, first, second):
    """Two images x two captions."""
    return [
        Example(f"{number}-{i}{j}", f"Is this {text}?", (picture(image),), label=("does not", "fits")[i == j],
                group=str(number))
        for i, image in enumerate((first, second))
        for j, text in enumerate((first, second))
    ]  # fmt: skip


def test_captions_compete_for_an_image():
    test = (*group(0, "red", "green"), *group(1, "blue", "red"))
    problem = Problem(("does not", "fits"), (), test, YES_NO)
    method = ImageText(Towers(Seeing()))
    assert method.obstacle(problem) is None
    predictions = method.predict(problem)
    assert accuracy(predictions, test) == 1.0
    assert all((p.probabilities["fits"] > 0.5) == (p.label == "fits") for p in predictions)
    swapped = [replace(e, text=test[i ^ 1].text) for i, e in enumerate(test)]
    assert accuracy(method.predict(replace(problem, test=tuple(swapped))), test) == 0.0


class Near(Seeing):
    """Towers by which the images and captions of `group(0, "red", "green")` are as near as is written down."""

    def __init__(self, table):
        self.table = np.array(table, dtype=np.float32)

    def encode_images(self, images):
        rows = [("red", "green").index(next(n for n in NAMES if image.getpixel((0, 0)) == colour(n).getpixel((0, 0))))
                for image in images]  # fmt: skip
        return np.column_stack([self.table[rows], np.sqrt(1 - (self.table[rows] ** 2).sum(axis=1))])

    def encode_texts(self, texts):
        return np.eye(3, dtype=np.float32)[[("red", "green").index(text) for text in texts]]


@pytest.mark.parametrize(
    ("table", "right"),
    [
        ([[0.40, 0.24], [0.27, 0.28]], 1.0),  # though one image is nearer to both than the other is to its own
        ([[0.40, 0.24], [0.28, 0.27]], 0.5),
        ([[0.24, 0.40], [0.28, 0.27]], 0.0),
    ],
)
def test_captions_of_one_image_are_labelled_by_comparison(table, right):
    test = tuple(group(0, "red", "green"))
    predictions = ImageText(Towers(Near(table))).predict(Problem(("does not", "fits"), (), test, YES_NO))
    assert accuracy(predictions, test) == right
    fits = np.array([p.probabilities["fits"] for p in predictions])
    np.testing.assert_array_equal(fits.argsort(), np.ravel(table).argsort())  # what ranks them stays


def test_where_each_image_is_asked_one_caption_the_images_compete():
    test = tuple(e for e in group(0, "red", "green") if "red" in e.text)
    predictions = ImageText(Towers(Seeing())).predict(Problem(("does not", "fits"), (), test, YES_NO))
    assert len(test) == 2 and accuracy(predictions, test) == 1.0


def test_the_caption_alone_is_compared():
    """Words of the prompt that name another colour must not reach the encoder."""
    task = replace(YES_NO, template="Is this {q}? Not blue?", caption="Is this (.*)[?] Not blue")
    test = tuple(replace(e, text=f"{e.text} Not blue?") for e in group(0, "red", "green"))
    encoder = Seeing()
    encode, read = encoder.encode_texts, []
    encoder.encode_texts = lambda texts: read.extend(texts) or encode(texts)
    assert accuracy(ImageText(Towers(encoder)).predict(Problem(("does not", "fits"), (), test, task)), test) == 1.0
    assert read == ["red", "green"]


@pytest.mark.parametrize("name", ["sugarcrepe", "naturalbench_retrieval"])
def test_the_tasks_say_where_their_captions_stand(name):
    caption = "a man's 'best' hat? No."
    task = load_task(name)
    text = task.render({"question": f"Does this image show '{caption}'?"})
    assert re.search(task.caption, text)[1] == caption


@pytest.mark.parametrize("name", ["naturalbench_retrieval", "sugarcrepe"])
def test_so_do_their_miniatures(name):
    task = draw_column(name).task
    assert re.search(task.caption, task.render({"caption": "a red. cat"}))[1] == "a red. cat"


def test_verdicts_without_rivals_are_not_for_captions():
    alone = tuple(replace(e, group=None) for e in group(0, "red", "green"))
    method = ImageText(Towers(Seeing()))
    assert "here each is asked by itself" in method.obstacle(Problem(("does not", "fits"), (), alone, YES_NO))
    asked = replace(YES_NO, caption=None)
    together = tuple(group(0, "red", "green"))
    assert "does not say which part" in method.obstacle(Problem(("does not", "fits"), (), together, asked))
    same = Task(name="t", template="{q}", answers={"does not": "different", "fits": "same"})
    assert "no words for right and wrong" in method.obstacle(Problem(("does not", "fits"), (), alone, same))


def test_images_must_be_there():
    blind = replace(PROBLEM, test=(*TEST, Example("x", "what?")))
    assert all("image" in row.obstacle(blind) for row in rows(Towers(Seeing())))
    one_class = replace(PROBLEM, shots=SHOTS[:1])
    assert [row.obstacle(one_class) is None for row in rows(Towers(Seeing()))] == [True, False, False, False]


def test_several_images_count_as_their_mean():
    towers = Towers(Seeing())
    both = Example("b", "x", (picture("red"), picture("blue")))
    single = towers.images_of([Example("r", "x", (picture("red"),)), Example("b", "x", (picture("blue"),))])
    (vector,) = towers.images_of([both])
    mean = single.mean(axis=0)
    np.testing.assert_allclose(vector, mean / np.linalg.norm(mean))


def test_concatenated_features_use_the_text():
    """Labels that the text alone decides: images say nothing, and only the row with text can know."""
    asked = [Example(f"a{i}", ("is it red?", "is it blue?")[i % 2], (picture("green", i % 3),), label="ab"[i % 2])
             for i in range(24)]  # fmt: skip
    problem = Problem(("a", "b"), tuple(asked[:12]), tuple(asked[12:]))
    towers = Towers(Seeing())
    assert accuracy(ClassMeans(towers, with_text=True).predict(problem), problem.test) == 1.0
    assert accuracy(ClassMeans(towers).predict(problem), problem.test) < 0.8


def test_rows_are_made_by_family():
    towers = Towers(Seeing())
    methods = build(["siglip-means", "clip-means"], Resources(dual_encoders={"siglip": towers}))
    assert methods[0].obstacle(PROBLEM) is None
    assert methods[1].obstacle(PROBLEM) == "it needs a clip model, from the Hub or a folder: --dual-encoder ID"
