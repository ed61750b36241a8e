"""What other people's CI runs: the whole chain from recordings, colour fields and the embedded CLIP."""

import json
import subprocess
import sys
from pathlib import Path

CI = Path(__file__).parents[2] / "examples" / "ci"


def test_the_smoke_script_runs_the_whole_chain_from_its_recordings(environment, tmp_path):
    path = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", str(CI / "smoke.sh")],
        capture_output=True,
        text=True,
        env=environment | {"PATH": path},
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    count, metric = done.stdout.splitlines()
    assert int(count) == 28
    assert json.loads(metric)["group"] == "all"


def test_the_recordings_hold_no_key_and_no_path():
    text = (CI / "recordings.jsonl").read_text()
    assert "api_key" not in text and "/home" not in text and "/tmp" not in text
