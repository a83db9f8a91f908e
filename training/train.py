"""Train the embedded model: `python training/train.py`. Resumable, seeded; see README.md.

The vision tower learns to see, and the decoder learns to read, on tokens that a perfect eye would give it. The tower's
tokens for every image are cached, and the projector is fitted to write what the decoder can read. Then both learn
together, on what the tower really sees, and the model is written to the package and asked what it can do.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, LlavaForConditionalGeneration, PreTrainedTokenizerFast

import card
import decoder
import gates
import tower
from book import Book
from curve import draw_curve
from images import draw_data
from learn import Phase, train_decoder
from measure import measure
from runfiles import (
    DEVICE,
    HERE,
    LOG,
    MODEL,
    SEED,
    load,
    load_array,
    load_data,
    log,
    read_log,
    save_array,
    save_data,
    use_device,
    written,
)
from symbols import PROJECTED, fit_projector
from workers import spawn


@dataclass(frozen=True)
class Recipe:
    """How much of everything a run takes; of pictograms and easy-VQA's images, every so-many-th."""

    scenes: int
    pictogram_copies: int
    letters: int
    every: int
    corpus_images: int
    tower_steps: int
    projector_steps: int
    phases: tuple[Phase, ...]
    gate_questions: int


RECIPE = Recipe(
    scenes=44_000,
    pictogram_copies=12,
    letters=13_000,
    every=1,
    corpus_images=8_000,
    tower_steps=3_600,
    projector_steps=3_000,
    phases=(
        Phase("symbols", steps=800, lessons=((1.0, "all"),)),
        Phase("short", 10_000, ((0.1, "naming"), (0.6, "grounding"), (1.0, "all")), start=PROJECTED),
        Phase(
            "images",
            2_600,
            ((1.0, "all"),),
            start="short.pt",
            grows=True,
            recall=0.2,
            filled=0.5,
            matrix_rate=0.007,
            rate=7e-4,
        ),
    ),
    gate_questions=400,
)
#: Every step of a run, in a minute: whether it works, not what it gives.
REHEARSAL = Recipe(
    scenes=400,
    pictogram_copies=1,
    letters=104,
    every=20,
    corpus_images=400,
    tower_steps=4,
    projector_steps=20,
    phases=tuple(replace(phase, steps=10, rows=4, questions=4) for phase in RECIPE.phases),
    gate_questions=1,
)


def draw_images(run: Path, recipe: Recipe) -> None:
    """Draw every image, once."""
    start = time.time()
    save_data(run, *draw_data(recipe.scenes, recipe.pictogram_copies, recipe.letters, recipe.every))
    log(run, phase="data", seconds=round(time.time() - start, 1))


def train_tokenizer(run: Path, recipe: Recipe) -> None:
    """Train the tokenizer on questions about the images."""
    rng, data = np.random.default_rng(SEED), load_data(run)
    book = Book(data, rng)
    asked = [q for i in rng.choice(len(data.records), recipe.corpus_images) for q in book.single(int(i), 5)]
    corpus = [text for q in asked for text in (q.text, q.answer)]
    with written(run / "tokenizer") as partial:
        decoder.build_tokenizer(corpus).save_pretrained(partial)


@torch.no_grad()
def cache_features(run: Path) -> None:
    """The tower's tokens of every image, `[n, 16, width]` in half precision, computed once."""
    use_device(threads=os.cpu_count() or 1)
    start, images = time.time(), load_array(run / "images.npy")
    eye = tower.build_tower()
    eye.load_state_dict(load(run / "tower.pt")["tower"])
    eye.eval()
    features = np.empty((len(images), tower.CELLS, tower.WIDTH), np.float16)
    for first in range(0, len(images), 256):
        tokens = tower.see(eye, tower.pixels_to_input(np.array(images[first : first + 256])))
        features[first : first + 256] = tokens.cpu().numpy()
    save_array(run / "features.npy", features)
    log(run, phase="features", seconds=round(time.time() - start, 1))


def trained(run: Path, recipe: Recipe) -> tuple[LlavaForConditionalGeneration, PreTrainedTokenizerFast]:
    """What a finished run has learned, in float32, and its tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(run / "tokenizer")
    model = decoder.build_model(tokenizer)
    model.load_state_dict(load(run / f"{recipe.phases[-1].name}.pt")["model"])
    return model, tokenizer


def export(run: Path, recipe: Recipe, folder: Path) -> None:
    """Write the model folder, with its curve, and a card that says how it was made and what it can do."""
    model, tokenizer = trained(run, recipe)
    decoder.save(model, decoder.build_processor(tokenizer), folder)
    draw_curve(read_log(run), folder / "training-curve.png")
    if folder == MODEL:
        shutil.copy(run / LOG, HERE / LOG)  # of the shipped model the log stays, of any other the run holds it
    if not (folder / "README.md").exists():
        shutil.copy(MODEL / "README.md", folder / "README.md")
    device = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{os.cpu_count()} CPU cores"
    training = card.training_table(read_log(run), recipe.phases, device)
    scores = gates.score_all(folder, recipe.gate_questions)
    card.fill(
        folder,
        data=card.data_table(),
        training=training,
        gates=card.gates_table(scores, recipe.gate_questions),
        measured=card.measured_text(measure(model, folder)),
    )


def write_measured(run: Path, recipe: Recipe, folder: Path) -> None:
    """Measure the model folder of a finished run anew, and write that into its card and nothing else.

    Raises:
        SystemExit: the run is not finished.
        ValueError: the folder holds what another run learned.
    """
    last = recipe.phases[-1]
    if not is_done(run, last.name, last.steps):
        raise SystemExit(f"{run} holds no {last.name}.pt of {last.steps} steps: finish the run without --measure first")
    model, _ = trained(run, recipe)
    card.fill(folder, measured=card.measured_text(measure(model, folder)))


def claim_folder(run: Path, recipe: Recipe) -> None:
    """Make the run's folder, or see that it was begun with this recipe: what lies there will be built upon.

    Raises:
        SystemExit: it was begun with another recipe, or holds files of something else.
    """
    run.mkdir(parents=True, exist_ok=True)
    kept, wanted = run / "recipe.json", json.dumps(asdict(recipe), indent=1)
    begun = kept.read_text() if kept.exists() else None
    if begun is None and not any(run.iterdir()):
        with written(kept) as partial:
            partial.write_text(wanted)
    elif begun != wanted:
        what = "files of no run" if begun is None else "a run of another recipe than train.py's now"
        raise SystemExit(f"{run} holds {what}: give --run another folder, or empty this one")


def is_done(run: Path, name: str, steps: int) -> bool:
    """Whether a checkpoint holds so many steps."""
    path = run / f"{name}.pt"
    return path.exists() and torch.load(path, map_location="cpu")["step"] >= steps


def train(run: Path, recipe: Recipe, folder: Path, workers: int) -> None:
    """Do whatever steps of a run are not done yet."""
    claim_folder(run, recipe)
    if not (run / "images.npy").exists():
        draw_images(run, recipe)
    if not is_done(run, "tower", recipe.tower_steps):
        spawn(tower.train_tower, run, recipe.tower_steps, workers=workers)
    if not (run / "features.npy").exists():
        cache_features(run)
    if not (run / "tokenizer").exists():
        train_tokenizer(run, recipe)
    for phase in recipe.phases:
        if phase.start == PROJECTED and not (run / PROJECTED).exists():
            fit_projector(run, steps=recipe.projector_steps)
        if not is_done(run, phase.name, phase.steps):
            spawn(train_decoder, run, phase, workers=workers)
    export(run, recipe, folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="where checkpoints and the log go")
    parser.add_argument("--out", type=Path, help="where the finished model goes; by default into the package")
    parser.add_argument("--workers", type=int, default=1 if DEVICE == "cuda" else 2, help="processes that train")
    parser.add_argument("--rehearse", action="store_true", help="a few steps of each kind, beside the package")
    parser.add_argument("--measure", action="store_true", help="only measure a finished run's model, for its card")
    given = parser.parse_args(arguments)
    recipe = REHEARSAL if given.rehearse else RECIPE
    run = given.run or HERE / "runs" / ("rehearsal" if given.rehearse else "main")
    folder = given.out or (run / "model" if given.rehearse else MODEL)
    if given.measure:
        write_measured(run, recipe, folder)
    else:
        train(run, recipe, folder, given.workers)


if __name__ == "__main__":
    main()
