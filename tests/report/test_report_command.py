"""`ltgc report`, as a person runs it: over a stream that real stages wrote into a store of its own."""

import re
from pathlib import Path

import pytest
from commands import Ltgc
from small_run import crane, run

from ltgc_cli import records


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    path.write_text("".join(records.dump(row) + "\n" for row in run()), encoding="utf-8")
    return path


def page(tmp_path: Path, name: str = "report.html") -> str:
    return (tmp_path / name).read_text(encoding="utf-8")


def test_a_stream_becomes_one_file_and_its_path_is_printed(inside: Ltgc, stream: Path, tmp_path: Path) -> None:
    done = inside("report", "-i", stream)
    assert (done.code, done.out) == (0, "")
    assert re.search(r"report: report.html, \d+ kB", done.err)
    made = page(tmp_path)
    assert made.startswith("<!doctype html>") and made.rstrip().endswith("</html>")
    for part in ("accuracy", "gains", "distribution", "scores", "classes", "provenance"):
        assert f'<section id="{part}"' in made
    assert "US dollars" in made and "0.25" in made


def test_images_that_are_lost_have_the_reason_in_their_place(inside: Ltgc, stream: Path) -> None:
    done = inside("report", "-i", stream)
    assert done.code == 0
    assert "9 images could not be read, and have the reason in their place" in done.err


def test_it_reads_a_pipe_and_says_where_the_way_back_ends(inside: Ltgc, stream: Path, tmp_path: Path) -> None:
    assert inside("report", "-q", "-o", "a.html", input=stream.read_text()).err == ""
    assert "wrote this stream as it is: several streams put together" in page(tmp_path, "a.html")


def test_a_report_is_replaced_and_a_persons_file_is_not(inside: Ltgc, stream: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("<!doctype html><title>mine</title>")
    done = inside("report", "-i", stream, "-o", "mine.html")
    assert (done.code, page(tmp_path, "mine.html")) == (2, "<!doctype html><title>mine</title>")
    assert (
        "mine.html is there already and ltgc did not write it (or it was changed since): name another file, or --force"
        in done.err
    )
    inside("report", "-i", stream, "--title", "first")
    assert inside("report", "-i", stream, "--title", "second").code == 0
    assert "<h1>second</h1>" in page(tmp_path)


def test_one_class_alone_is_shown(inside: Ltgc, stream: Path, tmp_path: Path) -> None:
    assert inside("report", "-i", stream, "--class", "crane").code == 0
    assert re.findall(r'<section class="class" id="(.*?)"', page(tmp_path)) == ["class-0"]
    assert "1 of 3 classes." in page(tmp_path)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--class", "cran"], "--class cran: no class of the stream; did you mean crane?"),
        (["--baseline", "fine tune"], "nothing of that name was measured in the stream; did you mean fine-tune?"),
        (["-o", "nowhere/else/"], "nowhere/else"),
        (["-o", "new/a.html"], "new/a.html: there is no folder new; make it, or name another file"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(inside: Ltgc, stream: Path, flags: list[str], said: str) -> None:
    (stream.parent / "nowhere" / "else").mkdir(parents=True)
    done = inside("report", "-i", stream, *flags)
    assert done.code == 2
    assert said in done.err and done.err.count("\n") == 1
    assert not (stream.parent / "new").exists()


def test_an_empty_stream_makes_no_report(inside: Ltgc, tmp_path: Path) -> None:
    done = inside("report", input="")
    assert done.code == 2 and "report found no records in its input" in done.err
    assert not (tmp_path / "report.html").exists()


def test_a_stream_of_real_stages_tells_where_it_came_from(ltgc: Ltgc, tmp_path: Path) -> None:
    first = ltgc("extend", "--class", "three", "-n", "4", "-o", "a.jsonl")
    assert first.code == 0, first.err
    assert ltgc("reflect", "-k", "4", "-i", "a.jsonl", "-o", "b.jsonl").code == 0
    done = ltgc("report", "-i", "b.jsonl")
    assert done.code == 0, done.err
    made = page(tmp_path)
    assert re.findall(r'<th scope="row" rowspan="\d">(\w+)<span', made) == ["extend", "reflect"]
    assert '<p class="gap">' not in made
    assert "embedded/grammar-1" in made and "4 descriptions" in made


def test_no_model_library_is_loaded(ltgc: Ltgc, stream: Path) -> None:
    script = stream.with_name("imports.py")
    script.write_text(
        "import sys\nfrom ltgc_cli.cli.app import app\n"
        f"app(['report', '-q', '-i', {str(stream)!r}], standalone_mode=False)\n"
        "print([name for name in ('torch', 'litellm', 'diffusers', 'open_clip') if name in sys.modules])\n"
    )
    import subprocess
    import sys

    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=stream.parent, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_stream_without_measures_has_no_accuracy(inside: Ltgc, tmp_path: Path) -> None:
    text = "".join(records.dump(row) + "\n" for row in crane())
    assert inside("report", input=text).code == 0
    assert '<section id="accuracy"' not in page(tmp_path)


def test_a_page_is_no_larger_than_it_may_be_and_says_which_classes_have_pictures(inside: Ltgc, tmp_path: Path) -> None:
    lines = []
    for label in range(300):
        of = f'"label":{label},"class":"class {label}"'
        lines.append(f'{{"kind":"class","id":"c",{of},"count":{label},"tail":true}}')
        for n in range(6):
            image = f'"sha256":"{label:032x}{n:032x}","text":"A photo of it, {n}","score":0.5,"bar":0.4'
            kind = (
                '"kind":"rejected","of":"image","reason":"below"'
                if label < 9
                else '"kind":"image","origin":"generated"'
            )
            lines.append(f'{{{kind},"id":"g{n}",{of},{image}}}')
    (tmp_path / "many.jsonl").write_text("\n".join(lines) + "\n")
    done = inside("report", "-i", "many.jsonl", "--size", "1")
    assert done.code == 0 and "images were left out" in done.err
    made = page(tmp_path)
    assert len(made.encode()) <= 1e6
    assert made.count('<section class="class"') == 300
    having = re.search(r"Pictures of (\d+) classes are here, those of which most was rejected", made)
    assert having and 0 < int(having[1]) < 300
    assert made.count("<noscript>") == int(having[1])
    assert '<option value="pictured">' in made
