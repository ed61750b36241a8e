"""Runs `ltgc` as a person does, each test with a store of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import preloaded
import pytest
from commands import Ltgc, Ran
from filelock import FileLock


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def environment(store: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LTGC_")}
    return {**kept, "LTGC_CACHE_DIR": str(store), "OMP_NUM_THREADS": "1", "COLUMNS": "100"}


def _typed(program: list[str], environment: dict[str, str], folder: Path) -> Ltgc:
    def run(*args: object, input: str = "", **variables: str) -> Ran:
        done = subprocess.run(
            [*program, *map(str, args)],
            input=input.encode(),
            capture_output=True,
            env=environment | variables,
            cwd=folder,
            timeout=600,  # the demonstration takes minutes; what hangs is found all the same
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def file_limit() -> Callable[[int], AbstractContextManager[None]]:
    """A context in which no file grows beyond so many bytes: to who writes it that is as a disk that is full."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture
def ltgc(environment: dict[str, str], tmp_path: Path) -> Ltgc:
    """`ltgc("extend", "--class", "crane", input="…")` in a process of its own, in an empty folder."""
    return _typed([sys.executable, "-m", "ltgc_cli"], environment, tmp_path)


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an `ltgc` that starts at once: forks of one process that has torch, open_clip and litellm.

    All workers of a test run share it.
    """
    own = tmp_path_factory.getbasetemp()
    run, folder = (os.getppid(), own.parent) if "PYTEST_XDIST_WORKER" in os.environ else (os.getpid(), own)
    folder /= "bin"
    socket = str(folder / "socket")
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            with (folder / "log").open("wb") as log:
                command = [sys.executable, preloaded.__file__, socket, str(run)]
                subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
            (folder / "ltgc").write_text(preloaded.client(socket))
            (folder / "ltgc").chmod(0o755)
    return folder


@pytest.fixture
def forked(programs: Path, environment: dict[str, str], tmp_path: Path) -> Ltgc:
    """As `ltgc`, without the seconds that the libraries take to import."""
    return _typed([str(programs / "ltgc")], environment, tmp_path)


@pytest.fixture
def inside(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ltgc:
    """The same in this process, for commands whose libraries take long to import."""
    from typer.testing import CliRunner

    from ltgc_cli import console
    from ltgc_cli.cli.app import app

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
