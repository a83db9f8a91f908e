"""Multiple choice made by seed: fair, repeatable, and dependent on nothing but the seed, the id and the classes."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs.data.choices import OPTIONS_MARK, offer, offered, without_options
from savs.data.example import Example
from savs.errors import DataError

CLASSES = [f"kind {i}" for i in range(12)]


def asked(n=60):
    return [Example(str(i), f"What?{OPTIONS_MARK} Say.", label=CLASSES[i % len(CLASSES)]) for i in range(n)]


@pytest.mark.parametrize("ways", [2, 4, 12])
def test_every_example_is_offered_its_class_among_others_as_lettered_options(ways):
    for example in offer(asked(), ways, classes=CLASSES):
        assert len(set(example.choices)) == ways
        assert example.label in example.choices
        lines = " ".join(f"{'ABCDEFGHIJKL'[i]}. {choice}" for i, choice in enumerate(example.choices))
        assert example.text == f"What?\n{lines} Say."


@given(st.permutations(CLASSES), st.integers(0, 3))
def test_options_depend_on_seed_id_and_classes_alone(shuffled, seed):
    examples = asked(20)
    expected = offer(examples, 4, classes=CLASSES, seed=seed)
    assert offer(examples[::-1], 4, classes=[*shuffled, *shuffled], seed=seed)[::-1] == expected
    assert offer(examples[5:6], 4, classes=shuffled, seed=seed) == expected[5:6]


def test_another_seed_gives_other_options():
    first, second = (offer(asked(), 4, classes=CLASSES, seed=seed) for seed in (0, 1))
    same = sum(a.choices == b.choices for a, b in zip(first, second, strict=True))
    assert same < 3


def test_options_are_fair():
    examples = [Example(str(i), "?", label="kind 0") for i in range(4000)]
    made = offer(examples, 4, classes=CLASSES)
    place = Counter(example.choices.index("kind 0") for example in made)
    assert all(900 < place[letter] < 1100 for letter in range(4)), "the truth stands in no place more often"
    others = Counter(choice for example in made for choice in example.choices if choice != "kind 0")
    assert all(980 < others[name] < 1200 for name in CLASSES[1:]), "3 of 11 others: 1,091 times each"


def test_with_fewer_classes_all_are_offered_and_own_choices_are_kept():
    (few,) = offer([Example("a", "?", label="x")], 4, classes=["x", "y"])
    assert sorted(few.choices) == ["x", "y"]
    own = Example("a", "?", label="x", choices=("z", "x"))
    assert offer([own], 4, classes=["x", "y"]) == [own]


def test_without_options_the_place_for_them_is_gone():
    assert without_options(Example("a", f"What?{OPTIONS_MARK}\nSay.")).text == "What?\nSay."


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (Example("a", "?", location="rows:3"), "rows:3: has no label, so no options"),
        (Example("a", "?", label="cat", location="rows:3"), "rows:3: label 'cat' is none of the 12 classes"),
    ],
)
def test_what_cannot_be_offered_is_refused(example, message):
    with pytest.raises(DataError, match=message):
        offer([example], 4, classes=CLASSES)


@pytest.mark.parametrize("ways", [1, 27])
def test_ways_have_bounds(ways):
    with pytest.raises(ValueError, match=f"from 2 to 26 options, got {ways}"):
        offer(asked(1), ways, classes=CLASSES)


def test_only_choices_that_are_classes_limit_the_answer():
    examples = [
        Example("a", "?", choices=("cat", "dog")),
        Example("b", "?", choices=("a small one", "a large one")),
        Example("c", "?"),
        Example("d", "?", choices=("cat", "no class")),
    ]
    assert offered(examples, ["bee", "cat", "dog"]).tolist() == [
        [False, True, True], [True] * 3, [True] * 3, [False, True, False]
    ]  # fmt: skip
