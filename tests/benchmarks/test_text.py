"""The text benchmark's tasks are fair, and its page is made from its numbers."""

import json
from pathlib import Path

import pytest

from benchmarks.text.page import render
from benchmarks.text.tasks import POOL, load_tasks
from savs.errors import DataError

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def test_the_page_is_made_from_the_numbers():
    results = json.loads((RESULTS / "text.json").read_text(encoding="utf-8"))
    assert (RESULTS / "text.md").read_text(encoding="utf-8") == render(results), "run python -m benchmarks.text --page"
    assert results["setting"]["draws"] >= 5


@pytest.mark.slow
def test_the_tasks_are_balanced_where_they_are_tested_and_never_tested_on_shots():
    try:
        tasks = load_tasks()
    except DataError as error:
        pytest.skip(f"the tables of names cannot be fetched: {error}")
    assert [len(task.classes) for task in tasks] == [8, 14, 4]
    for task in tasks:
        labels = [example.label for example in task.test]
        assert len({labels.count(label) for label in task.classes}) == 1
        pool = [example.label for example in task.pool]
        assert min(pool.count(label) for label in task.classes) >= POOL
        assert not {example.text for example in task.pool} & {example.text for example in task.test}
