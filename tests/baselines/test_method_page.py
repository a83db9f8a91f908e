"""The code on the page of methods runs as it stands, and every method of the registry is in it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chat_server import running
from savs.baselines.registry import METHODS
from tiny_dual_encoders import build

PAGE = (Path(__file__).parents[2] / "docs" / "method.md").read_text(encoding="utf-8")
#: Rows that are another row with another word: the other dual encoder, the other form of answer, one more preset.
ALIKE = re.compile("siglip-.*|(icl|mtv|lora|transferred-lora)-free|sav-loo|gda-loo")


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """Bright and dark pictures in `train.jsonl` and `test.jsonl`; in `other.jsonl`, wide and tall ones."""
    rng = np.random.default_rng(0)

    def write(name, labels, shape, light, count):
        rows = []
        for i in range(count):
            pixels = rng.integers(0, 60, (*shape[i % 2], 3)) + light[i % 2]
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{name}{i}.png")
            rows.append({"image": f"{name}{i}.png", "question": "What is this?", "label": labels[i % 2]})
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    square = [(48, 48), (48, 48)]
    write("train", ("day", "night"), square, (190, 0), 12)
    write("test", ("day", "night"), square, (190, 0), 4)
    write("other", ("wide", "tall"), [(32, 64), (64, 32)], (90, 90), 8)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.slow
def test_every_method_runs_by_itself(workplace, capsys):
    for needed in ("peft", "httpx2"):
        pytest.importorskip(needed)
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    with running() as server:
        code = code.replace("openai/clip-vit-base-patch32", str(build("clip", workplace / "clip")))
        exec(compile(code.replace("https://api.openai.com/v1", server.url), "method.md", "exec"), {})
    *rows, bill = capsys.readouterr().out.splitlines()
    said = dict(row.split(" ", maxsplit=1) for row in rows)
    assert {name for name in METHODS if not ALIKE.fullmatch(name)} == set(said)
    for name, answers in said.items():
        assert re.fullmatch(r"\[('(day|night|<unmatched>)'(, )?){4}\]", answers), f"{name}: {answers}"
    assert said["sav"] == "['day', 'night', 'day', 'night']"
    assert bill.startswith("4 asked, 0 from the cache; 400 tokens in, 8 out; cost 0.00")
