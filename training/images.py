"""The training images and their labels: drawn scenes, augmented pictograms, letters, easy-VQA's training half.

Knows what an image shows and what of that is held out. Knows no question and no network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from multiprocessing import Pool

import numpy as np
from PIL import Image

import letters
from augment import augment, blur, shade
from fetch import HANDS, EasyImage, Pictogram, easy_vqa, pictograms, training_pictograms
from savs.demo.holdout import is_held_out_combination
from savs.demo.scenes import BACKGROUNDS, COLOURS, SHAPES, SIZES, TEXTURES, Object, Scene, render, sample_scene

SIDE, GRID = 64, 4
CELLS = GRID * GRID
#: Of the images, apart from the training's own seed: images of one number look the same in every run.
SEED = 20_260_101
#: What a cell may hold; index 0 of each is "no object here".
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": ("nothing", *SHAPES, "rectangle"),
    "colour": ("nothing", *COLOURS, "gray"),
    "size": ("nothing", *SIZES),
    "texture": ("nothing", *TEXTURES),
}
#: What a pictogram or a letter as a whole is.
NAMED = ("group", "subgroup", "name")
IGNORE = -100


def training_scene(index: int) -> Scene:
    """Scene number `index` of the training set; many repeat a shape or a colour, for counting."""
    rng = np.random.default_rng([SEED, index])
    scene = sample_scene(rng, n_objects=int(rng.choice((1, 2, 3, 4), p=(0.16, 0.36, 0.32, 0.16))))
    if len(scene.objects) > 1 and rng.random() < 0.4:
        first, second = scene.objects[:2]
        echo = replace(second, shape=first.shape) if rng.random() < 0.65 else replace(second, colour=first.colour)
        if not is_held_out_combination(echo.shape, echo.colour) and echo.name not in {o.name for o in scene.objects}:
            scene = replace(scene, objects=(first, echo, *scene.objects[2:]))
    return scene


def easy_object(item: EasyImage) -> Object | None:
    """What an easy-VQA training image shows, from its own questions and pixels; None where they do not say it all."""
    facts = {}
    for question, answer in item.questions:
        if answer in ("circle", "rectangle", "triangle"):
            facts["shape"] = answer
        elif answer in ATTRIBUTES["colour"]:
            facts["colour"] = answer
        elif answer == "yes" and " no " not in question and " not " not in question:
            for word in question.rstrip("?").split():
                if word in ATTRIBUTES["shape"]:
                    facts["shape"] = word
                elif word in ATTRIBUTES["colour"]:
                    facts["colour"] = word
    if len(facts) < 2:
        return None
    pixels = np.asarray(item.image, np.int32)
    rows, columns = np.nonzero(np.abs(pixels - pixels[0, 0]).sum(-1) > 90)
    if not len(rows):
        return None
    extent = max(np.ptp(rows), np.ptp(columns)) / SIDE
    return Object(
        facts["shape"],
        facts["colour"],
        "large" if extent > 0.33 else "small",
        "plain",
        float(columns.mean() / SIDE),
        float(rows.mean() / SIDE),
    )


def cell_of(item: Object) -> int:
    """The sixteenth of the image in which an object is centred, row by row."""
    column, row = (min(GRID - 1, max(0, int(v * GRID))) for v in (item.x, item.y))
    return row * GRID + column


def cell_labels(objects: tuple[Object, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Classes `[4, 16]` (shape, colour, size, texture) and offsets `[2, 16]` of the object centred in each cell."""
    labels, offsets = np.zeros((4, CELLS), np.int64), np.full((2, CELLS), np.nan, np.float32)
    for item in objects:
        row, column = divmod(cell := cell_of(item), GRID)
        for k, name in enumerate(ATTRIBUTES):
            labels[k, cell] = ATTRIBUTES[name].index(getattr(item, name))
        offsets[:, cell] = item.x * GRID - column - 0.5, item.y * GRID - row - 0.5
    return labels, offsets


@dataclass(frozen=True)
class Data:
    """What all training images show, and their labels, image by image."""

    records: list[dict]
    cells: np.ndarray  # [n, 4, 16]
    offsets: np.ndarray  # [n, 2, 16]
    whole: np.ndarray  # [n, 3]: group, subgroup, name; IGNORE where the image is of neither
    vocabularies: dict[str, list[str]]

    def numbers(self, kind: str) -> np.ndarray:
        """The numbers of the images of a kind: `scene`, `pictogram`, `letter` or `easy`."""
        return np.array([i for i, record in enumerate(self.records) if record["kind"] == kind])


def _draw_scene(index: int) -> np.ndarray:
    rng = np.random.default_rng([SEED + 1, index])
    return shade(blur(render(training_scene(index), SIDE), rng), rng, tint=0.03, light=0.0, noise=5.0)


def _draw_pictogram(job: tuple[Pictogram, int]) -> np.ndarray:
    item, index = job
    rng = np.random.default_rng([SEED + 2, index])
    plain = rng.random() < 0.5
    colour = (250, 250, 250) if plain else tuple(BACKGROUNDS.values())[int(rng.integers(len(BACKGROUNDS)))]
    return augment(item.draw(colour, SIDE), rng, strong=True)


def _draw_letter(index: int) -> np.ndarray:
    return letters.draw(_letter(index), np.random.default_rng([SEED + 4, index]), SIDE)


def _letter(index: int) -> str:
    return letters.LETTERS[index % len(letters.LETTERS)]


def _draw_easy(job: tuple[Image.Image, int]) -> np.ndarray:
    return augment(job[0], np.random.default_rng([SEED + 3, job[1]]), strong=False)


def draw_data(n_scenes: int, copies: int, n_letters: int, every: int = 1) -> tuple[np.ndarray, Data]:
    """Draw or read every training image: scenes, `copies` of each pictogram, letters, easy-VQA's training half.

    With `every`, only every so-many-th pictogram and image of easy-VQA, for a rehearsal.

    Returns the images, uint8 `[n, 64, 64, 3]`, and what they show. Images of easy-VQA that show a held-out combination
    are left out, and so are those whose questions do not tell both shape and colour.
    """
    seen = training_pictograms([item for hand in HANDS for item in pictograms(hand)])
    easy = [(item, known) for item in easy_vqa() if (known := easy_object(item)) and not known.is_held_out]
    written = [letters.describe(_letter(i)) for i in range(n_letters)]
    vocabularies = {key: sorted({getattr(p, key) for p in seen} | {each[key] for each in written}) for key in NAMED}
    jobs, easy = [(p, i) for i, p in enumerate(seen[::every] * copies)], easy[::every]
    with Pool() as pool:
        images = [
            *pool.imap(_draw_scene, range(n_scenes), chunksize=256),
            *pool.imap(_draw_pictogram, jobs, chunksize=256),
            *pool.imap(_draw_letter, range(n_letters), chunksize=256),
            *pool.imap(_draw_easy, [(item.image, i) for i, (item, _) in enumerate(easy)], chunksize=256),
        ]
    records: list[dict] = [{"kind": "scene", "index": i} for i in range(n_scenes)]
    records += [{"kind": "pictogram", "name": p.name, "group": p.group, "subgroup": p.subgroup} for p, _ in jobs]
    records += [{"kind": "letter", **each} for each in written]
    records += [{"kind": "easy", "object": known, "questions": item.questions} for item, known in easy]
    return np.stack(images), label(records, vocabularies)


def label(records: list[dict], vocabularies: dict[str, list[str]]) -> Data:
    """The labels that the tower learns, for every record."""
    index = {key: {word: i for i, word in enumerate(names)} for key, names in vocabularies.items()}
    cells, offsets, whole = [], [], []
    for record in records:
        labels, offset = cell_labels(objects_of(record))
        named = is_named(record)
        cells.append(np.full_like(labels, IGNORE) if named else labels)
        offsets.append(offset)
        whole.append([index[key][record[key]] for key in NAMED] if named else [IGNORE] * len(NAMED))
    return Data(records, np.stack(cells), np.stack(offsets), np.array(whole), vocabularies)


def is_named(record: dict) -> bool:
    """Whether the image as a whole has a group, a subgroup and a name: a pictogram or a letter."""
    return record["kind"] in ("pictogram", "letter")


def objects_of(record: dict) -> tuple[Object, ...]:
    """The objects that an image shows; none on a pictogram or a letter."""
    if record["kind"] == "scene":
        return training_scene(record["index"]).objects
    return (record["object"],) if record["kind"] == "easy" else ()
