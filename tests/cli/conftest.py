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


@pytest.fixture
def inside(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ltgc:
    """The same in this process, for commands whose libraries take long to import."""
    from typer.testing import CliRunner

    from ltgc_cli import console
    from ltgc_cli.cli import app

    for name in [name for name in os.environ if name.startswith("LTGC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LTGC_CACHE_DIR", str(store))
    monkeypatch.chdir(tmp_path)

    def run(*args: object, input: str = "", **variables: str) -> Ran:
        try:
            done = CliRunner(env=variables).invoke(app, [str(arg) for arg in args], input, prog_name="ltgc")
        finally:
            console.configure(quiet=False)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ran(done.exit_code, done.stdout, done.stderr)

    return run
