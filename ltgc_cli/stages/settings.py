"""How pictures are drawn and judged: the only place with the defaults of render and filter. Loads nothing heavy."""

from __future__ import annotations

from typing import Literal

import msgspec

from ltgc_cli.ports import ImageFormat

Scale = Literal["calibrated", "cosine", "paper", "clipscore"]
Mode = Literal["refine", "exclude", "score"]
NeverPass = Literal["reject", "best"]

THRESHOLDS: dict[Scale, float] = {"calibrated": 10.0, "cosine": 0.3, "paper": 0.8, "clipscore": 0.75}
"""The default --threshold of each scale. The paper's is 0.8 (0.6 for iNaturalist); the others are ours: 0.3 is
the same bar on the raw cosine, 0.75 on CLIPScore, 10 a percentile of the scores of the original images."""

HIGHEST: dict[Scale, float] = {"cosine": 1.0, "paper": 1.5, "clipscore": 2.5, "calibrated": 100.0}
"""The highest threshold that a scale can have."""


class Judging(msgspec.Struct, frozen=True, kw_only=True):
    """How strict filter is, and what it does with what fails."""

    scale: Scale = "calibrated"
    threshold: float = THRESHOLDS["calibrated"]
    mode: Mode = "refine"
    rounds: int = 3
    """Drawings that one description may have: the first, made by render, and the redrawn ones."""
    never_pass: NeverPass = "reject"
    margin: float | None = None
    """Reject also what is not at least so much closer (raw cosine) to its own class than to any other; `None`: off."""


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """How pictures are drawn; `None` leaves it to the model's own default. Sizes in pixels."""

    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance: float | None = None
    negative: str = ""
    seed: int = 0
    scheduler: str | None = None
    """diffusers' class name of the scheduler."""
    strength: float | None = None
    """Draw over an original image of the class, changing so much of it, in (0, 1]; `None` draws from nothing."""
    format: ImageFormat = "png"
