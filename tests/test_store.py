"""`ActivationStore`: what goes in comes out, in any order, of some heads alone, to the last bit; else a clear error."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fakes import SPEC, FakeBackbone
from savs.errors import OutputExistsError, SpecMismatchError, StoreError
from savs.features import HeadId, HeadLayout
from savs.store import ActivationStore, write_parquet
from savs.store.shard import runs

LAYOUT = HeadLayout.grid(2, 3, 4)


def key(number: int) -> str:
    return f"{number:032x}"


def rows(numbers, dtype=np.float32):
    """Features that tell their row: `[len(numbers), 6, 4]`."""
    return np.stack([np.random.default_rng(number).standard_normal((6, 4)) for number in numbers]).astype(dtype)


@pytest.fixture
def store(tmp_path):
    return ActivationStore.create(tmp_path / "store", spec=SPEC, layout=LAYOUT)


@pytest.fixture
def filled(store):
    """Ten rows in three shards."""
    for part in ([0, 1, 2, 3], [4], [5, 6, 7, 8, 9]):
        store.append(rows(part), [key(i) for i in part], [f"e{i}" for i in part])
    return store


def test_rows_come_back_in_the_order_asked_for(filled):
    order = [7, 0, 4, 4, 9, 1]
    features = filled.read([key(i) for i in order])
    np.testing.assert_array_equal(features.z, rows(order))
    assert features.z.dtype == np.float32
    assert features.ids == tuple(f"e{i}" for i in order)
    assert (features.layout, features.fingerprint) == (LAYOUT, SPEC.fingerprint())
    assert len(filled) == len(filled.keys) == 10 and len(filled.shards) == 3
    again = ActivationStore.open(filled.folder)
    np.testing.assert_array_equal(again.read([key(i) for i in order]).z, features.z)
    assert (again.spec, again.layout, again.dtype) == (SPEC, LAYOUT, "float32")
    assert set(again.keys) == {key(i) for i in range(10)} and again.keys == filled.keys
    assert key(3) in again and key(10) not in again
    assert again.missing([key(i) for i in (11, 3, 10, 11)]) == [key(11), key(10)]


def test_some_heads_are_read_without_the_rest(filled, monkeypatch):
    read = []
    from savs.store.shard import Shard

    fill = Shard._fill
    monkeypatch.setattr(
        Shard, "_fill", lambda self, file, at, array: (read.append(array.nbytes), fill(self, file, at, array))
    )
    stored = filled.select([key(i) for i in range(10)])
    np.testing.assert_array_equal(stored.read_heads([4, 1]), rows(range(10))[:, [4, 1]])
    assert sum(read) == 10 * 2 * 4 * 4
    read.clear()
    one = filled.select([key(9)]).read_heads(slice(None))
    np.testing.assert_array_equal(one, rows([9]))
    assert sum(read) == 6 * 4 * 4  # one row of five, so not the whole shard
    heads = [HeadId(0, 2), HeadId(1, 0)]
    some = filled.read([key(3), key(8)], heads=heads)
    np.testing.assert_array_equal(some.z, rows([3, 8])[:, [2, 3]])
    assert some.layout.heads == tuple(heads)
    with pytest.raises(ValueError, match="no head L7H0"):
        filled.read(heads=[HeadId(7, 0)])


def test_half_precision_takes_half_the_room_and_says_when_it_cannot(tmp_path):
    half = ActivationStore.create(tmp_path / "half", spec=SPEC, layout=LAYOUT, dtype="float16")
    half.append(rows([1, 2]), [key(1), key(2)])
    np.testing.assert_array_equal(half.read([key(2)]).z, rows([2], np.float16).astype(np.float32))
    with pytest.raises(StoreError, match=r"finite in float16; the largest here is 1e\+06"):
        half.append(np.full((1, 6, 4), 1e6, np.float32), [key(3)])
    with pytest.raises(StoreError, match="finite"):
        half.append(np.full((1, 6, 4), np.nan, np.float32), [key(3)])
    assert len(half) == 2
    with pytest.raises(StoreError, match="holds float16, and float32 was asked for"):
        ActivationStore.create(tmp_path / "half", spec=SPEC, layout=LAYOUT, dtype="float32")
    assert ActivationStore.create(tmp_path / "half", spec=SPEC, layout=LAYOUT).dtype == "float16"
    with pytest.raises(ValueError, match="dtype='int8'; choose one of float32, float16"):
        ActivationStore.create(tmp_path / "other", spec=SPEC, layout=LAYOUT, dtype="int8")


def test_a_row_is_stored_once(filled):
    assert filled.append(rows([3, 20, 20]), [key(3), key(20), key(20)]) == 1
    assert filled.append(rows([3]), [key(3)]) == 0
    assert len(filled) == 11 and len(filled.shards) == 4
    other = ActivationStore.open(filled.folder)
    assert other.append(rows([20, 21]), [key(20), key(21)]) == 1  # it sees what the first has committed
    assert key(21) in filled  # and the first what the second has


def test_two_copies_of_a_row_are_one_row_to_every_reader(store):
    """As when two writers race, and rounding differs between them."""
    from savs.store.shard import write_shard

    folder = store.folder / "shards"
    for noise in (0.0, 1e-6, -1e-6):
        z = (rows([1, 2]) + np.float32(noise)).transpose(1, 0, 2)
        write_shard(folder, z, [key(1), key(2)], ["a", "b"], feature_key=SPEC.fingerprint())
    early = ActivationStore.open(store.folder)
    first = early.read([key(1), key(2)])
    assert len(early) == len(early.keys) == 2
    assert early.read().z.shape[0] == 2
    np.testing.assert_array_equal(ActivationStore.open(store.folder).read([key(1), key(2)]).z, first.z)


def test_equal_rows_make_equal_files(tmp_path):
    names = []
    for name in "abcdef":
        made = ActivationStore.create(tmp_path / name, spec=SPEC, layout=LAYOUT)
        made.append(rows([1, 2]), [key(1), key(2)])
        names.append([path.name for path in made.shards])
    assert all(name == names[0] for name in names)
    assert (tmp_path / "a" / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()


def test_rows_that_are_not_there_are_counted(filled):
    with pytest.raises(StoreError, match="2 of 3 rows are not in the store; run savs extract"):
        filled.select([key(1), key(50), key(51)])


def test_shapes_are_checked(store):
    for z, keys, ids in (
        (rows([1]), [key(1), key(2)], None),
        (rows([1])[:, :5], [key(1)], None),
        (rows([1]), [key(1)], []),
    ):
        with pytest.raises(ValueError, match="the store expects"):
            store.append(z, keys, ids)
    assert len(store) == 0


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(SPEC) if field.compare])
def test_another_backbone_is_refused_and_the_difference_named(filled, field):
    value = "other" if isinstance(getattr(SPEC, field), str) else 7
    other = dataclasses.replace(SPEC, **{field: value})
    with pytest.raises(SpecMismatchError, match=rf"holds features of fake, .* differs in {field}: .*{value!r} there"):
        filled.check(other)
    with pytest.raises(SpecMismatchError, match="use another store"):
        ActivationStore.create(filled.folder, spec=other, layout=LAYOUT)
    filled.check(dataclasses.replace(SPEC, model="renamed", location="/moved"))


def test_other_heads_of_the_same_backbone_are_refused(filled):
    with pytest.raises(SpecMismatchError, match="the heads that are read of it"):
        ActivationStore.create(filled.folder, spec=SPEC, layout=HeadLayout.grid(3, 2, 4))


def test_a_shard_of_another_store_is_refused(filled, tmp_path):
    other = ActivationStore.create(tmp_path / "other", spec=dataclasses.replace(SPEC, revision="r2"), layout=LAYOUT)
    other.append(rows([30]), [key(30)])
    stray = filled.folder / "shards" / other.shards[0].name
    stray.write_bytes(other.shards[0].read_bytes())
    with pytest.raises(StoreError, match=rf"{stray.name}: holds features of another backbone"):
        ActivationStore.open(filled.folder).keys  # noqa: B018
    assert [damage.path for damage in filled.verify()] == [stray]


def test_what_is_no_store_is_named(tmp_path, filled):
    with pytest.raises(StoreError, match="nowhere: there is no store"):
        ActivationStore.open(tmp_path / "nowhere")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match="mine: holds no store"):
        ActivationStore.open(tmp_path / "mine")
    for place in ("mine", "mine/thesis.txt"):
        with pytest.raises(OutputExistsError, match="not a store; choose another name"):
            ActivationStore.create(tmp_path / place, spec=SPEC, layout=LAYOUT)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "mine"
    (filled.folder / "manifest.json").unlink()  # half a store is none
    with pytest.raises(StoreError, match="holds no store"):
        ActivationStore.open(filled.folder)


def test_a_later_format_is_refused(filled):
    path = filled.folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2, "unheard_of": True}))
    with pytest.raises(StoreError, match=r"manifest\.json: has format 2; .* reads format 1. Upgrade savs"):
        ActivationStore.open(filled.folder)


def test_every_damaged_byte_of_the_manifest_is_found(filled):
    path = filled.folder / "manifest.json"
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :])
        with pytest.raises(StoreError, match=r"manifest\.json: (is damaged|has format)"):
            ActivationStore.open(filled.folder)
    path.write_bytes(whole[:-1])
    with pytest.raises(StoreError, match="is damaged"):
        ActivationStore.open(filled.folder)


def test_a_shard_that_is_cut_short_is_named_when_it_is_met(filled):
    assert len(filled) == 10  # it has seen them whole
    path = filled.shards[0]
    path.write_bytes(path.read_bytes()[:-200])
    for ask in (lambda store: store.keys, lambda store: store.append(rows([40]), [key(40)]), len):
        with pytest.raises(StoreError, match=rf"{path.name}: is damaged .*delete it and run savs extract again"):
            ask(ActivationStore.open(filled.folder))
    with pytest.raises(StoreError, match="is damaged .it is cut short"):
        filled.read()
    path.unlink()
    with pytest.raises(StoreError, match="is damaged .it cannot be read: No such file"):
        filled.read()
    assert len(ActivationStore.open(filled.folder)) < 10  # the rest can be used


def test_other_files_among_the_shards_are_let_be(filled):
    notes = filled.folder / "shards" / "notes.txt"
    notes.write_text("mine")
    assert len(ActivationStore.open(filled.folder)) == 10 and filled.verify() == []
    filled.append(rows([41]), [key(41)])
    assert notes.read_text() == "mine"


def test_parquet_holds_every_row_and_head(filled, tmp_path):
    import pyarrow.parquet as pq

    told = []
    assert write_parquet(filled, tmp_path / "out.parquet", progress=lambda *done: told.append(done)) == 10
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["key", "id", *map(str, LAYOUT.heads)]
    assert table.schema.metadata[b"fingerprint"].decode() == SPEC.fingerprint()
    numbers = [int(value, 16) for value in table["key"].to_pylist()]
    assert sorted(numbers) == list(range(10)) and table["id"].to_pylist() == [f"e{i}" for i in numbers]
    z = np.stack([np.array(table[str(head)].to_pylist(), np.float32) for head in LAYOUT.heads], axis=1)
    np.testing.assert_array_equal(z, rows(numbers))
    assert told[-1] == (10, 10)
    assert [path.name for path in tmp_path.glob("out*")] == ["out.parquet"]


def test_numbers_of_shards_are_safetensors_for_everybody(filled):
    from safetensors.numpy import load_file

    tensors = load_file(filled.shards[0])
    assert tensors["z"].shape[0] == 6 and tensors["keys"].shape == (tensors["z"].shape[1], 16)
    first = int(tensors["keys"][0].tobytes().hex(), 16)
    np.testing.assert_array_equal(tensors["z"][:, 0], rows([first])[0])


@given(st.lists(st.integers(0, 30), max_size=30))
def test_runs_cover_a_sequence(numbers):
    parts = [numbers[some] for some in runs(numbers)]
    assert sum(parts, []) == numbers
    assert all(part == list(range(part[0], part[0] + len(part))) for part in parts)


class AppendAndRead(RuleBasedStateMachine):
    """Any order of appends and reads, by two handles on one store, against a dictionary."""

    @initialize()
    def begin(self):
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.writers = [ActivationStore.create(f"{self.folder.name}/s", spec=SPEC, layout=LAYOUT) for _ in range(2)]
        self.known: set[int] = set()

    @rule(numbers=st.lists(st.integers(0, 12), min_size=1, max_size=6), who=st.integers(0, 1))
    def append(self, numbers, who):
        added = self.writers[who].append(rows(numbers), [key(i) for i in numbers])
        assert added == len(set(numbers) - self.known)
        self.known |= set(numbers)

    @rule(numbers=st.lists(st.integers(0, 12), min_size=1, max_size=8), heads=st.lists(st.integers(0, 5), max_size=6),
          who=st.integers(0, 1))  # fmt: skip
    def read(self, numbers, heads, who):
        there = [i for i in numbers if i in self.known]
        stored = self.writers[who].select([key(i) for i in there])
        expected = rows(there)[:, heads] if there else np.empty((0, len(heads), 4), np.float32)
        np.testing.assert_array_equal(stored.read_heads(heads), expected)
        taken = list(range(len(there)))[::-2]
        np.testing.assert_array_equal(stored.take(taken).read_heads(heads), expected[taken])

    @rule(who=st.integers(0, 1))
    def reopen(self, who):
        self.writers[who] = ActivationStore.open(self.writers[who].folder)

    @invariant()
    def nothing_is_lost_or_doubled(self):
        for writer in self.writers:
            assert sorted(writer.keys) == sorted(key(i) for i in self.known)

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()


AppendAndRead.TestCase.settings = settings(
    max_examples=15, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
test_appends_and_reads_in_any_order = AppendAndRead.TestCase


def test_the_fake_backbone_is_a_backbone():
    from savs.backbones.base import Backbone

    assert isinstance(FakeBackbone(), Backbone)
