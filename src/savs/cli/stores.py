"""What commands do with a store of features: find its backbone, and say what is left to run. Prints what it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.cli.console import note, quiet_loading, show, waiting, warn, working, write_json
from savs.cli.files import check_output
from savs.errors import BackboneError, SpecMismatchError, StoreError

if TYPE_CHECKING:
    from savs.backbones.base import Backbone, BackboneSpec
    from savs.data.example import Example
    from savs.extraction import StoredBackbone
    from savs.store import ActivationStore
    from savs.store.manifest import StoreDtype


def open_stored(
    folder: Path, load: Callable[[], Backbone], examples: Sequence[Example], *, dtype: StoreDtype | None = None
) -> StoredBackbone:
    """A backbone that answers from a store, which is made where there is none.

    The backbone is loaded now if it will be needed, so that no bar of progress waits for it.
    """
    return open_with_keys(folder, load, examples, dtype=dtype)[0]


def open_with_keys(
    folder: Path, load: Callable[[], Backbone], examples: Sequence[Example], *, dtype: StoreDtype | None = None
) -> tuple[StoredBackbone, list[str]]:
    """The same, with the keys of the examples, for which every file was read."""
    from savs.data.keys import example_keys
    from savs.extraction import StoredBackbone

    stored = StoredBackbone.at(folder, load, dtype=dtype)
    absent = len(stored.store.missing(keys := example_keys(examples)))
    note(f"{len(set(keys)) - absent} of {len(set(keys))} examples are in {folder}")
    if absent:
        _ = stored.backbone
    return stored, keys


def loader(store: Path | None, model: str | None, *, device: str | None, **options: Any) -> Callable[[], Backbone]:
    """How to load the backbone: the one that is named, or the one that a store was made with.

    Args:
        store: a folder that may hold a store.
        model: what --model says.
        device: what --device says.
        options: of `load_backbone`, those that were given.

    Raises:
        BackboneError: no model is named, and there is no store to tell.
        SpecMismatchError: the store was made with another model, or with other options.
    """
    from savs.store import ActivationStore, is_store

    if store is not None and is_store(store):
        spec = ActivationStore.open(store).spec
        _check_asked(store, spec, model, options)
        revision = options.get("revision")
        # The Hub knows a commit by its whole name alone, which the store has.
        named = None if revision is None or _is_commit(revision) else revision
        return lambda: reopened(spec, model, device, revision=named)
    if model is None:
        raise BackboneError("no model is named; give --model, or a --store that savs extract has filled")
    wanted = model

    def load() -> Backbone:
        with waiting(f"loading {wanted}"):
            from savs.backbones.huggingface import load_backbone

            quiet_loading()
            return load_backbone(wanted, device=device, **options)

    return load


def reopened(spec: BackboneSpec, location: str | None, device: str | None, *, revision: str | None = None) -> Backbone:
    """The backbone that a classifier or a store was made with."""
    with waiting(f"loading {location or spec.location or spec.model}"):
        from savs.backbones.reopen import reopen

        quiet_loading()
        return reopen(spec, location, device=device, revision=revision)


def inspect_store(folder: Path, *, verify: bool, parquet: Path | None, overwrite: bool, as_json: bool) -> None:
    """Show what a store holds; look for damage and export it where asked. Damage ends the program with an error."""
    from savs.cli.tables import facts
    from savs.store import ActivationStore, write_parquet

    check_output(parquet, overwrite=overwrite)
    store = ActivationStore.open(folder)
    damage = []
    if verify:
        with working(f"reading {folder}") as progress:
            damage = store.verify(progress)
        for one in damage:
            warn(str(one))
        if damage:
            raise StoreError(f"{len(damage)} of {len(store.shards)} shards are damaged", location=str(folder))
    if parquet is not None:
        with working(f"writing {parquet}") as progress:
            write_parquet(store, parquet, progress=progress)
    if as_json:
        write_json({**store_to_json(store), "verified": verify})
    else:
        verified = {"verified": "every byte is what was written"} if verify else {}
        show(facts({**facts_of_store(store), **verified}))


def store_to_json(store: ActivationStore) -> dict[str, Any]:
    """What a store is, for a program."""
    return {
        "store": str(store.folder),
        "backbone": store.spec.to_json(),
        "heads": store.layout.n_heads,
        "head_dim": store.layout.head_dim,
        "dtype": store.dtype,
        "examples": len(store),
        "shards": len(store.shards),
        "bytes": sum(path.stat().st_size for path in store.shards),
    }


def facts_of_store(store: ActivationStore) -> dict[str, str]:
    """What a store is, in the order a reader asks."""
    spec, size = store.spec, sum(path.stat().st_size for path in store.shards)
    layers, heads = store.layout.shape
    return {
        "store": str(store.folder),
        "holds": f"{len(store):,} examples in {len(store.shards)} shards, {size / 1e6:,.1f} MB",
        "backbone": f"{spec.model} at {spec.revision[:12]}, {spec.dtype}, {spec.attention}",
        "heads": f"{store.layout.n_heads}, {layers} layers x {heads}, {store.layout.head_dim} wide, in {store.dtype}",
    }


def _check_asked(store: Path, spec: BackboneSpec, model: str | None, options: Mapping[str, Any]) -> None:
    """As much of a check as there can be without loading the model, which nothing may need."""
    # A folder is called by its own name, a GGUF file by the name that it was given, which may be a link's.
    if model is not None and spec.model not in (model, Path(model).expanduser().resolve().name, Path(model).name):
        raise SpecMismatchError(
            f"the store {store} holds features of {spec.model}, and --model names {model}; leave --model out, or use "
            "another store"
        )
    for name, value in options.items():
        held = getattr(spec, name)
        if name == "revision" and not _is_commit(value):
            note(f"{store} holds revision {held[:12]}; if the model is needed, it must be what {value!r} names")
            continue
        fits = held.startswith(value) if name == "revision" else held == value
        if not fits:
            raise SpecMismatchError(
                f"the store {store} holds features with {name} {held!r}, and {value!r} was asked for; "
                f"leave --{name.replace('_', '-')} out, or use another store"
            )


def _is_commit(revision: str) -> bool:
    """Whether it names a commit by itself, and not by a branch or a tag."""
    return len(revision) >= 7 and set(revision) <= set("0123456789abcdef")
