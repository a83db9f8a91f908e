"""The vision tower: a LeViT (four overlapping convolutions, then attention over 4 x 4 tokens), and its training.

Every token learns what lies in its own sixteenth of the image (shape, colour, size, texture, offset), where it is,
and, on pictograms, what the whole image shows (group, subgroup, name). Knows no question and no language model.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from transformers import AutoModel, LevitConfig, LevitModel

from fetch import EasyImage, Pictogram, augment, easy_vqa, pictograms
from savs.demo.holdout import is_held_out_combination
from savs.demo.scenes import BACKGROUNDS, COLOURS, SHAPES, SIZES, TEXTURES, Object, Scene, render, sample_scene

SIDE, GRID, WIDTH, HEADS = 64, 4, 256, 8
CELLS = GRID * GRID
SEED = 20_260_101
MEAN, STD = 0.5, 0.25
#: What a token may hold; index 0 of each is "no object here".
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": ("nothing", *SHAPES, "rectangle"),
    "colour": ("nothing", *COLOURS, "gray"),
    "size": ("nothing", *SIZES),
    "texture": ("nothing", *TEXTURES),
}
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


def cell_labels(objects: tuple[Object, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Classes `[4, 16]` (shape, colour, size, texture) and offsets `[2, 16]` of the object centred in each cell."""
    labels, offsets = np.zeros((4, CELLS), np.int64), np.full((2, CELLS), np.nan, np.float32)
    for item in objects:
        column, row = (min(GRID - 1, max(0, int(v * GRID))) for v in (item.x, item.y))
        cell = row * GRID + column
        for k, name in enumerate(ATTRIBUTES):
            labels[k, cell] = ATTRIBUTES[name].index(getattr(item, name))
        offsets[:, cell] = item.x * GRID - column - 0.5, item.y * GRID - row - 0.5
    return labels, offsets


@dataclass(frozen=True)
class Data:
    """All training images: uint8 `[n, 64, 64, 3]`, what they show, and their labels."""

    images: np.ndarray
    records: list[dict]
    cells: np.ndarray  # [n, 4, 16]
    offsets: np.ndarray  # [n, 2, 16]
    whole: np.ndarray  # [n, 3]: group, subgroup, name; IGNORE where not a pictogram
    vocabularies: dict[str, list[str]]


def _draw_scene(index: int) -> np.ndarray:
    rng = np.random.default_rng([SEED + 1, index])
    pixels = np.asarray(render(training_scene(index), SIDE), np.float32)
    pixels = pixels * rng.normal(1, 0.03, 3) + rng.normal(0, float(rng.uniform(0, 5)), pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _draw_pictogram(job: tuple[Pictogram, int]) -> np.ndarray:
    item, index = job
    rng = np.random.default_rng([SEED + 2, index])
    plain = rng.random() < 0.5
    colour = (250, 250, 250) if plain else tuple(BACKGROUNDS.values())[int(rng.integers(len(BACKGROUNDS)))]
    return augment(item.draw(colour, SIDE), rng, strong=True)


def _draw_easy(job: tuple[Image.Image, int]) -> np.ndarray:
    return augment(job[0], np.random.default_rng([SEED + 3, job[1]]), strong=False)


def load_data(n_scenes: int, copies: int) -> Data:
    """Draw or read every training image: scenes, `copies` of each pictogram in two hands, easy-VQA's training half."""
    seen = [p for hand in ("google", "twitter") for p in pictograms(hand) if not p.held_out]
    easy = [(item, known) for item in easy_vqa("train") if (known := easy_object(item))]
    jobs = [(p, i) for i, p in enumerate(seen * copies)]
    with Pool(2) as pool:
        images = [
            *pool.imap(_draw_scene, range(n_scenes), chunksize=256),
            *pool.imap(_draw_pictogram, jobs, chunksize=256),
            *pool.imap(_draw_easy, [(item.image, i) for i, (item, _) in enumerate(easy)], chunksize=256),
        ]
    vocabularies = {key: sorted({getattr(p, key) for p in seen}) for key in ("group", "subgroup", "name")}
    index = {key: {word: i for i, word in enumerate(names)} for key, names in vocabularies.items()}
    records: list[dict] = [{"kind": "scene", "index": i} for i in range(n_scenes)]
    records += [{"kind": "pictogram", "name": p.name, "group": p.group, "subgroup": p.subgroup} for p, _ in jobs]
    records += [{"kind": "easy", "object": known.__dict__, "questions": item.questions} for item, known in easy]
    cells, offsets, whole = [], [], []
    for record in records:
        kind = record["kind"]
        objects = training_scene(record["index"]).objects if kind == "scene" else ()
        objects = (Object(**record["object"]),) if kind == "easy" else objects
        labels, offset = cell_labels(objects)
        cells.append(np.full_like(labels, IGNORE) if kind == "pictogram" else labels)
        offsets.append(offset)
        whole.append([index[k][record[k]] for k in index] if kind == "pictogram" else [IGNORE] * 3)
    return Data(np.stack(images), records, np.stack(cells), np.stack(offsets), np.array(whole), vocabularies)


def tower_config() -> LevitConfig:
    """One stage without subsampling: 64 x 64 pixels become 16 tokens of 256."""
    return LevitConfig(
        image_size=SIDE,
        hidden_sizes=[WIDTH, WIDTH],
        depths=[3],
        key_dim=[32],
        num_attention_heads=[HEADS],
        mlp_ratio=[2],
        attention_ratio=[2],
        down_ops=[[""]],
        hidden_size=WIDTH,
    )


def build_tower() -> LevitModel:
    """The untrained tower; half the heads of each block start by looking a fixed way off.

    The convolutions tell only the first row and column apart, by their padding, and attention must carry that on. It
    reads distances from its biases alone, which start at zero and move little: without this start, a third of the rows
    and columns stay unknown.
    """
    tower = AutoModel.from_config(tower_config()).to(memory_format=torch.channels_last)
    with torch.no_grad():
        for block in tower.encoder.stages[0].layers[::2]:
            look_away(block.module.attention_biases)
    return tower


def look_away(biases: torch.Tensor) -> None:
    """Let head 4 + k look k rows or columns off, in place; `biases` are `[8, 16]`, of offsets (rows, columns)."""
    for step in range(GRID):
        biases[HEADS // 2 + step, [step, step * GRID]] = 4.0


def places() -> torch.Tensor:
    """Row and column of every token, `[16, 2]`."""
    steps = torch.arange(CELLS)
    return torch.stack((steps // GRID, steps % GRID), -1)


class TowerHeads(nn.Module):
    """Linear read-outs of the tower's tokens; dropped after training."""

    def __init__(self, vocabularies: dict[str, list[str]]) -> None:
        super().__init__()
        self.cells = nn.ModuleDict({name: nn.Linear(WIDTH, len(words)) for name, words in ATTRIBUTES.items()})
        self.offset = nn.Linear(WIDTH, 2)
        self.place = nn.Linear(WIDTH, 2 * GRID)
        self.whole = nn.ModuleDict({name: nn.Linear(WIDTH, len(words)) for name, words in vocabularies.items()})

    def loss(
        self, tokens: torch.Tensor, cells: torch.Tensor, offsets: torch.Tensor, whole: torch.Tensor
    ) -> torch.Tensor:
        """The sum of all objectives; tokens `[batch, 16, width]`."""
        total = tokens.new_zeros(())
        for k, (name, head) in enumerate(self.cells.items()):
            target = cells[:, k]
            weight = torch.ones(len(ATTRIBUTES[name]))
            weight[0] = 0.25
            total = total + functional.cross_entropy(
                head(tokens).flatten(0, 1), target.flatten(), weight=weight, ignore_index=IGNORE
            )
        known = ~offsets.isnan()
        error = self.offset(tokens).transpose(1, 2) - offsets.nan_to_num()
        total = total + 4 * (error.square() * known).sum() / known.sum().clamp(min=1)
        total = total + functional.cross_entropy(
            self.place(tokens).unflatten(-1, (2, GRID)).flatten(0, 2), places().repeat(len(tokens), 1).flatten()
        )
        pooled = tokens.mean(1)
        for k, (name, head) in enumerate(self.whole.items()):
            target = whole[:, k]
            per_token = name == "group"
            logits = head(tokens).flatten(0, 1) if per_token else head(pooled)
            target = target.repeat_interleave(CELLS) if per_token else target
            total = total + (0.5 if per_token else 1.0) * functional.cross_entropy(
                logits, target, ignore_index=IGNORE, label_smoothing=0.05
            )
        return total


def pixels_to_input(images: np.ndarray | torch.Tensor) -> torch.Tensor:
    """uint8 `[n, 64, 64, 3]` as the processor would give it: float `[n, 3, 64, 64]`."""
    values = torch.as_tensor(images).permute(0, 3, 1, 2).float() / 255
    return ((values - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def train_tower(
    data: Data, folder: Path, *, seconds: float, peak: float = 1.5e-3, batch: int = 96, seed: int = 0
) -> None:
    """Train for `seconds` of wall clock and write `tower.pt` (tower and heads); goes on from one that is there."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    tower, heads = build_tower(), TowerHeads(data.vocabularies)
    if (folder / "tower.pt").exists():
        saved = torch.load(folder / "tower.pt")
        tower.load_state_dict(saved["tower"])
        heads.load_state_dict(saved["heads"])
    parameters = [*tower.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.02, betas=(0.9, 0.98))
    kinds = np.array([record["kind"] for record in data.records])
    pools = {kind: np.nonzero(kinds == kind)[0] for kind in ("scene", "pictogram", "easy")}
    shares = {"scene": batch // 2, "pictogram": batch * 3 // 8, "easy": batch - batch // 2 - batch * 3 // 8}
    start, step, running = time.time(), 0, 0.0
    with (folder / "log.jsonl").open("a") as log:
        while (progress := (time.time() - start) / seconds) < 1:
            for group in optimizer.param_groups:
                group["lr"] = peak * min(1, step / 100) * (1 - progress) + 1e-5
            chosen = np.concatenate([rng.choice(pools[kind], count) for kind, count in shares.items()])
            pixels = pixels_to_input(data.images[chosen])
            pixels = pixels * torch.empty(batch, 3, 1, 1).uniform_(0.88, 1.12) + 0.15 * torch.randn(batch, 3, 1, 1)
            tokens = tower(pixels, output_hidden_states=True).hidden_states[-1]
            loss = heads.loss(
                tokens,
                torch.as_tensor(data.cells[chosen]),
                torch.as_tensor(data.offsets[chosen]),
                torch.as_tensor(data.whole[chosen]),
            )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 2.0)
            optimizer.step()
            step += 1
            running = loss.item() if step == 1 else 0.98 * running + 0.02 * loss.item()
            if step % 100 == 0:
                entry = {"phase": "tower", "step": step, "seconds": round(time.time() - start, 1), "loss": running}
                if step % 500 == 0:
                    entry |= score_tower(tower, heads, data.vocabularies)
                    tower.train()
                    torch.save({"tower": tower.state_dict(), "heads": heads.state_dict()}, folder / "tower.pt")
                log.write(json.dumps(entry) + "\n")
                log.flush()
        torch.save({"tower": tower.state_dict(), "heads": heads.state_dict()}, folder / "tower.pt")
        final = {"phase": "tower", "step": step, "loss": running, **score_tower(tower, heads, data.vocabularies)}
        log.write(json.dumps(final) + "\n")


@torch.no_grad()
def score_tower(tower: nn.Module, heads: TowerHeads, vocabularies: dict[str, list[str]]) -> dict[str, float]:
    """Accuracy per attribute on fresh scenes, and of the group on held-out pictogram concepts."""
    tower.eval()
    rng = np.random.default_rng(SEED + 9)
    scenes = [sample_scene(rng) for _ in range(300)]
    images = np.stack([np.asarray(render(s, SIDE)) for s in scenes])
    tokens = tower(pixels_to_input(images), output_hidden_states=True).hidden_states[-1]
    labels = torch.as_tensor(np.stack([cell_labels(s.objects)[0] for s in scenes]))
    scores = {}
    for k, (name, head) in enumerate(heads.cells.items()):
        guess, truth = head(tokens).argmax(-1), labels[:, k]
        scores[f"tower_{name}"] = float((guess == truth)[truth > 0].float().mean())
        scores[f"tower_{name}_none"] = float((guess == truth)[truth == 0].float().mean())
    scores["tower_place"] = float((heads.place(tokens).unflatten(-1, (2, GRID)).argmax(-1) == places()).float().mean())
    unseen = [p for p in pictograms("google") if p.held_out][::2]
    images = np.stack([np.asarray(p.draw()) for p in unseen])
    tokens = tower(pixels_to_input(images), output_hidden_states=True).hidden_states[-1]
    guess = heads.whole["group"](tokens).mean(1).argmax(-1)
    truth = torch.tensor([vocabularies["group"].index(p.group) for p in unseen])
    scores["tower_group_unseen"] = float((guess == truth).float().mean())
    return scores
