"""`StoredBackbone` in a backbone's place: the same answers, nothing run twice, no model loaded where none is needed."""

import dataclasses
import threading
import tracemalloc

import numpy as np
import pytest

import fakes
from fakes import FakeBackbone
from savs.classify import PRESETS, SAVClassifier, readers
from savs.data import keys
from savs.data.example import Example, Media
from savs.data.keys import example_keys
from savs.errors import DataError, OutputExistsError, SpecMismatchError, StoreError
from savs.extraction import StoredBackbone, extract, fill
from savs.features import HeadFeatures, HeadId
from savs.model import SAVModel
from savs.store import ActivationStore, StoredFeatures


def never():
    raise AssertionError("the backbone was loaded")


@pytest.fixture
def fake():
    return FakeBackbone()


@pytest.fixture
def stored(tmp_path, fake):
    return StoredBackbone.at(tmp_path / "store", lambda: fake)


def test_it_gives_what_the_backbone_gives_and_asks_it_once(stored, fake):
    examples = fakes.examples(30)
    heads = [HeadId(1, 2), HeadId(0, 1)]
    expected = fake.head_activations(examples), fake.head_activations(examples, heads=heads)
    fake.asked.clear()
    np.testing.assert_array_equal(stored.head_activations(examples[10:20]), expected[0][10:20])
    np.testing.assert_array_equal(stored.head_activations(examples[::-1]), expected[0][::-1])
    np.testing.assert_array_equal(stored.head_activations(examples, heads=heads), expected[1])
    assert sorted(fake.asked) == sorted(example.id for example in examples)
    assert stored.head_activations([]).shape == (0, 6, 4)


def test_progress_counts_what_is_stored_as_done(stored):
    examples = fakes.examples(10)
    told = []
    stored.head_activations(examples[:4])
    stored.head_activations(examples, progress=lambda *done: told.append(done))
    assert told == [(10, 10)]
    stored.head_activations(examples, progress=lambda *done: told.append(done))
    assert told[1:] == [(10, 10)]
    fill(stored.store, FakeBackbone(), fakes.examples(16), commit_every=3, progress=lambda *done: told.append(done))
    assert told[2:] == [(12, 16), (15, 16), (16, 16)]


def test_no_model_is_loaded_for_what_is_stored(stored, tmp_path):
    examples = fakes.examples(12)
    fitted = SAVModel.fit(stored, examples, classifier=SAVClassifier(k=3))
    again = StoredBackbone.at(tmp_path / "store", never)
    assert not again.loaded and again.spec == fakes.SPEC
    relabelled = [dataclasses.replace(example, label="xyz"[i % 3], id=f"new {i}") for i, example in enumerate(examples)]
    for preset in PRESETS:
        for shots in (examples, examples[2:8], relabelled):
            SAVModel.fit(again, shots, classifier=SAVClassifier.from_preset(preset, k=2))
    fitted.attach(again)
    assert [prediction.id for prediction in fitted.predict(examples[:5])] == ["e0", "e1", "e2", "e3", "e4"]
    assert not again.loaded
    with pytest.raises(AssertionError, match="was loaded"):
        again.head_activations(fakes.examples(13))


@pytest.mark.parametrize("preset", PRESETS)
def test_fitted_from_a_store_it_is_what_it_is_from_memory(preset, stored, fake):
    examples = fakes.examples(40)
    rule = SAVClassifier.from_preset(preset, k=4)
    from_store = SAVModel.fit(stored, examples, classifier=rule)
    from_memory = SAVModel.fit(fake, examples, classifier=rule)
    assert from_store.selected_heads == from_memory.selected_heads
    assert from_store.summary == from_memory.summary
    np.testing.assert_array_equal(from_store.head_scores, from_memory.head_scores)
    for name, array in from_memory.classifier.tensors().items():
        np.testing.assert_array_equal(from_store.classifier.tensors()[name], array)
    new = fakes.examples(9, first=100)
    assert from_store.predict(new) == from_memory.predict(new)
    features = stored.features(new)
    assert isinstance(features, StoredFeatures)
    assert from_store.predict_features(features) == from_memory.predict_features(features.load())


def test_blocks_of_heads_change_nothing(stored, monkeypatch):
    from savs.classify import readers

    features = stored.features(fakes.examples(40))
    labels = np.array(features.labels)
    for preset in PRESETS:
        rule = SAVClassifier.from_preset(preset, k=4)
        whole = rule.fit(features.load().z, labels)
        expected = {**whole.tensors(), "all": whole.head_scores_, "kept": whole.selected_heads_}
        with monkeypatch.context() as patch:
            patch.setattr(readers, "BLOCK_ELEMENTS", 40 * 40)  # a head or a few at a time
            by_block = SAVClassifier.from_preset(preset, k=4).fit(features, labels)
        got = {**by_block.tensors(), "all": by_block.head_scores_, "kept": by_block.selected_heads_}
        for name, array in expected.items():
            np.testing.assert_array_equal(got[name], array, err_msg=f"{preset}: {name}")
        np.testing.assert_array_equal(by_block.predict(features), whole.predict(features.load().z))
        np.testing.assert_array_equal(by_block.transform(features), whole.transform(features.load().z))


def test_a_run_of_rows_is_read_alone_and_nothing_else_is_copied(stored):
    features = stored.features(fakes.examples(10))
    held = features.load()
    expected = held.z[3:7][:, [4, 1]]
    for some in (features, held, readers.InMemory(held.z)):
        np.testing.assert_array_equal(some.read_heads([4, 1], slice(3, 7)), expected)
    whole = np.zeros((1000, 500, 4), dtype=np.float32)
    tracemalloc.start()
    readers.InMemory(whole).read_heads([7], slice(0, 900))
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used < whole.nbytes / 50


def test_stored_features_of_another_shape_are_refused(stored, tmp_path):
    labels = ["a", "b"] * 5
    fitted = SAVClassifier(k=2).fit(stored.features(fakes.examples(10)), labels)
    wider = StoredBackbone.at(tmp_path / "wider", lambda: FakeBackbone(8))
    longer = StoredBackbone.at(tmp_path / "longer", lambda: FakeBackbone(head_dim=5))
    with pytest.raises(ValueError, match="X has 8 heads; fitted with 6"):
        fitted.predict(wider.features(fakes.examples(3)))
    with pytest.raises(ValueError, match="heads have 5 dimensions; fitted with 4"):
        fitted.predict(longer.features(fakes.examples(3)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        SAVClassifier().fit(stored.features(fakes.examples(10)), labels[:9])


def test_stored_nonsense_is_not_fitted_on(stored):
    features = stored.features(fakes.examples(10)).load()
    features.z[3, 2, 1] = np.nan
    with pytest.raises(ValueError, match="hold NaN or infinity"):
        SAVClassifier().fit(features, features.labels)


def test_damage_that_shows_in_the_numbers_is_told_where_they_are_read(stored):
    """Whether every byte is what was written, `verify` tells; a flipped exponent need not be fitted on until then."""
    examples = fakes.examples(10)
    features = stored.features(examples)
    [path] = stored.store.shards
    shard = features.places[0][0]
    written = bytearray(path.read_bytes())
    end = shard.offset + np.prod(shard.shape) * 4
    written[end - 4 : end] = np.float32(np.inf).tobytes()
    path.write_bytes(written)
    with pytest.raises(StoreError, match=f"{path.name}: is damaged .it holds NaN or infinity.; delete it"):
        SAVModel.fit(stored, examples)
    assert np.isfinite(features.read_heads([0])).all()  # another head's numbers are what they were


def test_fewer_layers_are_read_from_a_store_some_heads_at_a_time(stored, fake, monkeypatch):
    examples = fakes.examples(30)
    stored.features(examples)
    most = []
    original = StoredFeatures.read_heads

    def read(self, heads, rows=slice(None)):
        z = original(self, heads, rows)
        most.append(z.size)
        return z

    monkeypatch.setattr(StoredFeatures, "read_heads", read)
    monkeypatch.setattr(readers, "BLOCK_ELEMENTS", 30 * 4)  # one head of all examples
    for preset in ("sav", "calm"):
        rule = SAVClassifier.from_preset(preset, k=2)
        fitted = SAVModel.fit(stored, examples, classifier=rule, max_layer=0)
        assert fitted.layout.n_heads < fake.layout.n_heads
        assert {head.layer for head in fitted.layout.heads} == {0}
        from_memory = SAVModel.fit(fake, examples, classifier=rule, max_layer=0)
        np.testing.assert_array_equal(fitted.head_scores, from_memory.head_scores)
        answers = fitted.predict(examples)
        assert answers == from_memory.predict(examples) == fitted.predict_features(stored.features(examples))
    assert len(most) > 10 and max(most) <= 30 * 4


def test_features_without_a_backbone_make_a_classifier(stored, tmp_path):
    examples = fakes.examples(20)
    features = stored.features(examples)
    model = SAVModel.fit_features(features, backbone=stored.store.spec)
    again = SAVModel.from_pretrained(model.save_pretrained(tmp_path / "clf"))
    assert again.predict_features(features) == model.predict_features(features)
    assert again.spec == fakes.SPEC
    taken = features.take([4, 1])
    assert (taken.ids, taken.labels, len(taken)) == (("e4", "e1"), ("a", "b"), 2)
    assert isinstance(taken.load(), HeadFeatures)


def test_a_backbone_that_is_not_the_stores_is_refused_when_it_is_loaded(stored, tmp_path):
    stored.head_activations(fakes.examples(3))
    other = FakeBackbone(spec=dataclasses.replace(fakes.SPEC, revision="r2"))
    again = StoredBackbone.at(tmp_path / "store", lambda: other)
    again.head_activations(fakes.examples(3))
    with pytest.raises(SpecMismatchError, match="differs in revision: 'r1' here, 'r2' there"):
        again.head_activations(fakes.examples(4))
    with pytest.raises(SpecMismatchError, match="differs in revision"):
        fill(stored.store, other, fakes.examples(4))
    assert other.asked == []


def test_a_folder_with_other_files_is_refused_before_a_model_is_loaded(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputExistsError):
        StoredBackbone.at(tmp_path, never)


def test_ids_must_tell_examples_apart_but_content_is_run_once(stored, fake):
    with pytest.raises(DataError, match="two examples have the id"):
        stored.features([Example("a", "x"), Example("a", "y")])
    with pytest.raises(DataError, match="no examples"):
        stored.features([])
    features = stored.features([Example("a", "x"), Example("b", "x", label="l")])
    assert (features.ids, features.labels, fake.asked) == (("a", "b"), (None, "l"), ["a"])
    np.testing.assert_array_equal(features.load().z[0], features.load().z[1])


def test_the_model_itself_is_asked_for_words(stored):
    examples = fakes.examples(2)
    assert stored.generate(examples) == ["text 0", "text 1"]
    assert stored.answer_log_likelihoods(examples, ["a", "b", "c"]).shape == (2, 3)
    assert "fake" in repr(stored)


def test_a_key_holds_what_the_model_is_shown_and_nothing_else(picture, tmp_path):
    one, other = picture(1), picture(2)
    saved = tmp_path / "one.png"
    one.source.save(saved)
    palette = one.source.quantize(8)
    shown = [
        Example("", "text"),
        Example("", "text", (one,)),
        Example("", "texts", (one,)),
        Example("", "text", (other,)),
        Example("", "text", (one, other)),
        Example("", "text", (other, one)),
        Example("", "text", (Media(one.source.resize((16, 64))),)),
        Example("", "text", (Media(one.source.convert("L")),)),
        Example("", "text", (Media(palette),)),
        Example("", "text", (Media(saved),)),
        Example("", "text", (Media(saved, "video"),)),
    ]
    keys = example_keys(shown)
    assert len(set(keys)) == len(shown)
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)
    swapped = palette.copy()
    swapped.putpalette(palette.getpalette()[::-1])
    assert example_keys([Example("", "text", (Media(swapped),))])[0] not in keys
    renamed = [
        dataclasses.replace(e, id="i", label="l", group="g", choices=("c",), location="f:1", split="s") for e in shown
    ]
    assert example_keys(renamed) == keys
    moved = tmp_path / "elsewhere.png"
    moved.write_bytes(saved.read_bytes())
    assert example_keys([Example("", "text", (Media(moved),))]) == [keys[9]]
    assert example_keys([Example("", "text", (Media(saved.read_bytes()),))]) == [keys[9]]


def test_files_are_read_for_their_keys_side_by_side(tmp_path, monkeypatch):
    """Two that wait for each other both come back, and what is missing is told in the order of the examples."""
    both = threading.Barrier(2, timeout=30)

    def met(media):
        both.wait()
        return media.file.name

    files = [Example(name, "x", (Media(tmp_path / name),)) for name in "abcd"]
    with monkeypatch.context() as patched:
        patched.setattr(keys, "content_key", met)
        assert example_keys(files) == [keys._key("x", [f"image:{name}"]) for name in "abcd"]
    (tmp_path / "a").write_bytes(b"x")
    for _ in range(5):
        with pytest.raises(DataError, match="there is no file .*/b;"):
            example_keys(files)


def test_extract_of_a_stored_backbone_is_extract(stored, fake):
    examples = fakes.examples(5)
    from_store, direct = extract(stored, examples), extract(fake, examples)
    np.testing.assert_array_equal(from_store.z, direct.z)
    assert from_store.fingerprint == direct.fingerprint


def test_a_store_survives_a_format_round_trip(stored, tmp_path):
    """Opened anew, by the path as text, it holds the same rows."""
    stored.features(fakes.examples(5))
    again = ActivationStore.open(str(tmp_path / "store"))
    assert set(again.keys) == set(example_keys(fakes.examples(5)))
