"""Extraction and prediction by a pool of workers, on one machine or a cluster, through Ray Data.

The engine knows pieces of work and who does them. That nothing is lost or doubled is the store's doing: a piece is
planned before it is sent out, and what a worker has committed is there whatever becomes of the worker, so that the
engine may repeat a piece as often as it likes. Needs Ray (`pip install "savs[ray]"`).
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from savs.backbones.base import Backbone, BackboneSpec, Progress
from savs.data.example import Example
from savs.data.keys import example_keys
from savs.engines.tries import Tries
from savs.engines.workers import Workers
from savs.errors import BackboneError, SavsError
from savs.extraction import COMMIT_EVERY, plan
from savs.features import HeadLayout
from savs.model import SAVModel
from savs.prediction import Prediction
from savs.store import ActivationStore
from savs.together import check_together, predict_many, windows


class Piece(NamedTuple):
    """What a worker is sent: examples, with their keys where it needs them, so that it reads no file to make them."""

    examples: Sequence[Example] = ()
    keys: Sequence[str] = ()


#: Made once in each worker; called with each piece that the worker is sent.
Task = Callable[[Piece], Any]

#: Of a piece, and of loading the backbone, before deaths of workers are an error. Ray Data would try for ever.
_TRIES = 4

logger = logging.getLogger(__name__)


def describe(load: Callable[[], Backbone], workers: Workers) -> tuple[BackboneSpec, HeadLayout]:
    """What a backbone is, told by a worker: the machine that plans the work need not hold the model.

    Raises:
        BackboneError: it cannot be loaded, workers die of it, or Ray is not installed.
    """

    def make() -> Task:
        backbone = load()
        return lambda _: (backbone.spec, backbone.layout)

    with _running(workers):
        [(spec, layout)] = _results(make, [Piece()], Workers(1, workers.gpus, workers.cpus))
    return spec, layout


def fill(
    store: ActivationStore,
    load: Callable[[], Backbone],
    examples: Sequence[Example],
    *,
    workers: Workers,
    batch_size: int | None = None,
    commit_every: int = COMMIT_EVERY,
    progress: Progress | None = None,
) -> int:
    """`extraction.fill` by many workers: the same pieces, the same batches, the same files in the store.

    To the last bit on like machines, and on a CPU with as many threads: a worker has `cpus` of them, unless
    `OMP_NUM_THREADS` says otherwise.

    Args:
        store: in a folder that every worker sees under the same path, as it sees the media (or under their URL).
        load: opens the backbone; called once in each worker.
        examples: the inputs.
        workers: who does it.
        batch_size: examples in one forward pass.
        commit_every: examples of one piece, which are committed together.
        progress: called with (examples that are in the store, examples in all).

    Returns:
        How many examples were run, pieces that were run twice counted once.

    Raises:
        DataError: media cannot be opened.
        BackboneError: the model cannot take an example, workers die again and again, or Ray is not installed.
        SpecMismatchError: the workers' backbone is not the store's.
        StoreError: the store cannot be written; what was committed is safe.
    """
    keys = example_keys(examples)
    done = len(examples) - len(store.missing(keys))
    pieces = [
        Piece([examples[row] for row in rows], [keys[row] for row in rows]) for rows in plan(store, keys, commit_every)
    ]
    if not pieces:
        if progress is not None:
            progress(len(examples), len(examples))
        return 0
    folder = store.folder.absolute()

    def make() -> Task:
        backbone = load()
        shared = ActivationStore.open(folder)
        shared.check(backbone.spec, backbone.layout)

        def commit(piece: Piece) -> int:
            # Another worker may have committed it and died before it could say so.
            if shared.missing(piece.keys):
                z = backbone.head_activations(piece.examples, batch_size=batch_size)
                shared.append(z, piece.keys, [example.id for example in piece.examples])
            return len(piece.examples)

        return commit

    ran = 0
    with _running(workers):
        for count in _results(make, pieces, workers):
            ran += count
            if progress is not None:
                progress(done + ran, len(examples))
    return ran


def predict(
    models: Sequence[SAVModel],
    examples: Sequence[Example],
    *,
    location: str | None = None,
    device: str | None = None,
    workers: Workers,
    batch_size: int | None = None,
) -> Iterator[list[list[Prediction]]]:
    """`together.predict_many` by many workers, piece by piece, in the order of the examples.

    Args:
        models: classifiers on one backbone, which each worker loads.
        examples: the inputs, media in files that every worker sees under the same path or URL.
        location: where the backbone is, if not where it was at fit time.
        device: as for `savs.load_backbone`.
        workers: who does it.
        batch_size: examples in one forward pass.

    Returns:
        For each of `together.windows`, one list of predictions a classifier.

    Raises:
        DataError: media cannot be opened.
        BackboneError: the backbone cannot be loaded or cannot take an example, workers die again and again, or Ray is
            not installed.
        SpecMismatchError: the backbone is not the one that the classifiers were fitted on, or they do not share one.
    """
    check_together(models)
    bare = [model.without_backbone() for model in models]

    def make() -> Task:
        bare[0].load_backbone(location, device=device)
        return lambda piece: predict_many(bare, piece.examples, batch_size=batch_size)

    with _running(workers):
        yield from _results(make, list(map(Piece, windows(examples, batch_size=batch_size))), workers)


def _results(make: Callable[[], Task], pieces: Sequence[Piece], workers: Workers) -> Iterator[Any]:
    """What the task gives for each piece, in the order of the pieces."""
    if not pieces:
        return
    import ray
    import ray.data
    from ray import cloudpickle
    from ray.exceptions import RayError

    pickler: Any = cloudpickle  # untyped
    packed = pickler.dumps(make)

    class Worker:
        """Hands on what a user can mend as a result, since Ray would wrap it, or give its text alone."""

        def __init__(self, tries: Any) -> None:
            self.tries = tries
            self.problem: SavsError | None = None
            try:
                if not ray.get(tries.start.remote()):
                    raise _died("on loading the model")
                self.task = pickler.loads(packed)()
            except SavsError as error:
                self.problem = error

        def __call__(self, row: dict[str, Any]) -> dict[str, bytes]:
            piece = pickle.loads(row["piece"])
            try:
                if self.problem is None and not ray.get(self.tries.begin.remote(row["number"])):
                    raise _died(f"on the examples from {piece.examples[0].id!r} to {piece.examples[-1].id!r}")
                result = self.problem or self.task(piece)
            except SavsError as error:
                result = error
            return {"result": pickle.dumps(result)}

    count = min(workers.count, len(pieces))
    counter: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Tries)  # untyped
    tries = counter.remote(starts=count + _TRIES, tries=_TRIES)
    rows = ray.data.from_items(
        [
            {
                "number": number,
                "piece": pickle.dumps(piece._replace(examples=[_located(one) for one in piece.examples])),
            }
            for number, piece in enumerate(pieces)
        ],
        override_num_blocks=len(pieces),
    )
    worker: Any = Worker  # Ray calls an instance of it, which its own types do not say
    done = rows.map(
        worker,
        compute=ray.data.ActorPoolStrategy(size=count),
        num_gpus=workers.gpus,
        num_cpus=workers.cpus,
        fn_constructor_args=(tries,),
    )
    try:
        for row in done.iter_rows():
            result = pickle.loads(row["result"])
            if isinstance(result, SavsError):
                raise result
            yield result
    except RayError as error:
        raise BackboneError(f"the workers failed: {str(error).strip().splitlines()[-1]}") from error


def _died(where: str) -> BackboneError:
    return BackboneError(
        f"workers died {where}, again and again: they ran out of memory, or a library crashed. Ask for fewer "
        "workers or smaller batches; Ray's logs (/tmp/ray/session_latest/logs) hold their last words"
    )


def _located(example: Example) -> Example:
    """The example with paths that do not depend on the folder a worker is started in."""
    return replace(
        example,
        media=tuple(
            media if media.file is None else replace(media, source=media.file.absolute()) for media in example.media
        ),
    )


@contextmanager
def _running(workers: Workers) -> Iterator[None]:
    """Ray, as it runs already or as `RAY_ADDRESS` says; else started on this machine alone, and stopped afterwards."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise BackboneError('the engine ray needs Ray; run pip install "savs[ray]"') from error
    if workers.count < 1:
        raise BackboneError(f"{workers.count} workers were asked for; expected at least one")
    own = not ray.is_initialized()
    local = own and "RAY_ADDRESS" not in os.environ
    options: dict[str, Any] = {}
    if local:
        # One CPU more than the workers hold, for Ray Data's own tasks; work on few cores takes turns.
        cpus = max(os.cpu_count() or 1, int(workers.count * workers.cpus) + 1)
        # Without an address Ray would join whatever this machine last ran, even where that is no longer there.
        options = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
    if own:
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except Exception as error:  # Ray raises nothing more particular
            ray.shutdown()
            raise BackboneError(f"Ray cannot be started or reached: {error}") from error
    try:
        resources: Any = ray.cluster_resources  # untyped
        gpus = resources().get("GPU", 0)
        if local and workers.count * workers.gpus > gpus:
            raise BackboneError(
                f"{workers.count} workers with {workers.gpus:g} GPUs each were asked for, and this machine has "
                f"{gpus:g}; ask for fewer, or name a cluster in RAY_ADDRESS"
            )
        if gpus and not workers.gpus:
            logger.warning(
                "Ray has %g GPUs and the workers are given none, so that they share one or run without; unless that is "
                "meant, give each its own (--gpus-per-worker 1)",
                gpus,
            )
        # What fails is raised; Ray Data would print it too.
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_options.preserve_order = True
        yield
    finally:
        if own:
            ray.shutdown()
