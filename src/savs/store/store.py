"""`ActivationStore`: the features of many examples, found by what the model was shown, shared by many processes.

Knows keys, rows and heads; no example, no label of its own, no model. Writers need no lock: a shard appears whole, by
one rename, under a name that is its digest, and a row that two writers both made is one row to every reader.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, get_args

import numpy as np

from savs.backbones.base import BackboneSpec
from savs.errors import OutputExistsError, SpecMismatchError, StoreError
from savs.features import FloatArray, HeadFeatures, HeadId, HeadLayout
from savs.store.files import is_unfinished, sweep
from savs.store.manifest import MANIFEST_FILE, Manifest, StoreDtype
from savs.store.shard import Shard, damaged, digest_fits, is_shard, open_shard, write_shard
from savs.store.stored import StoredFeatures

SHARDS_FOLDER = "shards"


@dataclass(frozen=True)
class Damage:
    """A shard that is not what it was when it was written, and what to do about it."""

    path: Path
    what: str

    def __str__(self) -> str:
        return str(damaged(self.path, self.what))


class ActivationStore:
    """Features on disk, in a folder: `manifest.json`, and immutable shards under `shards/`.

    Made by `create` or `open`. Rows are found by key (`data.keys.example_keys`), and read in the order asked for.

    Attributes:
        folder: where it lies.
        spec: the backbone whose features it holds.
        layout: the heads.
        dtype: in which they are stored; they are read as float32.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.spec = manifest.spec
        self.layout = manifest.layout
        self.dtype = manifest.dtype
        self._shards: dict[str, Shard] = {}
        self._places: dict[str, tuple[Shard, int]] = {}
        self._swept = False

    @classmethod
    def create(
        cls, folder: str | Path, *, spec: BackboneSpec, layout: HeadLayout, dtype: StoreDtype | None = None
    ) -> Self:
        """Make an empty store, or open the one that is there if it holds features of this backbone.

        Args:
            folder: where; its parent exists.
            spec: of the backbone.
            layout: of the backbone.
            dtype: `float32` by default, which keeps every bit; `float16` takes half the room.

        Raises:
            OutputExistsError: the folder holds something else.
            SpecMismatchError: it holds another backbone's features.
            StoreError: it is stored in another precision, is damaged, or cannot be written.
        """
        folder = Path(folder)
        if not is_store(folder):
            if dtype is not None and dtype not in get_args(StoreDtype):
                raise ValueError(f"dtype={dtype!r}; choose one of {', '.join(get_args(StoreDtype))}")
            check_vacant(folder)
            try:
                (folder / SHARDS_FOLDER).mkdir(parents=True, exist_ok=True)
                Manifest(spec, layout, dtype or "float32").write(folder)
            except OSError as error:
                raise _unwritable(folder, error) from error
        # Read back even if just written: of processes that create it at once, one has made it, perhaps not this one.
        store = cls.open(folder, dtype=dtype)
        store.check(spec, layout)
        return store

    @classmethod
    def open(cls, folder: str | Path, *, dtype: StoreDtype | None = None) -> Self:
        """Open a store that is there. Reads its manifest alone.

        Args:
            folder: where.
            dtype: the precision it has to be in; any by default.

        Raises:
            StoreError: there is none, its manifest is damaged, or it is of a later format or in another precision.
        """
        folder = Path(folder)
        manifest = Manifest.read(folder)
        if dtype not in (None, manifest.dtype):
            raise StoreError(
                f"holds {manifest.dtype}, and {dtype} was asked for; leave that out, or use another folder",
                location=str(folder),
            )
        return cls(folder, manifest)

    def __repr__(self) -> str:
        return f"ActivationStore({str(self.folder)!r}, {self.spec.model}, {self.layout.n_heads} heads, {self.dtype})"

    def __len__(self) -> int:
        self.refresh()
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return not self.missing([key])

    @property
    def keys(self) -> tuple[str, ...]:
        """The key of every row, in the order of the shards' names, which is no order of time."""
        self.refresh()
        return tuple(key for shard in self._in_order() for key in dict.fromkeys(shard.keys) if self._has(shard, key))

    @property
    def shards(self) -> tuple[Path, ...]:
        """The files that hold the rows."""
        return tuple(sorted(path for path in self._listed() if is_shard(path.name)))

    def check(self, spec: BackboneSpec, layout: HeadLayout | None = None) -> None:
        """Refuse a backbone whose features these are not.

        Raises:
            SpecMismatchError: saying what differs.
        """
        differences = self.spec.differences(spec)
        if not differences and layout not in (None, self.layout):
            differences = ["the heads that are read of it, as they do between versions of savs"]
        if differences:
            raise SpecMismatchError(
                f"the store {self.folder} holds features of {self.spec.model}, and the backbone given ({spec.model}) "
                f"differs in {'; '.join(differences)} (here: the store). Load the same backbone, or use another store"
            )

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those of `keys` that have no row yet, each once, in their order."""
        self.refresh()
        return [key for key in dict.fromkeys(keys) if key not in self._places]

    def append(self, z: FloatArray, keys: Sequence[str], ids: Sequence[str] | None = None) -> int:
        """Commit rows: all of them, or none. Rows that are there already, from whatever writer, are left out.

        Args:
            z: `[n_rows, n_heads, head_dim]`, heads in the order of `layout`.
            keys: `[n_rows]`.
            ids: `[n_rows]` names for people; the keys by default.

        Returns:
            How many rows were new.

        Raises:
            ValueError: the shapes do not fit.
            StoreError: a value is not finite, or too large for the store's precision; the disk is full, or will not
                be written to. What was committed before is safe.
        """
        expected = (len(keys), self.layout.n_heads, self.layout.head_dim)
        if z.shape != expected or len(keys) != len(ids if ids is not None else keys):
            raise ValueError(f"z has shape {z.shape} for {len(keys)} keys; the store expects {expected}, an id a key")
        absent = set(self.missing(keys))
        first = {key: row for row, key in reversed(list(enumerate(keys)))}
        rows = sorted(row for key, row in first.items() if key in absent)
        if not rows:
            return 0
        stored = self._head_major(z if len(rows) == len(keys) else z[rows])
        folder = self.folder / SHARDS_FOLDER
        try:
            folder.mkdir(exist_ok=True)
            if not self._swept:
                sweep(self.folder)
                sweep(folder)
                self._swept = True
            write_shard(
                folder,
                stored,
                [keys[row] for row in rows],
                [(ids if ids is not None else keys)[row] for row in rows],
                feature_key=self.spec.fingerprint(),
            )
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        return len(rows)

    def select(
        self, keys: Sequence[str], *, ids: Sequence[str] | None = None, labels: Sequence[str | None] | None = None
    ) -> StoredFeatures:
        """Rows by key, in the order asked for, a row as often as it is asked for. Reads no feature yet.

        Args:
            keys: which rows.
            ids: what to call them; by default what they were called when they were stored.
            labels: their labels, which a store does not hold.

        Raises:
            StoreError: some are not there.
        """
        absent = self.missing(keys)
        if absent:
            raise StoreError(
                f"{len(absent)} of {len(set(keys))} rows are not in the store; run savs extract on the data first",
                location=str(self.folder),
            )
        places = [self._places[key] for key in keys]
        stored = ids if ids is not None else [shard.ids[row] for shard, row in places]
        return StoredFeatures(
            ids=tuple(stored),
            labels=tuple(labels) if labels is not None else (None,) * len(places),
            layout=self.layout,
            fingerprint=self.spec.fingerprint(),
            places=tuple(places),
        )

    def read(self, keys: Sequence[str] | None = None, *, heads: Sequence[HeadId] | None = None) -> HeadFeatures:
        """The features of some rows, all by default, at some heads, all by default, in memory.

        Raises:
            StoreError: a row is not there, or a shard is damaged.
            ValueError: the backbone has no such head.
        """
        return self.select(self.keys if keys is None else keys).load(heads)

    def verify(self, progress: Callable[[int, int], None] | None = None) -> list[Damage]:
        """Read every byte of every shard again, and name those that are not what was written.

        Args:
            progress: called with (shards done, shards in all).
        """
        found = []
        paths = self.shards
        for done, path in enumerate(paths, start=1):
            try:
                if not digest_fits(path):
                    found.append(Damage(path, "its content is not what its name says"))
                else:
                    self._fitting(open_shard(path))
            except OSError as error:
                found.append(Damage(path, error.strerror or str(error)))
            except StoreError as error:
                found.append(Damage(path, str(error)))
            if progress is not None:
                progress(done, len(paths))
        return found

    def refresh(self) -> None:
        """See what other processes have committed since. Everything that looks for rows does this by itself.

        Raises:
            StoreError: a shard is damaged, or is another store's.
        """
        new = [path for path in self._listed() if path.name not in self._shards and is_shard(path.name)]
        for path in sorted(new):
            self._shards[path.name] = shard = self._fitting(open_shard(path))
            for row, key in enumerate(shard.keys):
                place = self._places.get(key)
                # Two writers may each have made a row; every reader takes the copy in the first shard by name.
                if place is None or place[0].path.name > path.name:
                    self._places[key] = (shard, row)

    def _listed(self) -> list[Path]:
        folder = self.folder / SHARDS_FOLDER
        return list(folder.iterdir()) if folder.is_dir() else []

    def _in_order(self) -> list[Shard]:
        return [self._shards[name] for name in sorted(self._shards)]

    def _has(self, shard: Shard, key: str) -> bool:
        return self._places[key][0] is shard

    def _fitting(self, shard: Shard) -> Shard:
        n_heads, _, head_dim = shard.shape
        is_ours = shard.feature_key == self.spec.fingerprint()
        if not is_ours or (n_heads, head_dim, shard.dtype) != (
            self.layout.n_heads,
            self.layout.head_dim,
            np.dtype(self.dtype),
        ):
            raise StoreError(
                f"holds features of another backbone ({shard.feature_key}) than this store "
                f"({self.spec.fingerprint()}), or in another shape; move it where it belongs",
                location=str(shard.path),
            )
        return shard

    def _head_major(self, z: FloatArray) -> FloatArray:
        """The rows as a shard holds them, `[n_heads, n_rows, head_dim]`, in the store's precision."""
        with np.errstate(over="ignore"):
            stored: FloatArray = np.asarray(z.transpose(1, 0, 2), dtype=self.dtype, order="C")
        if not np.isfinite(stored).all():
            raise StoreError(
                f"features have to be finite in {self.dtype}; the largest here is {float(np.abs(z).max()):g}. A "
                "float32 store takes whatever a backbone gives",
                location=str(self.folder),
            )
        return stored


def is_store(folder: str | Path) -> bool:
    """Whether a folder holds a store, of whatever format and in whatever state."""
    return (Path(folder) / MANIFEST_FILE).is_file()


def check_vacant(folder: Path) -> None:
    """Refuse to make a store where something else is. A store is welcome; what a killed process left of one is nothing.

    Raises:
        OutputExistsError: it is a file, or a folder with other files.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputExistsError(f"{folder} exists and is a file, not a store; choose another name")
    others = any(not is_unfinished(path.name) and path.name != SHARDS_FOLDER for path in folder.iterdir())
    # Asked after the look: another process may have made its store since the caller found none, manifest first.
    if others and not is_store(folder):
        raise OutputExistsError(f"{folder} exists and holds other files, not a store; choose another name")


def _unwritable(folder: Path, error: OSError) -> StoreError:
    return StoreError(
        f"cannot be written to ({error.strerror or error}); what it held is safe. Make room or mend the disk, and run "
        "the same command again: it goes on where it stopped",
        location=str(folder),
    )
