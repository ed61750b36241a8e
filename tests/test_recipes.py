"""What is said of adding one's own: the lines, put where they say they belong, make commands that work."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PAGES = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))))
RECIPES = dict(re.findall(r"<!-- recipe: (\w+) -->\n(.*?)<!-- end -->", PAGES, re.DOTALL))


class Ran(NamedTuple):
    """What a recipe's command did."""

    code: int
    out: str
    err: str


def blocks(recipe: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", RECIPES[recipe], re.DOTALL)


def put_in(recipe: str, tree: Path) -> None:
    """Writes a recipe's new files, and makes its changes in old ones."""
    for block in blocks(recipe, "python"):
        first, _, text = block.partition("\n")
        (tree / first.removeprefix("# ")).write_text(text, encoding="utf-8")
    for block in blocks(recipe, "diff"):
        first, *hunks = re.split(r"^--- (.*)\n|^@@\n", block, flags=re.MULTILINE)[1:]
        file = tree / first
        text = file.read_text(encoding="utf-8")
        for hunk in filter(None, hunks):
            text = changed(text, hunk.splitlines(keepends=True))
        file.write_text(text, encoding="utf-8")


def changed(text: str, hunk: list[str]) -> str:
    """Returns the text with a hunk's lines changed: they must be there, once."""
    before = "".join(line[1:] for line in hunk if line[0] in " -")
    after = "".join(line[1:] for line in hunk if line[0] in " +")
    assert text.count(before) == 1, before
    return text.replace(before, after)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with all recipes in it."""
    folder = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "ltgc_cli", folder / "ltgc_cli", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for recipe in RECIPES:
        put_in(recipe, folder)
    return folder


def run(recipe: str, tree: Path, folder: Path, more: str = "") -> Ran:
    """Runs the recipe's command, as it stands on the page, in a folder; `more` flags go behind it."""
    (command,) = blocks(recipe, "sh")
    command = f"{command.strip()} {more}"
    ltgc = f'ltgc() {{ "{sys.executable}" -m ltgc_cli "$@"; }}\nset -o pipefail\n'
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LTGC_")}
    own = {"PYTHONPATH": str(tree), "LTGC_CACHE_DIR": str(folder / "store"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(["bash", "-c", ltgc + command], cwd=folder, env=kept | own, capture_output=True, text=True)
    return Ran(done.returncode, done.stdout, done.stderr)


def test_there_is_one_for_each_thing_that_people_add():
    assert RECIPES.keys() == {"provider", "loss", "setting", "dataset", "stage"}


def test_a_provider_answers(tree, tmp_path):
    (tmp_path / "mine.txt").write_text("A photo of the class [y], at dusk.\nA photo of the class [y], in the rain.\n")
    ran = run("provider", tree, tmp_path)
    assert ran.code == 0, ran.err
    assert "A photo of the class seal, in the rain." in ran.out
    assert ran.out.count('"kind":"description"') == 4
    assert '"model":"lines@' in ran.out  # by its contents, not by its path


@pytest.mark.slow
def test_a_loss_trains(tree, tmp_path):
    ran = run("loss", tree, tmp_path)
    assert ran.code == 0, ran.err
    assert '"kind":"checkpoint"' in ran.out


@pytest.mark.slow
def test_a_setting_is_a_flag_with_bounds_and_is_kept_with_the_checkpoint(tree, tmp_path):
    ran = run("setting", tree, tmp_path)
    assert ran.code == 0, ran.err
    assert '"poly_weight":2.0' in ran.out
    assert "0 or more is wanted" in run("setting", tree, tmp_path, "--poly-weight=-1").err


def test_a_data_set_format_is_read(tree, tmp_path):
    from PIL import Image

    for name in ("a", "b", "c"):
        Image.new("RGB", (8, 8), "white").save(tmp_path / f"{name}.png")
    (tmp_path / "birds.tab").write_text("1\ta.png\n0\tb.png\n1\tc.png\n")
    (tmp_path / "names.csv").write_text("label,name\n0,crane\n1,tern\n")
    ran = run("dataset", tree, tmp_path)
    assert ran.code == 0, ran.err
    assert ran.out.count('"origin":"original"') == 3
    assert '"class":"tern","count":2' in ran.out


def test_a_stage_is_a_command_and_says_why_it_rejects(tree, tmp_path):
    ran = run("stage", tree, tmp_path)
    assert ran.code == 0, ran.err
    kept = [line for line in ran.out.splitlines() if '"kind":"description"' in line]
    assert kept and all("evening" in line for line in kept)
    assert "no 'evening'" in ran.out


def test_they_are_written_as_the_rest_is(tree):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "."], cwd=tree, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
