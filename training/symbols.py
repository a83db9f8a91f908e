"""What a perfect eye would see, as words: it teaches the decoder to read, and the projector to write.

Knows how tokens are made from words; how the decoder learns from them is not its business.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import decoder
import tower
from images import CELLS, Data, cell_of, is_named, objects_of, training_scene
from runfiles import SEED, load, load_array, load_data, log, save, use_device

WORDS_A_CELL = 10
#: The checkpoint that the fitted projector goes into.
PROJECTED = "projected.pt"


def symbol_words(data: Data, tokenizer: PreTrainedTokenizerFast) -> np.ndarray:
    """Per image and cell, the token ids of the words for what lies there: `[n, 16, WORDS_A_CELL]`, 0 pads."""
    ids = cache(lambda text: tokenizer.encode(text, add_special_tokens=False))
    words = np.zeros((len(data.records), CELLS, WORDS_A_CELL), np.int16)

    def write(image: int, cells: int | slice, row: list[int]) -> None:
        words[image, cells] = 0
        words[image, cells, : len(row)] = row[:WORDS_A_CELL]

    for i, record in enumerate(data.records):
        if is_named(record):
            kind = ids(f"{record['group'].replace(' and ', ' ')} {record['subgroup']}")
            write(i, slice(None), [*kind[:6], *ids(record["name"])])
            continue
        ground = ids(training_scene(record["index"]).background if record["kind"] == "scene" else "white")
        write(i, slice(None), [*ground, *ids("nothing")])
        for item in objects_of(record):
            write(i, cell_of(item), [*ground, *ids(f"{item.shape} {item.colour} {item.size} {item.texture}")])
    return words


def fit_projector(run: Path, *, steps: int) -> None:
    """Fit the projector so that it writes the symbols, and beside them a little of everything else the tower sees."""
    use_device()
    torch.manual_seed(SEED)
    data, features = load_data(run), load_array(run / "features.npy")
    tokenizer = AutoTokenizer.from_pretrained(run / "tokenizer")
    model, symbols, start = decoder.build_model(tokenizer, layers=decoder.SHORT), decoder.Symbols(), time.time()
    saved = load(run / "symbols.pt")
    model.load_state_dict(saved["model"])
    symbols.load_state_dict(saved["symbols"])
    model.model.vision_tower.load_state_dict(load(run / "tower.pt")["tower"])
    words, offsets = symbol_words(data, tokenizer), data.offsets.transpose(0, 2, 1)
    sample = torch.as_tensor(features[::30].astype(np.float32)).flatten(0, 1)
    mean, scale = sample.mean(0), sample.std(0) + 1e-3
    spread = torch.randn(tower.WIDTH, decoder.HIDDEN) / tower.WIDTH**0.5
    embedding = model.get_input_embeddings().weight.detach()
    projector = model.model.multi_modal_projector
    with torch.no_grad():
        projector.linear_1.weight.normal_(0, 1 / tower.WIDTH**0.5).div_(scale)
        projector.linear_1.bias.copy_(-projector.linear_1.weight @ mean)
        projector.linear_2.weight.normal_(0, embedding.std().item() / decoder.HIDDEN**0.5)
    optimizer = torch.optim.Adam(projector.parameters(), lr=2e-3)
    rng, running = np.random.default_rng(SEED), None
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps) + 1e-5
        numbers = rng.integers(len(features), size=64)
        seen = torch.as_tensor(features[numbers].astype(np.float32))
        with torch.no_grad():
            target = symbols(
                embedding,
                torch.as_tensor(words[numbers].astype(np.int64)),
                torch.as_tensor(offsets[numbers]).nan_to_num(),
            )
            unit = target.std()
            target = target + 0.2 * unit * (((seen - mean) / scale) @ spread)
        loss = (projector(seen) - target).square().mean() / unit.square()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        if (step + 1) % 500 == 0 or step + 1 == steps:
            seconds = round(time.time() - start, 1)
            log(run, phase="projector", step=step + 1, seconds=seconds, loss=round(running, 4))
    save(run / PROJECTED, {"model": model.state_dict()})
