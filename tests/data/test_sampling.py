import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs.data.example import Example, Media
from savs.data.readers import read_examples
from savs.data.sampling import Leak, check_leaks, sample_shots, split, thin, unknown_labels
from savs.errors import DataError


def made(counts, **common):
    return [
        Example(id=f"{label}{i}", text=f"{label} {i}", label=label, **common)
        for label, n in counts.items()
        for i in range(n)
    ]


def texts(examples):
    return [example.text for example in examples]


def test_shots_are_so_many_of_each_class_and_the_rest_is_the_rest():
    examples = made({"a": 9, "b": 5})
    shots, rest = sample_shots(examples, 3, seed=0)
    assert [e.label for e in shots] == ["a"] * 3 + ["b"] * 3
    assert sorted(texts(shots + rest)) == sorted(texts(examples))
    assert rest == [e for e in examples if e not in shots]


@given(st.randoms(use_true_random=False), st.integers(0, 5), st.integers(1, 4))
def test_shots_do_not_depend_on_the_order_or_on_ids_made_of_it(shuffler: random.Random, seed, shots):
    examples = made({"a": 7, "b": 4, "c": 6})
    shuffled = shuffler.sample(examples, len(examples))
    renamed = [
        Example(id=f"rows:{i}", text=e.text, label=e.label, location=f"rows.jsonl:{i}") for i, e in enumerate(shuffled)
    ]
    chosen, _ = sample_shots(examples, shots, seed)
    assert sample_shots(shuffled, shots, seed)[0] == chosen
    assert texts(sample_shots(renamed, shots, seed)[0]) == texts(chosen)


def test_shots_depend_on_the_seed_and_every_example_can_be_drawn():
    examples = made({"a": 6, "b": 6})
    draws = [tuple(texts(sample_shots(examples, 2, seed)[0])) for seed in range(60)]
    assert len(set(draws)) > 40
    assert {text for draw in draws for text in draw} == set(texts(examples))


def test_shots_do_not_depend_on_where_the_media_lie(tmp_path):
    def at(folder):
        return [
            Example(id=str(i), text="?", label="ab"[i % 2], media=(Media(tmp_path / folder / f"{i}.png"),))
            for i in range(20)
        ]

    assert [e.id for e in sample_shots(at("here"), 3, 1)[0]] == [e.id for e in sample_shots(at("there"), 3, 1)[0]]


def test_media_in_memory_are_drawn_by_content():
    examples = [Example(id=str(i), text="?", label="ab"[i % 2], media=(Media(bytes([i])),)) for i in range(20)]
    shots, _ = sample_shots(examples, 4, 0)
    again, _ = sample_shots(examples[::-1], 4, 0)
    assert shots == again


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"a": 3, "b": 5, "c": 1}, r"4 shots a class .* 'a' has 3, 'c' has 1; label more .* or ask for 1 shots"),
        ({"a": 9}, "got only the class 'a'; a classifier needs examples of at least two"),
        ({}, "got no examples"),
    ],
)
def test_too_few_examples_or_classes_are_refused(counts, message):
    with pytest.raises(DataError, match=message):
        sample_shots(made(counts), 4, seed=0)


def test_an_unlabelled_example_is_named():
    examples = [*made({"a": 2, "b": 2}), Example(id="x", text="", location="rows.jsonl:5")]
    with pytest.raises(DataError, match=r"rows\.jsonl:5: has no label"):
        sample_shots(examples, 1, seed=0)
    with pytest.raises(ValueError, match="at least 1 example a class, got 0"):
        sample_shots(examples, 0, seed=0)


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 20), min_size=1), st.floats(0.05, 0.95), st.integers(0, 3)
)
def test_split_is_stratified_complete_and_independent_of_order(counts, fraction, seed):
    examples = made(counts)
    first, second = split(examples, fraction, seed)
    assert sorted(texts(first + second)) == sorted(texts(examples))
    for label, n in counts.items():
        inside = sum(e.label == label for e in first)
        assert abs(inside - fraction * n) <= 1
        if n > 1:
            assert 0 < inside < n
    assert {e.id for e in split(examples[::-1], fraction, seed)[0]} == {e.id for e in first}


@given(st.integers(2, 20), st.floats(0.05, 0.95), st.integers(0, 3))
def test_split_never_tears_a_group(n_groups, fraction, seed):
    examples = [
        Example(id=f"{g}{i}", text=f"{g} {i}", label="ny"[i % 2], group=f"g{g}")
        for g in range(n_groups)
        for i in range(4)
    ]
    first, second = split(examples, fraction, seed)
    assert {e.group for e in first}.isdisjoint(e.group for e in second)
    assert first
    assert second


def test_thinning_keeps_so_many_of_each_class_and_split_in_their_order_whatever_it_was():
    examples = made({"a": 30, "b": 3}) + [Example(f"s{i}", f"s {i}", label="a", split="hard") for i in range(9)]
    kept = thin(examples, 5, seed=0)
    assert [sum(e.label == label and e.split == split for e in kept) for label, split in
            (("a", None), ("b", None), ("a", "hard"))] == [5, 3, 5]  # fmt: skip
    assert kept == [e for e in examples if e in kept]
    assert {e.id for e in thin(examples[::-1], 5, seed=0)} == {e.id for e in kept}
    assert thin(examples, 5, seed=1) != kept
    with pytest.raises(ValueError, match="at least 1 example a class, got 0"):
        thin(examples, 0, seed=0)


def test_split_takes_fractions_only():
    with pytest.raises(ValueError, match="fraction must lie between 0 and 1, got 1"):
        split(made({"a": 2}), 1, 0)


def example(name, text, *paths, location=None):
    return Example(id=name, text=text, media=tuple(Media(path) for path in paths), location=location)


def kinds(train, test):
    return [leak.kind for leak in check_leaks(train, test)]


def test_the_same_bytes_and_text_are_a_leak_wherever_they_lie(draw):
    a, copy, other = draw("train/a.png"), draw("test/renamed.png"), draw("test/b.png", seed=1)
    train = [example("1", "Ripe?", a)]
    assert kinds(train, [example("9", "Ripe?", copy)]) == ["example"]
    assert kinds(train, [example("9", "Green?", copy)]) == ["media"]
    assert kinds(train, [example("9", "Ripe?", other)]) == []
    assert kinds(train, [example("9", "Ripe?", copy, other)]) == ["media"]
    assert kinds(train, [Example(id="9", text="Ripe?", media=(Media(a.read_bytes()),))]) == ["example"]


def test_text_alone_leaks_by_text():
    assert kinds([example("1", "same")], [example("2", "same"), example("3", "other")]) == ["example"]


def test_an_id_counts_when_its_text_is_its_own(draw):
    a, b = draw("a.png"), draw("b.png", seed=1)
    assert kinds([example("q7", "Ripe?", a)], [example("q7", "Ripe?", b)]) == ["id"]
    assert kinds([example("q7", "Ripe?", a)], [example("q7", "Green?", b)]) == []
    shared = [example(str(i), "What is shown?", a) for i in range(2)]
    assert kinds(shared, [example("1", "What is shown?", b)]) == []


def test_ids_made_of_a_place_say_nothing(draw, tmp_path):
    def at(folder, seed):
        draw(f"{folder}/a.png", seed=seed)
        path = tmp_path / folder / "rows.jsonl"
        path.write_text('{"image": "a.png", "question": "Ripe?", "label": "yes"}\n')
        return read_examples(path)

    train, test, same = at("train", 1), at("test", 2), at("same", 1)
    assert train[0].id == test[0].id
    assert check_leaks(train, test) == []
    assert kinds(train, same) == ["example"]


def test_a_leak_reads_as_one_line_with_both_places(draw):
    a = draw("a.png")
    (leak,) = check_leaks(
        [example("1", "?", a, location="train.jsonl:4")], [example("2", "?", a, location="test.jsonl:9")]
    )
    assert isinstance(leak, Leak)
    assert (
        str(leak)
        == "the same example is in both sets: train.jsonl:4 (id '1') in training, test.jsonl:9 (id '2') in the test"
    )


def test_only_files_of_a_shared_size_are_read(tmp_path, monkeypatch):
    from savs.data import sampling

    paths = []
    for i, size in enumerate([10, 20, 30, 20]):
        paths.append(tmp_path / f"{i}.png")
        paths[-1].write_bytes(bytes([i]) * size)
    read = []
    original = sampling.content_key
    monkeypatch.setattr(sampling, "content_key", lambda media: (read.append(media.source.name), original(media))[1])
    assert (
        kinds([example("a", "?", paths[0]), example("b", "?", paths[1])], [example("c", "?", p) for p in paths[2:]])
        == []
    )
    assert sorted(read) == ["1.png", "3.png"]


def test_a_file_that_went_away_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*gone\.png"):
        check_leaks([example("a", "?", tmp_path / "gone.png")], [])


def test_labels_that_training_never_saw_are_refused_with_their_place():
    test = [*made({"yes": 1}), Example(id="x", text="", label="Yess", location="test.jsonl:3"), *made({"maybe": 1})]
    with pytest.raises(
        DataError, match=r"label 'Yess' was never seen in training, which had no, yes; did you mean 'yes'"
    ):
        unknown_labels(["yes", "no", "yes"], test)
    with pytest.raises(DataError, match=r"\(and 1 more with unknown labels\)") as caught:
        unknown_labels(["yes", "no"], test)
    assert caught.value.location == "test.jsonl:3"
    assert unknown_labels(["yes", "no"], [*made({"yes": 1}), Example(id="u", text="")]) is None


def test_ids_made_of_a_path_say_nothing(draw, tmp_path):
    draw("train/cat/1.png", seed=1)
    draw("test/cat/1.png", seed=2)
    train, test = (read_examples(tmp_path / part) for part in ("train", "test"))
    assert train[0].id == test[0].id == "cat/1.png"
    assert check_leaks(train, test) == []
    named = [[replace(example, location="rows.jsonl:1") for example in part] for part in (train, test)]
    assert [leak.kind for leak in check_leaks(*named)] == ["id"]
