"""The model card of a saved classifier: what it is, for a person who finds the folder. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from savs.backbones.base import BackboneSpec
from savs.classify import SAVClassifier
from savs.data.tasks import Task
from savs.features import HeadId
from savs.fit_summary import FitSummary


def render_card(
    *,
    spec: BackboneSpec,
    task: Task,
    classifier: SAVClassifier,
    heads: Mapping[HeadId, float],
    summary: FitSummary,
) -> str:
    """Markdown with the Hub's front matter: the task, the scores at fit time, the heads, and how to use it.

    Args:
        spec: the backbone.
        task: how examples are asked.
        classifier: fitted.
        heads: the kept heads, best first, with their scores.
        summary: what the shots say.
    """
    template = files("savs").joinpath("templates/card.md").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - Markdown
    card = environment.from_string(template).render(
        spec=spec, task=task, classifier=classifier, heads=heads, summary=summary
    )
    return f"{card}\n"
