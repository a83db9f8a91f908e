"""The probes ask what training and the evaluations do not, of examples that they do not mix."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

import probes  # noqa: E402
from savs.demo.tasks import EVALUATION_TEMPLATES  # noqa: E402
from wordings import all_templates  # noqa: E402


def runs(text):
    """All runs of four words, but for how an answer is called for."""
    words = [word.strip(',.?:;"') for word in text.lower().replace("yes or no", "").split()]
    return set(zip(words, words[1:], words[2:], words[3:], strict=False))


def test_no_wording_is_that_of_training_or_the_demo():
    elsewhere = {run for text in (*all_templates(), *EVALUATION_TEMPLATES) for run in runs(text)}
    assert runs("So, would you say that it is?") & elsewhere  # the comparison does see a shared run
    mine = [wording for probe in probes.PROBES[1:] for wording in probe.wordings]
    assert len(mine) >= 14
    assert not {run: wording for wording in mine for run in runs(wording) & elsewhere}


@pytest.mark.parametrize("probe", probes.PROBES, ids=lambda probe: probe.name)
def test_shots_and_tests_are_balanced_and_apart(probe):
    train, test = (probe.examples(probe.wordings[0], 5, seed) for seed in (0, 1))
    assert [sorted(e.label for e in some) for some in (train, test)] == [sorted(5 * probe.classes)] * 2
    shown = [{e.media[0].source.tobytes() for e in some} for some in (train, test)]
    assert not shown[0] & shown[1]
    assert [e.text for e in train] == [e.text for e in probe.examples(probe.wordings[0], 5, 0)]


def test_the_score_is_that_of_what_the_features_hold():
    probe, rng = probes.PROBES[2], np.random.default_rng(0)

    def told(examples):
        return np.eye(5)[[probe.classes.index(e.label) for e in examples]][:, None]

    assert probes.score(probe, told) == [1.0] * len(probe.wordings)
    blind = probes.score(probe, lambda examples: rng.normal(size=(len(examples), 30, 8)))
    assert all(0.1 < share < 0.3 for share in blind)
