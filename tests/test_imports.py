"""Importing is light and changes nothing, every public name is there, and rooms import one way."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import savs

SOURCE = Path(savs.__file__).parent
PROBE = """
import json, logging, os, sys, warnings
def state():
    root = logging.root
    return [list(map(str, warnings.filters)), dict(os.environ), list(map(str, root.handlers)), root.level]
for module in {before!r}:
    __import__(module)
before = state()
import {module}
assert state() == before, "the import changed the state of the process"
print(json.dumps(sorted(sys.modules)))
"""


def modules_after(module, before=()):
    code = PROBE.format(module=module, before=list(before))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return set(json.loads(run.stdout))


def test_savs_is_light():
    heavy = {"torch", "transformers", "sklearn", "numpy", "matplotlib", "PIL", "scipy", "huggingface_hub"}
    assert not heavy & modules_after("savs")


@pytest.mark.parametrize("module", ["savs.classify", "savs.features", "savs.evaluation", "savs.data.readers"])
def test_the_method_and_the_data_load_no_model_library(module):
    # What scikit-learn and its kin do to the process when they are first imported is theirs.
    loaded = modules_after(module, before=["sklearn.linear_model", "sklearn.model_selection", "scipy.stats"])
    assert not {"torch", "transformers"} & loaded


def test_every_public_name_is_there():
    for name in savs.__all__:
        assert getattr(savs, name) is not None
        assert name in dir(savs)
    assert sorted(savs.__all__) == savs.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        savs.nothing  # noqa: B018


# The rooms from the ground up: nothing imports a room that stands after it. A module that stands alone is a room of
# its own, and "" is the package itself, which imports nothing before it is asked to.
ORDER = [
    *("", "errors", "processes", "features", "data", "grouping", "intervals", "classify", "prediction", "backbones"),
    *(
        "store",
        "extraction",
        "fit_summary",
        "classifier_folder",
        "card",
        "model",
        "together",
        "engines",
        "report",
        "evaluation",
        "comparison",
    ),
    *("baselines", "plot", "demo", "bench", "bakeoff", "doctor", "cli", "__main__"),
]
# What a room may import at most, where it is meant to know little.
NARROW = {
    "": set(),
    "errors": set(),
    "processes": set(),
    "features": set(),
    "data": {"errors"},
    "classify": set(),
    "prediction": {"features"},
    "backbones": {"errors", "features", "data"},
    "store": {"errors", "features", "backbones"},
    "extraction": {"errors", "features", "data", "backbones", "store"},
    "report": {"errors", "intervals"},
    "evaluation": {"errors", "data", "grouping", "intervals", "prediction", "report"},
    "baselines": {"errors", "data", "backbones", "prediction", "features", "classify"},
}


def statements(node):
    """Everything below `node` that runs, thus without imports for types alone."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING"):
            yield child
            yield from statements(child)


def imports(path):
    for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def edges():
    """Who imports what, as (room, module)."""
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield from (("" if parts == ("__init__",) else parts[0], module) for module in imports(path))


def room_of(module):
    return module.removeprefix("savs").lstrip(".").partition(".")[0]


def test_rooms_import_one_way():
    pairs = {(source, room_of(module)) for source, module in edges() if module.partition(".")[0] == "savs"}
    pairs = {(source, target) for source, target in pairs if source != target}
    assert {("cli", "model"), ("model", "classify"), ("classifier_folder", "errors")} <= pairs
    unknown = {room for pair in pairs for room in pair} - set(ORDER)
    assert not unknown, "give new rooms a place in ORDER"
    assert not {f"{source} imports {target}" for source, target in pairs if ORDER.index(source) < ORDER.index(target)}
    assert not {f"{source} imports {target}" for source, target in pairs if target not in NARROW.get(source, ORDER)}


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("transformers", {"backbones", "cli"}),  # the CLI turns down its log
        ("torch", {"backbones"}),
        (
            "sklearn",
            {"classify", "model", "fit_summary", "evaluation", "baselines", "bakeoff", "plot", "demo", "bench"},
        ),
        ("matplotlib", {"plot", "demo", "bench"}),
        ("typer", {"cli"}),
        ("rich", {"cli", "demo"}),
    ],
)
def test_heavy_libraries_stay_in_their_rooms(library, allowed):
    users = {source for source, module in edges() if module.partition(".")[0] == library}
    assert users
    assert users <= allowed
