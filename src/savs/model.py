"""`SAVModel`: a fitted classifier together with the backbone spec and the task it was fitted for.

It ties the rooms together and adds one thing of its own: the form on disk. No arithmetic, no prompt, no metric.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

import savs
from savs.backbones.base import Backbone, BackboneSpec, Progress
from savs.backbones.reopen import reopen
from savs.backbones.shallow import Shallow
from savs.card import render_card
from savs.classifier_folder import (
    CONFIG_FILE,
    FORMAT_VERSION,
    Contents,
    check_free,
    damaged,
    download,
    read_folder,
    write_folder,
)
from savs.classify import SAVClassifier
from savs.classify.readers import HeadReader, InMemory, blocks
from savs.data.choices import offered
from savs.data.example import Example
from savs.data.shot_keys import ShotKey, shot_key
from savs.data.tasks import GENERIC, Task
from savs.errors import DataError, SpecMismatchError
from savs.extraction import StoredBackbone, extract_or_read
from savs.features import FloatArray, HeadFeatures, HeadId, HeadLayout
from savs.fit_summary import FitSummary, held_out_accuracy
from savs.intervals import Interval
from savs.prediction import Prediction, predictions_of
from savs.store import StoredFeatures


class SAVModel:
    """A classifier out of a frozen model: which heads vote, and what each class looks like to them.

    Made by `fit`, `fit_features` or `from_pretrained`; it cannot be half fitted.

    Attributes:
        spec: the backbone that it belongs to.
        task: how examples are asked.
        classifier: the fitted classifier, over the kept heads alone.
        layout: all heads of the backbone.
        head_scores: `[n_heads]` score of each head of `layout`.
        selected_heads: the kept heads, best first.
        summary: what the shots say of it.
        shot_keys: by which the shots can be known again in a test set; none where it was fitted on features alone.
    """

    def __init__(
        self,
        *,
        spec: BackboneSpec,
        task: Task,
        classifier: SAVClassifier,
        layout: HeadLayout,
        head_scores: FloatArray,
        selected_heads: Sequence[HeadId],
        summary: FitSummary,
        shot_keys: Sequence[ShotKey] = (),
        backbone: Backbone | None = None,
    ) -> None:
        self.spec = spec
        self.task = task
        self.classifier = classifier
        self.layout = layout
        self.head_scores = head_scores
        self.selected_heads = tuple(selected_heads)
        self.summary = summary
        self.shot_keys = tuple(shot_keys)
        self._backbone: Backbone | None = None
        if backbone is not None:
            self.attach(backbone)

    def __repr__(self) -> str:
        heads = f"{len(self.selected_heads)} heads of {self.spec.model}"
        return f"SAVModel({self.task.name}: {', '.join(self.classes)}; {heads})"

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels it can give, sorted."""
        return tuple(str(label) for label in self.classifier.classes_)

    @classmethod
    def fit(
        cls,
        backbone: Backbone,
        examples: Sequence[Example],
        *,
        task: Task = GENERIC,
        classifier: SAVClassifier | None = None,
        max_layer: int | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Run the backbone once over labelled examples, keep the heads that separate the classes.

        Args:
            backbone: the frozen model.
            examples: labelled; about twenty a class is what the method is made for.
            task: how the examples were asked; it travels with the model, so that new ones are asked the same way.
            classifier: unfitted; the paper's rule by default.
            max_layer: keep no head of a deeper layer, so that fitting and predicting run no further.
            batch_size: examples in one forward pass.
            progress: called with (examples done, examples in all).

        Raises:
            DataError: as `check_shots`.
            BackboneError: there are no heads down to `max_layer`.
        """
        check_shots(examples, classifier)
        shot_keys = [shot_key(example) for example in examples]
        read = backbone if max_layer is None else Shallow(backbone, max_layer)
        features = extract_or_read(read, examples, batch_size=batch_size, progress=progress)
        return cls.fit_features(features, backbone=backbone, task=task, classifier=classifier, shot_keys=shot_keys)

    @classmethod
    def fit_features(
        cls,
        features: HeadFeatures | StoredFeatures,
        *,
        backbone: Backbone | BackboneSpec,
        task: Task = GENERIC,
        classifier: SAVClassifier | None = None,
        shot_keys: Sequence[ShotKey] = (),
    ) -> Self:
        """`fit` on features that were extracted before, without a forward pass.

        Args:
            features: of the shots, in memory or in a store.
            backbone: that made them, or its spec alone, such as a store's.
            task: how the examples were asked.
            classifier: unfitted; the paper's rule by default.
            shot_keys: `shot_key` of each example, for the leak check of a later test set.

        Raises:
            DataError: as `check_shots`.
            SpecMismatchError: the features come from another backbone.
        """
        unfitted = classifier if classifier is not None else SAVClassifier()
        _check_labels(features.labels, features.ids, unfitted)
        spec = backbone if isinstance(backbone, BackboneSpec) else backbone.spec
        _check_fingerprint(features, spec)
        labels = np.array([str(label) for label in features.labels])
        fitted = clone(unfitted).fit(features, labels)
        kept = fitted.selected_heads_
        return cls(
            spec=spec,
            task=task,
            classifier=fitted.compact(),
            layout=features.layout,
            head_scores=fitted.head_scores_.astype(np.float32),
            selected_heads=[features.layout.heads[i] for i in kept],
            summary=FitSummary(
                shots={str(label): count for label, count in sorted(Counter(labels.tolist()).items())},
                accuracy=held_out_accuracy(unfitted, features, labels),
                best_head_score=float(fitted.head_scores_[kept[0]]),
                worst_kept_score=float(fitted.head_scores_[kept[-1]]),
                n_heads=features.layout.n_heads,
            ),
            shot_keys=shot_keys,
            backbone=None if isinstance(backbone, BackboneSpec) else backbone,
        )

    def attach(self, backbone: Backbone) -> Self:
        """Use this backbone from now on.

        Raises:
            SpecMismatchError: it is not the one that the classifier was fitted on; the message says what differs.
        """
        differences = self.spec.differences(backbone.spec)
        if differences:
            raise SpecMismatchError(
                f"this classifier was fitted on {self.spec.model}, and the backbone given ({backbone.spec.model}) "
                "differs in "
                + "; ".join(differences)
                + " (here: the classifier). Load the same backbone, or fit again on this one"
            )
        self._backbone = backbone
        return self

    @property
    def backbone(self) -> Backbone:
        """The backbone, loaded when it is first needed."""
        if self._backbone is None:
            return self.load_backbone()
        return self._backbone

    def load_backbone(self, location: str | None = None, *, device: str | None = None) -> Backbone:
        """Load and attach the backbone that the spec names.

        Args:
            location: where it is on this machine, if not where it was at fit time.
            device: as for `savs.load_backbone`.

        Raises:
            BackboneError: it cannot be loaded.
            SpecMismatchError: what was loaded is not what the classifier was fitted on.
        """
        backbone = reopen(self.spec, location, device=device)
        self.attach(backbone)
        return backbone

    def predict(
        self, examples: Sequence[Example], *, batch_size: int | None = None, progress: Progress | None = None
    ) -> list[Prediction]:
        """Classify new examples, in their order. The forward pass stops after the deepest kept head.

        Where an example offers choices among the classes, every head chooses among these.

        Raises:
            DataError: media cannot be opened.
            BackboneError: the backbone cannot be loaded or cannot take an example.
        """
        if not examples:
            return []
        may = offered(examples, self.classes)
        if isinstance(self.backbone, StoredBackbone):
            features = self.backbone.features(examples, batch_size=batch_size, progress=progress)
            return self._predictions(features.ids, features, self._columns(features.layout), may)
        z = self.backbone.head_activations(
            examples, heads=self.selected_heads, batch_size=batch_size, progress=progress
        )
        return self._predictions([example.id for example in examples], InMemory(z), range(z.shape[1]), may)

    def predict_features(self, features: HeadFeatures | StoredFeatures) -> list[Prediction]:
        """Classify from features that were extracted before, without a forward pass.

        Raises:
            SpecMismatchError: they come from another backbone.
        """
        _check_fingerprint(features, self.spec)
        return self._predictions(features.ids, features, self._columns(features.layout))

    def save_pretrained(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write `config.json`, `heads.safetensors`, `shots.json` and the model card `README.md`.

        Raises:
            OutputExistsError: the folder holds a classifier and `overwrite` is not set, or it holds something else.
        """
        folder = Path(folder)
        check_free(folder, overwrite=overwrite)
        tensors = {"all_head_scores": self.head_scores, **self.classifier.tensors()}
        write_folder(folder, Contents(self._config(), tensors, self._card(), self.shot_keys))
        return folder

    @classmethod
    def from_pretrained(
        cls, folder_or_id: str | Path, *, backbone: Backbone | None = None, revision: str | None = None
    ) -> Self:
        """Read a classifier from a folder or from the Hub.

        Args:
            folder_or_id: what `save_pretrained` wrote, or a Hub id.
            backbone: a loaded backbone to use; by default it is loaded when it is first needed.
            revision: branch, tag or commit on the Hub.

        Raises:
            DataError: there is no classifier there, it is damaged, or it is of a later format.
            SpecMismatchError: `backbone` is not the one that the classifier was fitted on.
        """
        folder = Path(folder_or_id).expanduser()
        if not folder.exists() and str(folder_or_id).count("/") == 1:
            folder = download(str(folder_or_id), revision)
        contents = read_folder(folder)
        try:
            parts = _parts_of(contents, where=str(folder / CONFIG_FILE))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise damaged(folder / CONFIG_FILE, error) from error
        return cls(**parts, backbone=backbone)

    def push_to_hub(self, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
        """Upload the classifier to the Hub and return its address."""
        from huggingface_hub import HfApi

        api = HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        with tempfile.TemporaryDirectory() as temporary:
            # Where the backbone lies on this machine is nobody else's concern.
            shared = self.without_backbone()
            shared.spec = replace(self.spec, location="")
            folder = shared.save_pretrained(Path(temporary) / "classifier")
            return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Add SAVs classifier"))

    def without_backbone(self) -> SAVModel:
        """The same classifier with its backbone not loaded, to be sent elsewhere."""
        names = ("spec", "task", "classifier", "layout", "head_scores", "selected_heads", "summary", "shot_keys")
        return SAVModel(**{name: getattr(self, name) for name in names})

    def _card(self) -> str:
        score = dict(zip(self.layout.heads, self.head_scores.tolist(), strict=True))
        return render_card(
            spec=self.spec,
            task=self.task,
            classifier=self.classifier,
            heads={head: score[head] for head in self.selected_heads},
            summary=self.summary,
        )

    def _config(self) -> dict[str, Any]:
        return {
            "format": FORMAT_VERSION,
            "savs_version": savs.__version__,
            "backbone": self.spec.to_json(),
            "task": self.task.to_json(),
            "classes": list(self.classes),
            # A grid search hands its choices over as numbers of numpy.
            "classifier": {
                name: value.item() if isinstance(value, np.generic) else value
                for name, value in self.classifier.get_params().items()
            },
            "selected_heads": [str(head) for head in self.selected_heads],
            "layers": sorted(Counter(head.layer for head in self.layout.heads).items()),
            "head_dim": self.layout.head_dim,
            "summary": asdict(self.summary),
        }

    def _columns(self, layout: HeadLayout) -> list[int]:
        column = {head: i for i, head in enumerate(layout.heads)}
        return [column[head] for head in self.selected_heads]

    def _predictions(
        self, ids: Sequence[str], features: HeadReader, columns: Sequence[int], may: NDArray[np.bool_] | None = None
    ) -> list[Prediction]:
        """What it says of each example, the kept heads being `columns` of the features, which may not fit in memory."""
        predictions: list[Prediction] = []
        for rows in blocks(len(ids), len(columns) * self.layout.head_dim):
            z = features.read_heads(list(columns), rows)
            some = None if may is None else may[rows]
            predictions += predictions_of(self.classifier, ids[rows], z, self.selected_heads, some)
        return predictions


def check_shots(examples: Sequence[Example], classifier: SAVClassifier | None = None) -> None:
    """Refuse examples that no classifier can be fitted on, before a model is loaded for them.

    Raises:
        DataError: an example has no label, there is only one class, or a class has fewer examples than the
            classifier needs to score heads on examples that they have not seen.
    """
    _check_labels(
        [example.label for example in examples],
        [example.location or example.id for example in examples],
        classifier if classifier is not None else SAVClassifier(),
    )


def _check_labels(labels: Sequence[str | None], names: Sequence[str], classifier: SAVClassifier) -> None:
    for label, name in zip(labels, names, strict=True):
        if label is None:
            raise DataError("has no label; every example that a classifier is fitted on needs one", location=name)
    counts = Counter(labels)
    if len(counts) == 1:
        raise DataError(f"all {len(labels)} examples have the label {labels[0]!r}; expected at least two classes")
    too_few = [label for label, count in counts.items() if count < classifier.min_shots]
    if too_few:
        raise DataError(
            f"class {too_few[0]!r} has one example, and this rule scores heads on examples that they have not seen; "
            "it needs two in every class. Add one, or choose a rule that scores on the shots"
        )


def _check_fingerprint(features: HeadFeatures | StoredFeatures, spec: BackboneSpec) -> None:
    if features.fingerprint and features.fingerprint != spec.fingerprint():
        raise SpecMismatchError(
            f"the features were made by another backbone ({features.fingerprint}) than {spec.model} "
            f"({spec.fingerprint()}); extract them again with this one"
        )


def _parts_of(contents: Contents, *, where: str) -> dict[str, Any]:
    """What the constructor takes, out of the files."""
    config, tensors = contents.config, dict(contents.tensors)
    summary = dict(config["summary"])
    if summary["accuracy"] is not None:
        summary["accuracy"] = Interval(**summary["accuracy"])
    heads = (HeadId(layer, head) for layer, n_heads in config["layers"] for head in range(n_heads))
    layout = HeadLayout(tuple(heads), config["head_dim"])
    selected = [HeadId.parse(head) for head in config["selected_heads"]]
    shape = (len(config["classes"]), len(set(selected) & set(layout.heads)), layout.head_dim)
    if tensors["class_means"].shape != shape or len(selected) != shape[1]:
        raise ValueError(
            f"classes, selected_heads and head_dim say class means {shape}; got {tensors['class_means'].shape}"
        )
    return {
        "spec": BackboneSpec.from_json(config["backbone"]),
        "task": Task.from_json(config["task"], where=where),
        "classifier": SAVClassifier.from_tensors(config["classifier"], np.array(config["classes"]), tensors),
        "layout": layout,
        "head_scores": tensors["all_head_scores"],
        "selected_heads": selected,
        "summary": FitSummary(**summary),
        "shot_keys": contents.shot_keys,
    }
