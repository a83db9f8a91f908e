"""Train the embedded model: `python training/train.py`. Resumable, seeded; see README.md.

The vision tower learns to see, and beside it the decoder learns to read, on tokens that a perfect eye would give it.
The tower's tokens for every image are cached, and the projector is fitted to write what the decoder can read. Then both
learn together, on what the tower really sees, and the model is written to the package.
"""

from __future__ import annotations

import argparse
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.multiprocessing as mp
from transformers import AutoTokenizer, LlavaForConditionalGeneration

import decoder
import tower
from book import Book
from curve import draw_curve
from learn import Phase, train_decoder
from runfiles import DEVICE, SEED, load_data
from symbols import fit_projector

HERE = Path(__file__).parent
MODEL = HERE.parent / "src" / "savs" / "demo" / "model"
SCENES, PICTOGRAM_COPIES, TOWER_MINUTES = 44_000, 9, 22
SYMBOLS = Phase("symbols", steps=800, lessons=((1.0, "all"),))
PHASES = (
    Phase("short", steps=10_000, lessons=((0.1, "naming"), (0.6, "grounding"), (1.0, "all")), start="projected.pt"),
    Phase(
        "images",
        steps=2_500,
        lessons=((1.0, "all"),),
        start="short.pt",
        layers=decoder.LAYERS,
        matrix_rate=0.007,
        rate=7e-4,
    ),
)


def prepare_data(run: Path) -> None:
    """Draw every image, once, and train the tokenizer on the questions."""
    if not (run / "data.pkl").exists():
        data = tower.load_data(SCENES, PICTOGRAM_COPIES)
        (run / "data.pkl").write_bytes(pickle.dumps(data, protocol=5))
    if not (run / "labels.pkl").exists():
        (run / "labels.pkl").write_bytes(pickle.dumps(replace(load_data(run), images=np.empty(0)), protocol=5))
    if not (run / "tokenizer").exists():
        rng = np.random.default_rng(SEED)
        data = load_data(run)
        book = Book(data, rng)
        chosen = [*range(4000), *rng.choice(len(data.records), 4000)]
        asked = [q for i in chosen for q in book.single(int(i), 5)]
        corpus = [text for q in asked for text in (q.text, q.answer)]
        decoder.build_tokenizer(corpus).save_pretrained(run / "tokenizer")


def run_tower(run: Path) -> None:
    """Train the tower in a process of its own."""
    torch.set_num_threads(1)
    tower.train_tower(load_data(run), run, seconds=TOWER_MINUTES * 60)
    (run / "tower.done").touch()


@torch.no_grad()
def cache_features(run: Path) -> None:
    """The tower's tokens of every image that is asked about, `[n, 16, width]` in half precision, computed once."""
    data = load_data(run)
    eye = tower.build_tower()
    eye.load_state_dict(torch.load(run / "tower.pt")["tower"])
    eye.eval()
    asked_about = np.sort(np.concatenate(list(Book(data, np.random.default_rng(SEED)).pools.values())))
    features = np.zeros((len(data.images), tower.CELLS, tower.WIDTH), np.float16)
    for numbers in np.array_split(asked_about, len(asked_about) // 256):
        tokens = eye(tower.pixels_to_input(data.images[numbers]), output_hidden_states=True).hidden_states[-1]
        features[numbers] = tokens.numpy().astype(np.float16)
    np.save(run / "asked_about.npy", asked_about)
    np.save(run / "features.npy", features)


def export(run: Path, checkpoint: str, folder: Path) -> LlavaForConditionalGeneration:
    """Write the package's model folder from a checkpoint."""
    tokenizer = AutoTokenizer.from_pretrained(run / "tokenizer")
    model = decoder.build_model(tokenizer)
    saved = torch.load(run / checkpoint)
    model.load_state_dict(saved.get("model", saved))
    decoder.save(model, decoder.build_processor(tokenizer), folder)
    return model


def main() -> None:
    """Run whatever steps of a run are not done yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=HERE / "runs" / "main", help="where checkpoints and the log go")
    parser.add_argument("--out", type=Path, default=MODEL, help="where the finished model goes")
    parser.add_argument("--workers", type=int, default=1 if DEVICE == "cuda" else 2, help="processes that train")
    arguments = parser.parse_args()
    run, workers = arguments.run, arguments.workers
    run.mkdir(parents=True, exist_ok=True)
    prepare_data(run)
    context = mp.get_context("spawn")
    beside = []
    if not (run / "tower.done").exists():
        beside.append(context.Process(target=run_tower, args=(run,)))
    if not (run / "symbols.done").exists():
        beside.append(context.Process(target=train_decoder, args=(0, 1, run, SYMBOLS)))
    for process in beside:
        process.start()
    for process in beside:
        process.join()
        if process.exitcode:
            raise SystemExit(f"a training process failed: see its traceback above; run again to resume ({run})")
    if not (run / "features.npy").exists():
        cache_features(run)
    if not (run / "projected.pt").exists():
        fit_projector(run)
    for phase in PHASES:
        if not (run / f"{phase.name}.done").exists():
            mp.spawn(train_decoder, args=(workers, run, phase), nprocs=workers)
    export(run, f"{PHASES[-1].name}.pt", arguments.out)
    draw_curve(run / "log.jsonl", arguments.out / "training-curve.png")


if __name__ == "__main__":
    main()
