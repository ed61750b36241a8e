"""A stream's lines by class: each class is seen once and whole, and nothing of it is held."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import sha

from ltgc_cli import records
from ltgc_cli.errors import InputError
from ltgc_cli.records import Class, Description, Image, Metric, Record, Rejected, identify
from ltgc_cli.report import by_class


def rows(label: int, name: str) -> list[Record]:
    of = {"label": label, "class_": name}
    return [
        Class(id="c", tail=True, **of),
        Description(id="d", text=f"A photo of the class {name}, at dusk.", origin="extended", **of),
        Image(id="o", sha256=sha(f"real {name}"), origin="original", **of),
        Image(id="g", sha256=sha(name), origin="generated", **of),
        Rejected(id="r", of="image", reason="below", sha256=sha(f"no {name}"), **of),
    ]


METRIC = identify(Metric(name="accuracy", group="class", value=50.0, label=0, class_="crane"))


def ids(group: records.Group) -> list[str]:
    return [row.id for row in group.rows]


def test_each_class_is_reduced_and_its_lines_can_be_read_again(tmp_path: Path) -> None:
    given = [*rows(4, "seal"), *rows(0, "crane"), METRIC]
    lines, found = by_class.reduced(given, tmp_path / "lines", ids)
    assert found == {0: ["c", "d", "o", "g", "r"], 4: ["c", "d", "o", "g", "r"]}
    assert [row.name for row in lines.others if isinstance(row, Metric)] == ["accuracy"]
    assert lines.total == 11
    assert lines.sha256 == hashlib.sha256("".join(f"{records.dump(row)}\n" for row in given).encode()).hexdigest()
    with lines.path.open("rb") as file:
        assert by_class.group_of(lines, 4, file).cls.class_ == "seal"
        assert ids(by_class.group_of(lines, 0, file, by_class.shown)) == ["c", "o", "g", "r"]
        assert ids(by_class.group_of(lines, 0, file, by_class.of_originals)) == ["c", "o"]


def test_streams_behind_one_another_are_taken_as_one(tmp_path: Path) -> None:
    more = Image(id="h", label=0, class_="crane", sha256=sha("more"), origin="generated")
    given = [*rows(0, "crane"), METRIC, *rows(4, "seal"), *rows(0, "crane"), more, METRIC]
    lines, found = by_class.reduced(given, tmp_path / "lines", ids)
    assert found == {0: ["c", "d", "o", "g", "r", "h"], 4: ["c", "d", "o", "g", "r"]}
    assert len(lines.others) == 1


def test_a_class_of_descriptions_alone_keeps_its_name(tmp_path: Path) -> None:
    lines, _ = by_class.reduced(rows(0, "crane")[1:2], tmp_path / "lines", ids)
    with lines.path.open("rb") as file:
        assert by_class.group_of(lines, 0, file, by_class.shown).cls.class_ == "crane"


def test_one_label_with_two_names_is_an_error(tmp_path: Path) -> None:
    seal = Class(id="other", label=0, class_="seal", tail=True)
    with pytest.raises(InputError, match="label 0 is 'crane' in one line and 'seal' in another"):
        by_class.reduced([*rows(0, "crane"), *rows(4, "owl"), seal], tmp_path / "lines", ids)


def test_no_more_than_one_class_is_held(tmp_path: Path) -> None:
    made, reduced = 0, 0

    def given() -> Iterator[Record]:
        nonlocal made
        for label in range(50):
            for row in rows(label, f"class {label}"):
                made += 1
                assert made - 5 * reduced <= 6, "a class is reduced when the first line of the next one comes"
                yield row

    def look(group: records.Group) -> int:
        nonlocal reduced
        reduced += 1
        return len(group.rows)

    _, found = by_class.reduced(given(), tmp_path / "lines", look)
    assert found == dict.fromkeys(range(50), 5)
