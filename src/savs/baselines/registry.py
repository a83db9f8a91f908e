"""Every method of a comparison by name, and how it is made of what is at hand. Computes nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

from savs.backbones import tuning
from savs.backbones.base import Backbone
from savs.backbones.tuning import Tuning
from savs.baselines import task_vectors
from savs.baselines.chat_client import ChatClient
from savs.baselines.endpoint import ZeroShotEndpoint
from savs.baselines.heads import SAVs, SparseLayers, TransferredHeads
from savs.baselines.image_text import ClassMeans, CrossModal, ImageText, Towers
from savs.baselines.in_context import InContext
from savs.baselines.lora import LoRA, TransferredLoRA
from savs.baselines.majority import MajorityClass
from savs.baselines.method import Method, Unavailable
from savs.baselines.task_vectors import Search, TaskVectors
from savs.baselines.text_heads import TextHeads, VisionAndTextHeads
from savs.baselines.zero_shot import Form, ZeroShot
from savs.classify import PRESETS, SAVClassifier
from savs.data.example import Example
from savs.data.hints import closest
from savs.data.tasks import GENERIC, Task
from savs.errors import SavsError
from savs.features import HeadFeatures


@dataclass(frozen=True)
class Resources:
    """What methods are made of. A method whose resource is None is still made, and says what it lacks.

    Attributes:
        backbone: the frozen model.
        features: its head features of every example of the pool and of the test set.
        elsewhere: its head features of labelled examples of another task.
        elsewhere_shots: labelled examples of another task themselves, for what is trained on them.
        elsewhere_task: in which words the labels of that task are answered.
        dual_encoders: CLIP and SigLIP, by the names `clip` and `siglip`.
        endpoint: asks a model behind an OpenAI-compatible endpoint.
        search: how long MTV looks for heads.
        tuning: how LoRA trains.
    """

    backbone: Backbone | None = None
    features: HeadFeatures | None = None
    elsewhere: HeadFeatures | None = None
    elsewhere_shots: tuple[Example, ...] = ()
    elsewhere_task: Task = GENERIC
    dual_encoders: Mapping[str, Towers] = field(default_factory=dict)
    endpoint: ChatClient | None = None
    search: Search = field(default_factory=Search)
    tuning: Tuning = field(default_factory=Tuning)

    def sized_for(self, model: str) -> Resources:
        """The same, with searches and training as long as befits a model: short ones for the embedded `demo`."""
        if model != "demo":
            return self
        return replace(self, search=task_vectors.SMALL, tuning=tuning.SMALL)


#: What a row of a dual encoder says where there is none.
LACKING_TOWERS = "it needs a {} model, from the Hub or a folder: --dual-encoder ID"

Factory = Callable[[Resources], Method]
#: What asks a backbone, in one of two forms.
Asking = Callable[[Resources, Backbone, Form], Method]


def build(names: Iterable[str], resources: Resources) -> list[Method]:
    """The methods of these names, in their order.

    Raises:
        SavsError: no method has one of the names.
    """
    wanted = list(names)
    for name in wanted:
        if name not in METHODS:
            close = closest(name, list(METHODS))
            hint = f"did you mean {close!r}? There are" if close else "there are"
            raise SavsError(f"no method is called {name!r}; {hint} {', '.join(METHODS)}")
    return [METHODS[name](resources) for name in wanted]


def takes_shots(name: str) -> bool:
    """Whether a method of that name learns from labelled examples, so that its answers depend on their draw."""
    return "zero-shot" not in name


def _both(name: str, make: Asking) -> dict[str, Factory]:
    """A method that asks the backbone, once for each form of answer: `name-free` and `name-choice`."""

    def factory(form: Form) -> Factory:
        def made(resources: Resources) -> Method:
            if resources.backbone is None:
                return Unavailable(f"{name}-{form}", "it needs a model to ask")
            return make(resources, resources.backbone, form)

        return made

    return {f"{name}-{form}": factory(form) for form in get_args(Form)}


def _reads(name: str, make: Callable[[HeadFeatures, str], Method]) -> Factory:
    """A method that reads head features."""

    def factory(resources: Resources) -> Method:
        if resources.features is None:
            return Unavailable(name, "it needs head features of the examples")
        return make(resources.features, name)

    return factory


def _of_towers(family: str) -> dict[str, Factory]:
    """The rows of one dual encoder."""
    rows: dict[str, Callable[[Towers, str], Method]] = {
        "zero-shot": lambda towers, name: ImageText(towers, name=name),
        "means": lambda towers, name: ClassMeans(towers, name=name),
        "cross-modal": lambda towers, name: CrossModal(towers, name=name),
        "concatenated": lambda towers, name: ClassMeans(towers, with_text=True, name=name),
    }

    def factory(kind: str) -> Factory:
        def made(resources: Resources) -> Method:
            name, towers = f"{family}-{kind}", resources.dual_encoders.get(family)
            return rows[kind](towers, name) if towers else Unavailable(name, LACKING_TOWERS.format(family))

        return made

    return {f"{family}-{kind}": factory(kind) for kind in rows}


def _endpoint(resources: Resources) -> Method:
    name = "zero-shot-endpoint"
    if resources.endpoint is None:
        return Unavailable(name, "it needs an OpenAI-compatible endpoint: --endpoint URL --endpoint-model NAME")
    if resources.backbone is None:
        return ZeroShotEndpoint(resources.endpoint, name=name)
    return ZeroShotEndpoint(resources.endpoint, resources.backbone.spec.video_frames, name)


def _transferred(name: str) -> Factory:
    def factory(resources: Resources) -> Method:
        if resources.features is None or resources.elsewhere is None:
            return Unavailable(name, "it needs head features of these examples and of another task's")
        return TransferredHeads(resources.features, resources.elsewhere, name=name)

    return factory


def _transferred_lora(resources: Resources, backbone: Backbone, form: Form) -> Method:
    other = resources.elsewhere_shots, resources.elsewhere_task
    return TransferredLoRA(backbone, *other, form, resources.tuning)


def _text_heads(resources: Resources) -> Method:
    if resources.backbone is None or resources.features is None or resources.elsewhere is None:
        return Unavailable("hec-t", "it needs a model, and its head features of these examples and of another task's")
    return TextHeads(resources.backbone, resources.features, resources.elsewhere, resources.elsewhere_task)


def _vision_and_text_heads(resources: Resources) -> Method:
    if resources.backbone is None or resources.features is None:
        return Unavailable("hec-vt", "it needs a model, and its head features of the examples")
    return VisionAndTextHeads(resources.backbone, resources.features)


def _preset(name: str) -> Factory:
    return _reads(name, lambda features, row: SAVs(features, SAVClassifier.from_preset(name), row))


#: Every method, in the order of a table's rows.
METHODS: Mapping[str, Factory] = {
    "majority": lambda resources: MajorityClass(),
    **_both("zero-shot", lambda _, backbone, form: ZeroShot(backbone, form)),
    "zero-shot-endpoint": _endpoint,
    **_both("icl", lambda _, backbone, form: InContext(backbone, form)),
    **_both("mtv", lambda resources, backbone, form: TaskVectors(backbone, form, resources.search)),
    **_both("lora", lambda resources, backbone, form: LoRA(backbone, form, resources.tuning)),
    **_of_towers("clip"),
    **_of_towers("siglip"),
    **{name: _preset(name) for name in PRESETS},
    "hec-t": _text_heads,
    "hec-vt": _vision_and_text_heads,
    "transferred-heads": _transferred("transferred-heads"),
    **_both("transferred-lora", _transferred_lora),
    "sparse-layers": _reads("sparse-layers", lambda features, row: SparseLayers(features, name=row)),
}
