"""The README and the pages of docs/ tell the truth: their commands exist, their transcripts run as printed."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from ltgc_cli.cli.app import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md"))
PAGES = {page: (ROOT / page).read_text(encoding="utf-8") for page in ["README.md", *DOCS]}
OTHERS = [
    "CHANGELOG.md",
    "benchmarks/README.md",
    "examples/embedded_models/README.md",
    "ltgc_cli/embedded/MODEL_CARD.md",
]
"""Pages whose links are looked at too."""
GROUP = typer.main.get_command(app)
COMMANDS = [["cache", name] for name in GROUP.get_command(None, "cache").commands] + [
    [name] for name in GROUP.list_commands(None) if name != "cache"
]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")
SLOW = ("ltgc demo", "ltgc run")
VARYING = ("filter: ", "LTGC ", "best recipe ")
"""What these lines say hangs on generated images, which another processor rounds otherwise: a few pass that did not."""


def transcript(block: str) -> list[tuple[str, list[str]]]:
    """Returns each `$ command` of a console block with the lines printed below it."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [
        (lines[0], [line.rstrip() for line in lines[1:]]) for lines in (part.rstrip().split("\n") for part in parts)
    ]


def typed(command: str, environment: dict[str, str], folder: Path) -> list[str]:
    """Returns what a terminal shows for a command, line by line; a question gets Enter, which takes its default."""
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
        if shown.endswith(b"]: "):
            os.write(ours, b"\n")
    process.wait()
    os.close(ours)
    return [line.rstrip() for line in ESCAPES.sub("", shown.decode()).split("\n") if line.strip()]


def matches(expected: list[str], shown: list[str]) -> bool:
    """Returns whether the lines are those; `…` alone stands for any lines, in a line for any text."""
    pattern = "\n".join(r"(?:.*\n?)*?" if line == "…" else line_pattern(line) for line in expected if line)
    return re.fullmatch(pattern.replace("(?:.*\\n?)*?\n", "(?:.*\\n)*?"), "\n".join(shown)) is not None


_ANY = {"…": ".*?", " ": " +"} | dict.fromkeys("0123456789", r"\d[\d.,]*")


def line_pattern(line: str) -> str:
    """Returns what a line of a transcript matches: itself, or the same words with other figures where those vary."""
    parts = re.split(r"(…|\d[\d.,]*\d|\d| +)" if line.startswith(VARYING) else "(…)", line)
    return "".join(_ANY[part[0]] if index % 2 else re.escape(part) for index, part in enumerate(parts))


def case(page: str, block: str):
    commands = [command for command, _ in transcript(block)]
    slow = [pytest.mark.slow] if any(command.startswith(SLOW) for command in commands) else []
    return pytest.param(block, id=f"{page}: {commands[0][:50]}", marks=slow)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Returns what a page's headings are called in links, as GitHub calls them."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_nowhere(page: str, link: str) -> bool:
    file, _, heading = link.partition("#")
    target = (ROOT / page).parent / file if file else ROOT / page
    return not target.exists() or bool(heading) and heading not in anchors(target.read_text(encoding="utf-8"))


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 260


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_is_in_the_readme(words):
    assert f"[`ltgc {words[0]}`](docs/" in README
    assert len(words) == 1 or f"`{words[-1]}`" in README


@pytest.mark.parametrize(
    "block", [case(page, block) for page, text in PAGES.items() for block in blocks(text, "console")]
)
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


def test_every_flag_that_a_page_names_exists(inside):
    text = re.sub("<!-- recipe.*?<!-- end -->", "", "\n".join(PAGES.values()), flags=re.DOTALL)  # those are run
    code = "\n".join(re.findall(r"`[^`]*`|```.*?```", text, re.DOTALL))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", code))
    helps = "".join(inside(*words).out for words in [["--help"], *([*words, "--help-all"] for words in COMMANDS)])
    of_others = {
        "--seeds",
        "--models",
        "--table",
        "--jobs",
        "--method",
        "--split",
        "--arch",
        "--images",
        "--turns",
        "--tokens",
        "--gpus",
        "--rates",
    }  # of the benchmarks
    of_others |= {"--questions", "--latency", "--at-once"}
    of_others |= {"--only", "--share", "--minutes", "--trial", "--keep"}  # of tests/campaigns/campaign.py
    of_others |= {"--head", "--port", "--num-cpus", "--address"}  # of ray start
    of_others |= {"--multi", "--machine", "--main", "--num"}  # of accelerate launch, up to the first _
    # docs/results.md says of these that they are gone, and what they were measured to do.
    taken_out = {"--gate", "--syn-by-score", "--syn-ratio", "--syn-weight", "--real-head-epochs"}
    assert {flag for flag in named - of_others - taken_out if flag not in helps} == set()


@pytest.mark.parametrize("page", [*PAGES, *OTHERS])
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page):
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if leads_nowhere(page, link)] == []


@pytest.mark.parametrize("page", DOCS)
def test_the_readme_links_to_every_page(page):
    assert f"]({page})" in README


def test_what_the_pages_say_of_the_library_exists():
    import ltgc_cli as ltgc

    library = [
        block for text in PAGES.values() for block in blocks(text, "python") if "import ltgc_cli as ltgc" in block
    ]
    named = {name for block in library for name in re.findall(r"\bltgc\.(\w+)", block)}
    assert {"describe", "mix_train", "figures"} <= named
    assert {name for name in named if not hasattr(ltgc, name)} == set()


def test_the_fake_model_of_the_page_on_python_answers(capsys):
    (fake,) = [block for block in blocks(PAGES["docs/python.md"], "python") if "lambda question" in block]
    exec(fake, {})
    assert capsys.readouterr().out.count("Description(") == 2


def test_every_promise_names_a_test_that_is_there():
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    _, *promises = page.partition("## The campaign")[0].split("\n- ")
    assert [promise for promise in promises if "::" not in promise] == []
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)", page)
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"
