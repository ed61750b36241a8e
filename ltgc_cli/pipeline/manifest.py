"""What goes into a manifest: where answers came from, and the versions that a result may depend on."""

from __future__ import annotations

import hashlib
import json

import msgspec

from ltgc_cli.manifest import Answers
from ltgc_cli.meter import Meter
from ltgc_cli.prompts import PAPER


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


def prompts_version() -> str:
    """Returns the beginning of the sha256 of the prompts that this version of ltgc has built in."""
    texts = json.dumps(msgspec.to_builtins(PAPER), sort_keys=True)
    return hashlib.sha256(texts.encode()).hexdigest()[:12]
