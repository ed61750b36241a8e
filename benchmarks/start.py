"""How much CPU a command takes to start, as a ratio to `import typer`: help, help beside settings, answers at hand.

python benchmarks/start.py [TIMES]      medians of TIMES runs of each [5]

An answer of gpt-4o is needed once; a server on loopback gives it.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

LTGC = (sys.executable, "-m", "ltgc_cli")
COMMANDS = {
    "import typer": (sys.executable, "-c", "import typer"),
    "ltgc --help": (*LTGC, "--help"),
    "ltgc extend --help": (*LTGC, "extend", "--help"),
    "ltgc extend --class, answered by its artifact": (*LTGC, "extend", "--class", "crane", "-n", "3", "--json", "-q"),
    "ltgc extend --class --llm gpt-4o, the same": (
        *(*LTGC, "extend", "--llm", "gpt-4o", "--class", "crane", "-n", "3", "--json", "-q"),
    ),
    "ltgc describe --data, the same": (*LTGC, "describe", "--data", "digits-lt", "-o", "described.jsonl", "-q"),
    "ltgc extend -i, the same": (*LTGC, "extend", "-n", "3", "-i", "described.jsonl", "-o", "extended.jsonl", "-q"),
    "ltgc reflect -i, the same": (*LTGC, "reflect", "-i", "extended.jsonl", "-o", "reflected.jsonl", "-q"),
    "ltgc render -i, the same": (*LTGC, "render", "--t2i", "blank", "-i", "reflected.jsonl", "-o", "drawn.jsonl", "-q"),
    "ltgc filter -i, the same": (
        *(*LTGC, "filter", "--t2i", "blank", "--mode", "exclude", "-i", "drawn.jsonl", "-o", "kept.jsonl", "-q"),
    ),
    "ltgc mix-train --data, the same": (
        *(*LTGC, "mix-train", "--steps", "5", "-i", "kept.jsonl", "-o", "trained.jsonl", "-q"),
    ),
    "ltgc eval --data -i, the same": (*LTGC, "eval", "-i", "trained.jsonl", "-o", "measured.jsonl", "-q"),
}
"""Each reads what the ones before have written."""

TEXT = "".join(f"A photo of the class crane, {what}.\n" for what in ("wading", "in flight", "on its nest"))
ANSWER = json.dumps({"choices": [{"message": {"content": TEXT}, "finish_reason": "stop"}], "usage": {}}).encode()


class Server(BaseHTTPRequestHandler):
    """Gives the same answer to everything."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering() -> Iterator[str]:
    """Returns the address of a server that answers while it runs."""
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def seconds(command: tuple[str, ...], folder: str) -> float:
    """Returns the CPU seconds that a command takes in a folder, children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "LTGC_CACHE_DIR": f"{folder}/store", "LTGC_LLM": "embedded", "OPENAI_API_KEY": "none"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages are compiled
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main(times: int) -> None:
    """Prints a line for each command: its median, and the median of its ratios within the same round."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "ltgc.toml").write_text('data = "digits-lt"\n[reflect]\nk = 4\n')
        with answering() as address:
            for command in COMMANDS.values():  # compiles what is not compiled, and leaves the artifact
                seconds((*command, "--api-base", address) if "gpt-4o" in command else command, folder)
        rounds = [{name: seconds(command, folder) for name, command in COMMANDS.items()} for _ in range(times)]
    for name in COMMANDS:
        ratio = statistics.median(taken[name] / taken["import typer"] for taken in rounds)
        print(f"{statistics.median(taken[name] for taken in rounds) * 1000:6.0f} ms  {ratio:.2f}  {name}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
