"""What the documents tell a newcomer to type does run, in the order in which it stands there."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from savs.cli.entry import app
from savs.demo.tasks import load_demo_task

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/tutorial.md", "docs/how-to.md")


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands(page: str, language: str = "bash") -> list[list[str]]:
    """Every `savs ...` line, a model of the Hub replaced by the embedded one.

    What stands in `bash` runs; `sh` is for what needs hours, or files that only its reader has.
    """
    lines = [line for block in blocks(page, language) for line in block.replace("\\\n", "").splitlines()]
    found = [shlex.split(line, comments=True) for line in lines if line.startswith("savs ")]
    return [["demo" if part.startswith(("Qwen/", "llava-hf/")) else part for part in words[1:]] for words in found]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with a `train.jsonl` and a `test.jsonl`, as a newcomer would have it."""
    task = load_demo_task("invented names")
    (tmp_path / "images").mkdir()
    for name, examples in (("train", task.pool[::3]), ("test", task.test[:20])):
        rows = []
        for example in examples:
            example.media[0].source.save(tmp_path / "images" / f"{example.id}.png")
            rows.append({"image": f"images/{example.id}.png", "question": example.text, "label": example.label})
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(words: list[str], folder: Path) -> str:
    if "-o" in words and (folder / words[words.index("-o") + 1]).exists():
        words = [*words, "--overwrite"]  # a page may fit the same classifier twice, in two sections
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, f"savs {shlex.join(words)}\n{result.output}"
    return result.stdout


def test_readme(workplace, capsys):
    for words in commands("README.md"):
        run(words, workplace)
    assert len((workplace / "answers.jsonl").read_text().splitlines()) == 20
    namespace: dict[str, object] = {}
    for block in blocks("README.md", "python"):
        exec(compile(block, "README.md", "exec"), namespace)
    accuracy, held_out = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", accuracy)
    assert 0 <= float(held_out) <= 1
    assert (workplace / "my-classifier" / "config.json").is_file()


def test_tutorial(workplace, monkeypatch, capsys):
    script = (ROOT / "examples" / "make_digits.py").read_text(encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["make_digits.py", "digits"])
    exec(compile(script, "make_digits.py", "exec"), {})
    for words in commands("docs/tutorial.md"):
        run(words, workplace)
    capsys.readouterr()
    for block in blocks("docs/tutorial.md", "python"):
        exec(compile(block, "tutorial.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_how_to(workplace, monkeypatch, capsys):
    monkeypatch.setattr("savs.model.SAVModel.push_to_hub", lambda self, repo: repo)
    (workplace / "defects.toml").write_text(blocks("docs/how-to.md", "toml")[0])
    labels = {"blicket": "defect"}
    rows = [json.loads(line) for line in (workplace / "train.jsonl").read_text().splitlines()]
    lines = [f"{row['image']},bolt,{labels.get(row['label'], 'sound')}" for row in rows]
    (workplace / "parts.csv").write_text("\n".join(["photo,part,verdict", *lines]) + "\n")
    inline = re.findall(r"`(savs fit parts\.csv[^`]*)`", (ROOT / "docs/how-to.md").read_text())
    assert len(inline) == 1
    for words in [shlex.split(inline[0])[1:], *commands("docs/how-to.md")]:
        run(words, workplace)
    for block in blocks("docs/how-to.md", "python"):
        exec(compile(block, "how-to.md", "exec"), {})
    assert "scored_on" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_do_not_run_here_have_the_options_that_they_name(page, tmp_path):
    for words in commands(page, "sh"):
        run([*words, "--help"], tmp_path)


def test_the_check_of_options_does_fail(tmp_path):
    with pytest.raises(AssertionError, match="No such option"):
        run(["bench", "table1", "--drawings", "3", "--help"], tmp_path)


@pytest.mark.parametrize(
    "page", [str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md"))] + ["README.md"]
)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert missing == []


def test_the_check_does_fail_on_a_command_that_does_not_work(workplace):
    with pytest.raises(AssertionError, match="no such option|No such option"):
        run(["fit", "train.jsonl", "--model", "demo", "-o", "clf", "--no-such-option"], workplace)
