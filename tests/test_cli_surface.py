"""What the program looks like from outside: its help, its lists, its imports, its exit codes, its width."""

import json
import os
import signal
import subprocess
import sys
import tomllib

import pytest
from typer.testing import CliRunner

from savs.cli.entry import app
from savs.cli.grid import SHADES, head_grid
from savs.features import HeadId

COMMANDS = ["fit", "predict", "evaluate", "compare", "inspect", "bench", "models", "tasks", "doctor"]


def out(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.stderr
    return result.stdout


def program(*arguments: str, **options: object) -> subprocess.Popen[str]:
    """`python -m savs`, as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "savs", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "80", **options},
        # A shell's background jobs ignore the interrupt, and hand that down to every program they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_help_lists_the_commands_in_order():
    shown = out("--help")
    places = [shown.index(f"│ {command} ") for command in COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_fits_in_80_columns(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = out(command, "--help")
    assert "Usage:" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_the_presets_offered_are_those_of_the_classifier():
    from typing import get_args

    from savs.classify.classifier import PRESETS
    from savs.cli.fit import Preset

    assert get_args(Preset) == tuple(PRESETS)
    told = " ".join(out("fit", "--help").replace("│", " ").split())
    assert "sav (the paper's rule), sav-loo, hec, gda-loo, calm, knn or linear." in told
    assert all(name in told for name in PRESETS)


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], ["numpy", "PIL", "sklearn", "torch", "transformers"]),
        (["fit", "--help"], ["numpy", "PIL", "sklearn", "torch", "transformers"]),
        (["models"], ["numpy", "PIL", "sklearn", "torch", "transformers"]),
        (["tasks"], ["numpy", "PIL", "sklearn", "torch", "transformers"]),
        (["inspect", "no-such-folder"], ["torch", "transformers"]),
    ],
)
def test_nothing_heavy_is_imported_for_what_needs_no_model(arguments, heavy):
    code = (
        "import sys; from savs.cli import main; sys.argv = ['savs', *sys.argv[1:]]\n"
        "try: main()\n"
        f"except SystemExit: print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert ran.stderr.splitlines()[-1] == "[]"


def test_version():
    import savs

    assert out("--version") == f"savs {savs.__version__}\n"


def test_models_starts_with_the_embedded_one():
    shown = out("models")
    assert shown.splitlines()[0].split()[:2] == ["embedded", "demo"]
    assert max(map(len, shown.splitlines())) <= 80
    families = json.loads(out("models", "--json"))
    names = {family["name"] for family in families}
    assert {"LLaVA-OneVision", "LLaVA-1.5", "Qwen2-VL", "Qwen2.5-VL", "SmolVLM", "Idefics3", "text only"} <= names
    assert all(family["hub_id"] in shown for family in families)
    assert "  28 layers x 28 heads; text, images, video\n" in shown


def test_models_are_found_by_a_part_of_their_name():
    assert {family["model_type"] for family in json.loads(out("models", "QWEN2", "--json"))} == {
        *("llava_onevision", "qwen2_vl", "qwen2_5_vl", "qwen2_5_omni_thinker"),
    }
    assert [family["name"] for family in json.loads(out("models", "mllama", "--json"))] == ["Llama 3.2 Vision"]
    assert json.loads(out("models", "no-such-family", "--json")) == []
    nothing = CliRunner().invoke(app, ["models", "no-such-family"])
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "savs doctor MODEL" in nothing.stderr


def test_tasks():
    from savs.data.tasks import builtin_tasks

    shown = out("tasks")
    assert all(f"\n{task.name}\n" in f"\n{shown}" for task in builtin_tasks())
    assert [task["name"] for task in json.loads(out("tasks", "--json"))] == [task.name for task in builtin_tasks()]


def test_one_task_is_shown_as_a_file_that_can_be_changed_and_used(tmp_path):
    from savs.data.tasks import load_task

    shown = out("tasks", "vlguard")
    assert shown.startswith("# Columns that it reads: image, instruction, label, id\n")
    assert "# or, owners: image, safe, instr-resp\n" in shown
    assert "# Get it from https://huggingface.co/datasets/ys-zong/VLGuard" in shown
    assert tomllib.loads(shown)["name"] == "vlguard"
    mine = tmp_path / "mine.toml"
    mine.write_text(shown)
    assert load_task(mine) == load_task("vlguard")
    assert tomllib.loads(out("tasks", str(mine))) == tomllib.loads(shown)


def test_an_unknown_option_is_a_usage_error():
    result = CliRunner().invoke(app, ["fit", "--lr", "3"])
    assert result.exit_code == 2
    assert result.stdout == "" and "--lr" in result.stderr


def test_one_line_and_no_traceback_from_the_real_program(tmp_path):
    process = program("inspect", str(tmp_path))
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (2, "")
    assert stderr.splitlines() == [
        f"savs: error: {tmp_path} holds no classifier; expected config.json and heads.safetensors, "
        "as savs fit writes them"
    ]


def test_a_reader_that_goes_away_is_no_error():
    process = program("tasks")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 141


def test_ctrl_c(tmp_path):
    pipe = tmp_path / "rows.jsonl"
    os.mkfifo(pipe)
    process = program("fit", str(pipe), "--model", "unused", "-o", str(tmp_path / "clf"), "--task", "general")
    assert process.stderr is not None
    assert process.stderr.readline() == f"savs: reading {pipe}\n"  # and now it waits for rows that never come
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
    assert process.stderr.read() == "savs: interrupted\n"


def test_no_color_is_respected(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in out("models")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in out("models")


def grid(layers: int, heads: int, kept: int) -> list[str]:
    scores = {HeadId(layer, head): (7 * layer + 3 * head) % 11 / 10 for layer in range(layers) for head in range(heads)}
    ranked = sorted(scores, key=lambda head: (-scores[head], head))[:kept]
    return "\n".join(line.plain for line in head_grid(scores, ranked)).splitlines()


@pytest.mark.parametrize(("layers", "heads", "cell"), [(12, 8, 3), (28, 28, 2), (24, 37, 2), (32, 64, 1)])
def test_the_head_grid_fits_and_every_kept_head_bears_its_rank(layers, heads, cell):
    lines = grid(layers, heads, kept=20)
    assert max(map(len, lines)) <= 80
    rows = [line for line in lines if line.startswith("L")]
    assert len(rows) == layers
    label = len(f"L{layers - 1} ")
    cells = [
        row[label:].ljust(heads * cell)[i : i + cell].strip() for row in rows for i in range(0, heads * cell, cell)
    ]
    ranks = sorted(text for text in cells if text and set(text).isdisjoint(SHADES))
    assert ranks == sorted("123456789abcdefghijk" if cell == 1 else [str(rank) for rank in range(1, 21)])
    assert cells[0] == SHADES[0] * min(cell, 2)


def test_a_grid_of_very_many_heads_is_cut_into_panels():
    lines = grid(2, 100, kept=3)
    assert max(map(len, lines)) <= 80
    rows = [line.removeprefix("L0 ") for line in lines if line.startswith("L0 ")]
    assert len(rows) == 2 and sum(map(len, rows)) == 100


def test_layers_without_heads_are_left_out_and_equal_scores_do_not_matter():
    scores = {HeadId(layer, head): 0.5 for layer in (1, 5) for head in range(2)}
    lines = [line.plain for line in head_grid(scores, [HeadId(5, 1)])]
    assert [line.rstrip() for line in lines[1:3]] == ["L1 ·· ··", "L5 ··  1"]
