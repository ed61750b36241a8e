"""How much CPU a command takes to start, as a ratio to `import typer`: help, help beside settings, an answer at hand.

python benchmarks/start.py [TIMES]      medians of TIMES runs of each [5]
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

LTGC = (sys.executable, "-m", "ltgc_cli")
COMMANDS = {
    "import typer": (sys.executable, "-c", "import typer"),
    "ltgc --help": (*LTGC, "--help"),
    "ltgc extend --help": (*LTGC, "extend", "--help"),
    "ltgc extend, answered by its artifact": (*LTGC, "extend", "--class", "crane", "-n", "3", "-q"),
}


def seconds(command: tuple[str, ...], folder: str) -> float:
    """Returns the CPU seconds that a command takes in a folder, children included."""
    before = os.times()
    environment = {**os.environ, "LTGC_CACHE_DIR": f"{folder}/store", "LTGC_LLM": "embedded"}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def main(times: int) -> None:
    """Prints a line for each command: its median, and the median of its ratios within the same round."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "ltgc.toml").write_text('data = "digits-lt"\n[reflect]\nk = 4\n')
        for command in COMMANDS.values():  # compiles what is not compiled, and leaves the artifact
            seconds(command, folder)
        rounds = [{name: seconds(command, folder) for name, command in COMMANDS.items()} for _ in range(times)]
    for name in COMMANDS:
        ratio = statistics.median(taken[name] / taken["import typer"] for taken in rounds)
        print(f"{statistics.median(taken[name] for taken in rounds) * 1000:6.0f} ms  {ratio:.2f}  {name}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
