"""What goes into a manifest, and why a run asked although its stage had run before."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from ltgc_cli import manifest
from ltgc_cli.engine import Meter
from ltgc_cli.manifest import Answers, Manifest

_COMPARED = 20
"""Earlier runs looked through for the reason why this one asks."""


def answers(meter: Meter) -> dict[str, Answers]:
    """Returns where a run's answers came from, by what was asked."""
    names = sorted({*meter.asked, *meter.found, *meter.failed})
    return {
        name: Answers(asked=meter.asked.get(name, 0), found=meter.found.get(name, 0), failed=meter.failed.get(name, 0))
        for name in names
    }


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the libraries that a result may depend on; none of them is imported."""
    from importlib import metadata
    from platform import python_version

    found = {"python": python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


_LIBRARIES = ("ltgc", "torch", "open_clip_torch", "peft", "diffusers", "transformers", "litellm")

_NO_FLAGS = ("reader", "trial", "measures")
"""What stands among the flags for ltgc's own version of something."""


def why(done: Manifest, folder: Path) -> str:
    """Returns why something was asked although the stage had run before: which setting, or the input, is new.

    A manifest that is damaged, or gone by now, explains nothing, and ends no run that was paid for.
    """
    flags = json.loads(json.dumps(done.flags, default=str))  # as a manifest that was read has them: lists, no tuples
    earlier = [found for artifact in _latest(folder) if (found := manifest.read(artifact))]
    for before in earlier:
        if before.input == done.input:
            changed = [name for name in flags if before.flags.get(name) != flags[name]]
            named = ", ".join(
                "what ltgc makes of it" if name in _NO_FLAGS else "--" + name.strip("_").replace("_", "-")
                for name in changed
            )
            return f" (asked because {named} changed)" if changed else ""
    return " (asked because the input is new)" if earlier else ""


def _latest(folder: Path) -> list[Path]:
    ages = {}
    for path in folder.glob("*.jsonl"):
        with suppress(OSError):  # deleted by another process meanwhile
            ages[path] = path.stat().st_mtime
    return sorted(ages, key=lambda path: ages[path], reverse=True)[:_COMPARED]
