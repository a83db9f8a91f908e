"""The demo's run and its page, on a tiny model with random weights."""

import json
import re
from contextlib import nullcontext

import numpy as np
import pytest

from savs.demo.report import render_report
from savs.demo.run import run_demo


@pytest.fixture(scope="module")
def results(backbone):
    stages = []

    def stage(title):
        stages.append(title)
        return nullcontext()

    found = run_demo(backbone("llava"), tasks=("matching", "invented names"), shots=5, draws=2, stage=stage)
    assert [title.split(":")[0] for title in stages] == ["matching"] * 4 + ["invented names"] * 4
    return found


def test_numbers_are_those_of_the_predictions(results):
    for result in results:
        truth = [example.label for example in result.task.test]
        given = [prediction.label for prediction in result.predictions]
        assert [p.id for p in result.predictions] == [e.id for e in result.task.test]
        right = np.mean([a == b for a, b in zip(truth, given, strict=True)])
        assert result.report.accuracy.value == pytest.approx(right)
        assert result.savs.low <= result.savs.value <= result.savs.high
        assert result.majority == max(truth.count(label) for label in set(truth)) / len(truth)
        assert result.zero_shot.value == max(result.zero_shot_free.value, result.zero_shot_choice.value)


def test_random_weights_do_not_solve_the_tasks(results):
    # The negative control of the whole demo: a model that knows nothing is near chance where the question matters.
    matching = results[0]
    assert matching.savs.low < 0.5 < matching.savs.high + 0.05


def test_only_grouped_tasks_have_a_score_of_whole_groups(results):
    matching, invented = results
    assert matching.savs_whole is not None
    assert matching.savs_whole.value <= matching.savs.value
    assert invented.savs_whole is None


def test_curves_end_at_all_heads_and_pass_through_the_headline(results):
    for result in results:
        assert result.by_heads.x[-1] == result.model.layout.n_heads
        at = dict(zip(result.by_shots.x, result.by_shots.accuracy, strict=True))
        assert at[5] == result.savs


def test_json_holds_every_number(results):
    for result in results:
        table = json.loads(json.dumps(result.to_json()))
        assert table["savs"]["value"] == result.savs.value
        assert len(table["selected_heads"]) == len(result.selected_heads)
        assert [point["at"] for point in table["accuracy_by_shots"]] == list(result.by_shots.x)


def test_too_few_draws_and_too_many_shots_are_refused(backbone):
    with pytest.raises(ValueError, match="draws=1"):
        run_demo(backbone("llava"), draws=1)
    with pytest.raises(ValueError, match="shots=61"):
        run_demo(backbone("llava"), shots=61)


def test_page_is_self_contained_and_shows_pictures_votes_and_figures(results):
    page = render_report(results, results[0].model.spec, command="savs demo <test>")
    sources = re.findall(r'src="([^"]*)"', page)
    assert all(source.startswith("data:image/") for source in sources)
    assert re.findall(r'(?:href|url)="(?!#)([^"]*)"', page) == ["https://arxiv.org/abs/2412.00142"]
    assert "<script" not in page and "<link" not in page
    assert "savs demo &lt;test&gt;" in page
    figures, examples = 5, 6
    assert len(sources) >= len(results) * (figures + examples)
    for result in results:
        assert result.task.name in page
