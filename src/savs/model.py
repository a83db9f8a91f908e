"""`SAVModel`: a fitted classifier together with the backbone spec and the task it was fitted for.

It ties the rooms together and adds one thing of its own: the form on disk. No arithmetic, no prompt, no metric.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors.numpy import load_file, save_file
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_predict

import savs
from savs.backbones.base import Backbone, BackboneSpec, Progress
from savs.card import render_card
from savs.classify import SAVClassifier
from savs.data.example import Example
from savs.data.tasks import GENERIC, Task
from savs.errors import DataError, OutputExistsError, SpecMismatchError
from savs.extraction import extract
from savs.features import FloatArray, HeadFeatures, HeadId, HeadLayout
from savs.intervals import Interval, wilson_interval
from savs.prediction import Prediction

CONFIG_FILE = "config.json"
TENSORS_FILE = "heads.safetensors"
CARD_FILE = "README.md"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class FitSummary:
    """What is known of a classifier from its shots alone.

    Attributes:
        shots: labelled examples of each class.
        accuracy: on shots that were held out in turn (stratified folds, heads chosen anew in each); None where a
            class has a single shot.
        best_head_score: of the best head.
        worst_kept_score: of the last head that was kept.
        n_heads: heads there were to choose from.
    """

    shots: dict[str, int]
    accuracy: Interval | None
    best_head_score: float
    worst_kept_score: float
    n_heads: int


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
        backbone: Backbone | None = None,
    ) -> None:
        self.spec = spec
        self.task = task
        self.classifier = classifier
        self.layout = layout
        self.head_scores = head_scores
        self.selected_heads = tuple(selected_heads)
        self.summary = summary
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
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Run the backbone once over labelled examples, keep the heads that separate the classes.

        Args:
            backbone: the frozen model.
            examples: labelled; about twenty a class is what the method is made for.
            task: how the examples were asked; it travels with the model, so that new ones are asked the same way.
            classifier: unfitted; the paper's rule by default.
            batch_size: examples in one forward pass.
            progress: called with (examples done, examples in all).

        Raises:
            DataError: an example has no label, or there is only one class.
        """
        _check_labels([example.label for example in examples], [example.location or example.id for example in examples])
        features = extract(backbone, examples, batch_size=batch_size, progress=progress)
        return cls.fit_features(features, backbone=backbone, task=task, classifier=classifier)

    @classmethod
    def fit_features(
        cls,
        features: HeadFeatures,
        *,
        backbone: Backbone,
        task: Task = GENERIC,
        classifier: SAVClassifier | None = None,
    ) -> Self:
        """`fit` on features that were extracted before, without a forward pass.

        Raises:
            DataError: an example has no label, or there is only one class.
            SpecMismatchError: the features come from another backbone.
        """
        _check_labels(features.labels, features.ids)
        _check_fingerprint(features, backbone.spec)
        labels = np.array([str(label) for label in features.labels])
        unfitted = classifier if classifier is not None else SAVClassifier()
        fitted = clone(unfitted).fit(features.z, labels)
        kept = fitted.selected_heads_
        return cls(
            spec=backbone.spec,
            task=task,
            classifier=fitted.compact(),
            layout=features.layout,
            head_scores=fitted.head_scores_.astype(np.float32),
            selected_heads=[features.layout.heads[i] for i in kept],
            summary=FitSummary(
                shots={str(label): count for label, count in sorted(Counter(labels.tolist()).items())},
                accuracy=_held_out_accuracy(unfitted, features.z, labels),
                best_head_score=float(fitted.head_scores_[kept[0]]),
                worst_kept_score=float(fitted.head_scores_[kept[-1]]),
                n_heads=features.layout.n_heads,
            ),
            backbone=backbone,
        )

    def attach(self, backbone: Backbone) -> Self:
        """Use this backbone from now on.

        Raises:
            SpecMismatchError: it is not the one that the classifier was fitted on; the message says what differs.
        """
        differences = self.spec.differences(backbone.spec)
        if differences:
            raise SpecMismatchError(
                f"this classifier was fitted on {self.spec.model}, and the backbone given differs in "
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
        from savs.backbones.huggingface import load_backbone

        spec = self.spec
        place = location or spec.location or spec.model
        local = place == "demo" or Path(place).expanduser().is_dir()
        backbone = load_backbone(
            place,
            revision=None if local else spec.revision,
            dtype=spec.dtype,
            device=device,
            attention=spec.attention,
            min_pixels=spec.min_pixels,
            max_pixels=spec.max_pixels,
            video_frames=spec.video_frames,
            attention_modules=spec.attention_modules,
        )
        self.attach(backbone)
        return backbone

    def predict(
        self, examples: Sequence[Example], *, batch_size: int | None = None, progress: Progress | None = None
    ) -> list[Prediction]:
        """Classify new examples, in their order. The forward pass stops after the deepest kept head.

        Raises:
            DataError: media cannot be opened.
            BackboneError: the backbone cannot be loaded or cannot take an example.
        """
        if not examples:
            return []
        z = self.backbone.head_activations(
            examples, heads=self.selected_heads, batch_size=batch_size, progress=progress
        )
        return self._predictions([example.id for example in examples], z)

    def predict_features(self, features: HeadFeatures) -> list[Prediction]:
        """Classify from features that were extracted before, without a forward pass.

        Raises:
            SpecMismatchError: they come from another backbone.
        """
        _check_fingerprint(features, self.spec)
        column = {head: i for i, head in enumerate(features.layout.heads)}
        return self._predictions(features.ids, features.z[:, [column[head] for head in self.selected_heads]])

    def save_pretrained(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write `config.json`, `heads.safetensors` and the model card `README.md`.

        Raises:
            OutputExistsError: the folder holds a classifier or other files, and `overwrite` is not set.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not overwrite:
            raise OutputExistsError(
                f"{folder} exists and is not empty; choose another name, or overwrite it on purpose"
            )
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {
                "all_head_scores": np.ascontiguousarray(self.head_scores),
                **{name: np.ascontiguousarray(array) for name, array in self.classifier.tensors().items()},
            },
            folder / TENSORS_FILE,
        )
        (folder / CARD_FILE).write_text(render_card(self), encoding="utf-8")
        # The configuration comes last: a folder without it is not a classifier.
        (folder / CONFIG_FILE).write_text(json.dumps(self._config(), indent=2) + "\n", encoding="utf-8")
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
            DataError: there is no classifier there, or it is of a later format.
            SpecMismatchError: `backbone` is not the one that the classifier was fitted on.
        """
        folder = Path(folder_or_id).expanduser()
        if not folder.exists() and str(folder_or_id).count("/") == 1:
            folder = _download(str(folder_or_id), revision)
        config, tensors = _read(folder)
        layout = HeadLayout(
            tuple(HeadId(layer, head) for layer, n_heads in config["layers"] for head in range(n_heads)),
            config["head_dim"],
        )
        summary = dict(config["summary"])
        if summary["accuracy"] is not None:
            summary["accuracy"] = Interval(**summary["accuracy"])
        return cls(
            spec=BackboneSpec.from_json(config["backbone"]),
            task=Task.from_json(config["task"], where=str(folder / CONFIG_FILE)),
            classifier=SAVClassifier.from_tensors(config["classifier"], np.array(config["classes"]), tensors),
            layout=layout,
            head_scores=tensors["all_head_scores"],
            selected_heads=[HeadId.parse(head) for head in config["selected_heads"]],
            summary=FitSummary(**summary),
            backbone=backbone,
        )

    def push_to_hub(self, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
        """Upload the classifier to the Hub and return its address."""
        from huggingface_hub import HfApi

        api = HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        with tempfile.TemporaryDirectory() as temporary:
            # Where the backbone lies on this machine is nobody else's concern.
            shared = SAVModel(**{**self._parts(), "spec": replace(self.spec, location="")})
            folder = shared.save_pretrained(Path(temporary) / "classifier")
            return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Add SAVs classifier"))

    def _parts(self) -> dict[str, Any]:
        names = ("spec", "task", "classifier", "layout", "head_scores", "selected_heads", "summary")
        return {name: getattr(self, name) for name in names}

    def _config(self) -> dict[str, Any]:
        return {
            "format": FORMAT_VERSION,
            "savs_version": savs.__version__,
            "backbone": self.spec.to_json(),
            "task": self.task.to_json(),
            "classes": list(self.classes),
            "classifier": self.classifier.get_params(),
            "selected_heads": [str(head) for head in self.selected_heads],
            "layers": sorted(Counter(head.layer for head in self.layout.heads).items()),
            "head_dim": self.layout.head_dim,
            "summary": asdict(self.summary),
        }

    def _predictions(self, ids: Sequence[str], z: FloatArray) -> list[Prediction]:
        labels = self.classifier.predict(z)
        probabilities = self.classifier.predict_proba(z)
        votes = self.classifier.head_votes(z)
        return [
            Prediction(
                id=ids[i],
                label=str(labels[i]),
                probabilities={label: float(p) for label, p in zip(self.classes, probabilities[i], strict=True)},
                votes={head: str(vote) for head, vote in zip(self.selected_heads, votes[i], strict=True)},
            )
            for i in range(len(ids))
        ]


def _check_labels(labels: Sequence[str | None], names: Sequence[str]) -> None:
    for label, name in zip(labels, names, strict=True):
        if label is None:
            raise DataError("has no label; every example that a classifier is fitted on needs one", location=name)
    if len(set(labels)) == 1:
        raise DataError(f"all {len(labels)} examples have the label {labels[0]!r}; expected at least two classes")


def _check_fingerprint(features: HeadFeatures, spec: BackboneSpec) -> None:
    if features.fingerprint and features.fingerprint != spec.fingerprint():
        raise SpecMismatchError(
            f"the features were made by another backbone ({features.fingerprint}) than {spec.model} "
            f"({spec.fingerprint()}); extract them again with this one"
        )


def _held_out_accuracy(classifier: SAVClassifier, z: FloatArray, labels: Any) -> Interval | None:
    """Accuracy on shots held out in turn, heads chosen anew each time; None with a single shot in a class."""
    fewest = min(Counter(labels.tolist()).values())
    needed = 2 if classifier.scored_on == "shots" and classifier.combination != "reliability" else 3
    if fewest < needed:
        return None
    folds = StratifiedKFold(n_splits=min(5, fewest), shuffle=True, random_state=0)
    predicted = cross_val_predict(clone(classifier), z, labels, cv=folds)
    return wilson_interval(int((predicted == labels).sum()), len(labels))


def _download(repo_id: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(repo_id, revision=revision, allow_patterns=[CONFIG_FILE, TENSORS_FILE, CARD_FILE])
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise DataError(
            f"there is no folder {repo_id} and no such classifier can be reached on the Hub; "
            "expected a folder written by savs fit, or a Hub id"
        ) from error


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration and the tensors of a saved classifier."""
    path = folder / CONFIG_FILE
    if not path.is_file() or not (folder / TENSORS_FILE).is_file():
        raise DataError(
            f"{folder} holds no classifier; expected {CONFIG_FILE} and {TENSORS_FILE}, as savs fit writes them"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(f"is not valid JSON: {error}; fit the classifier again", location=str(path)) from error
    if config.get("format") != FORMAT_VERSION:
        raise DataError(
            f"has format {config.get('format')!r}; this version of savs reads format {FORMAT_VERSION}. "
            "Upgrade savs, or fit the classifier again",
            location=str(path),
        )
    return config, load_file(folder / TENSORS_FILE)
