"""Stand-in."""

from __future__ import annotations

from collections.abc import Sequence

from ltgc_cli.learn.datasets import ClassInfo, Sample
from ltgc_cli.learn.settings import Settings
from ltgc_cli.providers.clip.open_clip import Loaded


def harmful(
    clip: Loaded,
    classes: Sequence[ClassInfo],
    real: Sequence[Sample],
    generated: Sequence[Sample],
    val: Sequence[Sample],
    settings: Settings,
) -> dict[int, tuple[float, float]]:
    return {}
