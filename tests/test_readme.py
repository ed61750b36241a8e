"""The README tells the truth: its commands exist, its transcripts run as printed."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from ltgc_cli.cli import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLES = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
COMMANDS = [["cache", name] for name in typer.main.get_command(app).commands["cache"].commands] + [
    [name] for name in typer.main.get_command(app).commands if name != "cache"
]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


def transcript(block: str) -> list[tuple[str, list[str]]]:
    """Returns each `$ command` of a console block with the lines printed below it."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [
        (lines[0], [line.rstrip() for line in lines[1:]]) for lines in (part.rstrip().split("\n") for part in parts)
    ]


def typed(command: str, environment: dict[str, str], folder: Path) -> list[str]:
    """Returns what a terminal shows for a command, line by line."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", command], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=folder
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:  # Linux says so when the other side has closed
            break
        if not block:
            break
        shown += block
    process.wait()
    os.close(ours)
    return [line.rstrip() for line in ESCAPES.sub("", shown.decode()).split("\n") if line.strip()]


def matches(expected: list[str], shown: list[str]) -> bool:
    """Returns whether the lines are those; `…` alone stands for any lines, in a line for any text."""
    pattern = "\n".join(
        r"(?:.*\n?)*?" if line == "…" else ".*?".join(re.escape(part) for part in line.split("…"))
        for line in expected
        if line
    )
    return re.fullmatch(pattern.replace("(?:.*\\n?)*?\n", "(?:.*\\n)*?"), "\n".join(shown)) is not None


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_is_in_the_readme(words):
    assert f"ltgc {words[0]}" in README and words[-1] in README


def case(block: str):
    slow = [pytest.mark.slow] if "ltgc demo" in block else []
    return pytest.param(block, id=transcript(block)[0][0][:50], marks=slow)


@pytest.mark.parametrize("block", [case(block) for block in CONSOLES])
def test_a_transcript_prints_what_it_says(block, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LTGC_")} | {
        "LTGC_CACHE_DIR": str(tmp_path / "store"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "80",
        "LINES": "50",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "OMP_NUM_THREADS": "1",
    }
    for command, expected in transcript(block):
        shown = typed(command, environment, tmp_path)
        assert matches(expected, shown), "\n".join([f"$ {command}", *shown])


def test_every_flag_that_the_readme_names_exists():
    named = set(
        re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", "\n".join(re.findall(r"`[^`]*`|```.*?```", README, re.DOTALL)))
    )
    helps = "".join(
        subprocess.run([sys.executable, "-m", "ltgc_cli", *words], capture_output=True, text=True).stdout
        for words in [["--help"], *([*words, "--help-all"] for words in COMMANDS)]
    )
    foreign = {
        "--editable",
        "--index-url",
        "--seeds",
        "--variants",
        "--split",
        "--arch",
        "--images",
        "--turns",
    }  # of pip and of the benchmarks
    assert {flag for flag in named - foreign if flag not in helps} == set()


@pytest.mark.parametrize("page", ["README.md", "benchmarks/README.md"])
def test_every_file_that_a_page_points_to_is_there(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def test_what_the_readme_says_of_the_library_exists_and_its_fake_answers(capsys):
    import ltgc_cli as ltgc

    blocks = re.findall(
        r"^```python\n(import ltgc_cli as ltgc|from ltgc_cli\.ports)(.*?)^```", README, re.DOTALL | re.MULTILINE
    )
    library, fake = ("".join(block) for block in blocks)
    assert {name for name in re.findall(r"\bltgc\.(\w+)", library) if not hasattr(ltgc, name)} == set()
    exec(fake, {})
    assert capsys.readouterr().out.count("Description(") == 2
