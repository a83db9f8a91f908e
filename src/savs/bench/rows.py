"""The rows of a table: a name, a method made of what is at hand, and what sets it apart. Runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from savs.backbones.base import Backbone
from savs.baselines.method import Method
from savs.baselines.registry import METHODS, Resources, build, takes_shots
from savs.features import HeadFeatures

#: Methods that train, or that ask the model anew for every draw of the shots: minutes where others take seconds.
COSTLY = ("icl", "mtv", "lora", "transferred-lora")

#: Methods that compare the captions of an image, and the images of a caption, and judge none by itself.
RANKING = ("clip-zero-shot", "siglip-zero-shot")


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        name: in the table.
        make: the method, out of what is at hand.
        shots: labelled examples a class, where that is not the run's number.
        elsewhere: other columns, on whose examples the method may learn instead: the first that is another one.
        x: where the row stands on a curve.
        only_if_named: whether it is left out unless somebody asks for it by name.
    """

    name: str
    make: Callable[[Resources], Method]
    shots: int | None = None
    elsewhere: tuple[str, ...] = ()
    x: float | None = None
    only_if_named: bool = False

    @property
    def takes_shots(self) -> bool:
        """Whether its answers depend on the draw."""
        return takes_shots(self.name)

    @property
    def is_costly(self) -> bool:
        """Whether every draw costs passes through the model."""
        return self.name.startswith(COSTLY)


def row(name: str, **changes: Any) -> Row:
    """The row of a method of the registry.

    Raises:
        SavsError: no method has that name.
    """
    build([name], Resources())
    return Row(name, METHODS[name], **changes)


def without_rows(backbone: Backbone) -> HeadFeatures:
    """Features of no examples: a method made of them tells what it is set to, and nothing has run."""
    layout = backbone.layout
    z = np.empty((0, layout.n_heads, layout.head_dim), dtype=np.float32)
    return HeadFeatures(z, (), (), layout, backbone.spec.fingerprint())


def settings_of(method: Method) -> Mapping[str, Any]:
    """What a method is set to, as JSON's own types: its fields, but for its name and what it is made of."""
    if not is_dataclass(method):
        return {}
    return {
        field.name: _plain(getattr(method, field.name))
        for field in fields(method)
        if field.name != "name" and not isinstance(getattr(method, field.name), Backbone | HeadFeatures)
    }


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, BaseEstimator):
        return {"is": type(value).__name__, **{k: _plain(v) for k, v in sorted(value.get_params().items())}}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    spec = getattr(value, "spec", None)
    return spec.fingerprint() if spec is not None and hasattr(spec, "fingerprint") else type(value).__name__
