"""Rows share a batch where a model lets them, which is asked once for each way in which they may harm each other."""

import pytest

from savs.backbones.mixing import Mixing

SMALL, LARGE = ((32, 32),), ((64, 64),)


class Model:
    """Gives each row what is wrong with its batch, and remembers how many rows it was given."""

    def __init__(self, kinds, harm):
        self.kinds, self.harm, self.sizes = kinds, harm, []

    def run(self, rows):
        self.sizes.append(len(rows))
        return [self.harm([self.kinds[row] for row in rows], place) for place in range(len(rows))]


def padded(rows, place):
    return max(length for length, _ in rows) - rows[place][0]


def padded_images(rows, place):
    return max(size for _, size in rows) != rows[place][1]


def numbered(rows, place):
    return place


def harmless(rows, place):
    return 0


def mixed(kinds, harm, mixing=None):
    mixing = mixing or Mixing("a model", lambda one, alone: one == alone)
    model = Model(kinds, harm)
    return mixing.run(kinds, model.run), model.sizes, mixing


TEXTS = [(3, ()), (9, ()), (3, ()), (5, ())]
PICTURES = [(3, SMALL), (3, LARGE), (3, SMALL)]


@pytest.mark.parametrize(
    ("kinds", "harm", "then"),
    [
        (TEXTS, harmless, [4]),
        (TEXTS, padded, [2, 1, 1]),
        (TEXTS, numbered, [1, 1, 1, 1]),
        (PICTURES, padded_images, [2, 1]),
        (PICTURES, padded, [3]),
        ([(3, ())] * 3, numbered, [1, 1, 1]),
        ([(3, ())] * 3, padded, [3]),
    ],
)
def test_every_row_gets_what_it_gives_alone_in_as_few_batches_as_that_takes(kinds, harm, then):
    found, _, mixing = mixed(kinds, harm)
    assert not any(found)
    assert mixed(kinds, harm, mixing)[:2] == ([0] * len(kinds), then)  # asked once


def test_that_lengths_do_no_harm_says_nothing_of_images():
    # Emu3 leaves prompts of unlike lengths as they are, and pads small images to large ones.
    _, _, mixing = mixed([(3, SMALL), (9, SMALL)], padded_images)
    assert mixing.padding_is_harmless
    assert mixing.asks(PICTURES)
    assert mixed(PICTURES, padded_images, mixing)[0] == [False, False, False]
    assert not mixing.padding_is_harmless
    assert not mixing.asks([(4, SMALL), (7, SMALL)])


def test_what_does_no_harm_at_once_does_none_apart():
    _, sizes, mixing = mixed([(3, SMALL), (9, LARGE)], harmless)
    assert sizes == [2, 1, 1]
    for kinds in ([(3, SMALL)] * 2, [(3, SMALL), (4, SMALL)], PICTURES):
        assert mixed(kinds, harmless, mixing)[1] == [len(kinds)]
    assert mixing.asks(TEXTS)  # of text alone nothing was asked


def test_what_does_harm_by_itself_is_not_tried_with_more():
    both = [(3, SMALL), (9, LARGE)]
    _, _, mixing = mixed([(3, SMALL), (9, SMALL)], padded)
    assert not mixing.asks(both)
    assert mixed(both, harmless, mixing)[1] == [1, 1]  # as luck would have it, these two go together


def test_what_is_run_apart_is_told_in_words(caplog):
    with caplog.at_level("INFO", logger="savs"):
        mixed(PICTURES, padded_images)
        mixed(TEXTS, padded)
        mixed([(3, ())] * 2, numbered)
    assert [record.getMessage() for record in caplog.records] == [
        "a model runs prompts of unlike size of images apart: they change each other in a batch",
        "a model runs prompts of unlike length apart: they change each other in a batch",
        "a model runs its prompts one by one: they change each other in a batch",
    ]


def test_a_row_alone_is_not_asked_about():
    assert mixed([(3, ())], numbered)[1] == [1]
    assert not Mixing("a model", lambda one, alone: True).asks([(3, ())])
