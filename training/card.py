"""The parts of the model card that a run writes itself: its data, how it was trained, what it can do.

Each stands between two marks of the card. Knows logs and scores, no model.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import measure
from fetch import SOURCES
from gates import GATES
from learn import Phase
from letters import FONTS, FONTS_SHA256, FONTS_VERSION


def fill(folder: Path, **sections: str) -> None:
    """Write each text between the marks of its section in the folder's card.

    Raises:
        ValueError: the card lacks the marks of a section.
    """
    path = folder / "README.md"
    text = path.read_text(encoding="utf-8")
    for name, content in sections.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(
                f"{path}: expected one {begin} and one {end}; found {text.count(begin)}, {text.count(end)}"
            )
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{content}\n{end}{rest.split(end)[1]}"
    path.write_text(text, encoding="utf-8")


def data_table() -> str:
    """What training fetches and draws, with versions, checksums and licences."""
    rows = [[source.what, source.version, f"`{source.sha256}`", source.licence] for source in SOURCES.values()]
    rows.append(["scenes of one to four objects", "drawn by `savs.demo.scenes`", "", "Apache-2.0"])
    letters = f"letters in {len(FONTS)} of Matplotlib's fonts (checksum of their files in turn)"
    rows.append([letters, FONTS_VERSION, f"`{FONTS_SHA256}`", "DejaVu's own, SIL OFL 1.1"])
    return _table(["data", "version", "SHA-256", "licence"], rows)


def training_table(log: Sequence[Mapping], phases: Sequence[Phase], device: str) -> str:
    """The steps of a run with what each saw and how long it took on `device`, from the run's log."""
    last = {entry["phase"]: entry for entry in log}
    asked = {phase.name: f"{phase.steps * phase.rows * phase.questions:,} questions" for phase in phases}
    rows, minutes = [], 0.0
    for name, what in STEPS.items():
        took = last[name]["seconds"] / 60
        minutes += took
        seen = asked.get(name) or (f"{last[name]['step']:,} batches" if "step" in last[name] else "")
        rows.append([name, what, seen, f"{took:.1f}"])
    rows.append(["together", "", "", f"{minutes:.0f}"])
    return _table(["step", "what it does", "seen", "minutes"], rows) + (
        f"\n\nMeasured on {device} with {_versions()}; checkpoints included, gates not."
    )


def measured_text(measured: measure.Measured) -> str:
    """What half precision costs the heads, and how long a forward pass takes."""
    cosine = math.floor(measured.cosine * 1e6) / 1e6  # "at least" must stay true
    return (
        "Head features computed in float32 from the half-precision weights have a cosine of at least "
        f"{cosine:.6f} with\nthose of the float32 master, over {measure.EXAMPLES} drawn examples and {measured.heads} "
        f"heads.\nA forward pass takes {measured.milliseconds:.1f} ms an example at batch {measure.BATCH} with "
        f"{measure.THREADS} threads of a CPU\n(median of {measure.PASSES} passes; {_versions()})."
    )


def gates_table(scores: Mapping[str, float], n: int) -> str:
    """What the model can and cannot do, gate by gate."""
    rows = []
    for gate in GATES:
        missed = " (missed)" if scores[gate.name] < gate.needed else ""
        needed = f"{gate.needed:.2f}" if gate.needed else ""
        rows.append([gate.name, gate.chance, needed, f"{scores[gate.name]:.2f}{missed}"])
    return _table([f"asked ({n} fresh questions each)", "chance", "needed", "right"], rows)


#: The steps of a run in their order, in the log's words.
STEPS = {
    "data": "draws all images",
    "tower": "learns to see: dense labels of every cell",
    "features": "keeps the tower's tokens of all images",
    "symbols": "the decoder learns to read what a perfect eye would tell it",
    "projector": "is fitted to write such symbols",
    "short": "projector and half of the decoder's layers learn on the tokens",
    "images": "all layers learn",
}
#: What times depend on.
LIBRARIES = ("torch", "transformers")


def _versions() -> str:
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in LIBRARIES)])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *rows])
