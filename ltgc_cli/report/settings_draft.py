"""The settings of `ltgc report`, for settings.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Where a report goes, and what it shows."""

    output: Annotated[Path, msgspec.Meta(description="The HTML file, which appears when it is complete.")] = Path(
        "report.html"
    )
    title: Annotated[str, msgspec.Meta(description="What stands at the top [what the method is].")] = ""
    class_: Annotated[
        tuple[str, ...], msgspec.Meta(description="Show this class alone, with all of its images; repeatable.")
    ] = ()
    size: Annotated[
        float, msgspec.Meta(ge=1, description="About how large the file may be; it has fewer images if need be.")
    ] = 64
    """In megabytes. Where classes are named, there is no limit."""
    baseline: Annotated[
        str,
        msgspec.Meta(
            description="What gains are measured against [the strongest method of the stream without generated images]."
        ),
    ] = ""
