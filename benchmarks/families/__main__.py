"""Run the certificates of many model types and write them down: `python -m benchmarks.families [TYPE ...]`.

Each type runs in a process of its own, so that a crash, a hang or a shortage of memory in one stops no other, and its
record is written as soon as it is there: a run that is ended early has lost one type. Records of types that are not
asked for stay as they are in `docs/models.json`; `docs/models.md` is made from all of them.

Some types need torchvision or timm, which savs does not. They are recorded so, and tried in a second run beside them:

    pip install --no-deps --target extras torchvision==0.28.0 timm==1.0.31
    PYTHONPATH=extras python -m benchmarks.families --with-extras
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
_MEMORY = 12 << 30


def main() -> None:
    """Certify the types asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("types", nargs="*", help="model types; all by default")
    parser.add_argument("--seconds", type=int, default=240, help="time limit for one type")
    parser.add_argument("--with-extras", action="store_true", help="try those that were recorded to need more")
    arguments = parser.parse_args()
    if arguments.with_extras:
        _let_torchvision_be_imported()
    from benchmarks.families.model_types import ALL_TYPES
    from benchmarks.families.page import RECORDS, write

    file = DOCS / RECORDS[0]
    records: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    types = arguments.types or list(ALL_TYPES)
    if arguments.with_extras:
        types = [name for name in types if _can_be_tried(records.get(name, {}))]
    for name in types:
        record = certified(name, seconds=arguments.seconds)
        known = records.get(name, {}).get("needs", [])
        if arguments.with_extras:
            record["needs"] = sorted({*known, *record["needs"]})
        elif known and record["needs"]:
            print(f"{name} needs {', '.join(known)}: kept as it was found with --with-extras", flush=True)
            continue
        records[name] = record
        print(name, record["problem"] or record["inputs"], flush=True)
        ordered = {name: records[name] for name in ALL_TYPES if name in records}
        file.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    write(DOCS)


def certified(model_type: str, *, seconds: int) -> dict[str, Any]:
    """The type's record as JSON, from a process of its own that may take so long."""
    from benchmarks.families.certify import Record, certify, sentence

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        signal.alarm(seconds)
        try:
            record = certify(model_type)
        except Exception as error:  # the configuration itself
            record = Record(model_type, problem=sentence(error))
        os.write(writer, json.dumps(record.to_json()).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if not answer:
        return Record(model_type, problem=f"its process was ended by signal {status & 127}").to_json()
    return dict(json.loads(answer))


def _can_be_tried(record: Mapping[str, Any]) -> bool:
    """Whether a type needs more than savs does, and all of it is here."""
    return bool(record.get("needs")) and all(find_spec(library) for library in record["needs"])


def _let_torchvision_be_imported() -> None:
    """Declare the operators that torchvision's wheel from PyPI looks for, which it compiled for CUDA's torch alone.

    Beside a CPU build of torch its import fails for want of them. Nothing that images are prepared with uses them.
    """
    import torch

    if torch.version.cuda is None:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _DECLARED.append(library)


_DECLARED: list[Any] = []  # what is declared lasts as long as its library

if __name__ == "__main__":
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore")
    main()
