"""What is kept of a class while a stream is read more than once: no image, and no more descriptions than are shown."""

from __future__ import annotations

from fakes import a_class, sha
from judging import CRANE, group

from ltgc_cli.records import Description, Group, Template, identify
from ltgc_cli.stages.overview import overview


def descriptions(count: int) -> list[Description]:
    texts = (f"A photo of the class crane, view {number}." for number in range(count))
    return [
        identify(Description(label=3, class_="crane", text=text, origin="extended", rest={"mine": 1}), text)
        for text in texts
    ]


def test_of_a_class_that_is_judged_its_descriptions_that_are_shown_and_its_originals_are_kept():
    rows = [*group("a", "b", originals=2).rows, *descriptions(30)]
    (known,) = overview([Group(CRANE, rows)])

    assert (known.cls, known.originals, known.generated) == (CRANE, [sha("crane 0"), sha("crane 1")], 2)
    assert [(row.id, row.text) for row in known.group.rows] == [(row.id, row.text) for row in descriptions(20)]


def test_where_the_stream_has_c_y_no_description_is_kept():
    given = Template(label=3, class_="crane", text="A photo of the class crane with a red cap.", line="as it was read")
    (known,) = overview([Group(CRANE, [*group("a").rows, given, *descriptions(3)])])

    assert [row.text for row in known.group.rows] == [given.text] and known.group.rows[0].line == ""


def test_of_a_class_that_is_not_judged_its_name_is_kept():
    sparrow = a_class("sparrow", 0, tail=False)
    head, none = overview([group("a", cls=sparrow, originals=3), Group(CRANE, [CRANE, *descriptions(3)])])

    assert (head.group, head.originals) == (Group(sparrow, []), ())
    assert (none.group, none.generated) == (Group(CRANE, []), 0)
