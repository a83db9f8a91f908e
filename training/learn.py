"""How projector and decoder learn: phases of packed questions, on one or more processes, each with a checkpoint."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from transformers import AutoTokenizer, LlavaForConditionalGeneration, PreTrainedTokenizerFast

import decoder
import questions
import symbols
import tower
from book import Book
from muon import Muon
from runfiles import DEVICE, SEED, load_data, log


@dataclass(frozen=True)
class Phase:
    """A stretch of learning with one schedule of the learning rate and one checkpoint, `<name>.pt`.

    `lessons` says what is asked until which share of the phase; `start` is the checkpoint that the phase begins with.
    """

    name: str
    steps: int
    lessons: tuple[tuple[float, questions.Stage], ...]
    start: str | None = None
    layers: int = decoder.LAYERS // 2
    matrix_rate: float = 0.015
    rate: float = 1.5e-3
    rows: int = 12
    questions: int = 10

    def stage(self, progress: float) -> questions.Stage:
        """What is asked at some point of the phase."""
        return next(stage for until, stage in self.lessons if progress < until)


def begin(run: Path, phase: Phase, tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """The model with which a phase begins; it grows where its beginning has fewer layers."""
    model = decoder.build_model(tokenizer, layers=phase.layers)
    if phase.start is None:
        return model
    saved = torch.load(run / phase.start)
    weights = saved.get("model", saved)
    layers = 1 + max(
        int(name.split(".layers.")[1].split(".")[0]) for name in weights if "language_model.layers" in name
    )
    if layers == phase.layers:
        model.load_state_dict(weights)
        return model
    short = decoder.build_model(tokenizer, layers=layers)
    short.load_state_dict(weights)
    return decoder.grow(short, tokenizer)


def optimizers(
    phase: Phase, language: nn.Module, others: Sequence[nn.Parameter]
) -> dict[str, tuple[torch.optim.Optimizer, float]]:
    """Muon for the matrices between the decoder's layers, AdamW for everything else; each with its peak rate."""
    hidden = [p for name, p in language.named_parameters() if p.ndim == 2 and "embed" not in name]
    rest = [p for name, p in language.named_parameters() if p.ndim != 2 or "embed" in name]
    return {
        "muon": (Muon(hidden, lr=phase.matrix_rate, weight_decay=0.1), phase.matrix_rate),
        "adam": (
            torch.optim.AdamW([*rest, *others], lr=phase.rate, weight_decay=0.01, betas=(0.9, 0.98)),
            phase.rate,
        ),
    }


class Tally:
    """Answer tokens right, by kind of question."""

    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])

    def add(self, batch: decoder.Batch, hits: torch.Tensor, packs: Sequence[decoder.Pack], end: int) -> None:
        """Count the answers of one batch, without their end marks."""
        for row, at in ((batch.target >= 0) & (batch.target != end)).nonzero().tolist():
            count = self.counts[packs[row].kinds[packs[row].owner[at] - 1]]
            count[0] += int(hits[row, at])
            count[1] += 1

    def take(self) -> dict[str, float]:
        """The shares since the last time."""
        shares = {kind: round(right / n, 3) for kind, (right, n) in sorted(self.counts.items())}
        self.counts.clear()
        return shares


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Average gradients over the workers."""
    flat = torch.cat([p.grad.flatten() for p in parameters])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for p, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.grad.copy_(part.view_as(p))


def eyes(
    run: Path,
    phase: Phase,
    data: tower.Data,
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    symbol_writer: decoder.Symbols,
) -> Callable[[np.ndarray], torch.Tensor]:
    """What shows the images of given numbers to the decoder: the projector, or symbols of what lies there."""
    if phase.name != "symbols":
        features = np.load(run / "features.npy", mmap_mode="r")
        projector = model.model.multi_modal_projector
        return lambda numbers: projector(torch.as_tensor(features[numbers].astype(np.float32)))
    words, offsets = symbols.symbol_words(data, tokenizer), data.offsets.transpose(0, 2, 1)
    return lambda numbers: symbol_writer(
        model.get_input_embeddings().weight,
        torch.as_tensor(words[numbers].astype(np.int64)),
        torch.as_tensor(offsets[numbers]).nan_to_num(),
        noise=0.35,
    )


def train_decoder(rank: int, workers: int, run: Path, phase: Phase) -> None:
    """Train through a phase, on from its own checkpoint where there is one; every 500 steps are saved."""
    torch.set_num_threads(1 if DEVICE == "cpu" else 8)
    torch.set_default_device(DEVICE)
    torch.set_flush_denormal(True)
    torch.manual_seed(SEED)
    if workers > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
        dist.init_process_group("gloo", rank=rank, world_size=workers)
    data, tokenizer = load_data(run, images=False), AutoTokenizer.from_pretrained(run / "tokenizer")
    model, symbol_writer = begin(run, phase, tokenizer), decoder.Symbols()
    look = eyes(run, phase, data, model, tokenizer, symbol_writer)
    sight = symbol_writer if phase.name == "symbols" else model.model.multi_modal_projector
    trained = [*sight.parameters(), *model.model.language_model.parameters()]
    movers = optimizers(phase, model.model.language_model, list(sight.parameters()))
    parts = {"model": model, "symbols": symbol_writer} | {name: mover for name, (mover, _) in movers.items()}
    state, own = {"seconds": 0.0, "step": 0}, run / f"{phase.name}.pt"
    if own.exists():
        saved = torch.load(own)
        state = saved["state"]
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    book = Book(data, np.random.default_rng([SEED, rank, state["step"], len(phase.name)]))
    tally, start, running = Tally(), time.time() - state["seconds"], None
    while (progress := state["step"] / phase.steps) < 1:
        for mover, peak in movers.values():
            for group in mover.param_groups:
                group["lr"] = peak * (min(1, (state["step"] + 1) / 100, 1.6 * (1 - progress)) + 0.01)
        drawn = [book.draw(phase.questions, stage=phase.stage(progress)) for _ in range(phase.rows // workers)]
        packs = [decoder.pack(asked, len(images), tokenizer) for images, asked in drawn]
        batch = decoder.collate(packs)
        loss, hits = decoder.answer_loss(model, batch, look(np.array([i for images, _ in drawn for i in images])))
        model.zero_grad()
        symbol_writer.zero_grad()
        loss.backward()
        if workers > 1:
            average_gradients(trained)
        nn.utils.clip_grad_norm_(trained, 1.0)
        for mover, _ in movers.values():
            mover.step()
        state["step"] += 1
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        tally.add(batch, hits, packs, tokenizer.eos_token_id)
        state["seconds"] = time.time() - start
        if rank == 0 and state["step"] % 100 == 0:
            seconds = round(state["seconds"], 1)
            log(run, phase=phase.name, step=state["step"], seconds=seconds, loss=running, right=tally.take())
        if rank == 0 and state["step"] % 500 == 0:
            _checkpoint(own, parts, state)
    if rank == 0:
        _checkpoint(own, parts, state)
        (run / f"{phase.name}.done").touch()


def _checkpoint(path: Path, parts: dict[str, nn.Module | torch.optim.Optimizer], state: dict[str, float]) -> None:
    torch.save({name: part.state_dict() for name, part in parts.items()} | {"state": state}, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)
