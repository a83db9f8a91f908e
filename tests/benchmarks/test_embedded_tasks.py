import itertools
import re

import pytest

from benchmarks.embedded import sources, tasks
from benchmarks.embedded.sources import Source, fetch
from savs.demo.tasks import DEMO_TASKS
from savs.demo.tasks import EVALUATION_TEMPLATES as DEMO_TEMPLATES
from savs.errors import DataError

ALL_TEMPLATES = (*DEMO_TEMPLATES, *tasks.EVALUATION_TEMPLATES)


def runs(template: str, length: int = 4) -> set[tuple[str, ...]]:
    """Every run of so many words that no slot interrupts."""
    found = set()
    for part in re.split(r"\{\w+\}|<image>", template.lower()):
        words = re.findall(r"[a-z]+", part)
        found |= set(zip(*(words[i:] for i in range(length)), strict=False))
    return found


def test_runs_of_words_stop_at_slots():
    assert runs("Is the {colour} thing here, yes or no?") == {
        ("thing", "here", "yes", "or"),
        ("here", "yes", "or", "no"),
    }


def test_no_prompt_shares_a_run_of_words_with_training():
    from wordings import all_templates

    trained = set(itertools.chain(*map(runs, all_templates())))
    assert ("would", "you", "say", "that") in trained
    for template in ALL_TEMPLATES:
        assert not runs(template) & trained, template


def test_twelve_tasks_or_more_and_those_without_words_are_among_them():
    assert len(set(tasks.TASKS)) == len(tasks.TASKS) >= 12
    assert set(DEMO_TASKS) < set(tasks.TASKS)
    assert set(tasks.WITHOUT_WORDS) < set(tasks.TASKS)


def test_the_question_matters_where_prompts_differ():
    invented, distractor = tasks.load_task("invented names"), tasks.load_task("with distractor")
    assert not invented.question_matters
    assert len({example.text for example in invented.data.test}) == 1
    assert distractor.question_matters
    assert not distractor.words_known


def test_only_what_the_tasks_read_is_fetched_and_once():
    assert tasks.sources_of(["claims", "digits"]) == ()
    assert tasks.sources_of(["openmoji groups", "openmoji subgroups", "textile"]) == (
        sources.OPENMOJI,
        sources.EMOJI_NAMES,
        sources.TEXTILE,
    )


def test_an_unknown_task_is_named():
    with pytest.raises(DataError, match="no task 'digit'.*digits"):
        tasks.load_task("digit")


def test_a_download_that_is_not_the_pinned_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CACHE", tmp_path)
    source = Source("thing==1", "thing.whl", "0" * 64, ("false",), "MIT")
    with pytest.raises(DataError, match="cannot fetch thing==1.*check the network"):
        fetch(source)
    (tmp_path / "thing.whl").write_bytes(b"other")
    with pytest.raises(DataError, match="expected 0000"):
        fetch(source)


def test_a_drawing_becomes_a_picture_on_a_near_white_ground():
    pytest.importorskip("resvg_py")
    square = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4"><rect width="2" height="4" fill="#f00"/></svg>'
    image = tasks._rendered(square, size=8)
    assert (image.size, image.mode) == ((8, 8), "RGB")
    assert image.getpixel((1, 4)) == (255, 0, 0)
    assert image.getpixel((6, 4)) == (250, 250, 250)
