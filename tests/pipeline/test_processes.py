"""mix-train on two processes, as `accelerate launch` and torchrun start them: gloo, on the CPU."""

import json
import re
import socket
import subprocess
import sys

import pytest
from forked import together

TRAIN = ("mix-train", "--data", "digits-lt", "--no-generated", "--steps", 20, "--batch", 16, "--accumulate", 2)


def curve(store):
    (folder,) = store.glob("checkpoints/*")
    assert (folder / "done.json").exists() and not (folder / "state.safetensors").exists()
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_train_as_one_does_and_the_first_alone_speaks(inside, store, tmp_path):
    alone = inside(*TRAIN, LTGC_CACHE_DIR=str(tmp_path / "alone"))
    assert alone.code == 0, alone.err
    first, second = together(lambda: inside(*TRAIN))
    assert (first[0], *second) == (0, 0, "", ""), first
    assert first[1].count('"kind":"checkpoint"') == 1 and "mix-train: 1 checkpoint" in first[2]
    for row, wanted in zip(curve(store), curve(tmp_path / "alone"), strict=True):
        assert row["step"] == wanted["step"] and row["loss"] == pytest.approx(wanted["loss"], abs=1e-5)

    measured = inside("eval", "--data", "digits-lt", input=first[1])
    assert measured.code == 0 and '"kind":"metric"' in measured.out

    again, nothing = together(lambda: inside(*TRAIN))
    assert again[:2] == first[:2] and "answered by" in again[2] and nothing == [0, "", ""]


def test_what_processes_cannot_share_is_refused(inside):
    for code, _, err in together(lambda: inside("mix-train", "--data", "digits-lt")):
        assert code == 2 and "2 processes cannot share one stdin; give the stream as -i FILE" in err
    for code, _, err in together(lambda: inside(*TRAIN, "--batch", 18)):
        assert code == 2 and "--batch 18 cannot be cut evenly over 2 processes with --accumulate 2" in err


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torch.distributed.run", "accelerate.commands.accelerate_cli"])
def test_a_launcher_starts_them(environment, store, tmp_path, launcher):
    mended = (
        "import runpy, sys; from ltgc_cli.providers.torch_setup import mend_torchvision; mend_torchvision(); "
        "sys.argv = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__')"
    )
    flags = {
        "torch.distributed.run": ["--standalone", "--nproc_per_node", "2"],
        "accelerate.commands.accelerate_cli": ["launch", "--multi_gpu", "--num_processes", "2"],
    }[launcher]
    command = [sys.executable, "-c", mended, launcher, *flags, "-m", "ltgc_cli", *map(str, TRAIN)]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    assert re.findall('"kind":"[a-z]*"', done.stdout) == ['"kind":"checkpoint"']
    assert len(curve(store)) == 2


@pytest.mark.slow
def test_two_machines_each_with_its_own_launcher_and_store_train_as_one(environment, tmp_path):
    mended = (
        "import runpy, sys; from ltgc_cli.providers.torch_setup import mend_torchvision; mend_torchvision(); "
        "sys.argv = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__')"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # The flags of examples/cluster/slurm.sh.
    flags = ["--multi_gpu", "--num_machines", "2", "--num_processes", "2", "--main_process_ip", "127.0.0.1"]
    flags += ["--main_process_port", port, "--rdzv_backend", "static", "--mixed_precision", "no"]
    flags += ["--dynamo_backend", "no"]
    machines = []
    for rank in ("0", "1"):
        command = [sys.executable, "-c", mended, "accelerate.commands.accelerate_cli", "launch", *flags]
        command += ["--machine_rank", rank, "-m", "ltgc_cli", *map(str, TRAIN)]
        own = environment | {"LTGC_CACHE_DIR": str(tmp_path / rank)}
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        machines.append(subprocess.Popen(command, env=own, cwd=tmp_path, **quiet))
    (out, err), (nothing, other) = (machine.communicate(timeout=300) for machine in machines)
    assert [machine.returncode for machine in machines] == [0, 0], err + other
    assert re.findall('"kind":"[a-z]*"', out) == ['"kind":"checkpoint"'] and nothing == ""
    assert len(curve(tmp_path / "0")) == 2
