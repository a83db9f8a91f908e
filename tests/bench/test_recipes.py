"""Recipes name what there is; the paper's numbers are read as they stand."""

from dataclasses import replace

import pytest

from savs.baselines.registry import METHODS
from savs.bench.columns import COLUMNS, column
from savs.bench.paper_numbers import _numbers, paper_model, paper_value
from savs.bench.recipes import FIRST, RECIPES, recipe
from savs.data.benchmark_specs import benchmark_columns, spec_of
from savs.errors import DataError, SavsError


def test_sixteen_scores_of_twelve_data_sets_and_two_beside_as_the_loaders_know_them():
    assert sum(len(each.scores) for each in COLUMNS if not each.only_if_named) == 16
    assert [each.name for each in COLUMNS if each.only_if_named] == ["camerabench", "rewardbench"]
    assert {name for each in COLUMNS for name in each.called.values()} == set(benchmark_columns())
    for each in COLUMNS:
        assert set(each.called) == set(each.scores)
        for name in each.called.values():
            assert spec_of(name).name == each.name
            assert name in benchmark_columns()
        assert each.by_part == (spec_of(each.called[each.scores[0]]).by_part is not None)


def test_an_unknown_column_is_refused_with_a_hint():
    with pytest.raises(DataError, match="did you mean 'pets'"):
        column("pet")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_measured_against_the_paper_s_rule(name):
    made = recipe(name)
    assert made.columns
    for panel in made.panels:
        assert len({row.name for row in panel.rows}) == len(panel.rows)
        assert any(row.name.partition(",")[0] == FIRST for row in panel.rows)


def test_table_1_has_every_method_that_has_no_table_of_its_own():
    shown = {row.name for panel in recipe("table1").panels for row in panel.rows}
    assert {"zero-shot-free", "zero-shot-choice", "icl-free", "mtv-free", "lora-free", "sav", "hec", "calm"} <= shown
    others = {row.name for name in ("table2", "table3") for panel in recipe(name).panels for row in panel.rows}
    assert set(METHODS) - {"majority"} <= shown | others


@pytest.mark.parametrize("name", ["table1", "figure3", "figure4"])
def test_a_column_that_must_be_named_is_left_out_until_it_is(name):
    assert len(recipe(name).only().columns) == 12
    assert recipe(name).only(columns=["rewardbench", "pets"]).columns == ("pets", "rewardbench")


def test_a_row_that_must_be_named_is_left_out_until_it_is():
    plain, named = (recipe("table1").only(methods=methods) for methods in (None, ["lora-free"]))
    assert "lora-choice" in plain.methods and "lora-free" not in plain.methods
    assert named.methods == ("lora-free", "sav")


def test_figure_4_goes_from_one_to_forty_shots_and_to_all_heads():
    shots, heads = recipe("figure4").panels
    assert {row.shots for row in shots.rows} == {1, 2, 5, 10, 20, 40}
    assert [row.x for row in heads.rows][:1] == [1] and max(row.x for row in heads.rows) == float("inf")


def test_some_columns_and_methods():
    made = recipe("table3").only(columns=["eurosat"], methods=["knn"])
    assert [(panel.name, panel.columns) for panel in made.panels] == [("3a", ("eurosat",)), ("3b", ("eurosat",))]
    assert [[row.name for row in panel.rows] for panel in made.panels] == [["sav", "knn"], ["sav"]]


@pytest.mark.parametrize(
    ("called", "known"),
    [
        ("Qwen/Qwen2-VL-7B-Instruct", "Qwen2-VL-7B"),
        ("llava-hf/llava-onevision-qwen2-7b-ov-hf", "LLaVA-OneVision-7B"),
        ("models/Qwen2-VL-7B-Instruct/", "Qwen2-VL-7B"),
        ("Qwen/Qwen2-VL-2B-Instruct", None),
        ("demo", None),
        ("gpt-4o", "GPT-4o"),
        ("openai/gpt-4o-2024-08-06", "GPT-4o"),
        ("gpt-4o-mini", None),
    ],
)
def test_models_of_the_paper_are_known_by_name(called, known):
    assert paper_model(called) == known


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("table1", "", "Qwen2-VL-7B", "sav", "mhalubench"), 0.851),
        (("table1", "", "LLaVA-OneVision-7B", "mtv-free", "cub"), 0.856),
        (("table1", "", "Qwen2-VL-7B", "zero-shot-choice", "naturalbench_group"), 0.285),
        (("table1", "", None, "siglip-zero-shot", "pets"), 0.983),
        (("table1", "", "GPT-4o", "zero-shot-endpoint", "pets"), 0.983),
        (("table1", "", None, "zero-shot-endpoint", "pets"), None),
        (("table2", "2a", "LLaVA-OneVision-7B", "transferred-heads", "mhalubench"), 0.553),
        (("table3", "3a", "LLaVA-OneVision-7B", "linear", "eurosat"), 0.831),
        (("table1", "", "Qwen2-VL-7B", "hec", "mhalubench"), None),
        (("table1", "", None, "sav", "mhalubench"), None),
        (("figure4", "shots", "Qwen2-VL-7B", "sav, 20 shots", "mhalubench"), None),
    ],
)
def test_the_paper_s_numbers(place, value):
    assert paper_value(*place) == (pytest.approx(value) if value is not None else None)


def test_the_paper_s_rows_are_rows_of_ours():
    ours = {name.removesuffix("-free").removesuffix("-choice") for name in METHODS}
    for table in ("table1", "table2", "table3"):
        assert {method for _, _, method, _ in _numbers(table)} <= ours
    scores = {name for each in COLUMNS if not each.only_if_named for name in each.called.values()}
    assert {score for _, _, _, score in _numbers("table1")} == scores


def test_a_plan_refuses_what_a_recipe_does_not_have(tmp_path):
    from savs.bench.plan import Plan

    plan = Plan("table3", "demo", tmp_path, tmp_path, drawn=True, methods=("sav", "magic"))
    with pytest.raises(SavsError, match="table3 has no method 'magic'; it has sav, knn"):
        plan.made_recipe()
    with pytest.raises(SavsError, match="nothing is left of table3; name some of its columns, mhalubench"):
        replace(plan, columns=(), methods=None).made_recipe()


def test_the_command_of_a_plan_names_all_that_changes_its_numbers(tmp_path):
    from savs.bench.plan import Plan

    plan = Plan("table1", "some/model", tmp_path, tmp_path, drawn=False, data_root=tmp_path / "data", columns=("pets",))
    changed = replace(plan, dtype="bfloat16", max_test=40, dual_encoders=("some/clip",))
    assert plan.command().split() == [
        *("savs", "bench", "table1", "--model", "some/model", "--data-root", str(tmp_path / "data")),
        *("--columns", "pets", "--shots", "20", "--draws", "5", "--costly-draws", "2", "--seed", "0"),
    ]
    assert "--max-test 40 --dtype bfloat16" in changed.command() and "--dual-encoder some/clip" in changed.command()
