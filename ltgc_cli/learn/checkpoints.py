"""Stand-in."""

from __future__ import annotations

from ltgc_cli.learn.model import MERGED, Saved, load, merged_clip, save
from ltgc_cli.learn.settings import Settings

__all__ = ["MERGED", "Saved", "can_merge", "load", "merged_clip", "save"]


def can_merge(settings: Settings) -> bool:
    return settings.tune != "adaptformer"
