"""The file of verdicts: only ever added to, whole after a crash, and with a place for what is wrong in it."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from fakes import sha

from ltgc_cli.errors import InputError
from ltgc_cli.records import Verdict
from ltgc_cli.review import verdict_file

KEEP = f'{{"kind":"verdict","label":3,"class":"crane","sha256":"{sha("a")}","verdict":"keep"}}\n'
REJECT = KEEP.replace('"keep"', '"reject"')


def a_verdict(verdict: str = "keep", image: str = "a", name: str = "crane") -> Verdict:
    return Verdict(label=3, class_=name, sha256=sha(image), verdict=verdict)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "verdicts.jsonl"


def test_what_is_added_is_read_back_and_the_last_one_holds(path):
    for verdict in ("keep", "none", "reject"):
        verdict_file.append(path, a_verdict(verdict))
    verdict_file.append(path, a_verdict("keep", "b"))

    assert verdict_file.load(path) == {(3, sha("a")): "reject", (3, sha("b")): "keep"}
    assert path.read_text().splitlines()[0] == KEEP.strip()


def test_one_reads_on_from_where_one_was(path):
    verdict_file.append(path, a_verdict())
    first = verdict_file.read(path)
    verdict_file.append(path, a_verdict("reject"))
    more = verdict_file.read(path, first.end)

    assert [one.verdict for one in (*first.verdicts, *more.verdicts)] == ["keep", "reject"]
    assert more.end == path.stat().st_size
    assert verdict_file.read(path, more.end) == ([], more.end, more.end, 0)


@pytest.mark.parametrize("cut", [1, 20, 60, len(KEEP) - 2])
def test_a_line_that_a_crash_cut_off_is_passed_over_and_what_comes_next_begins_a_new_one(path, cut, capsys):
    torn = REJECT.replace("crane", "grulla común")[:cut]
    path.write_text(KEEP + torn)
    assert verdict_file.read(path).end == len(KEEP)  # what is cut off may yet be written to its end
    verdict_file.append(path, a_verdict("keep", "b"))

    assert path.read_text().startswith(KEEP + torn + "\n")
    assert verdict_file.load(path) == {(3, sha("a")): "keep", (3, sha("b")): "keep"}
    assert capsys.readouterr().err == f"{path}: a line that was never written to the end is passed over\n"


def test_a_last_line_without_a_newline_counts_and_stays_whole(path):
    path.write_text(KEEP.strip())
    verdict_file.append(path, a_verdict("reject", "b"))

    assert verdict_file.load(path) == {(3, sha("a")): "keep", (3, sha("b")): "reject"}


def test_a_cut_in_the_middle_of_a_character_is_a_torn_line_too(path):
    torn = KEEP.replace("crane", "común").encode().partition("ú".encode())[0] + "ú".encode()[:1]
    path.write_bytes(KEEP.encode() + torn)
    verdict_file.append(path, a_verdict("reject"))
    assert verdict_file.load(path) == {(3, sha("a")): "reject"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "not JSON"),
        ('{"kind":"verdict","label":3,"class":"crane","sha256":"a","verdict":"maybe"}', "not a verdict record"),
        ('{"kind":"description","label":3,"class":"crane","text":"a","origin":"extended"}', "a description record"),
        ('{"kind":"note"}', "a note record in a file of verdicts; ltgc review writes such a file"),
        ("[1]", "not a record"),
        ("\udcff", "can't decode"),
    ],
)
def test_a_bad_line_is_an_error_with_its_place(path, line, said):
    path.write_bytes(KEEP.encode() + b"\n" + line.encode(errors="surrogateescape") + b"\n")
    with pytest.raises(InputError) as error:
        verdict_file.load(path)
    assert str(error.value).startswith(f"{path}:3: ") and said in str(error.value)


def test_a_file_that_is_not_there_or_cannot_be_written_is_an_error_for_a_person(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        verdict_file.load(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="No such file"):
        verdict_file.append(tmp_path / "none" / "verdicts.jsonl", a_verdict())
    with pytest.raises(InputError, match="Is a directory"):
        verdict_file.append(tmp_path, a_verdict())


def test_two_programs_and_many_threads_that_write_at_once_lose_nothing(path):
    script = (
        "import sys; from pathlib import Path\n"
        "from ltgc_cli.review import verdict_file; from ltgc_cli.records import Verdict\n"
        "for n in range(100): verdict_file.append(Path(sys.argv[1]),"
        " Verdict(label=7, class_='seal' * n, sha256=f'{n:064}', verdict='keep'))"
    )
    other = subprocess.Popen([sys.executable, "-c", script, str(path)])
    threads = [
        threading.Thread(target=lambda t=t: [verdict_file.append(path, a_verdict(image=f"{t} {n}")) for n in range(25)])
        for t in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert other.wait() == 0
    assert len(verdict_file.load(path)) == 200


@pytest.mark.parametrize("line", [b'{"kind":"\xff"}\n', b"[" * 100_000 + b"\n"])
def test_bytes_that_are_no_verdict_are_named_with_file_and_line(tmp_path, line):
    (tmp_path / "verdicts.jsonl").write_bytes(b"\n" + line)
    with pytest.raises(InputError, match=r"verdicts.jsonl:2: "):
        verdict_file.load(tmp_path / "verdicts.jsonl")
