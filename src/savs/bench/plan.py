"""A whole run as one small value: which model, which data, which recipe, set to what. Opens what it names.

A plan can be sent to other processes: each fills columns of its own, and they meet in the cells on disk.
"""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Callable
from concurrent.futures import as_completed
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import savs
from savs.backbones.base import Backbone
from savs.backbones.dual_encoder import load_dual_encoder
from savs.backbones.huggingface import load_backbone
from savs.backbones.loading import DEMO_NAME
from savs.baselines.chat_client import ChatClient, Endpoint
from savs.baselines.image_text import Towers
from savs.baselines.registry import Resources
from savs.bench.cells import Cells
from savs.bench.columns import column
from savs.bench.data import ColumnData, drawn, loaded
from savs.bench.recipes import Recipe, recipe
from savs.bench.runner import Bench, Setting, Stage
from savs.errors import SavsError
from savs.processes import side_by_side
from savs.store import ActivationStore, is_store


@dataclass(frozen=True)
class Plan:
    """One run of `savs bench`.

    Attributes:
        recipe: its name.
        model: Hub id, folder or `demo`.
        out: folder of the pages.
        cells: folder of the finished cells.
        drawn: whether columns are measured in miniature, on drawn data.
        data_root: folder of the real data; None for the Hub.
        columns: the columns wanted; None for all of the recipe.
        methods: the methods wanted; None for all of the recipe.
        setting: shots, draws, seed.
        max_test: test examples of a column at most.
        dual_encoders: Hub ids or folders of CLIP and SigLIP models.
        endpoint: a model behind an OpenAI-compatible endpoint.
        store: folder where features are kept between runs: a store, or one that holds a store for each model.
        dtype: of the model; its own choice by default.
        device: of the model; the fastest by default.
    """

    recipe: str
    model: str
    out: Path
    cells: Path
    drawn: bool
    data_root: Path | None = None
    columns: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None
    setting: Setting = Setting()
    max_test: int | None = None
    dual_encoders: tuple[str, ...] = ()
    endpoint: Endpoint | None = None
    store: Path | None = None
    dtype: str | None = None
    device: str | None = None

    def made_recipe(self) -> Recipe:
        """The recipe with the columns and methods that are wanted.

        Raises:
            SavsError: a column or method is none of the recipe's, or nothing is left.
        """
        whole = recipe(self.recipe)
        for what, wanted, known in (
            ("column", self.columns, whole.columns),
            ("method", self.methods, whole.methods),
        ):
            strange = [name for name in wanted or () if name not in known]
            if strange:
                raise SavsError(f"{self.recipe} has no {what} {strange[0]!r}; it has {', '.join(known)}")
        made = whole.only(columns=self.columns, methods=self.methods)
        if not made.panels:
            raise SavsError(f"nothing is left of {self.recipe}; name some of its columns, {', '.join(whole.columns)}")
        return made

    def load(self, name: str) -> ColumnData:
        """The data of one column.

        Raises:
            DataError: they are not there, or cannot be used.
        """
        if self.drawn:
            return drawn(column(name), seed=self.setting.seed, max_test=self.max_test)
        return loaded(column(name), self.data_root, seed=self.setting.seed, max_test=self.max_test)

    def open(self, stage: Stage = lambda _title: nullcontext()) -> Bench:
        """Load the model, and put what it needs beside it.

        Raises:
            BackboneError: the model cannot be loaded.
            StoreError, SpecMismatchError: the store is damaged, or another model's.
        """
        backbone = load_backbone(self.model, dtype=self.dtype, device=self.device)
        return Bench(
            backbone=backbone,
            cells=Cells(self.cells),
            load=lru_cache(maxsize=2)(self.load),
            setting=self.setting,
            resources=Resources(
                dual_encoders={
                    encoder.family: Towers(encoder)
                    for encoder in (load_dual_encoder(name, device=self.device) for name in self.dual_encoders)
                },
                endpoint=None if self.endpoint is None else ChatClient(self.endpoint),
            ).sized_for(self.model),
            store=None if self.store is None else _store(self.store, backbone),
            stage=stage,
        )

    def command(self) -> str:
        """What makes this run again, with everything that changes its numbers."""
        setting = self.setting
        words: list[Any] = ["savs", "bench", self.recipe, "--model", self.model]
        if self.data_root is not None:
            words += ["--data-root", self.data_root]
        elif self.drawn and self.model != DEMO_NAME:
            words.append("--drawn")
        for name in self.dual_encoders:
            words += ["--dual-encoder", name]
        if self.endpoint is not None:
            words += ["--endpoint", self.endpoint.url, "--endpoint-model", self.endpoint.model]
        for option, names in (("--columns", self.columns), ("--methods", self.methods)):
            words += [option, ",".join(names)] if names is not None else []
        numbers = {"--shots": setting.shots, "--draws": setting.draws, "--costly-draws": setting.costly_draws}
        told = {**numbers, "--seed": setting.seed, "--max-test": self.max_test}
        for option, value in {**told, "--dtype": self.dtype, "--device": self.device}.items():
            words += [option, value] if value is not None else []
        return shlex.join([str(word) for word in words])

    def told(self, backbone: Backbone) -> dict[str, Any]:
        """What changes the numbers, for the page."""
        installed = {name: version(name) for name in ("torch", "transformers", "numpy", "scikit-learn")}
        about = (
            "Everything here is in miniature: the embedded model, and for every data set of the paper a drawn task of "
            "its kind. It shows the machinery and the order of the methods on this model; its numbers say nothing "
            "about the real data sets."
        )
        return {
            "command": self.command(),
            "about": about if self.drawn else "",
            "model": {name: value for name, value in backbone.spec.to_json().items() if name != "location"},
            "heads": backbone.layout.n_heads,
            "shots": self.setting.shots,
            "draws": self.setting.draws,
            "costly_draws": min(self.setting.draws, self.setting.costly_draws),
            "seed": self.setting.seed,
            "max_test": self.max_test,
            "versions": {"Python": platform.python_version(), "savs": savs.__version__, **installed},
            "machine": _machine(backbone),
        }


def fill_side_by_side(plan: Plan, jobs: int, told: Callable[[str], None]) -> None:
    """Fill the cells of a plan in several processes, a column at a time each; results are then read from the cells.

    Args:
        plan: what to fill.
        jobs: processes, each with a model of its own and one core.
        told: called with the name of each column that is done.
    """
    names = plan.made_recipe().columns
    # The rows of an endpoint are left to the caller, so that one process keeps to its limits and has the whole bill.
    plan = replace(plan, endpoint=None)
    with side_by_side(min(jobs, len(names))) as pool:
        work = {pool.submit(_fill_column, plan, name): name for name in names}
        for done in as_completed(work):
            done.result()
            told(work[done])


def _fill_column(plan: Plan, name: str) -> None:
    bench = _opened(plan)
    try:
        data = bench.load(name)
    except SavsError:
        return  # who reads the cells afterwards meets the same error, and tells it
    bench.fill(data, plan.made_recipe().rows(name))
    bench.forget()


@cache
def _opened(plan: Plan) -> Bench:
    """The model of a plan, loaded once in each process."""
    return plan.open()


def _store(folder: Path, backbone: Backbone) -> ActivationStore:
    """The store that `folder` is, if it is one, and else the store of this model among those under it."""
    if is_store(folder):
        found = ActivationStore.open(folder)
        found.check(backbone.spec, backbone.layout)
        return found
    folder.mkdir(parents=True, exist_ok=True)
    return ActivationStore.create(folder / backbone.spec.fingerprint(), spec=backbone.spec, layout=backbone.layout)


def _machine(backbone: Backbone) -> str:
    device = str(getattr(getattr(backbone, "model", None), "device", "cpu"))
    return f"{os.cpu_count()} CPU cores" if device == "cpu" else device
