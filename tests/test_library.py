"""The commands as functions: the same flags, the same store, records in and out, errors raised."""

from __future__ import annotations

import inspect
import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image as PIL

import ltgc_cli as ltgc
from ltgc_cli import records
from ltgc_cli.records import Checkpoint, Class, Description, Image, Metric, Rejected
from ltgc_cli.report.notebook import table
from ltgc_cli.store import Store

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("LTGC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LTGC_CACHE_DIR", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "store"


@pytest.fixture
def extended() -> ltgc.Records:
    return ltgc.extend(class_=["crane", "seal"], n=4, quiet=True)


def descriptions(rows: ltgc.Records) -> list[str]:
    return [row.text for row in rows if isinstance(row, Description)]


def png(colour: str) -> bytes:
    file = io.BytesIO()
    PIL.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


# ---- importing


def test_importing_the_package_loads_nothing_else() -> None:
    before = "import __future__, sys, typing; before = set(sys.modules)"  # an editable install has loaded some
    code = f"{before}; import ltgc_cli; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['ltgc_cli']"


def test_the_stages_load_no_model_library() -> None:
    heavy = ["torch", "litellm", "diffusers", "transformers", "open_clip", "matplotlib", "PIL", "rich", "numpy"]
    code = (
        f"import sys; from ltgc_cli import describe, filter, Records; print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_name_that_is_offered_is_there() -> None:
    assert set(ltgc.__all__) <= set(dir(ltgc))
    assert all(getattr(ltgc, name) is not None for name in ltgc.__all__)
    assert ltgc.evaluate is ltgc.eval


def test_a_call_that_is_quiet_says_nothing_from_its_threads_either(capsys: pytest.CaptureFixture[str]) -> None:
    ltgc.extend(class_=["crane", "seal"], n=4, quiet=True)
    assert capsys.readouterr().err == ""


def test_report_is_the_package_of_that_name_still() -> None:
    from ltgc_cli import report

    assert inspect.ismodule(report)


def test_a_name_that_is_not_offered_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'desribe'"):
        ltgc.desribe  # noqa: B018


# ---- a command as a function


def test_a_stage_returns_its_records_and_leaves_an_artifact(extended: ltgc.Records, store: Path) -> None:
    assert len(extended) == 8 and [row.class_ for row in extended[3:5]] == ["crane", "seal"]
    assert extended.of("description") == list(extended) and not extended.of("image")
    assert extended.artifact is not None and extended.artifact.is_relative_to(store)
    assert (extended.exit_code, extended.dollars) == (0, 0.0)
    assert repr(extended) == "<Records: 8 descriptions>"


def test_a_function_and_its_command_share_one_store(extended: ltgc.Records, store: Path) -> None:
    args = ["extend", "--class", "crane", "--class", "seal", "-n", "4"]
    done = subprocess.run([sys.executable, "-m", "ltgc_cli", *args], capture_output=True, text=True, check=True)
    assert f"answered by {extended.artifact}" in done.stderr
    assert [records.parse(line) for line in done.stdout.splitlines()] == list(extended)


def test_what_one_stage_returns_the_next_one_takes(extended: ltgc.Records) -> None:
    reflected = ltgc.reflect(extended, k=2, quiet=True)
    assert len(descriptions(reflected)) == 4


def test_some_of_the_records_do_too_and_so_does_a_generator_and_a_file(extended: ltgc.Records, tmp_path: Path) -> None:
    some = [row for row in extended if row.class_ == "seal"]
    from_list = ltgc.reflect(some, k=2, quiet=True)
    assert list(ltgc.reflect((row for row in some), k=2, quiet=True)) == list(from_list)
    path = from_list.save(tmp_path / "some.jsonl")
    assert list(ltgc.render(path, t2i="blank", quiet=True)) == list(ltgc.render(str(path), t2i="blank", quiet=True))


def test_nothing_is_written_to_stdout(extended: ltgc.Records, capfd: pytest.CaptureFixture[str]) -> None:
    ltgc.reflect(extended, k=2)
    said = capfd.readouterr()
    assert said.out == ""
    assert "reflect: " in said.err


def test_calls_from_several_threads_wait_for_each_other_and_stdout_stays_what_it_was() -> None:
    stdout = sys.stdout
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: ltgc.extend(class_=f"crane {n}", n=4, quiet=True), range(8)))
    assert sys.stdout is stdout and not stdout.closed
    assert [{row.class_ for row in rows} for rows in made] == [{f"crane {n}"} for n in range(8)]


def test_an_output_file_is_written_too(tmp_path: Path) -> None:
    made = ltgc.extend(class_="crane", n=2, output=tmp_path / "extended.jsonl", quiet=True)
    with (tmp_path / "extended.jsonl").open() as lines:
        assert list(records.read(lines)) == list(made)


def test_a_dry_run_returns_what_the_next_dry_run_takes(capfd: pytest.CaptureFixture[str], store: Path) -> None:
    would = ltgc.extend(class_="crane", llm="gpt-4o", dry_run=True)
    assert would.artifact is None and len(would) > 1
    ltgc.reflect(would, llm="gpt-4o", k=20, dry_run=True)
    said = capfd.readouterr()
    assert said.out == "" and said.err.count("a dry run; nothing was asked") == 2
    assert not list(store.glob("artifacts/*/*"))


def test_what_a_dry_run_made_is_never_taken_for_real() -> None:
    would = ltgc.extend(class_="crane", llm="gpt-4o", dry_run=True, quiet=True)
    with pytest.raises(ltgc.InputError, match="comes from a --dry-run"):
        ltgc.reflect(would, quiet=True)


def test_a_keyword_may_be_the_name_of_the_flag() -> None:
    with pytest.raises(ltgc.InputError, match="--batch: embedded has no batch API"):
        ltgc.extend(class_="crane", batch=True)  # in Python its name is half_price


def test_settings_come_from_variables_and_from_ltgc_toml_as_they_do_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ltgc.toml").write_text("[extend]\nn = 3\n")
    assert len(descriptions(ltgc.extend(class_="crane", quiet=True))) == 3
    assert len(descriptions(ltgc.extend(class_="crane", n=5, quiet=True))) == 5
    monkeypatch.setenv("LTGC_LLM", "replay:nowhere.jsonl")
    with pytest.raises(ltgc.LtgcError, match="nowhere.jsonl"):
        ltgc.extend(class_="crane", quiet=True)


def test_help_and_signature_are_those_of_the_command() -> None:
    parameters = inspect.signature(ltgc.reflect).parameters
    assert list(parameters)[:4] == ["given", "k", "rounds", "near"] and parameters["k"].default == 100
    assert "input" not in parameters
    assert "near -- Jaccard similarity of words" in (ltgc.reflect.__doc__ or "")
    assert ltgc.filter.__name__ == "filter"  # type: ignore[attr-defined]


# ---- errors


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ltgc.reflect("nowhere.jsonl"), "nowhere.jsonl: no such file of records; a data set is named by data="),
        (lambda: ltgc.reflect([{"kind": "class"}]), "records are wanted"),
        (lambda: ltgc.reflect(), "reflect has nothing to read"),
        (lambda: ltgc.reflect(dry_run=True), "reflect has nothing to read"),
        (lambda: ltgc.filter(preview=True), "filter has nothing to read"),
        (lambda: ltgc.write_report(None), "no records were given"),
        (lambda: ltgc.contact_sheet(None), "no records were given"),
        (lambda: ltgc.extend(class_="crane", n=0), "-n 0: 1 or more is wanted"),
        (lambda: ltgc.extend(class_="crane", n="many"), "-n many: a whole number is wanted"),
        (lambda: ltgc.mix_train(data="digits-lt", loss="cee"), "--loss cee: one of ce, la,"),
        (lambda: ltgc.eval(), "eval needs --data"),
        (lambda: ltgc.checkpoint([]), "no checkpoint among the records"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_usage_is_an_input_error_and_says_what_to_do(call, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ltgc.InputError) as caught:
        call()
    assert text in str(caught.value) and "\n" not in str(caught.value)


def test_a_keyword_that_no_flag_has_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"^reflect\(\) got an unexpected keyword argument 'kay'"):
        ltgc.reflect([], kay=3)


def test_a_limit_is_a_budget_error() -> None:
    with pytest.raises(ltgc.BudgetError):
        ltgc.extend(class_="crane", llm="gpt-4o", max_calls=0, quiet=True)


def test_a_line_that_is_no_record_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("no\n")
    with pytest.raises(ltgc.InputError, match=r"bad.jsonl:1: not JSON"):
        ltgc.reflect(tmp_path / "bad.jsonl", quiet=True)


# ---- what a notebook wants


@pytest.fixture
def drawn(store: Path) -> list[records.Record]:
    keep = Store(store).put_object
    return [
        Class(label=0, class_=HOSTILE, count=1, tail=True),
        Image(label=0, class_=HOSTILE, sha256=keep(png("red")), origin="original", name="a.png"),
        Image(label=0, class_=HOSTILE, sha256=keep(png("green")), origin="generated", text="x", score=0.5),
        Rejected(label=0, class_=HOSTILE, of="image", reason="low", sha256=keep(png("blue"))),
        Class(label=1, class_="seal", count=0, tail=True),
        Image(label=1, class_="seal", sha256=keep(png("white")), origin="generated"),
    ]


def test_images_are_those_of_a_class_or_of_all(drawn: list[records.Record]) -> None:
    def colours(**how: object) -> list[object]:
        return [image.convert("RGB").getpixel((0, 0)) for image in ltgc.images(drawn, **how)]  # type: ignore[arg-type]

    assert colours() == [(0, 128, 0), (255, 255, 255)]
    assert colours(class_="seal") == colours(class_=1) == [(255, 255, 255)]
    assert colours(limit=1) == [(0, 128, 0)]
    assert colours(kind="original") == [(255, 0, 0)]
    assert colours(kind="rejected") == [(0, 0, 255)]


def test_a_contact_sheet_is_a_picture(drawn: list[records.Record]) -> None:
    assert ltgc.contact_sheet(drawn).size[1] == 30 + 2 * 64


def test_images_of_another_store_are_missed(drawn: list[records.Record], tmp_path: Path) -> None:
    with pytest.raises(ltgc.InputError, match="is not in the store"):
        ltgc.images(drawn, cache_dir=tmp_path / "other")


def test_records_lie_in_the_store_of_their_artifact(extended: ltgc.Records, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = ltgc.render(ltgc.reflect(extended, k=2, quiet=True), t2i="blank", quiet=True)
    monkeypatch.delenv("LTGC_CACHE_DIR")
    assert len(ltgc.images(rendered)) == 4


def test_a_checkpoint_is_a_folder_of_the_store(store: Path) -> None:
    rows = [Checkpoint(sha256=char * 64, method=method) for char, method in (("a", "one"), ("b", "two"))]
    assert ltgc.checkpoint(rows) == store / "checkpoints" / ("b" * 64)
    assert ltgc.checkpoint(rows, "one") == store / "checkpoints" / ("a" * 64)


def test_curves_are_read_from_the_checkpoints(store: Path) -> None:
    folder = store / "checkpoints" / ("a" * 64)
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, "loss": 2.0}) + "\n")
    found = ltgc.curves([Checkpoint(id="1", sha256="a" * 64, method="LTGC")])
    assert found == {"LTGC": [{"step": 1.0, "loss": 2.0}]}
    assert ltgc.figures.curves(found) is not None


def test_drawings_are_exported_and_a_report_is_written(drawn: list[records.Record], tmp_path: Path) -> None:
    assert ltgc.export(drawn, out=tmp_path / "drawn", quiet=True) == tmp_path / "drawn"
    assert (tmp_path / "drawn" / "classes.csv").exists()
    path = ltgc.write_report(drawn, output=tmp_path / "report.html", quiet=True)
    assert HOSTILE not in path.read_text()


def test_costs_are_records_too() -> None:
    made = records.Made(model="gpt-4o", prompt="extend", usage=records.Usage(prompt_tokens=5, dollars=0.25))
    bill = ltgc.cost([Description(label=0, class_="seal", text="x", origin="extended", made=made)])
    assert [row.value for row in bill if isinstance(row, Metric)] == [0.25]


def test_a_notebook_shows_some_of_each_kind_escaped(drawn: list[records.Record]) -> None:
    text = table(drawn)
    assert "<td>class (2)</td><td>&lt;img src=x onerror=alert(1)&gt;</td><td>1 image, tail</td>" in text
    assert HOSTILE not in text
    assert "image: low" in text and "generated (score 0.500) x" in text


def test_a_notebook_shows_accuracy_first() -> None:
    rows = [
        Metric(name="accuracy", group=group, value=50.0, low=45, high=55, method=HOSTILE) for group in ("few", "all")
    ]
    assert (
        ltgc.Records(rows)
        ._repr_html_()
        .startswith(
            "<table><thead><tr><th>accuracy, %</th><th>many</th><th>medium</th><th>few</th><th>all</th></tr></thead>"
            "<tbody><tr><td>&lt;img src=x onerror=alert(1)&gt;</td><td>–</td><td>–</td><td>50.0 ± 5.0</td>"
        )
    )


def test_no_records_are_shown_as_none() -> None:
    assert table([]) == "<p>no records</p>"
    assert repr(ltgc.Records()) == "<Records: none>"
