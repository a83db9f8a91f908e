"""Train the embedded model: `python training/train.py`. Resumable, seeded; see README.md.

Four steps. `tower`: the vision tower learns to see. `symbols`, beside it: the decoder learns to read, on tokens that a
perfect eye would give it. `features`: the tower's tokens for every image are cached, and the projector is fitted to
write the symbols. `images`: projector and decoder learn together, on what the tower really sees. Then the model is
written to the package.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from transformers import AutoModel, AutoTokenizer, LlavaForConditionalGeneration, PreTrainedTokenizerFast

import decoder
import questions
import tower
from curve import draw_curve
from savs.demo.scenes import Object, Scene

HERE = Path(__file__).parent
MODEL = HERE.parent / "src" / "savs" / "demo" / "model"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WORDS_A_CELL = 10
SEED = 7


@dataclass(frozen=True)
class Budget:
    """What a run may take. The minutes hold on two CPU cores; a GPU does more steps in them."""

    scenes: int = 44_000
    pictogram_copies: int = 9
    tower_minutes: float = 22
    symbol_minutes: float = 9
    short_minutes: float = 20
    judge_minutes: float = 11
    image_minutes: float = 10
    short_layers: int = 6
    rows: int = 12
    questions: int = 10


def log(run: Path, **entry: object) -> None:
    """Append one JSON line to the run's log."""
    with (run / "log.jsonl").open("a") as stream:
        stream.write(json.dumps(entry) + "\n")


def prepare_data(run: Path, budget: Budget) -> None:
    """Draw every image, once, and train the tokenizer on the questions."""
    if not (run / "data.pkl").exists():
        data = tower.load_data(budget.scenes, budget.pictogram_copies)
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


def load_data(run: Path, *, images: bool = True) -> tower.Data:
    """The drawn images of a run and their labels, or the labels alone; files that this program wrote itself."""
    with (run / ("data.pkl" if images else "labels.pkl")).open("rb") as stream:
        return pickle.load(stream)


class Book:
    """All questions that can be asked about the training images, by image number."""

    def __init__(self, data: tower.Data, rng: np.random.Generator) -> None:
        self.records, self.vocabularies, self.rng = data.records, data.vocabularies, rng
        kinds = np.array([record["kind"] for record in data.records])
        pools = {kind: np.nonzero(kinds == kind)[0] for kind in ("scene", "pictogram", "easy")}
        self.pools = pools | {"scene": pools["scene"][:24_000], "pictogram": pools["pictogram"][::2]}
        self._scenes: dict[int, Scene] = {}
        some = self.pools["scene"][:20_000]
        self.singles = [i for i in some if len(self.scene(int(i)).objects) == 1]
        self.sparse = [i for i in some if len(self.scene(int(i)).objects) <= 2]

    def scene(self, index: int) -> Scene:
        """The scene behind an image number."""
        if index not in self._scenes:
            self._scenes[index] = tower.training_scene(self.records[index]["index"])
        return self._scenes[index]

    def single(self, index: int, n: int, *, stage: questions.Stage = "all") -> list[questions.Question]:
        """`n` questions about one image."""
        record = self.records[index]
        if record["kind"] == "scene":
            return questions.scene_questions(self.scene(index), self.rng, n, stage=stage)
        if record["kind"] == "pictogram":
            return questions.pictogram_questions(record, self.vocabularies, self.rng, n)
        pairs = [record["questions"][int(i)] for i in self.rng.integers(len(record["questions"]), size=n)]
        return [questions.Question("easy", question, answer) for question, answer in pairs]

    def draw(self, n: int, *, stage: questions.Stage = "all") -> tuple[list[int], list[questions.Question]]:
        """One row: image numbers, and `n` questions about them."""
        way = self.rng.random()
        if stage == "judging" and way < 0.8:  # what is judged is plainest where there is little to see
            index = int(self.rng.choice(self.sparse))
            return [index], self.single(index, n, stage=stage)
        if way < 0.14 and stage == "all":
            return self._pair(n)
        kind = "scene" if way < 0.78 else "pictogram" if way < 0.94 else "easy"
        index = int(self.rng.choice(self.pools[kind]))
        return [index], self.single(index, n, stage=stage)

    def _pair(self, n: int) -> tuple[list[int], list[questions.Question]]:
        pool = self.singles if self.rng.random() < 0.65 else self.pools["scene"]
        while True:
            first, *others = (int(i) for i in self.rng.choice(pool, 9, replace=False))
            one = self.scene(first)
            if pool is self.singles:
                key = ("shape", "colour", "size", "texture")[int(self.rng.integers(4))]
                value = getattr(one.objects[0], key)
                others.sort(key=lambda i: getattr(self.scene(i).objects[0], key) != value)
            two = self.scene(others[0])
            if {o.name for o in one.objects} != {o.name for o in two.objects}:
                return [first, others[0]], questions.pair_questions(one, two, self.rng, n)


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


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Average gradients over the workers."""
    flat = torch.cat([p.grad.flatten() for p in parameters])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for p, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.grad.copy_(part.view_as(p))


def train_decoder(rank: int, workers: int, run: Path, phase: str, budget: Budget, minutes: float, peak: float) -> None:
    """Train on packed questions, on symbols or on the tower's features; a checkpoint every few hundred steps."""
    torch.set_num_threads(1 if DEVICE == "cpu" else 8)
    torch.set_default_device(DEVICE)
    torch.set_flush_denormal(True)
    torch.manual_seed(SEED)
    if workers > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
        dist.init_process_group("gloo", rank=rank, world_size=workers)
    data = load_data(run, images=False)
    tokenizer = AutoTokenizer.from_pretrained(run / "tokenizer")
    layers = decoder.LAYERS if phase == "images" else budget.short_layers
    model, symbols = decoder.build_model(tokenizer, layers=layers), decoder.Symbols()
    if phase == "judge":
        model.load_state_dict(torch.load(run / "short.pt")["model"])
    if phase == "images":
        short = decoder.build_model(tokenizer, layers=budget.short_layers)
        short.load_state_dict(torch.load(run / "judge.pt")["model"])
        model = decoder.grow(short, tokenizer)
    projector, language = model.model.multi_modal_projector, model.model.language_model
    state = {"seconds": 0.0, "step": 0}
    own = run / f"{phase}.pt"
    if phase != "symbols":
        features = np.load(run / "features.npy", mmap_mode="r")
        trained = [*projector.parameters(), *language.parameters()]
        if phase == "short":
            model.load_state_dict(torch.load(run / "projected.pt"))
    else:
        words, offsets = symbol_words(data, tokenizer), data.offsets.transpose(0, 2, 1)
        trained = [*symbols.parameters(), *language.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=peak, weight_decay=0.01, betas=(0.9, 0.98))
    if own.exists():
        saved = torch.load(own)
        model.load_state_dict(saved["model"])
        symbols.load_state_dict(saved["symbols"])
        optimizer.load_state_dict(saved["optimizer"])
        state = saved["state"]
    book = Book(data, np.random.default_rng([SEED, rank, state["step"], len(phase)]))
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    start, running = time.time() - state["seconds"], None
    while True:
        seconds = torch.tensor(time.time() - start)
        if workers > 1:
            dist.broadcast(seconds, 0)
        progress = seconds.item() / (minutes * 60)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = peak * min(1, (state["step"] + 1) / 150) * min(1, 1.6 * (1 - progress)) + 1e-5
        stage = _stage(phase, progress)
        drawn = [book.draw(budget.questions, stage=stage) for _ in range(budget.rows // workers)]
        packs = [decoder.pack(asked, len(images), tokenizer) for images, asked in drawn]
        numbers = np.array([i for images, _ in drawn for i in images])
        if phase != "symbols":
            tokens = projector(torch.as_tensor(features[numbers].astype(np.float32)))
        else:
            tokens = symbols(
                model.get_input_embeddings().weight,
                torch.as_tensor(words[numbers].astype(np.int64)),
                torch.as_tensor(offsets[numbers]).nan_to_num(),
                noise=0.35,
            )
        batch = decoder.collate(packs)
        loss, hits = decoder.answer_loss(model, batch, tokens)
        optimizer.zero_grad()
        loss.backward()
        if workers > 1:
            average_gradients(trained)
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        state["step"] += 1
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        asked_at = (batch.target >= 0) & (batch.target != tokenizer.eos_token_id)
        for row, at in asked_at.nonzero().tolist():
            kind = packs[row].kinds[packs[row].owner[at] - 1]
            counts[kind][0] += int(hits[row, at])
            counts[kind][1] += 1
        if rank == 0 and state["step"] % 100 == 0:
            right = {kind: round(hit / n, 3) for kind, (hit, n) in sorted(counts.items())}
            state["seconds"] = time.time() - start
            log(run, phase=phase, step=state["step"], seconds=round(state["seconds"], 1), loss=running, right=right)
            counts.clear()
        if rank == 0 and state["step"] % 500 == 0:
            _checkpoint(own, model, symbols, optimizer, state)
    if rank == 0:
        _checkpoint(own, model, symbols, optimizer, state | {"seconds": minutes * 60})
        (run / f"{phase}.done").touch()


def _stage(phase: str, progress: float) -> questions.Stage:
    """What is asked at some point of a phase."""
    if phase == "short" and progress < 0.15:
        return "naming"
    return "judging" if phase == "judge" and progress < 0.75 else "all"


def _checkpoint(
    path: Path, model: nn.Module, symbols: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, float]
) -> None:
    parts = {"model": model, "symbols": symbols, "optimizer": optimizer}
    torch.save({name: part.state_dict() for name, part in parts.items()} | {"state": state}, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def run_tower(run: Path, budget: Budget) -> None:
    """Train the tower in a process of its own."""
    torch.set_num_threads(1)
    tower.train_tower(load_data(run), run, seconds=budget.tower_minutes * 60)
    (run / "tower.done").touch()


@torch.no_grad()
def cache_features(run: Path) -> None:
    """The tower's tokens of every image that is asked about, `[n, 16, width]` in half precision, computed once."""
    data = load_data(run)
    eye = AutoModel.from_config(tower.tower_config()).to(memory_format=torch.channels_last)
    eye.load_state_dict(torch.load(run / "tower.pt")["tower"])
    eye.eval()
    asked_about = np.sort(np.concatenate(list(Book(data, np.random.default_rng(SEED)).pools.values())))
    features = np.zeros((len(data.images), tower.CELLS, tower.WIDTH), np.float16)
    for numbers in np.array_split(asked_about, len(asked_about) // 256):
        tokens = eye(tower.pixels_to_input(data.images[numbers]), output_hidden_states=True).hidden_states[-1]
        features[numbers] = tokens.numpy().astype(np.float16)
    np.save(run / "asked_about.npy", asked_about)
    np.save(run / "features.npy", features)


def fit_projector(run: Path, *, steps: int = 3000) -> None:
    """Fit the projector so that it writes the symbols, and beside them a little of everything else the tower sees."""
    torch.manual_seed(SEED)
    data, features = load_data(run, images=False), np.load(run / "features.npy", mmap_mode="r")
    tokenizer = AutoTokenizer.from_pretrained(run / "tokenizer")
    model, symbols = decoder.build_model(tokenizer, layers=Budget.short_layers), decoder.Symbols()
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
    parser.add_argument("--short-minutes", type=float, default=Budget.short_minutes, help="with half the layers")
    parser.add_argument(
        "--judge-minutes", type=float, default=Budget.judge_minutes, help="judging claims, half the layers"
    )
    parser.add_argument("--image-minutes", type=float, default=Budget.image_minutes, help="with all layers")
    arguments = parser.parse_args()
    run = arguments.run
    budget = Budget(
        short_minutes=arguments.short_minutes,
        judge_minutes=arguments.judge_minutes,
        image_minutes=arguments.image_minutes,
    )
    run.mkdir(parents=True, exist_ok=True)
    prepare_data(run, budget)
    context = mp.get_context("spawn")
    beside = []
    if not (run / "tower.done").exists():
        beside.append(context.Process(target=run_tower, args=(run, budget)))
    if not (run / "symbols.done").exists():
        work = (0, 1, run, "symbols", budget, budget.symbol_minutes, 2e-3)
        beside.append(context.Process(target=train_decoder, args=work))
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
    phases = (
        ("short", budget.short_minutes, 2e-3),
        ("judge", budget.judge_minutes, 1.5e-3),
        ("images", budget.image_minutes, 1e-3),
    )
    for phase, minutes, peak in phases:
        if not (run / f"{phase}.done").exists():
            work = (arguments.workers, run, phase, budget, minutes, peak)
            mp.spawn(train_decoder, args=work, nprocs=arguments.workers)
    export(run, "images.pt", arguments.out)
    draw_curve(run / "log.jsonl", arguments.out / "training-curve.png")


if __name__ == "__main__":
    main()
