"""The commands, run in process on a tiny model and on pictures drawn here: what they print, write and answer."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from savs.cli.entry import app
from savs.report import Report

QUESTION = "Is it night or day?"


def savs(*arguments: object) -> Result:
    """Run `savs` and keep stdout and stderr apart."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: object) -> Result:
    """Run `savs`, which must succeed."""
    result = savs(*arguments)
    assert result.exit_code == 0, f"{result.stderr}\n{result.exception!r}"
    return result


def draw(folder: Path, name: str, *, bright: bool, seed: int) -> str:
    """A small picture, dark or bright with some noise; returns its path relative to `folder`."""
    noise = np.random.default_rng(seed).integers(0, 60, (24, 24, 3))
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((noise + (190 if bright else 0)).astype(np.uint8)).save(path)
    return name


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Fitted:
    """A classifier that `savs fit` made, and what it was made of."""

    folder: Path
    train: Path
    test: Path
    result: Result


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int, int], Path]:
    """Day and night pictures: a name, how many a class, and the first seed."""
    root = tmp_path_factory.mktemp("pictures")

    def make(name: str, n: int, first: int) -> Path:
        rows = [
            {
                "id": f"{label}-{seed}",
                "image": draw(root, f"{label}/{seed}.png", bright=label == "day", seed=seed + 1000 * (label == "day")),
                "question": QUESTION,
                "label": label,
            }
            for seed in range(first, first + n)
            for label in ("day", "night")
        ]
        return write_rows(root / name, rows)

    return make


@pytest.fixture(scope="session")
def fitted(data, model_folder, tmp_path_factory) -> Fitted:
    folder = tmp_path_factory.mktemp("fitted") / "clf"
    train, test = data("train.jsonl", 6, 0), data("test.jsonl", 6, 100)
    command = ["fit", train, "--model", model_folder("llava"), "-o", folder, "--k", 5, "--dtype", "float32"]
    return Fitted(folder, train, test, done(*command))


def ids_and_labels(lines: str) -> list[tuple[str, str]]:
    return [(row["id"], row["label"]) for row in map(json.loads, lines.splitlines())]


def test_fit_says_what_it_made(fitted):
    shown = fitted.result.stdout
    for text in ("2: day, night", "12, 6 a class", "5 of 12 kept", "held-out", "heads.safetensors", "savs evaluate"):
        assert text in shown
    assert "reading the heads of llava: 12 of 12" in fitted.result.stderr
    assert "warning" not in fitted.result.stderr
    assert {path.name for path in fitted.folder.iterdir()} == {
        "config.json", "heads.safetensors", "README.md", "shots.json",
    }  # fmt: skip


def test_fit_keeps_the_heads_that_the_library_keeps(fitted, backbone):
    from savs.classify import SAVClassifier
    from savs.data.readers import read_examples
    from savs.model import SAVModel

    by_hand = SAVModel.fit(backbone("llava"), read_examples(fitted.train), classifier=SAVClassifier(k=5))
    assert SAVModel.from_pretrained(fitted.folder).selected_heads == by_hand.selected_heads


def test_fit_for_a_program(fitted, model_folder, tmp_path):
    result = done("fit", fitted.train, "-m", model_folder("llava"), "-o", tmp_path / "clf", "--shots", 4, "--seed", 1,
                  "--preset", "hec", "--test", fitted.test, "--json")  # fmt: skip
    made = json.loads(result.stdout)
    assert made["shots"] == {"day": 4, "night": 4}
    assert made["rule"]["head_classifier"] == "gda"
    assert made["n_heads"] == 12 and len(made["heads"]) == 12
    assert made["files"]["config.json"] == (tmp_path / "clf" / "config.json").stat().st_size
    assert made["leaks"] == {"checked": True, "count": 0, "leaks": []}


def test_fit_comments_on_few_and_on_unbalanced_shots(data, fitted, model_folder, tmp_path):
    rows = [json.loads(line) for line in fitted.train.read_text().splitlines()]
    uneven = [row for row in rows if row["label"] == "day"] + [row for row in rows if row["label"] == "night"][:1]
    path = write_rows(fitted.train.with_name("uneven.jsonl"), uneven)
    result = done("fit", path, "--model", model_folder("llava"), "-o", tmp_path / "clf")
    assert "class 'night' has 1 shot;" in result.stderr
    assert "'day' has 6 shots and 'night' 1" in result.stderr
    assert "not known: too few shots" in result.stdout


def test_predict_prints_what_the_library_answers(fitted, backbone):
    from savs.data.readers import read_examples
    from savs.model import SAVModel

    result = done("predict", fitted.folder, fitted.test)
    model = SAVModel.from_pretrained(fitted.folder, backbone=backbone("llava"))
    expected = model.predict(read_examples(fitted.test))
    assert [json.loads(line) for line in result.stdout.splitlines()] == [p.to_json() for p in expected]
    assert "savs: loading" in result.stderr


def test_predict_takes_rows_without_labels_in_any_batch_size(fitted):
    rows = [json.loads(line) for line in fitted.test.read_text().splitlines()]
    unlabelled = write_rows(fitted.test.with_name("new.jsonl"), [{**row, "label": None} for row in rows])
    whole = ids_and_labels(done("predict", fitted.folder, fitted.test).stdout)
    assert ids_and_labels(done("predict", fitted.folder, unlabelled, "--batch-size", 1).stdout) == whole
    assert [name for name, _ in whole] == [row["id"] for row in rows]


def test_predict_to_a_file_leaves_only_the_file(fitted, tmp_path):
    output = tmp_path / "out.jsonl"
    result = done("predict", fitted.folder, fitted.test, "-o", output)
    assert result.stdout == ""
    assert f"12 predictions in {output}" in result.stderr
    assert output.read_text() == done("predict", fitted.folder, fitted.test).stdout
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_an_interruption_loses_nothing_that_was_answered(fitted, tmp_path, monkeypatch):
    from savs.model import SAVModel

    whole = done("predict", fitted.folder, fitted.test).stdout
    ask, calls = SAVModel.predict, []

    def interrupted(self, examples, **options):
        calls.append(len(examples))
        if len(calls) % 2 == 0:
            raise KeyboardInterrupt
        return ask(self, examples, **options)

    monkeypatch.setattr(SAVModel, "predict", interrupted)
    to_stdout = savs("predict", fitted.folder, fitted.test, "--batch-size", 1)
    assert to_stdout.exit_code == 130
    assert to_stdout.stdout == "".join(whole.splitlines(keepends=True)[:8])
    to_file = savs("predict", fitted.folder, fitted.test, "--batch-size", 1, "-o", tmp_path / "out.jsonl")
    assert to_file.exit_code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl.partial"]
    assert (tmp_path / "out.jsonl.partial").read_text() == to_stdout.stdout
    assert "holds the 8 lines" in to_file.stderr and "interrupted" in to_file.stderr


def test_evaluate_reports_what_the_library_reports(fitted, backbone, tmp_path):
    from savs.data.readers import read_examples
    from savs.evaluation import evaluate
    from savs.model import SAVModel

    output = tmp_path / "report.json"
    result = done("evaluate", fitted.folder, fitted.test, "--json", "-o", output)
    examples = read_examples(fitted.test)
    expected = evaluate(examples, SAVModel.from_pretrained(fitted.folder, backbone=backbone("llava")).predict(examples))
    shown = json.loads(result.stdout)
    assert Report.from_json(shown["report"]) == expected
    assert json.loads(output.read_text()) == shown
    assert shown["leaks"] == {"checked": True, "count": 0, "leaks": []}


def test_evaluate_for_a_person(fitted):
    shown = done("evaluate", fitted.folder, fitted.test).stdout
    for text in ("12 examples", "SAVs", "macro F1", "always 'day'", "50.0", "chance, 2 classes", "true, predicted as"):
        assert text in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_evaluate_against_zero_shot(fitted):
    result = done("evaluate", fitted.folder, fitted.test, "--zero-shot", "--json")
    shown = json.loads(result.stdout)
    free, choice = shown["compared"]
    assert (free["name"], choice["name"]) == ("zero-shot, free", "zero-shot, choice")
    for method in (free, choice):
        ahead = shown["report"]["accuracy"]["value"] - method["report"]["accuracy"]["value"]
        assert method["lead"]["value"] == pytest.approx(ahead)
    assert 0 <= free["report"]["unmatched_rate"] <= 1
    assert choice["report"]["unmatched_rate"] == 0
    table = done("evaluate", fitted.folder, fitted.test, "--zero-shot").stdout
    assert "SAVs ahead by" in table and max(map(len, table.splitlines())) <= 80


def test_a_leak_is_told_without_the_training_file(fitted, tmp_path):
    rows = [json.loads(line) for line in fitted.train.read_text().splitlines()][:2]
    unseen = [json.loads(line) for line in fitted.test.read_text().splitlines()]
    renamed = [{**row, "id": f"new-{i}"} for i, row in enumerate(rows)]
    leaky = write_rows(fitted.train.with_name("leaky.jsonl"), [*unseen, *renamed])

    result = done("evaluate", fitted.folder, leaky)
    assert "warning: 2 test examples leak from the shots (2 by example)" in result.stderr
    assert "day-0" in result.stderr and "leaky.jsonl:13" in result.stderr
    strict = savs("evaluate", fitted.folder, leaky, "--fail-on-leak", "--json")
    assert strict.exit_code == 1
    assert json.loads(strict.stdout)["leaks"]["leaks"][0] == {"kind": "example", "train": "day-0", "test": "new-0"}
    assert savs("evaluate", fitted.folder, fitted.test, "--fail-on-leak").exit_code == 0


def test_fit_looks_for_leaks_into_a_test_set(fitted, model_folder, tmp_path):
    command = ["fit", fitted.train, "--model", model_folder("llava"), "--test", fitted.train, "--fail-on-leak"]
    result = savs(*command, "-o", tmp_path / "clf")
    assert result.exit_code == 1
    assert "12 test examples leak" in result.stderr


def test_a_classifier_without_a_record_of_its_shots_says_so(fitted, tmp_path):
    import shutil

    bare = shutil.copytree(fitted.folder, tmp_path / "bare")
    (bare / "shots.json").unlink()
    result = done("evaluate", bare, fitted.train, "--json")
    assert "no record of its shots" in result.stderr
    assert json.loads(result.stdout)["leaks"]["checked"] is False
    against = done("evaluate", bare, fitted.train, "--train", fitted.train, "--json")
    assert json.loads(against.stdout)["leaks"]["count"] == 12


def test_a_text_only_task_scored_in_pairs(model_folder, tmp_path):
    (tmp_path / "pairs.toml").write_text(
        'name = "pairs"\ntemplate = "{claim} True?"\nmetric = "pairs"\nmin_media = 0\n'
        '[fields]\nlabel = "label"\ngroup = "pair"\n'
    )
    rows = [
        {"claim": f"{word * 3} {i}", "label": label, "pair": f"pair {i}"}
        for i in range(6)
        for word, label in (("up ", "yes"), ("down ", "no"))
    ]
    train = write_rows(tmp_path / "train.jsonl", rows)
    done("fit", train, "-m", model_folder("llama"), "-o", tmp_path / "clf", "--task", tmp_path / "pairs.toml")
    shown = done("evaluate", tmp_path / "clf", train).stdout
    assert "pairs wholly right" in shown
    broken = write_rows(tmp_path / "broken.jsonl", rows[:-1])
    result = savs("evaluate", tmp_path / "clf", broken)
    assert result.exit_code == 2 and "pair 5" in result.stderr and "loading" not in result.stderr


def test_inspect(fitted):
    from savs.model import SAVModel

    shown = done("inspect", fitted.folder).stdout
    kept = SAVModel.from_pretrained(fitted.folder).selected_heads
    assert all(str(head) in shown for head in kept)
    assert {"L0", "L1", "L2"} <= {line.split(" ")[0] for line in shown.splitlines()}
    for text in ("centroid heads, ranked by accuracy on shots", "{question}", "score  ·"):
        assert text in shown
    for_program = json.loads(done("inspect", fitted.folder, "--json").stdout)
    assert [row["head"] for row in for_program["selected_heads"]] == [str(head) for head in kept]
    assert len(for_program["head_scores"]) == 12 and for_program["shots_known"] == 12


def test_a_backbone_named_by_a_relative_path_is_found_from_elsewhere(fitted, model_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(model_folder("llava").parent)
    done("fit", fitted.train, "--model", "llava", "-o", tmp_path / "clf")
    monkeypatch.chdir(tmp_path)
    assert len(done("predict", "clf", fitted.test).stdout.splitlines()) == 12


def test_the_backbone_may_have_moved(fitted, model_folder, tmp_path):
    import shutil

    moved = shutil.copytree(model_folder("llava"), tmp_path / "llava")
    here = done("predict", fitted.folder, fitted.test).stdout
    assert done("predict", fitted.folder, fitted.test, "--model", moved).stdout == here
    other = savs("predict", fitted.folder, fitted.test, "--model", model_folder("llama"))
    assert other.exit_code == 2 and "fitted on llava" in other.stderr
