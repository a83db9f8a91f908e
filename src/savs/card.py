"""The model card of a saved classifier: what it is, for a person who finds the folder. Computes nothing."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined

if TYPE_CHECKING:
    from savs.model import SAVModel


def render_card(model: SAVModel) -> str:
    """Markdown with the Hub's front matter: the task, the scores at fit time, the heads, and how to use it."""
    template = files("savs").joinpath("templates/card.md").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - Markdown
    scores = {head: float(score) for head, score in zip(model.layout.heads, model.head_scores, strict=True)}
    return environment.from_string(template).render(model=model, scores=scores) + "\n"
