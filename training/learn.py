"""How projector and decoder learn: phases of packed questions, on one or more processes, each with a checkpoint."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import AutoTokenizer, LlavaForConditionalGeneration, PreTrainedTokenizerFast

import decoder
import questions
import symbols
from book import Book
from images import Data
from muon import Muon
from packing import ATTENTION, Batch, answer_loss, collate, pack
from recall import Recall
from runfiles import DEVICE, SEED, load, load_array, load_data, log, save, use_device
from workers import average_gradients, meet


@dataclass(frozen=True)
class Phase:
    """A stretch of learning with one schedule of the learning rate and one checkpoint, `<name>.pt`.

    `lessons` says what is asked until which share of the phase. `start` is the checkpoint that the phase begins with;
    without one it begins afresh, on symbols. `grows` doubles the layers of that checkpoint. `recall` is what telling
    back the image weighs in the loss; it is learned only where it weighs something. `filled` is the share of questions
    with filler between their words.
    """

    name: str
    steps: int
    lessons: tuple[tuple[float, questions.Stage], ...]
    start: str | None = None
    grows: bool = False
    recall: float = 0.0
    filled: float = 0.0
    matrix_rate: float = 0.015
    rate: float = 1.5e-3
    rows: int = 12
    questions: int = 10

    def stage(self, progress: float) -> questions.Stage:
        """What is asked at some point of the phase."""
        return next(stage for until, stage in self.lessons if progress < until)


def begin(run: Path, phase: Phase, tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """The model with which a phase begins."""
    model = decoder.build_model(tokenizer, layers=decoder.SHORT)
    if phase.start is not None:
        model.load_state_dict(load(run / phase.start)["model"])
    return decoder.grow(model, tokenizer) if phase.grows else model


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

    def add(self, batch: Batch, hits: torch.Tensor, end: int) -> None:
        """Count the answers of one batch, without their end marks."""
        asked = (batch.target >= 0) & (batch.target != end)
        for question, hit in zip(batch.owner[asked].tolist(), hits[asked].tolist(), strict=True):
            count = self.counts[batch.kinds[question]]
            count[0] += hit
            count[1] += 1

    def take(self) -> dict[str, float]:
        """The shares since the last time."""
        shares = {kind: round(right / n, 3) for kind, (right, n) in sorted(self.counts.items())}
        self.counts.clear()
        return shares


def eyes(
    run: Path,
    phase: Phase,
    data: Data,
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    symbol_writer: decoder.Symbols,
) -> Callable[[np.ndarray], torch.Tensor]:
    """What shows the images of given numbers to the decoder: the projector, or symbols of what lies there."""
    if phase.start is not None:
        features = load_array(run / "features.npy")
        projector = model.model.multi_modal_projector
        return lambda numbers: projector(torch.as_tensor(features[numbers].astype(np.float32)))
    words, offsets = symbols.symbol_words(data, tokenizer), data.offsets.transpose(0, 2, 1)
    return lambda numbers: symbol_writer(
        model.get_input_embeddings().weight,
        torch.as_tensor(words[numbers].astype(np.int64)),
        torch.as_tensor(offsets[numbers]).nan_to_num(),
        noise=0.35,
    )


def train_decoder(rank: int, workers: int, port: int, run: Path, phase: Phase) -> None:
    """Train through a phase, on from its own checkpoint where there is one; every 200 steps are saved.

    Each of the `workers` processes calls this with its `rank`; they meet at `port`.
    """
    use_device(threads=1 if DEVICE == "cpu" else 8)
    torch.manual_seed(SEED)
    meet(rank, workers, port)
    data, tokenizer = load_data(run), AutoTokenizer.from_pretrained(run / "tokenizer")
    model, symbol_writer, own = begin(run, phase, tokenizer), decoder.Symbols(), run / f"{phase.name}.pt"
    model.model.language_model.set_attn_implementation(ATTENTION)
    look = eyes(run, phase, data, model, tokenizer, symbol_writer)
    sight = symbol_writer if phase.start is None else model.model.multi_modal_projector
    recall = Recall(model, load_array(run / "features.npy")) if phase.recall else None
    aside = [*sight.parameters(), *(recall.parameters() if recall else ())]
    trained = [*aside, *model.model.language_model.parameters()]
    movers = optimizers(phase, model.model.language_model, aside)
    modules = {"model": model, "symbols": symbol_writer} | ({"recall": recall} if recall else {})
    parts = modules | {name: mover for name, (mover, _) in movers.items()}
    step, seconds, running = 0, 0.0, None
    if own.exists():
        saved = load(own)
        step, seconds = saved["step"], saved["seconds"]
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    torch.manual_seed(SEED + step)
    book = Book(data, np.random.default_rng([SEED, rank, step, *phase.name.encode()]), filled=phase.filled)
    tally, start = Tally(), time.time() - seconds
    while (progress := step / phase.steps) < 1:
        for mover, peak in movers.values():
            for group in mover.param_groups:
                group["lr"] = peak * (min(1, (step + 1) / 100, 1.6 * (1 - progress)) + 0.01)
        drawn = [book.draw(phase.questions, stage=phase.stage(progress)) for _ in range(phase.rows // workers)]
        batch = collate([pack(asked, len(images), tokenizer) for images, asked in drawn])
        loss, hits = answer_loss(model, batch, look(np.array([i for images, _ in drawn for i in images])))
        total = loss
        if recall is not None:
            total = loss + phase.recall * recall.loss(batch, [images for images, asked in drawn for _ in asked])
        for module in modules.values():
            module.zero_grad()
        total.backward()
        average_gradients(trained)
        nn.utils.clip_grad_norm_(trained, 1.0)
        for mover, _ in movers.values():
            mover.step()
        step += 1
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        tally.add(batch, hits, tokenizer.eos_token_id)
        if rank == 0 and (step % 100 == 0 or step == phase.steps):
            seconds = time.time() - start
            right = tally.take()
            log(run, phase=phase.name, step=step, seconds=round(seconds, 1), loss=round(running, 4), right=right)
            if step % 200 == 0 or step == phase.steps:
                state = {name: part.state_dict() for name, part in parts.items()}
                save(own, state | {"step": step, "seconds": seconds})
