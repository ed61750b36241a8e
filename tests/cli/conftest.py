"""Runs `ltgc` as a person does, each test with a store of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


Ltgc = Callable[..., Ran]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def environment(store: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LTGC_")}
    return {**kept, "LTGC_CACHE_DIR": str(store), "OMP_NUM_THREADS": "1", "COLUMNS": "100"}


@pytest.fixture
def ltgc(environment: dict[str, str], tmp_path: Path) -> Ltgc:
    """`ltgc("extend", "--class", "crane", input="…")` in a process of its own, in an empty folder."""

    def run(*args: object, input: str = "", **variables: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "ltgc_cli", *map(str, args)],
            input=input.encode(),
            capture_output=True,
            env=environment | variables,
            cwd=tmp_path,
            timeout=120,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
