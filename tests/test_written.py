"""Files that a person names with -o: what ltgc wrote is written over, what a person made or changed never."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Ltgc
from filled_store import fill
from trained import digits

from ltgc_cli import written
from ltgc_cli.errors import InputError, OutputError
from ltgc_cli.providers.llm import no_schema
from ltgc_cli.written import Target

NOT_OURS = "is there already and ltgc did not write it (or it was changed since): name another file, or --force"


@pytest.fixture
def target(tmp_path: Path, store: Path) -> Target:
    return Target(tmp_path / "out", store)


def test_a_file_that_ltgc_wrote_is_written_over_and_nothing_lies_beside_it(target: Target, tmp_path: Path) -> None:
    written.write(target, b"first")
    written.write(target, b"second")
    assert target.path.read_bytes() == b"second"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]


def test_it_is_known_by_its_bytes_wherever_it_was_moved(target: Target, tmp_path: Path) -> None:
    written.write(target, b"first")
    target.path.rename(tmp_path / "moved")
    written.write(target._replace(path=tmp_path / "moved"), b"second")


@pytest.mark.parametrize("force", [False, True])
def test_what_was_changed_since_is_written_over_only_by_force(target: Target, force: bool) -> None:
    written.write(target, b"first")
    target.path.write_bytes(b"first, and mine")
    if force:
        written.write(target._replace(force=True), b"second")
    else:
        with pytest.raises(InputError) as error:
            written.write(target, b"second")
        assert str(error.value) == f"{target.path} {NOT_OURS}"
    assert target.path.read_bytes() == (b"second" if force else b"first, and mine")


def test_an_empty_file_holds_nothing_to_lose(target: Target) -> None:
    target.path.touch()  # as mktemp does
    written.write(target, b"first")


def test_what_a_person_puts_there_while_a_stage_runs_is_left(target: Target) -> None:
    with pytest.raises(InputError, match="did not write it"), written.writing(target) as write:
        write(b"hours of work")
        target.path.write_text("mine")
    assert target.path.read_text() == "mine" and not list(target.path.parent.glob(".tmp-*"))


@pytest.mark.parametrize("then", ["os.replace", "written.note"])
def test_killed_between_the_file_and_its_note_it_still_knows_its_own(target: Target, then: str) -> None:
    written.write(target, b"first")
    script = (
        "import os, pathlib, signal; from ltgc_cli import written\n"
        f"{then} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"written.write(written.Target(pathlib.Path({str(target.path)!r}), pathlib.Path({str(target.store)!r})), b'2')"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    written.write(target, b"third")
    assert target.path.read_bytes() == b"third"


def test_a_note_that_was_cut_spoils_no_later_one(target: Target) -> None:
    written.write(target, b"first")
    with (target.store / written.FILE).open("ab") as file:
        file.write(b"\nab12")
    written.write(target, b"second")
    written.write(target, b"third")


def test_where_no_note_can_be_kept_the_file_is_written_all_the_same(target: Target, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("no folder")
    written.write(target, b"first")
    with pytest.raises(InputError, match="did not write it"):
        written.write(target, b"second")


def test_what_runs_of_earlier_versions_noted_beside_their_files_counts(target: Target) -> None:
    target.path.write_bytes(b"old")
    note = {"out": hashlib.sha256(b"old").hexdigest()}
    (target.path.parent / ".written.json").write_text(json.dumps(note))
    written.write(target, b"new")


def test_a_link_stays_and_the_file_that_it_leads_to_is_looked_at_and_written(target: Target, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    target.path.symlink_to("mine")
    with pytest.raises(InputError, match="did not write it"):
        written.write(target, b"first")
    written.write(target._replace(force=True), b"first")
    assert target.path.is_symlink() and (tmp_path / "mine").read_bytes() == b"first"
    (tmp_path / "dangling").symlink_to("new")
    written.write(target._replace(path=tmp_path / "dangling"), b"second")
    assert (tmp_path / "new").read_bytes() == b"second"


@pytest.mark.parametrize("way", ["itself", "hard link", "soft link", "soft link to the input"])
def test_what_the_command_reads_is_not_even_written_over_by_force(target: Target, tmp_path: Path, way: str) -> None:
    given = tmp_path / "given"
    given.write_text("mine")
    if way == "itself":
        target = target._replace(path=tmp_path / "." / "given")
    elif way == "hard link":
        os.link(given, target.path)
    else:
        target.path.symlink_to(given)
    if way == "soft link to the input":
        target, given = target._replace(path=given), target.path
    with pytest.raises(InputError, match=r"would be lost: this command reads .*; name another file$"):
        written.write(target._replace(force=True, inputs=(given,)), b"first")
    assert given.read_text() == "mine"


@pytest.mark.parametrize("name", ["folder", "missing/out", "into-nowhere"])
def test_what_is_a_folder_or_has_none_is_refused(target: Target, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "into-nowhere").symlink_to("missing/out")
    with pytest.raises(InputError, match=f"/{name}( is a folder; name a file|: there is no folder)"):
        written.check(target._replace(path=tmp_path / name, force=True))


@pytest.fixture
def device(tmp_path: Path) -> Callable[[str], Path]:
    """A device of the test's own: `null`, which takes all, or `full`, which takes nothing."""

    def made(name: str) -> Path:
        path = tmp_path / name
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, {"null": 3, "full": 7}[name]))
            path.open("wb").close()
        except OSError:
            pytest.skip("devices cannot be made here")
        return path

    return made


def test_of_a_link_into_a_folder_that_is_not_there_that_folder_is_named(target: Target, tmp_path: Path) -> None:
    target.path.symlink_to("gone/out")
    with pytest.raises(InputError) as error:
        written.check(target)
    assert str(error.value) == f"{target.path}: there is no folder {tmp_path}/gone; make it, or name another file"


def test_a_device_stays_one_and_takes_what_is_written(target: Target, device: Callable[[str], Path]) -> None:
    null, full = device("null"), device("full")
    link = null.with_name("link")
    link.symlink_to(null)
    for path in (null, link, null):
        written.write(target._replace(path=path, inputs=(null,)), b"lines")  # with nothing to lose
    with pytest.raises(OutputError, match="/full: No space left on device; make room"):
        written.write(target._replace(path=full), b"lines")
    assert null.is_char_device() and full.is_char_device() and link.is_symlink()


def test_a_pipe_stays_one_and_its_reader_gets_the_lines(target: Target, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
            written.write(target._replace(path=tmp_path / name), b"lines\n" * 1000)
            assert reader.communicate()[0] == b"lines\n" * 1000
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "link").is_symlink()
    with pytest.raises(InputError, match="would wait for what it writes there itself"):
        written.check(target._replace(inputs=(tmp_path / "link",), path=tmp_path / "pipe"))


@pytest.mark.parametrize("force", [False, True])
def test_the_files_of_the_store_are_no_output_whoever_names_them(target: Target, tmp_path: Path, force: bool) -> None:
    fill(target.store)
    no_schema.learn(target.store / no_schema.FILE, "llama@localhost")
    written.write(target, b"first")
    (tmp_path / "link").symlink_to(next((target.store / "artifacts").rglob("*.jsonl")))
    (tmp_path / "elsewhere").symlink_to(target.store)
    inside = [path for path in target.store.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in inside}
    answers = tmp_path / "elsewhere" / "answers" / "cache.db"
    for path in (*inside, tmp_path / "link", answers, target.store / "artifacts" / "new.jsonl"):
        with pytest.raises(InputError, match="lies in the store .*, where only ltgc writes; name another file"):
            written.write(target._replace(path=path, force=force), b"mine")
    assert {path: path.read_bytes() for path in before} == before


def test_a_store_in_the_folder_that_a_person_works_in_stops_nothing(tmp_path: Path) -> None:
    written.write(Target(tmp_path / "out.jsonl", tmp_path), b"first")
    written.write(Target(tmp_path / "out.jsonl", tmp_path), b"second")


def test_a_file_that_a_person_made_read_only_is_written_over_only_by_force(target: Target) -> None:
    written.write(target, b"first")
    target.path.chmod(0o444)
    with pytest.raises(InputError, match="or it was changed since"):
        written.write(target, b"second")
    written.write(target._replace(force=True), b"second")


# ---- in the commands


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    digits(tmp_path / "digits", test=2)
    images = sorted((tmp_path / "digits" / "train").rglob("*.png"))
    rows = [f"{path.relative_to(tmp_path)},{label % 2},{'ab'[label % 2]}" for label, path in enumerate(images)]
    (tmp_path / "my.csv").write_text("\n".join(["path,label,class", *rows]) + "\n")
    return tmp_path


@pytest.mark.parametrize("more", [[], ["--force"], ["--dry-run"], ["--dry-run", "--force"]])
def test_a_list_is_never_lost_to_the_command_that_reads_it(inside: Ltgc, photos: Path, more: list[str]) -> None:
    before = (photos / "my.csv").read_bytes()
    ran = inside("describe", "--data", "my.csv", "-o", "my.csv", *more)
    assert (ran.code, ran.err) == (2, "ltgc: my.csv would be lost: this command reads my.csv; name another file\n")
    assert (photos / "my.csv").read_bytes() == before and not (photos / "store" / "artifacts").exists()


def test_an_image_of_the_data_is_no_output(inside: Ltgc, photos: Path) -> None:
    image = next((photos / "digits").rglob("*.png"))
    for more, said in (([], NOT_OURS), (["--force"], "png would be lost: this command reads digits")):
        ran = inside("describe", "--data", "digits", "-o", image, *more)
        assert ran.code == 2 and said in ran.err, ran.err


@pytest.mark.parametrize(
    "flags",
    [
        ("describe", "--data", "my.csv", "--classes", "mine"),
        ("describe", "--data", "my.csv", "--senses", "mine"),
        ("describe", "--data", "my.csv", "--prompts", "mine"),
        ("describe", "--data", "my.csv", "--lmm", "replay:mine"),
        ("describe", "--data", "my.csv", "--record", "mine"),
        ("extend", "-i", "mine"),
        ("filter", "-i", "my.csv", "--verdicts", "mine"),
        ("cost", "-i", "mine"),
        ("report", "-i", "mine"),
        ("predict", "--checkpoint", ".", "mine"),
    ],
    ids=" ".join,
)
def test_no_file_that_a_command_is_given_is_its_output(inside: Ltgc, photos: Path, flags: tuple[str, ...]) -> None:
    (photos / "mine").write_text("")  # which could be written over, were it not read
    ran = inside(*flags, "-o", "mine", "--force")
    assert ran.code == 2 and "mine would be lost: this command reads mine; name another file" in ran.err, ran.err


@pytest.mark.parametrize("content", [b"\x89PNG a photo", b"# notes\n", b'{"kind":"mine"}\n'])
@pytest.mark.parametrize(
    "flags",
    [
        ("extend", "--class", "crane"),
        ("cost", "-i", "stream.jsonl"),
        ("report", "-i", "stream.jsonl"),
        ("init", "--data", "digits"),
        ("filter", "-i", "stream.jsonl"),
        ("mix-train", "--data", "digits"),
        ("eval", "--data", "digits", "--zero-shot"),
    ],
    ids=" ".join,
)
def test_no_command_writes_over_what_a_person_made(
    inside: Ltgc, photos: Path, flags: tuple[str, ...], content: bytes
) -> None:
    (photos / "stream.jsonl").write_text('{"kind":"class","label":0,"class":"crane","tail":true}\n')
    (photos / "mine").write_bytes(content)
    ran = inside(*flags, "-o", "mine")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert ran.err.startswith("ltgc: mine is there already and ltgc did not write it (or it was changed since): ")
    assert (photos / "mine").read_bytes() == content


def test_a_stage_writes_over_its_own_file_until_somebody_changes_it(inside: Ltgc, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    for number in (3, 4):
        assert inside("extend", "--class", "crane", "-n", number, "-o", out).code == 0
    out.write_text(out.read_text().replace("crane", "heron"))
    assert inside("extend", "--class", "crane", "-n", 5, "-o", out).code == 2
    assert "heron" in out.read_text()
    assert inside("extend", "--class", "crane", "-n", 5, "-o", out, "--force").code == 0
    assert out.read_text().count("crane") and "heron" not in out.read_text()


def test_what_the_shell_wrote_of_a_stage_is_known_by_its_artifact(inside: Ltgc, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text(inside("extend", "--class", "crane").out)
    assert inside("extend", "--class", "crane", "-n", 3, "-o", "out.jsonl").code == 0


@pytest.mark.parametrize("more", [(), ("--force",)])
def test_what_the_shell_gives_on_stdin_is_no_output(inside: Ltgc, tmp_path: Path, more: tuple[str, ...]) -> None:
    (tmp_path / "in.jsonl").write_text(inside("extend", "--class", "crane").out)
    command = [sys.executable, "-m", "ltgc_cli", "reflect", "-k", "2", "-o", "in.jsonl", *more]
    with (tmp_path / "in.jsonl").open("rb") as lines:
        ran = subprocess.run(command, stdin=lines, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr == "ltgc: in.jsonl would be lost: this command reads it from stdin; name another file\n"


def test_records_of_the_python_api_are_saved_by_the_same_rule(inside: Ltgc, tmp_path: Path) -> None:
    import ltgc_cli as ltgc

    made = ltgc.extend(class_=["crane"], n=2, quiet=True)
    made.save("out.jsonl").write_text("mine")
    with pytest.raises(InputError, match=r"out.jsonl is there already .*: name another file, or force"):
        made.save("out.jsonl")
    assert made.save("out.jsonl", force=True).read_text().count("\n") == 2
    (tmp_path / "mine.jsonl").write_text("mine")
    with pytest.raises(InputError, match="mine.jsonl is there already"):
        ltgc.extend(class_=["crane"], n=2, quiet=True, output="mine.jsonl")
    with pytest.raises(InputError, match="would be lost"):
        ltgc.reflect(made.save("out.jsonl"), quiet=True, output="out.jsonl", force=True)


def test_the_demonstration_stops_before_it_begins_where_it_would_write_over_a_file(
    inside: Ltgc, tmp_path: Path
) -> None:
    (tmp_path / "ltgc-demo").mkdir()
    (tmp_path / "ltgc-demo" / "records.jsonl").write_text("mine")
    ran = inside("demo")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1) and "or name another folder: --out" in ran.err
    ran = inside("demo", "--out", tmp_path / "ltgc-demo" / "records.jsonl")
    assert (ran.code, ran.err) == (2, f"ltgc: {tmp_path}/ltgc-demo/records.jsonl: File exists\n")
