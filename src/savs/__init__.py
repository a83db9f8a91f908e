"""Sparse Attention Vectors: a classifier out of any frozen vision-language model (arXiv 2412.00142).

Importing this package is light and changes nothing: every public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from savs.backbones.huggingface import load_backbone
    from savs.classify import SAVClassifier
    from savs.data.example import Example, Media
    from savs.data.readers import read_examples
    from savs.data.sampling import sample_shots
    from savs.data.tasks import Task, load_task
    from savs.evaluation import evaluate
    from savs.extraction import StoredBackbone, extract
    from savs.features import HeadFeatures, HeadId, HeadLayout
    from savs.model import SAVModel
    from savs.prediction import Prediction
    from savs.report import Report
    from savs.store import ActivationStore
    from savs.together import predict_many

__version__ = "0.1.0"

_HOMES = {
    "ActivationStore": "savs.store",
    "Example": "savs.data.example",
    "HeadFeatures": "savs.features",
    "HeadId": "savs.features",
    "HeadLayout": "savs.features",
    "Media": "savs.data.example",
    "Prediction": "savs.prediction",
    "Report": "savs.report",
    "SAVClassifier": "savs.classify",
    "SAVModel": "savs.model",
    "StoredBackbone": "savs.extraction",
    "Task": "savs.data.tasks",
    "evaluate": "savs.evaluation",
    "extract": "savs.extraction",
    "load_backbone": "savs.backbones.huggingface",
    "load_task": "savs.data.tasks",
    "predict_many": "savs.together",
    "read_examples": "savs.data.readers",
    "sample_shots": "savs.data.sampling",
}

__all__ = [
    "ActivationStore",
    "Example",
    "HeadFeatures",
    "HeadId",
    "HeadLayout",
    "Media",
    "Prediction",
    "Report",
    "SAVClassifier",
    "SAVModel",
    "StoredBackbone",
    "Task",
    "evaluate",
    "extract",
    "load_backbone",
    "load_task",
    "predict_many",
    "read_examples",
    "sample_shots",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
