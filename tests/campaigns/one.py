"""One part of an attack, in a process of its own, which prints its counts.

`python -m campaigns.one NAME FIRST END SEED PLACE`: campaign.py starts it; the folder `tests` is on PYTHONPATH.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import msgspec


def main(name: str, first: str, end: str, seed: str, place: str) -> None:
    """Prints what the trials from `first` to before `end` found, as JSON."""
    module, _, variant = name.partition("-")
    attack = import_module(f"campaigns.{module}").attack
    counts = attack(*filter(None, [variant]), range(int(first), int(end)), int(seed), Path(place))
    print(msgspec.json.encode(counts).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
