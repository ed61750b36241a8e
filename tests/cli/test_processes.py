"""mix-train on two processes, as `accelerate launch` and torchrun start them: gloo, on the CPU."""

import json
import re
import socket
import subprocess
import sys

import pytest

TRAIN = ("mix-train", "--data", "digits-lt", "--no-generated", "--steps", "30", "--batch", "16", "--val-every", "15")


def curve(store):
    (folder,) = store.glob("checkpoints/*")
    assert (folder / "done.json").exists() and not (folder / "state.safetensors").exists()
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def together(environment, tmp_path):
    """`together(2, "mix-train", …)`: the processes' exit codes, and what each wrote to stdout and stderr."""

    def run(count, *arguments, **variables):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        place = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **variables}
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "ltgc_cli", *arguments],
                env=environment | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(count)
        ]
        said = [process.communicate(timeout=120) for process in processes]
        return [process.returncode for process in processes], [out for out, _ in said], [err for _, err in said]

    return run


def test_two_processes_train_as_one_does_and_the_first_alone_speaks(ltgc, together, store, tmp_path):
    alone = ltgc(*TRAIN, "--accumulate", "2", "--real-head-epochs", "0.5", LTGC_CACHE_DIR=str(tmp_path / "alone"))
    assert alone.code == 0, alone.err
    codes, out, err = together(2, *TRAIN, "--accumulate", "2", "--real-head-epochs", "0.5")
    assert codes == [0, 0], err
    assert out[1] == err[1] == ""
    assert out[0].count('"kind":"checkpoint"') == 1 and "1 checkpoint" in err[0]
    one, other = curve(tmp_path / "alone"), curve(store)
    assert [row["step"] for row in one] == [row["step"] for row in other]
    for row, wanted in zip(other, one, strict=True):
        assert row["loss"] == pytest.approx(wanted["loss"], abs=2e-5)
        assert row.get("val") == pytest.approx(wanted.get("val"), abs=0.5) if "val" in wanted else "val" not in row

    assert ltgc("eval", "--data", "digits-lt", input=out[0]).code == 0
    codes, again, err = together(2, *TRAIN, "--accumulate", "2", "--real-head-epochs", "0.5")
    assert codes == [0, 0] and again == out and "answered by" in err[0] and err[1] == ""


def test_a_launcher_starts_them(environment, store, tmp_path):
    """torchrun is what `accelerate launch --multi_gpu` runs."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "ltgc_cli"]
    done = subprocess.run(
        [*launch, *TRAIN], env=environment, cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    assert re.findall('"kind":"[a-z]*"', done.stdout) == ['"kind":"checkpoint"']
    assert len(curve(store)) == 4


def test_what_processes_cannot_share_is_refused(together):
    codes, _, err = together(2, "mix-train", "--data", "digits-lt")
    assert codes == [2, 2] and "2 processes cannot share one stdin; give the stream as -i FILE" in err[0]
    codes, _, err = together(2, *TRAIN, "--batch", "15")
    assert codes == [2, 2] and "--batch 15 cannot be cut evenly over 2 processes with --accumulate 1" in err[0]


def test_a_process_whose_other_one_ended_says_so(together, store):
    """The first finds no data; the second waits for it no longer than the launcher does, or than it is there."""
    codes, _, err = together(2, *TRAIN, "--batch", "15", "--accumulate", "3")
    assert codes == [2, 2] and all("Traceback" not in text for text in err)
