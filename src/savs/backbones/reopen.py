"""Opening the backbone that a spec names. Loads no framework until it is called."""

from __future__ import annotations

from pathlib import Path

from savs.backbones.base import Backbone, BackboneSpec


def reopen(
    spec: BackboneSpec, location: str | None = None, *, device: str | None = None, revision: str | None = None
) -> Backbone:
    """Open the backbone that a classifier or a store was made with, with the same options.

    Whether it still is the same is for the caller to check: its own spec says what it is.

    Args:
        spec: what it was.
        location: where it is on this machine, if not where it was then.
        device: as for `savs.load_backbone`.
        revision: on the Hub, where it is asked for by a name; by default the commit that it was.

    Raises:
        BackboneError: it cannot be loaded.
    """
    from savs.backbones.huggingface import load_backbone

    place = location or spec.location or spec.model
    local = place == "demo" or Path(place).expanduser().exists()
    return load_backbone(
        place,
        revision=None if local else revision or spec.revision,
        dtype=spec.dtype,
        device=device,
        attention=spec.attention,
        min_pixels=spec.min_pixels,
        max_pixels=spec.max_pixels,
        video_frames=spec.video_frames,
        attention_modules=spec.attention_modules,
    )
