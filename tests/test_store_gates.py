"""What the store promises when things go wrong: killed writers, full disks, flipped bytes, races, broken-off runs."""

import dataclasses
import errno
import io
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fakes
from fakes import FakeBackbone
from savs.data.keys import example_keys
from savs.errors import SpecMismatchError, StoreError
from savs.extraction import fill
from savs.store import ActivationStore
from savs.store import files as store_files
from savs.store.shard import open_shard

PROGRAM = Path(fakes.__file__)


def writer(folder, *, n, commit_every, head_dim=4):
    """A process of its own that fills a store."""
    arguments = [folder, n, commit_every, head_dim]
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def stored_rows(store):
    """How many rows lie in the shards, doubled ones counted twice."""
    return sum(len(open_shard(path).keys) for path in store.shards)


def assert_whole(store, examples, head_dim=4):
    """Every row is what the backbone gives, to the last bit, and is there once."""
    keys = example_keys(examples)
    expected = np.stack([FakeBackbone(head_dim=head_dim).features(example.text) for example in examples])
    np.testing.assert_array_equal(store.read(keys).z, expected)
    assert sorted(store.keys) == sorted(keys)
    assert stored_rows(store) == len(keys)
    assert store.verify() == []


@pytest.fixture
def backbone():
    return FakeBackbone()


@pytest.fixture
def store(tmp_path, backbone):
    return ActivationStore.create(tmp_path / "store", spec=backbone.spec, layout=backbone.layout)


@pytest.mark.slow
def test_killed_at_50_random_points_nothing_is_lost_or_doubled(tmp_path):
    """Each process is killed while it fills the store; the next goes on where it was."""
    folder, n, head_dim = tmp_path / "store", 2000, 2048
    examples = fakes.examples(n)
    seed = random.Random(0)
    killed, before, unfinished = 0, set(), 0
    while killed < 50 or not unfinished:  # some die in the middle of a write
        if before and len(before) == n:  # full: begin again
            assert_whole(ActivationStore.open(folder), examples, head_dim)
            shutil.rmtree(folder)
            before = set()
        process = writer(folder, n=n, commit_every=20, head_dim=head_dim)
        assert process.stdout.readline() == "ready\n"
        time.sleep(seed.uniform(0, 0.3))
        process.kill()
        killed += process.wait() == -9
        unfinished += any(path.name.endswith(".tmp") for path in folder.rglob("*"))
        store = ActivationStore.open(folder)
        after = set(store.keys)
        assert before <= after  # what was there is there
        assert stored_rows(store) == len(after)  # once
        assert len(after) % 20 == 0 and store.verify() == []  # whole commits only
        before = after
    last = writer(folder, n=n, commit_every=20, head_dim=head_dim)
    assert last.wait() == 0
    assert_whole(ActivationStore.open(folder), examples, head_dim)
    assert not [path for path in folder.rglob("*") if path.name.endswith(".tmp")]


class Fault:
    """Makes the n-th write of any kind fail, as a disk does: half of a file may be written by then."""

    def __init__(self, fail_at: int, code: int) -> None:
        self.calls, self.fail_at, self.code = 0, fail_at, code

    def install(self, patch):
        patch.setattr(store_files.os, "fsync", self.around(os.fsync))
        patch.setattr(Path, "replace", self.around(Path.replace))
        patch.setattr(Path, "mkdir", self.around(Path.mkdir))
        patch.setattr(Path, "open", lambda path, *args, **options: self.open(path, *args, **options))

    def count(self):
        self.calls += 1
        if self.calls == self.fail_at:
            raise OSError(self.code, os.strerror(self.code))

    def around(self, function):
        def faulty(*args, **kwargs):
            self.count()
            return function(*args, **kwargs)

        return faulty

    def open(self, path, mode="r", *args, **kwargs):
        if "w" not in mode:
            return open(path, mode, *args, **kwargs)
        self.count()
        fault = self

        class File(io.FileIO):
            def write(self, data):
                half = super().write(data[: len(data) // 2 + 1])
                fault.count()
                return half

        return File(path, mode)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
def test_an_error_at_each_write_is_told_and_harms_nothing(code, store, backbone, monkeypatch, tmp_path):
    """Making the file, each piece of it, forcing it to the disk, naming it, forcing the name: each fails once."""
    examples = fakes.examples(12)
    fill(store, backbone, examples[:3])
    points = 0
    for fail_at in range(1, 100):
        folder = shutil.copytree(store.folder, tmp_path / f"fails-at-{fail_at}")
        fault = Fault(fail_at, code)
        with monkeypatch.context() as patch:
            fault.install(patch)
            try:
                fill(ActivationStore.open(folder), FakeBackbone(), examples, commit_every=3)
            except StoreError as error:
                assert os.strerror(code) in str(error) and "it goes on where it stopped" in str(error)
            else:
                assert fault.calls < fail_at  # past the last write
                break
        points += 1
        after = ActivationStore.open(folder)
        assert set(store.keys) <= set(after.keys) and after.verify() == []
        assert not [path for path in folder.rglob("*") if path.name.endswith(".tmp")]
        fill(after, FakeBackbone(), examples, commit_every=3)
        assert_whole(after, examples)
    assert points > 3 * 8  # three commits, of at least so many writes each


def test_an_error_while_a_store_is_made_is_told_and_can_be_tried_again(tmp_path, backbone, monkeypatch):
    for fail_at in range(1, 20):
        folder = tmp_path / str(fail_at) / "store"
        fault = Fault(fail_at, errno.ENOSPC)
        folder.parent.mkdir()
        with monkeypatch.context() as patch:
            fault.install(patch)
            try:
                ActivationStore.create(folder, spec=backbone.spec, layout=backbone.layout)
            except StoreError as error:
                assert "No space left on device" in str(error)
            else:
                break
        store = ActivationStore.create(folder, spec=backbone.spec, layout=backbone.layout)
        assert fill(store, backbone, fakes.examples(2)) == 2
    assert fail_at > 6


@pytest.mark.skipif(os.name != "posix", reason="limits of a process are POSIX's")
def test_a_limit_of_the_real_system_is_told_and_harms_nothing(store, backbone):
    """The kernel itself refuses to write on: the file is longer than the process may write."""
    examples = fakes.examples(40)
    fill(store, backbone, examples[:2])
    code = (
        "import resource, sys, fakes; from savs.extraction import fill; from savs.store import ActivationStore\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "fill(ActivationStore.open(sys.argv[1]), fakes.FakeBackbone(), fakes.examples(40))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(store.folder)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(PROGRAM.parent)},
    )  # fmt: skip
    assert "StoreError" in ran.stderr and "File too large" in ran.stderr
    assert len(store) == 2 and store.verify() == []
    assert not [path for path in store.folder.rglob("*") if path.name.endswith(".tmp")]
    fill(store, backbone, examples)
    assert_whole(store, examples)


def test_a_flipped_byte_is_found_in_each_of_100_shards(store, backbone):
    fill(store, backbone, fakes.examples(200), commit_every=2)
    assert len(store.shards) == 100 and store.verify() == []
    rng = random.Random(0)
    for path in store.shards:
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
    damage = ActivationStore.open(store.folder).verify()
    assert [one.path for one in damage] == list(store.shards)
    assert all("is damaged" in str(one) and "delete it and run savs extract again" in str(one) for one in damage)


def test_damage_is_mended_by_deleting_the_shard_and_extracting_again(store, backbone):
    examples = fakes.examples(10)
    fill(store, backbone, examples, commit_every=5)
    data = bytearray(store.shards[0].read_bytes())
    data[-1] ^= 1
    store.shards[0].write_bytes(data)
    [damage] = store.verify()
    damage.path.unlink()
    assert fill(ActivationStore.open(store.folder), backbone, examples, commit_every=5) == 5
    assert_whole(ActivationStore.open(store.folder), examples)


@pytest.mark.slow
def test_two_writers_on_one_plan_20_times(tmp_path):
    """Both do all of the work at once: the rows are there once, and each shard in one valid copy."""
    examples = fakes.examples(60)
    for run in range(20):
        folder = tmp_path / str(run)
        both = [writer(folder, n=60, commit_every=5) for _ in range(2)]
        assert [process.wait() for process in both] == [0, 0]
        store = ActivationStore.open(folder)
        assert_whole(store, examples)
        assert not [path for path in folder.rglob("*") if path.name.endswith(".tmp")]


def test_a_store_that_another_process_makes_between_two_looks_is_opened(tmp_path, backbone, monkeypatch):
    from savs.store import store as module

    made = {"spec": backbone.spec, "layout": backbone.layout}
    look = module.is_store

    def overtaken(folder):
        """The first look finds nothing, and right after it the other process makes the store and fills it."""
        found = look(folder)
        with monkeypatch.context() as patch:
            patch.setattr(module, "is_store", look)
            fill(ActivationStore.create(folder, **made), backbone, fakes.examples(6))
        monkeypatch.setattr(module, "is_store", look)
        return found

    monkeypatch.setattr(module, "is_store", overtaken)
    store = ActivationStore.create(tmp_path / "new", **made)
    assert module.is_store is look, "the other process never came between"
    assert_whole(store, fakes.examples(6))


@pytest.mark.parametrize("links", [True, False])
def test_a_store_is_made_once_whoever_else_makes_it_for_another_model(tmp_path, backbone, monkeypatch, links):
    """The other process comes after this one has found nothing there: what it has made stays its own."""
    from savs.store import store as module

    examples = fakes.examples(6)
    other = dataclasses.replace(backbone.spec, revision="other")
    look = module.check_vacant

    def overtaken(folder):
        look(folder)
        with monkeypatch.context() as patch:
            patch.setattr(module, "check_vacant", look)
            fill(ActivationStore.create(folder, spec=backbone.spec, layout=backbone.layout), backbone, examples)

    def refused(*_):
        raise PermissionError(1, "the file system has no links")

    monkeypatch.setattr(module, "check_vacant", overtaken)
    if not links:
        monkeypatch.setattr("os.link", refused)
    with pytest.raises(SpecMismatchError, match="revision"):
        ActivationStore.create(tmp_path / "new", spec=other, layout=backbone.layout)
    assert_whole(ActivationStore.open(tmp_path / "new"), examples)
    assert not list(tmp_path.rglob("*.tmp"))


def test_two_writers_whose_rows_differ_by_rounding_leave_one_row_each(store, monkeypatch):
    """As two machines would, or other batches: whoever commits meanwhile, every reader takes the same copy of a row."""
    from savs.store import store as module

    examples = fakes.examples(12)
    other = ActivationStore.open(store.folder)
    write = module.write_shard

    def overtaken(*args, **options):
        """The other commits all of its rows between this one's look at what is missing and its write."""
        with monkeypatch.context() as patch:
            patch.setattr(module, "write_shard", write)
            fill(other, FakeBackbone(noise=1e-6), examples, commit_every=4)
        return write(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_shard", overtaken)
        fill(store, FakeBackbone(), examples, commit_every=6)
    keys = example_keys(examples)
    assert stored_rows(store) == 12 + 6  # the second commit found its rows there
    first = store.read(keys).z
    expected = np.stack([FakeBackbone().features(example.text) for example in examples])
    np.testing.assert_allclose(first, expected, atol=2e-6)
    for reader in (other, ActivationStore.open(store.folder)):
        assert sorted(reader.keys) == sorted(keys)
        np.testing.assert_array_equal(reader.read(keys).z, first)


def test_a_finished_job_runs_nothing_again(store, backbone):
    examples = fakes.examples(20)
    assert fill(store, backbone, examples, commit_every=6) == 20
    backbone.asked.clear()
    assert fill(ActivationStore.open(store.folder), backbone, examples, commit_every=6) == 0
    assert fill(store, backbone, [*examples, *fakes.examples(3, first=20)], commit_every=6) == 3
    assert backbone.asked == ["e20", "e21", "e22"]


def test_a_broken_off_job_runs_the_batches_of_one_that_was_not(tmp_path, backbone):
    """So that features that depend on their batch to the last bit do not depend on the interruption."""

    class Interrupted(FakeBackbone):
        def head_activations(self, examples, **options):
            batches.append([example.id for example in examples])
            if len(batches) == stop_at:
                raise KeyboardInterrupt
            return super().head_activations(examples, **options)

    examples = fakes.examples(23)
    whole, batches, stop_at = [], [], 0
    for name in ("whole", "broken"):
        batches.clear()
        store = ActivationStore.create(tmp_path / name, spec=backbone.spec, layout=backbone.layout)
        if name == "broken":
            stop_at = 3
            with pytest.raises(KeyboardInterrupt):
                fill(store, Interrupted(), examples, commit_every=5)
            assert len(store) == 10
            batches.pop()
        stop_at = 0
        fill(store, Interrupted(), examples, commit_every=5)
        whole.append(([*batches], [path.name for path in store.shards]))
    assert whole[0] == whole[1]


def test_left_over_files_go_and_those_of_living_writers_stay(store, backbone):
    folder = store.folder / "shards"
    host = store_files.socket.gethostname()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead, living = folder / f"a.{host}.{gone.pid}.tmp", folder / f"b.{host}.{os.getpid()}.tmp"
    elsewhere, ancient = folder / "c.other-host.1.tmp", folder / "d.other-host.2.tmp"
    for path in (dead, living, elsewhere, ancient):
        path.write_bytes(b"half a shard")
    os.utime(ancient, (0, 0))
    assert len(ActivationStore.open(store.folder)) == 0  # none of them is a row, and reading removes nothing
    assert dead.exists()
    fill(store, backbone, fakes.examples(1))
    assert [path.exists() for path in (dead, living, elsewhere, ancient)] == [False, True, True, False]


def test_a_store_whose_making_was_killed_can_be_made(tmp_path, backbone):
    folder = tmp_path / "store"
    (folder / "shards").mkdir(parents=True)
    (folder / "abc.host.1.tmp").write_text("half a manifest")
    store = ActivationStore.create(folder, spec=backbone.spec, layout=backbone.layout)
    fill(store, backbone, fakes.examples(2))
    assert len(store) == 2


@pytest.mark.parametrize("kind", ["llama", "llava"])
def test_equal_batches_give_equal_bits(kind, tmp_path, model_folder, pictures):
    """A real model, twice, in stores of their own: the same files under the same names."""
    from savs.backbones.huggingface import load_backbone
    from savs.data.example import Example

    media = [(picture,) if kind == "llava" else () for picture in pictures(7)]
    examples = [Example(str(i), f"What is it{'?' * i}", shown) for i, shown in enumerate(media)]
    names = []
    for name in ("first", "second"):
        model = load_backbone(model_folder(kind), dtype="float32", device="cpu")
        store = ActivationStore.create(tmp_path / name, spec=model.spec, layout=model.layout)
        fill(store, model, examples, batch_size=3, commit_every=4)
        names.append([path.name for path in store.shards])
    assert names[0] == names[1]
