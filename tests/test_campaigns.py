"""A short form of each attack of tests/campaigns/: `make campaign` has them all, for an hour."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random

import msgspec
import pytest
from campaigns import fuzz
from campaigns.campaign import ATTACKS, _again
from campaigns.counts import Counts
from campaigns.programs import SHARED, programs

TESTS = Path(__file__).parent

SHORT = {
    "kills": range(2),
    "full": range(3),
    "powercut": range(1, 3),
    "system-locks": range(1, 3),
    "system-clock": range(1),
    "together": range(60),
    "faulty": range(1),
    "images": range(3),
    "review": range(60),
    "keys": range(2),
    "fuzz-answers": range(300),
    "fuzz-records": range(1_000),
    "fuzz-lists": range(500),
    "fuzz-settings": range(300),
    "fuzz-tars": range(500),
}
"""Which trials of each attack are done here."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The process that has the libraries imported, one for all attacks."""
    folder = tmp_path_factory.mktemp("programs")
    with programs(folder):
        yield folder / "s"


def test_every_attack_has_a_short_form():
    assert set(SHORT) == set(ATTACKS)


@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_or_asked_twice_and_nobody_sees_a_traceback(name, tmp_path, shared):
    numbers = SHORT[name]
    (tmp_path / "tmp").mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LTGC_")} | {
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(tmp_path / "tmp"),
        "CAMPAIGN_BLIND": "1",
        SHARED: os.path.relpath(shared, tmp_path),  # a socket's name must be short
    }
    command = [sys.executable, "-m", "campaigns.one", name, str(numbers.start), str(numbers.stop), "0", str(tmp_path)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, timeout=250)
    assert done.returncode == 0, done.stderr.decode()
    counts = msgspec.json.decode(done.stdout.splitlines()[-1], type=Counts)
    if counts.skipped:
        pytest.skip(counts.skipped)
    assert not counts.examples and counts.held == counts.tried == len(numbers)


def test_an_input_with_a_fault_is_kept_in_a_file_that_the_example_names_in_short(tmp_path, monkeypatch):
    def broken(data: bytes, place: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setenv(fuzz.KEEP, str(tmp_path / "kept"))
    monkeypatch.setitem(fuzz.READERS, "answers", fuzz.READERS["answers"]._replace(read=broken))
    tried = fuzz._Tried("answers", 1, tmp_path, tmp_path / "counts.json")
    tried(b"x" * 100_000)

    (example,) = tried.counts.examples
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.read_bytes() == b"x" * 100_000
    assert example.startswith(
        f"input {kept} ({b'x' * 60!r}, 100,000 bytes, sha256 {sha256(b'x' * 100_000).hexdigest()})"
    )
    assert _again("fuzz-answers", example, 0) == f"PYTHONPATH=tests python -m campaigns.fuzz answers {kept}"


def test_a_thousandth_of_the_mutated_inputs_is_long_and_one_seed_makes_the_same_ones():
    made = list(fuzz.blind([b"one", b"two"], 2_000, Random(7)))

    assert sum(len(one) > 1_000 for one in made) == 2
    assert made == list(fuzz.blind([b"one", b"two"], 2_000, Random(7)))
