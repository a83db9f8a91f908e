"""What the page says of quantised weights is so: as recorded, and again wherever a method's package is here."""

import json
from importlib.util import find_spec

import pytest

from benchmarks.families.page import RECORDS
from benchmarks.families.quantised import DOCS, METHODS, plain_model, tried

RECORDED = json.loads((DOCS / RECORDS[1]).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return plain_model(tmp_path_factory.mktemp("plain"))


def test_every_method_is_recorded_and_opened_or_refused_in_a_sentence():
    assert list(RECORDED) == list(METHODS), "run python -m benchmarks.families.quantised"
    for name, record in RECORDED.items():
        if record["problem"]:
            assert "\n" not in record["problem"] and "pip install" in record["problem"], name
        else:
            assert set(record["checks"].values()) == {"ok"}, name
            assert record["kept"] and record["batch"] < 0.1, name


def test_fewer_bits_drift_further():
    eight, four = (
        [record["drift"] for name, record in RECORDED.items() if bits in name and not record["problem"]]
        for bits in ("8", "4 bits")
    )
    assert 0 < max(eight) < min(four) < 0.5


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_still_what_the_record_says(name, plain, tmp_path):
    method, then = METHODS[name], RECORDED[name]
    assert then["made_with"].startswith(method.package.replace("_", "-"))
    if method.package and find_spec(method.package) is None:
        return
    now = tried(method, plain, tmp_path)
    assert (now.problem, now.kept, now.checks) == (then["problem"], then["kept"], then["checks"])
    assert now.drift is None or now.drift == pytest.approx(then["drift"], rel=0.2)
