"""What a run keeps, refuses and writes into the card; `python training/train.py --rehearse` goes through all of it."""

import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

TRAINING = Path(__file__).parents[2] / "training"
sys.path.insert(0, str(TRAINING))

import card  # noqa: E402
import decoder  # noqa: E402
import measure  # noqa: E402
import runfiles  # noqa: E402
import train  # noqa: E402
from fetch import SOURCES  # noqa: E402

MODEL = TRAINING.parent / "src" / "savs" / "demo" / "model"


def test_nothing_half_written_takes_a_name(tmp_path):
    with pytest.raises(KeyboardInterrupt), runfiles.written(tmp_path / "array.npy") as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert not (tmp_path / "array.npy").exists()
    with runfiles.written(tmp_path / "array.npy") as partial:
        partial.write_text("whole")
    assert (tmp_path / "array.npy").read_text() == "whole"


def test_what_a_resumed_run_logs_again_counts_once(tmp_path):
    for step, loss in ((100, 3.0), (200, 2.0), (100, 2.9)):
        runfiles.log(tmp_path, phase="short", step=step, loss=loss)
    runfiles.log(tmp_path, phase="data", seconds=1)
    assert [entry.get("loss") for entry in runfiles.read_log(tmp_path)] == [2.9, 2.0, None]


def test_a_folder_of_another_recipe_or_of_something_else_is_refused(tmp_path):
    train.claim_folder(tmp_path / "run", train.REHEARSAL)
    train.claim_folder(tmp_path / "run", train.REHEARSAL)
    with pytest.raises(SystemExit, match="another recipe"):
        train.claim_folder(tmp_path / "run", train.RECIPE)
    (tmp_path / "tower.pt").touch()
    with pytest.raises(SystemExit, match="files of no run"):
        train.claim_folder(tmp_path, train.RECIPE)


def test_a_rehearsal_takes_every_step_of_the_recipe():
    assert [phase.name for phase in train.REHEARSAL.phases] == [phase.name for phase in train.RECIPE.phases]
    log = [{"phase": name, "step": 3, "seconds": 90.0} for name in card.STEPS]
    table = card.training_table(log, train.RECIPE.phases, "two cores").splitlines()
    assert sum(line.endswith("| 1.5 |") for line in table) == len(card.STEPS)
    assert "| short |" in "".join(table) and "1,200,000 questions" in "".join(table)
    together = next(line for line in table if line.startswith("| together"))
    assert together.endswith("| 10 |"), "seven steps of a minute and a half"


def test_the_kept_log_is_that_of_the_table_in_the_card():
    table = card.training_table(runfiles.read_log(TRAINING), train.RECIPE.phases, "2 CPU cores").splitlines()
    rows = [row for row in table if row.startswith("| ")]
    assert len(rows) == len(card.STEPS) + 3
    told = (MODEL / "README.md").read_text()
    assert not [row for row in rows if row not in told]
    assert "(../../../../training/log.jsonl)" in told


def test_the_card_names_every_source_with_its_checksum():
    told = (MODEL / "README.md").read_text()
    rows = card.data_table().splitlines()[2:]
    fetched = [row for row in rows if "drawn by `savs.demo.scenes`" not in row]
    assert len(fetched) == len(rows) - 1 == len(SOURCES) + 1 == 4
    assert not [row for row in fetched if not re.search(r"\| `[0-9a-f]{64}` \|", row)]
    assert not [row for row in rows if row not in told]


def test_the_card_is_filled_between_its_marks_and_nowhere_else(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("a\n<!-- gates: begin -->\nold\n<!-- gates: end -->\nb\n")
    card.fill(tmp_path, gates="new")
    assert path.read_text() == "a\n<!-- gates: begin -->\nnew\n<!-- gates: end -->\nb\n"
    with pytest.raises(ValueError, match="expected one <!-- data: begin -->"):
        card.fill(tmp_path, data="new")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that learned nothing, with all that its last step leaves, and the folder written from it."""
    run = tmp_path_factory.mktemp("run")
    tokenizer = decoder.build_tokenizer(["is there a red star?", "how many things are there? two"] * 4, vocabulary=300)
    tokenizer.save_pretrained(run / "tokenizer")
    torch.manual_seed(0)
    model = decoder.build_model(tokenizer)
    last = train.REHEARSAL.phases[-1]
    torch.save({"model": model.state_dict(), "step": last.steps}, run / f"{last.name}.pt")
    decoder.save(model, decoder.build_processor(tokenizer), run / "model")
    shutil.copy(MODEL / "README.md", run / "model" / "README.md")
    return run


@pytest.fixture(autouse=True)
def few(monkeypatch):
    for name, value in {"EXAMPLES": 6, "BATCH": 4, "PASSES": 3, "THREADS": 1}.items():
        monkeypatch.setattr(measure, name, value)


MEASURED = re.compile(r"(?s)(.*<!-- measured: begin -->\n)(.*?)(\n?<!-- measured: end -->.*)")


def test_a_finished_run_is_measured_into_its_card_and_nothing_else_changes(finished):
    folder, begun = finished / "model", torch.get_num_threads()
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    train.main(["--rehearse", "--run", str(finished), "--measure"])
    changed = [path for path in finished.rglob("*") if path.is_file() and before.get(path) != path.read_bytes()]
    assert changed == [folder / "README.md"]
    old, new = (MEASURED.fullmatch(text) for text in (before[changed[0]].decode(), changed[0].read_text()))
    assert (old[1], old[3].strip()) == (new[1], new[3].strip())
    told = new[2].replace("\n", " ")
    cosine = float(re.search(r"a cosine of at least (\d\.\d{6}) with", told)[1])
    assert 0.999 < cosine < 1
    assert "over 6 drawn examples and 96 heads" in told
    assert re.search(
        r"takes \d+\.\d ms an example at batch 4 with 1 threads of a CPU \(median of 3 passes; Python", told
    )
    assert torch.get_num_threads() == begun


def test_the_last_step_measures_what_it_wrote_and_keeps_the_log_of_the_shipped_model(finished, tmp_path, monkeypatch):
    folder, kept = tmp_path / "model", tmp_path / runfiles.LOG
    for name in card.STEPS:
        runfiles.log(finished, phase=name, step=3, seconds=90.0)
    monkeypatch.setattr(train, "HERE", tmp_path)
    monkeypatch.setattr(train.gates, "score_all", lambda folder, n: {gate.name: 1.0 for gate in train.gates.GATES})
    train.export(finished, train.REHEARSAL, folder)
    assert (folder / "README.md").read_text().count("over 6 drawn examples") == 1
    assert not kept.exists(), "the log of a rehearsal is not that of the shipped weights"
    monkeypatch.setattr(train, "MODEL", folder)
    train.export(finished, train.REHEARSAL, folder)
    assert kept.read_text() == (finished / runfiles.LOG).read_text()


def test_what_was_not_written_by_the_run_or_is_not_finished_is_not_measured(finished, tmp_path):
    with pytest.raises(ValueError, match="is not that of the run"):
        train.main(["--rehearse", "--run", str(finished), "--measure", "--out", str(MODEL)])
    with pytest.raises(SystemExit, match=r"holds no images\.pt of 10 steps"):
        train.main(["--rehearse", "--run", str(tmp_path), "--measure"])


def test_the_cosine_is_the_least_of_all_heads(finished):
    model, _ = train.trained(finished, train.REHEARSAL)
    asked = measure.about_scenes(measure.questions.ask_exists)(measure.np.random.default_rng(0), 3)
    half = measure.load_backbone(finished / "model", dtype="float32", device="cpu")
    exact = measure.HuggingFaceBackbone(model.eval(), half.processor, half.spec)
    assert measure.least_cosine(exact, exact, asked) > 1 - 1e-9
    with torch.no_grad():
        model.model.language_model.layers[-1].self_attn.v_proj.weight[-decoder.HEAD_DIM :] *= -1
    assert measure.least_cosine(exact, half, asked) < -0.9
