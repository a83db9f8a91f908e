"""The reference is made from docstrings: what it names exists, and every public name is in it."""

import re
from importlib import import_module
from pathlib import Path

import pytest

import savs

PAGE = (Path(__file__).parents[1] / "docs" / "reference.md").read_text(encoding="utf-8")
#: What stands in it, and which members where not all.
ENTRIES = dict(re.findall(r"^::: (\S+)\n(?:    options:\n      members: \[(.*)\]\n)?", PAGE, flags=re.MULTILINE))


def named(path):
    """The module, class or function of that name."""
    try:
        return import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return getattr(import_module(module), name)


@pytest.mark.parametrize("path", ENTRIES)
def test_what_the_reference_names_exists_and_says_what_it_is(path):
    thing = named(path)
    for member in [thing, *(getattr(thing, name) for name in filter(None, ENTRIES[path].split(", ")))]:
        assert member.__doc__


@pytest.mark.parametrize("name", savs.__all__)
def test_every_public_name_is_in_the_reference(name):
    thing = getattr(savs, name)
    of_module = ENTRIES.get(thing.__module__)
    assert f"{thing.__module__}.{name}" in ENTRIES or (
        of_module is not None and (not of_module or name in of_module.split(", "))
    )
