"""--engine ray, with Ray itself: the bytes of the local engine, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from commands import heeds_ctrl_c

from ltgc_cli.store import Store

pytest.importorskip("ray", reason="Ray is not installed: pip install 'ltgc[ray]'")

CLUSTER = Path(__file__).parents[1] / "ray_cluster.py"
ROAD = ("--batch", "8")  # images of one batch share their rounding, so both engines get the same batches


@contextmanager
def cluster(*arguments: str) -> Iterator[str]:
    """The address of a cluster on this machine."""
    command = [sys.executable, str(CLUSTER), *arguments]
    # Where a token lies in the home folder Ray 2.60 wants it of a cluster that never asks for one.
    quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**os.environ, "RAY_AUTH_MODE": "disabled"}, **quiet) as process:
        yield process.stdout.readline().decode().strip()
        process.stdin.close()


def digits(ltgc, count: int, *flags: str, **variables: str) -> None:
    """Writes descriptions by the embedded models to e.jsonl."""
    assert ltgc("describe", "--data", "digits-lt", "-o", "d.jsonl", *flags, **variables).code == 0
    assert ltgc("extend", "-i", "d.jsonl", "-n", count, "-o", "e.jsonl", *flags, **variables).code == 0


def started(environment, tmp_path, *arguments) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ltgc_cli", *map(str, arguments)]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, cwd=tmp_path, preexec_fn=heeds_ctrl_c, **quiet)


def images(store: Path) -> int:
    return sum(1 for path in (store / "objects").rglob("*") if path.is_file())


def when_there_are(store: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 300
    while images(store) < count and process.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    assert images(store) >= count


def workers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return [
        one for one in psutil.Process(process.pid).children(recursive=True) if "ray::Worker" in " ".join(one.cmdline())
    ]


def test_two_workers_give_the_bytes_of_one_process(ltgc, tmp_path):
    assert ltgc("extend", "--class", "crane", "--class", "seal", "-n", 12, "-o", "e.jsonl").code == 0
    here = ltgc("render", "-i", "e.jsonl", "--t2i", "blank", "--batch", 5, LTGC_CACHE_DIR=str(tmp_path / "here"))
    there = ltgc("render", "-i", "e.jsonl", "--t2i", "blank", "--batch", 5, "--engine", "ray", "--workers", 2)
    assert there == here and there.code == 0
    assert images(tmp_path / "store") == images(tmp_path / "here") == 24


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_render_and_filter_write_the_same_bytes_with_workers(ltgc, tmp_path, count):
    outs = {}
    for engine in ("local", "ray"):
        store = {"LTGC_CACHE_DIR": str(tmp_path / engine)}
        by = ("--engine", engine, "--workers", count)
        digits(ltgc, 3, "--force", **store)
        rendered = ltgc("render", "-i", "e.jsonl", *ROAD, *by, **store)
        filtered = ltgc("filter", *ROAD, *by, "--margin", 0.01, input=rendered.out, **store)
        assert (rendered.code, filtered.code) == (0, 0), rendered.err + filtered.err
        outs[engine] = (rendered.out, filtered.out)
    assert outs["ray"] == outs["local"]


@pytest.mark.slow
def test_a_worker_that_is_killed_is_started_again_and_each_image_is_answered_once(ltgc, environment, tmp_path):
    digits(ltgc, 4)
    run = started(environment, tmp_path, "render", "-i", "e.jsonl", *ROAD, "--engine", "ray", "--workers", 2)
    when_there_are(tmp_path / "store", images(tmp_path / "store") + 24, run)
    workers(run)[0].kill()
    out, err = run.communicate(timeout=600)
    assert run.returncode == 0 and b"was started again" in err
    here = ltgc("render", "-i", "e.jsonl", *ROAD, LTGC_CACHE_DIR=str(tmp_path / "here"))
    assert out.decode() == here.out
    made = [line for line in here.out.splitlines() if '"origin":"generated"' in line]
    answers = [row for row in Store(tmp_path / "store").rows() if row.text and '"type":"Drawing"' in row.text]
    assert len(answers) == len(made)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_run_that_ends_takes_its_workers_along_and_goes_on_without_them(ltgc, environment, tmp_path, how, code):
    digits(ltgc, 4)
    there = images(tmp_path / "store")
    run = started(environment, tmp_path, "render", "-i", "e.jsonl", *ROAD, "--engine", "ray", "--workers", 2)
    when_there_are(tmp_path / "store", there + 24, run)
    begun = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(how)
    assert run.wait(30) == code
    for pipe in (run.stdout, run.stderr):
        pipe.close()
    psutil.wait_procs(begun, 90)
    begun = [one for one in begun if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert not begun, "Ray's agents are the last to see that their server is gone"
    kept = sum('"type":"Drawing"' in (row.text or "") for row in Store(tmp_path / "store").rows())
    again = ltgc("render", "-i", "e.jsonl", *ROAD)
    here = ltgc("render", "-i", "e.jsonl", *ROAD, LTGC_CACHE_DIR=str(tmp_path / "here"))
    assert again.out == here.out and f"{kept} of" in again.err


@pytest.mark.slow
def test_a_cluster_of_three_nodes_gives_the_same_bytes(ltgc, tmp_path):
    assert ltgc("extend", "--class", "crane", "--class", "seal", "-n", 30, "-o", "e.jsonl").code == 0
    here = ltgc("render", "-i", "e.jsonl", "--t2i", "blank", LTGC_CACHE_DIR=str(tmp_path / "here"))
    with cluster("1,1,2") as address:
        there = ltgc("render", "-i", "e.jsonl", "--t2i", "blank", "--engine", "ray", "--ray-address", address)
    assert there == here


@pytest.mark.slow
def test_a_cluster_without_room_is_a_sentence_within_half_a_minute(ltgc, tmp_path):
    assert ltgc("extend", "--class", "crane", "-o", "e.jsonl").code == 0
    with cluster("2", "taken") as address:
        began = time.monotonic()
        ran = ltgc("render", "-i", "e.jsonl", "--t2i", "blank", "--engine", "ray", "--ray-address", address)
        took = time.monotonic() - began
    assert ran.code == 3 and took < 30
    assert ran.err.startswith("ltgc: there is no room for a worker of Ray: it takes 1 core, and of 2 in all 0 are free")
    assert ran.err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:9", "ltgc: no Ray cluster answers at --ray-address 127.0.0.1:9: [Errno 111] Connection refused\n"),
        ("nowhere.invalid:6379", "ltgc: no Ray cluster answers at --ray-address nowhere.invalid:6379: "),
    ],
)
def test_no_cluster_is_a_sentence(ltgc, address, said):
    assert ltgc("extend", "--class", "crane", "-o", "e.jsonl").code == 0
    ran = ltgc("render", "-i", "e.jsonl", "--t2i", "blank", "--engine", "ray", "--ray-address", address)
    assert ran.code == 3 and ran.err.startswith(said) and ran.err.count("\n") == 1


@pytest.mark.slow
def test_weights_that_are_missing_where_a_worker_runs_end_the_run_in_one_line(ltgc, tmp_path):
    assert ltgc("extend", "--class", "crane", "-o", "e.jsonl").code == 0
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    ran = ltgc("render", "-i", "e.jsonl", "--t2i", "model", "--engine", "ray", "--workers", 1)
    assert ran.code == 3 and "cannot be loaded" in ran.err and "Traceback" not in ran.err


@pytest.mark.slow
def test_no_key_is_in_what_ray_writes_down(ltgc, environment, tmp_path):
    assert ltgc("extend", "--class", "crane", "-n", 200, "-o", "e.jsonl").code == 0
    key = "sk-this-is-a-secret-0123456789"
    secret = environment | {"OPENAI_API_KEY": key}
    run = started(secret, tmp_path, "render", "-i", "e.jsonl", "--batch", 1, "--engine", "ray", "--workers", 1)
    when_there_are(tmp_path / "store", 2, run)
    arguments = [part for one in psutil.Process(run.pid).children(recursive=True) for part in one.cmdline()]
    folder = next(Path(part.partition("=")[2]).parent for part in arguments if part.startswith("--log_dir="))
    written = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    assert written and not any(key.encode() in data for data in written)
    assert key not in " ".join(arguments) and not folder.exists()
