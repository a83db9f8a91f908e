"""Which examples share a batch."""

import numpy as np
import pytest

from savs.backbones.batches import batches, of_equal_media
from savs.data.example import Example


def of_lengths(lengths):
    """Texts that begin unlike each other, so that nothing is shared."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [Example(f"{i}", letters[i % 26] + letters[i // 26] + "x" * length) for i, length in enumerate(lengths)]


def made(model, examples, *, size=None, tokens=768, share=True, halve=False):
    return list(batches(examples, model._encoder, size=size, tokens=tokens, share=share, halve=halve))


def tokens_of(batch):
    return batch.inputs["input_ids"].numel()


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_every_example_is_in_one_batch_and_batches_stay_within_their_tokens(kind, backbone):
    model = backbone(kind)
    examples = of_lengths(np.random.default_rng(0).integers(1, 120, 50))
    for tokens in (150, 400, 2000):
        cut = made(model, examples, tokens=tokens)
        assert sorted(row for batch in cut for row in batch.rows) == list(range(50))
        assert all([examples[row] for row in batch.rows] == list(batch.examples) for batch in cut)
        assert all(tokens_of(batch) <= tokens for batch in cut if batch.tails is None)
        widths = [batch.inputs["input_ids"].shape[1] for batch in cut]
        assert widths == sorted(widths, reverse=True)
    assert len(made(model, examples, tokens=150)) > len(made(model, examples, tokens=2000)) >= 2


def test_one_example_runs_however_long_it_is(backbone):
    cut = made(backbone("gpt2"), of_lengths([300, 10, 10, 10, 10]), tokens=50)
    assert [len(batch.rows) for batch in cut] == [1, 1, 3]  # a batch counts on the width of the one before


def test_no_batch_is_left_with_a_few_alone(backbone):
    examples = of_lengths([10] * 21)
    assert [len(batch.rows) for batch in made(backbone("gpt2"), examples, tokens=20 * 12)] == [11, 10]
    assert [len(batch.rows) for batch in made(backbone("gpt2"), examples, size=20)] == [20, 1]


def test_what_would_fill_one_batch_makes_two(backbone):
    """So that one runs beside the other; what fills less than half of one is not cut."""
    model = backbone("gpt2")
    sizes = [
        [len(batch.rows) for batch in made(model, of_lengths([10] * n), tokens=20 * 12, halve=True)]
        for n in (20, 11, 10, 1)
    ]
    assert sizes == [[10, 10], [6, 5], [10], [1]]
    assert [len(batch.rows) for batch in made(model, of_lengths([10] * 20), tokens=20 * 12)] == [20]
    assert [len(batch.rows) for batch in made(model, of_lengths([10] * 20), size=20, halve=True)] == [20]
    # To cut these would run their beginning twice.
    shared = [Example(f"{i}", "x" * 15 + f"{i:02}") for i in range(20)]
    assert [len(batch.rows) for batch in made(model, shared, tokens=100, halve=True)] == [20]


def test_what_makes_two_batches_is_cut_between_images(backbone, picture):
    model = backbone("llava")
    asked = [Example(f"{i}/{j}", f"{j} of {i}?", (picture(i),)) for i in range(5) for j in range(3)]
    [whole] = made(model, asked, tokens=10_000)
    first, second = made(model, asked, tokens=tokens_of(whole) + whole.tails.input_ids.numel(), halve=True)
    assert [len(first.rows), len(second.rows)] == [9, 6]
    assert not {row // 3 for row in first.rows} & {row // 3 for row in second.rows}


def test_the_most_media_come_first(backbone, picture):
    examples = [Example(f"{i}", "?" * i, (picture(i),) * (i % 3)) for i in range(1, 13)]
    counts = [len(batch.examples[0].media) for batch in made(backbone("llava"), examples, size=2)]
    assert counts == sorted(counts, reverse=True)


def test_sorting_wastes_little_on_padding(backbone):
    model = backbone("gpt2")
    examples = of_lengths(np.random.default_rng(1).integers(1, 120, 60))
    cut = made(model, examples, tokens=800, share=False)
    padded = sum(tokens_of(batch) for batch in cut)
    real = sum(int(batch.inputs["attention_mask"].sum()) for batch in cut)
    assert padded < 1.15 * real
    unsorted = [
        model._encoder.encode(part, [e.text for e in part]) for part in (examples[i : i + 8] for i in range(0, 60, 8))
    ]
    assert sum(inputs["input_ids"].numel() for inputs in unsorted) > 1.4 * real


def test_large_images_are_not_padded_onto_small_ones(backbone, picture):
    model = backbone("qwen2_vl")
    sizes = [(16, 16), (64, 64)] * 6
    examples = [Example(f"{i}", "What?", (picture(i, size),)) for i, size in enumerate(sizes)]
    widths = [
        {model._encoder.image_patches(example) for example in batch.examples} for batch in made(model, examples, size=6)
    ]
    assert [len(kinds) for kinds in widths] == [1, 1]


def test_further_questions_about_an_image_count_by_what_is_their_own(backbone, picture):
    model = backbone("qwen2_vl")
    image = picture(0, (64, 64))
    examples = [Example(f"{i}", f"Say: {'?' * (i + 1)}", (image,)) for i in range(4)]
    width = model._encoder.encode(examples[-1:], [model._encoder.prompt(examples[-1])])["input_ids"].shape[1]
    [shared] = made(model, examples, tokens=width + 60)
    assert shared.tails is not None
    assert len(made(model, examples, tokens=width + 60, share=False)) == 4


def test_the_same_examples_form_the_same_batches(backbone, picture):
    model = backbone("llava")
    examples = [Example(f"{i}", "?" * (i % 5), (picture(i % 3),)) for i in range(20)]
    rows = [batch.rows for batch in made(model, examples)]
    assert rows == [batch.rows for batch in made(model, examples)]
    assert np.array_equal(model.head_activations(examples), model.head_activations(examples))


def test_batches_for_answers_hold_equally_many_media(picture):
    examples = [Example(f"{i}", "?" * (9 - i), (picture(i),) * (i % 2)) for i in range(9)]
    cut = list(of_equal_media(examples, 3))
    assert sorted(row for rows, _ in cut for row in rows) == list(range(9))
    for rows, batch in cut:
        assert [examples[row] for row in rows] == batch
        assert len({len(example.media) for example in batch}) == 1
        assert len(rows) <= 3
