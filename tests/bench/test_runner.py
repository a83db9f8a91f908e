"""Cells are filled once, whatever happens in between; answers are taken from what an example offers."""

from contextlib import contextmanager
from dataclasses import replace

import pytest

from savs.backbones.cost import Cost, measured
from savs.backbones.tuning import Tuning
from savs.baselines.registry import Resources
from savs.bench.recipes import recipe
from savs.bench.results import measure
from savs.bench.rows import row, settings_of
from savs.bench.runner import Bench, Setting, among_choices
from savs.data.example import Example
from savs.data.sampling import sample_shots
from savs.errors import DataError
from savs.extraction import extract
from savs.features import HeadId
from savs.prediction import Prediction

ROWS = [row("zero-shot-free"), row("sav"), row("hec")]


def test_every_row_has_its_draws_and_answers_every_test_example(bench, small):
    data = small("mhalubench")
    found = bench.fill(data, ROWS)
    assert [len(found[name].cells) for name in ("zero-shot-free", "sav", "hec")] == [1, 3, 3]
    for name in found:
        for cell in found[name].cells:
            assert [a.id for a in cell.answers] == [e.id for e in data.test]
    assert [cell.key.seed for cell in found["sav"].cells] == [0, 1, 2]
    assert found["zero-shot-free"].cells[0].key.seed is None
    assert found["sav"].cells[0].forwards == 0
    drawn = {e.id for seed in range(3) for e in sample_shots(data.pool, 4, seed)[0]}
    assert len(drawn) < len(data.pool), "what no draw takes is not read"
    assert 0 <= found["sav"].cells[0].reading.forwards - len(drawn) - len(data.test) <= 3  # a few, to try the padding
    assert found["zero-shot-free"].cells[0].reading is None


def test_a_finished_run_costs_no_forward_pass(bench, small):
    data = small("mhalubench")
    first = bench.fill(data, ROWS)
    bench.forget()
    with measured(bench.backbone) as cost:
        again = bench.fill(data, ROWS)
    assert cost.forwards == 0
    assert again == first


def test_an_interrupted_run_goes_on_where_it_stopped(bench, small, monkeypatch):
    data = small("mhalubench")
    keep, kept = bench.cells.keep, []

    def interrupt(cells, cell):
        if len(kept) == 2:
            raise KeyboardInterrupt
        kept.append(cell.key)
        return keep(cell)

    monkeypatch.setattr(type(bench.cells), "keep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.fill(data, ROWS)
    monkeypatch.undo()
    made = []
    original = type(bench.cells).keep
    monkeypatch.setattr(
        type(bench.cells), "keep", lambda cells, cell: (made.append(cell.key), original(cells, cell))[1]
    )
    found = bench.fill(data, ROWS)
    assert len(made) == 7 - 2 and not set(map(str, made)) & set(map(str, kept))
    assert [len(each.cells) for each in found.values()] == [1, 3, 3]


def test_changed_settings_are_run_and_unchanged_ones_are_not(bench, small):
    data = small("mhalubench")
    bench.fill(data, ROWS)
    more = replace(bench, setting=Setting(shots=4, draws=4), _read={})
    fewer = replace(bench, setting=Setting(shots=2, draws=3), _read={})
    n = len(list(bench.cells.folder.rglob("*.jsonl")))
    more.fill(data, ROWS)
    assert len(list(bench.cells.folder.rglob("*.jsonl"))) == n + 2, "one draw more of two rows"
    fewer.fill(data, ROWS)
    assert len(list(bench.cells.folder.rglob("*.jsonl"))) == n + 2 + 6


def test_heads_are_chosen_for_each_subtask(bench, small):
    data = small("blink", shots=4, test=12)
    cell = bench.fill(data, [row("sav")])["sav"].cells[0]
    assert [a.id for a in cell.answers] == [e.id for e in data.test]
    alone = replace(data.of_part("shape"), column=replace(data.column, by_part=False))
    answers = {a.id: a for a in bench.fill(alone, [row("sav")])["sav"].cells[0].answers}
    of_part = [a for a in cell.answers if a.id in answers]
    assert of_part and [a.label for a in of_part] == [answers[a.id].label for a in of_part]


def test_what_cannot_be_done_is_told_in_words(bench, small):
    data = small("mhalubench")
    found = bench.fill(data, [row("clip-zero-shot"), row("sav-loo", shots=1), row("sav", shots=1)])
    assert "--dual-encoder" in found["clip-zero-shot"].why
    assert "single shot" in found["sav-loo"].why
    assert found["sav"].why is None and found["sav"].cells[0].key.shots == 1


def test_a_method_that_fails_does_not_take_the_others_with_it(bench, small, monkeypatch):
    def fails(*_, **__):
        raise DataError("the picture is gone")

    monkeypatch.setattr("savs.baselines.zero_shot.ZeroShot.predict", fails)
    found = bench.fill(small("mhalubench"), ROWS)
    assert found["zero-shot-free"].why == "the picture is gone" and not found["zero-shot-free"].cells
    assert len(found["sav"].cells) == 3


def test_heads_of_another_column_are_used_and_make_another_cell(bench, small):
    data = small("mhalubench")
    found = bench.fill(data, [row("sav"), row("transferred-heads", elsewhere=("mhalubench", "vlguard"))])
    mine, theirs = found["sav"].cells[0], found["transferred-heads"].cells[0]
    assert theirs.key.settings["elsewhere_task"][0] == "vlguard"
    assert mine.key.digest() != theirs.key.digest()
    chosen_on = len(small("vlguard").classes) * 4
    assert 0 <= theirs.reading.forwards - mine.reading.forwards - chosen_on <= 3, "reading them there is counted"
    assert theirs.reading.seconds > mine.reading.seconds


def test_the_memory_that_reading_heads_took_is_the_row_s(bench, small, monkeypatch):
    """Reading takes more than the fit that follows it, which is measured by itself."""
    peaks = iter([900, *[100] * 9])

    @contextmanager
    def measuring(_backbone):
        yield Cost(seconds=1.0, forwards=1, peak_bytes=next(peaks))

    monkeypatch.setattr("savs.bench.runner.measured", measuring)
    made = recipe("table1").only(columns=["mhalubench"], methods=["sav"])
    [spent] = measure(bench, made, {}, told=lambda _: None).spent
    assert {cell.peak_bytes for cell in bench.fill(small("mhalubench"), [row("sav")])["sav"].cells} == {100}
    assert spent.peak_bytes == 900


def test_a_scarce_class_of_one_subtask_does_not_thin_the_others(bench, small):
    data = small("blink", shots=4, test=12)
    scarce = [e for e in data.pool if e.split == "shape" and e.label == "yes"][1:]
    thinned = replace(data, pool=tuple(e for e in data.pool if e not in scarce))
    found = bench.fill(thinned, [row("sav"), row("sav-loo")])
    whole = bench.fill(data, [row("sav")])
    assert found["sav"].cells[0].key.shots == 4
    same = {a.id: a.label for a in found["sav"].cells[0].answers if not a.id.startswith("shape")}
    assert same == {a.id: a.label for a in whole["sav"].cells[0].answers if a.id in same}
    assert "single shot" in found["sav-loo"].why


def test_fewer_shots_where_a_class_has_fewer(backbone, small, bench):
    greedy = replace(bench, setting=Setting(shots=50, draws=2), _read={})
    assert {cell.key.shots for cell in greedy.fill(small("mhalubench"), [row("sav")])["sav"].cells} == {6}


def test_draws_that_take_all_there_is_are_made_once_and_told(bench, small):
    """Six examples a class: a draw of four has a choice, draws of six and of fifty have none."""
    data, rows = small("mhalubench"), [row("zero-shot-free"), row("sav")]
    whole, greedy = (replace(bench, setting=Setting(shots=n, draws=3, costly_draws=2), _read={}) for n in (6, 50))
    assert len(bench.fill(data, rows)["sav"].cells) == 3
    filled = whole.fill(data, [*rows, row("icl-choice")])
    assert [len(filled[name].cells) for name in ("sav", "icl-choice")] == [1, 2], "which four it shows is drawn too"
    assert len(greedy.fill(data, rows)["sav"].cells) == 1
    same = ", so that draws of as many are all alike"
    assert bench.shot_note(data, rows) == bench.shot_note(data, rows[:1]) == greedy.shot_note(data, rows[:1]) == ""
    assert whole.shot_note(data, rows) == "6 shots a class, all there are" + same
    assert greedy.shot_note(data, rows) == "6 shots a class where 50 were asked for, all there are" + same
    scarce = replace(data, pool=data.pool[1:])
    assert len(greedy.fill(scarce, rows)["sav"].cells) == 3, "five of six are a choice"
    fewer = " shots a class where 50 were asked for: the scarcest class has no more"
    assert greedy.shot_note(scarce, rows) == "5" + fewer
    subtasks = small("blink", shots=4, test=12)
    thinned = replace(subtasks, pool=tuple(e for i, e in enumerate(subtasks.pool) if i))
    assert greedy.shot_note(thinned, rows) == "3 to 4" + fewer


def test_settings_tell_methods_apart_and_never_the_model(bench):
    resources = Resources(backbone=bench.backbone)
    assert settings_of(row("icl-free").make(resources)) != settings_of(row("icl-choice").make(resources))
    assert "backbone" not in settings_of(row("lora-free").make(resources))


OFFERS = Example("1", "which?", label="ant", choices=("ant", "bee"))


@pytest.mark.parametrize(
    ("label", "probabilities", "votes", "expected"),
    [
        ("cat", {"ant": 0.2, "bee": 0.3, "cat": 0.5}, [], "bee"),
        ("ant", {"ant": 0.5, "bee": 0.5, "cat": 0.0}, [], "ant"),
        ("cat", {"ant": 0.25, "bee": 0.25, "cat": 0.5}, ["cat", "bee", "cat", "ant"], "bee"),
        ("cat", {"ant": 0.0, "bee": 0.0, "cat": 1.0}, ["cat"], "cat"),
        ("<unmatched>", {"ant": 0.0, "bee": 0.0, "cat": 0.0}, [], "<unmatched>"),
    ],
)
def test_answers_are_taken_from_the_choices(label, probabilities, votes, expected):
    answer = Prediction("1", label, probabilities, {HeadId(0, i): vote for i, vote in enumerate(votes)})
    assert among_choices(answer, OFFERS).label == expected
    assert among_choices(answer, replace(OFFERS, choices=None)).label == label


def test_features_are_kept_between_runs_where_there_is_a_store(bench, small, tmp_path):
    from savs.store import ActivationStore

    made = {"spec": bench.backbone.spec, "layout": bench.backbone.layout}
    store = ActivationStore.create(tmp_path / "store", **made)
    data = small("mhalubench")
    plain = bench.fill(data, [row("sav")])["sav"].cells
    for cells in ("one", "two"):
        stored = Bench(bench.backbone, type(bench.cells)(tmp_path / cells), bench.load, bench.setting, store=store)
        with measured(bench.backbone) as cost:
            found = stored.fill(data, [row("sav")])["sav"].cells
        assert [c.answers for c in found] == [c.answers for c in plain]
        assert (cost.forwards == 0) == (cells == "two")
        [reading] = {cell.reading for cell in found}
        assert (reading.forwards == 0) == (cells == "two")
        assert reading.stored == (len(store) if cells == "two" else 0)
        assert plain[0].reading.stored == 0


def test_heads_are_chosen_on_the_next_column_where_the_first_has_no_data(bench, small):
    def load(name):
        if name == "pets":
            raise DataError("the data of Pets are not there")
        return small(name)

    lacking = replace(bench, load=load, _read={}, _chosen_on={})
    chosen = row("transferred-heads", elsewhere=("pets", "vlguard"))
    found = lacking.fill(small("mhalubench"), [chosen])["transferred-heads"]
    assert found.cells[0].key.settings["elsewhere_task"][0] == "vlguard"
    alone = row("transferred-heads", elsewhere=("pets",))
    assert lacking.fill(small("mhalubench"), [alone])["transferred-heads"].why == "the data of Pets are not there"


def test_all_panels_of_a_recipe_read_a_column_once(bench, small, monkeypatch):
    figure = recipe("figure4").only(columns=["mhalubench"], methods=["sav"])
    read = []
    monkeypatch.setattr(
        "savs.bench.runner.extract", lambda *args, **options: (read.append(len(args[1])), extract(*args, **options))[1]
    )
    told = []
    found = measure(bench, figure, {}, told=told.append)
    assert len(read) == 1 and len(figure.panels) == 2
    assert {spent.forwards for spent in found.spent} == {0}


def test_adapters_are_trained_on_another_column_s_draws(bench, small):
    pytest.importorskip("peft")
    asked = row("transferred-lora-choice", elsewhere=("vlguard",))
    quick = replace(bench.resources, tuning=Tuning(rank=2, epochs=1))
    data = small("mhalubench")
    found = replace(bench, resources=quick).fill(data, [asked])[asked.name]
    assert found.why is None
    assert [cell.key.seed for cell in found.cells] == list(bench.setting.seeds(asked))
    assert all(cell.key.settings["elsewhere_task"][0] == "vlguard" for cell in found.cells)
    assert [a.id for a in found.cells[0].answers] == [e.id for e in data.test]
    assert found.cells[0].reading is None
