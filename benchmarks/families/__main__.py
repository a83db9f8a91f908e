"""Run the certificates of many model types and write them down: `python -m benchmarks.families [TYPE ...]`.

Each type runs in a process of its own, so that a crash, a hang or a shortage of memory in one stops no other. Records
of types that are not asked for stay as they are in `docs/models.json`; `docs/models.md` is made from all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import warnings
from pathlib import Path

from benchmarks.families.certify import Record, certify, sentence
from benchmarks.families.model_types import ALL_TYPES
from benchmarks.families.page import render

DOCS = Path(__file__).parents[2] / "docs"
_MEMORY = 12 << 30


def main() -> None:
    """Certify the types asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("types", nargs="*", default=list(ALL_TYPES), help="model types; all by default")
    parser.add_argument("--seconds", type=int, default=120, help="time limit for one type")
    parser.add_argument("--without-media", action="store_true", help="leave the processor out")
    arguments = parser.parse_args()
    file = DOCS / "models.json"
    records = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for model_type in arguments.types:
        record = _in_a_process(model_type, seconds=arguments.seconds, media=not arguments.without_media)
        records[model_type] = record
        print(model_type, record["problem"] or record["inputs"], flush=True)
        ordered = {name: records[name] for name in ALL_TYPES if name in records}
        file.write_text(json.dumps(ordered, indent=1, sort_keys=False) + "\n", encoding="utf-8")
    (DOCS / "models.md").write_text(render(records), encoding="utf-8")


def _in_a_process(model_type: str, *, seconds: int, media: bool) -> dict[str, object]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        signal.alarm(seconds)
        try:
            record = certify(model_type, media=media)
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


if __name__ == "__main__":
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore")
    main()
