"""What a perfect eye would see, as words: it teaches the decoder to read, and the projector to write.

Knows how tokens are made from words; how the decoder learns from them is not its business.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import decoder
import tower
from runfiles import SEED, load_data, log
from savs.demo.scenes import Object

WORDS_A_CELL = 10


def symbol_words(data: tower.Data, tokenizer: PreTrainedTokenizerFast) -> np.ndarray:
    """Per image and cell, the token ids of the words for what lies there: `[n, 16, WORDS_A_CELL]`, 0 pads."""
    cache: dict[str, list[int]] = {}

    def ids(text: str) -> list[int]:
        if text not in cache:
            cache[text] = tokenizer.encode(text, add_special_tokens=False)
        return cache[text]

    words = np.zeros((len(data.records), tower.CELLS, WORDS_A_CELL), np.int16)
    nothing = ids("nothing")
    for i, record in enumerate(data.records):
        if record["kind"] == "pictogram":
            row = ids(f"{record['group'].replace(' and ', ' ')} {record['subgroup']}")[:6] + ids(record["name"])
            words[i, :, : min(len(row), WORDS_A_CELL)] = row[:WORDS_A_CELL]
            continue
        if record["kind"] == "scene":
            scene = tower.training_scene(record["index"])
            objects, ground = scene.objects, ids(scene.background)
        else:
            objects, ground = (Object(**record["object"]),), ids("white")
        for cell in range(tower.CELLS):
            row = [*ground, *nothing]
            words[i, cell, : len(row)] = row
        for item in objects:
            column, line = (min(3, max(0, int(v * tower.GRID))) for v in (item.x, item.y))
            row = [*ground, *ids(f"{item.shape} {item.colour} {item.size} {item.texture}")]
            words[i, line * tower.GRID + column] = 0
            words[i, line * tower.GRID + column, : len(row)] = row
    return words


def fit_projector(run: Path, *, steps: int = 3000) -> None:
    """Fit the projector so that it writes the symbols, and beside them a little of everything else the tower sees."""
    torch.manual_seed(SEED)
    data, features = load_data(run, images=False), np.load(run / "features.npy", mmap_mode="r")
    tokenizer = AutoTokenizer.from_pretrained(run / "tokenizer")
    model, symbols = decoder.build_model(tokenizer, layers=decoder.LAYERS // 2), decoder.Symbols()
    saved = torch.load(run / "symbols.pt")
    model.load_state_dict(saved["model"], strict=False)
    symbols.load_state_dict(saved["symbols"])
    eye = {f"model.vision_tower.{k}": v for k, v in torch.load(run / "tower.pt")["tower"].items()}
    model.load_state_dict(eye, strict=False)
    words, offsets = symbol_words(data, tokenizer), data.offsets.transpose(0, 2, 1)
    asked_about = np.load(run / "asked_about.npy")
    sample = torch.as_tensor(features[asked_about[::30]].astype(np.float32)).flatten(0, 1)
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
        numbers = rng.choice(asked_about, 64)
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
        if (step + 1) % 500 == 0:
            log(run, phase="project", step=step + 1, loss=running)
    torch.save(model.state_dict(), run / "projected.pt")
