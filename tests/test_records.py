"""Records: one JSON object a line; what a stage does not change comes out byte for byte."""

from __future__ import annotations

import io
import json

import pytest

from ltgc_cli import records
from ltgc_cli.errors import InputError
from ltgc_cli.ports import Usage
from ltgc_cli.records import (
    Checkpoint,
    Class,
    Description,
    Failure,
    Image,
    Made,
    Metric,
    Other,
    Rejected,
    Step,
    Template,
    by_class,
    dump,
    evolve,
    identify,
    kind_of,
    parse,
    read,
    share,
)

ODD_NAMES = [
    "crane (bird)",
    "../../etc",
    "<b>bold</b>",
    "C++ (a*)",
    "עגור אפור",
    "鶴",
    "\N{GRINNING FACE} \N{FAMILY}",
    'he said "crane"',
    "back\\slash",
    "tab\there",
    "n" * 300,
    "3",
    "[y]",
]


A = '{"kind":"class","class":"a","tail":true}\n'


def line_of(**fields: object) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


# --- a line as it was read


@pytest.mark.parametrize(
    "line",
    [
        '{"kind":"class","label":0,"class":"crane","tail":true,"count":5}',
        '{"kind": "class", "label": 0, "class": "crane", "tail": true}',  # a person's spaces
        '{"class":"crane","tail":true,"label":0,"kind":"class"}',  # another order of keys
        '{"kind":"template","text":"a","bar":0.30000000000000004,"mine":{"a":[1,2.0,null]}}',
        '{"kind":"template","text":"a","big":123456789012345678901234567890,"small":1E-7,"one":1.0}',
        '{"kind":"template","text":"a","class":"\\u9db4 \\/ \\"x\\""}',  # another way to escape
        '{"kind":"template","text":"a","rest":{"a":1},"line":7,"class_":"x"}',  # names that ltgc uses inside
        '{"kind":"note","what":"a kind of another program","label":"not a number"}',
        '{"kind":"template","text":"a","bar":null}',
        '{"kind":"template","text":"a","label":0,"label":0}',
    ],
)
def test_a_line_that_nobody_changed_comes_out_byte_for_byte(line):
    assert dump(parse(line)) == line


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_class_name_passes_through_read_and_written_anew(name):
    line = line_of(kind="failure", id="7", label=0, **{"class": name}, stage="extend", reason=name)

    assert parse(line).class_ == name
    assert dump(evolve(parse(line))) == line


def test_a_stream_that_is_read_and_written_passes_through():
    lines = '{"kind":"class","label":0,"class":"crane","tail":true,"mine":1}\n{"kind":"note"}\n'

    assert "".join(dump(record) + "\n" for record in read(io.StringIO(lines))) == lines


def test_an_empty_stream_is_no_records():
    assert list(read(io.StringIO(""))) == []
    assert list(by_class([])) == []


def test_blank_lines_are_skipped_and_a_last_line_needs_no_newline():
    assert [row.class_ for row in read([A, "\n", "  \n", A.strip()])] == ["a", "a"]


def test_a_byte_order_mark_before_the_first_line_is_no_error():
    assert [row.class_ for row in read(["\ufeff" + A])] == ["a"]


# --- a record as it is written


def test_keys_are_written_in_one_order_what_it_says_then_where_it_is_from_then_unknown_keys():
    record = Image(
        id="1",
        label=3,
        class_="crane",
        parents=("0",),
        made=Made(model="sd", seed=7, usage=Usage(dollars=0.04)),
        rest={"mine": True},
        sha256="ab",
        origin="generated",
        text="A photo of the class crane, tall.",
        score=0.25,
        history=(Step(text="a", sha256="ab", score=0.25),),
    )

    assert dump(record) == (
        '{"kind":"image","id":"1","label":3,"class":"crane","sha256":"ab","origin":"generated",'
        '"text":"A photo of the class crane, tall.","score":0.25,'
        '"history":[{"text":"a","sha256":"ab","score":0.25}],'
        '"parents":["0"],"made":{"model":"sd","seed":7,"usage":{"dollars":0.04}},"mine":true}'
    )


@pytest.mark.parametrize(
    "record",
    [
        Class(id="1", label=0, class_="crane", count=0, shot="few", tail=False, sense="bird"),
        Description(id="1", label=0, class_="crane", text="a", origin="described"),
        Template(id="1", label=0, class_="crane", text="a", threshold=0.25),
        Image(id="1", origin="original", sha256="ab", history=(Step(text="a", sha256="ab", score=-0.5),)),
        Rejected(id="1", label=0, class_="crane", of="image", reason="below the bar"),
        Failure(id="1", stage="render", reason="refused"),
        Checkpoint(id="1", sha256="ab", settings={"rank": 8, "lr": 1e-4}),
        Metric(id="1", name="accuracy", group="few", value=None),
        Metric(
            id="1", name="accuracy", group="all", value=81.0, spread=1.5, runs=3, low=78.5, high=83.0, source="CVPR"
        ),
        Other(kind="note"),
    ],
    ids=kind_of,
)
def test_every_kind_reads_what_it_wrote(record):
    assert evolve(parse(dump(record))) == record


@pytest.mark.parametrize(
    "line",
    [
        '{"kind":"image","id":"a","label":3,"class":"crane","sha256":"00","origin":"original","score":1}',
        '{"kind":"image","id":"a","sha256":"00","origin":"original","made":{"model":"m","later":1}}',
        '{"kind":"description","id":"a","text":"A \\"line\\" of \\u00e9","origin":"extended","mine":[1]}',
        '{"kind":"description","id":"a","text":"b","origin":"extended","\\u006cine":"c"}',
        '{"kind":"description","text":"b","origin":"extended"}',
        '{"kind":"description","id":"","text":"b","origin":"extended"}',
        '{"kind":"verdict","id":"a","kind":"template","text":"b","sha256":"00","verdict":"keep"}',
        '{"kind":"checkpoint","id":"a","sha256":"00","settings":{"kind":"x","rest":1}}',
        '{ "kind": "template", "id": "a", "text": "b" }',
    ],
)
def test_a_line_is_read_the_same_by_the_short_way_and_by_the_careful_one(line, monkeypatch):
    short = records.parse(line)
    monkeypatch.setattr(records, "_as_written", lambda _: None)
    careful = records.parse(line)
    assert short == careful and records.evolve(short, label=4) == records.evolve(careful, label=4)


def test_changing_a_record_keeps_the_keys_that_ltgc_does_not_know():
    line = '{"kind":"template","id":"7","label":3,"class":"crane","text":"a","mine":{"deep":[1]},"licence":"CC0"}'

    assert dump(evolve(parse(line), threshold=0.25)) == (
        '{"kind":"template","id":"7","label":3,"class":"crane","text":"a","bar":0.25,"mine":{"deep":[1]},"licence":"CC0"}'
    )


def test_lines_without_an_id_get_one_of_their_own():
    line = '{"kind":"template","label":3,"class":"crane","text":"grey"}'
    one, other = parse(line), parse(line.replace("grey", "tall"))

    assert len(one.id) == 16 and one.id != other.id


def test_a_class_is_named_to_models_with_its_sense():
    assert Class(class_="seal", tail=True, sense="marine mammal").subject == "seal (marine mammal)"
    assert Class(class_="seal", tail=True).subject == "seal"


def test_a_line_break_in_a_class_name_does_not_break_the_prompt_that_it_is_in():
    assert Class(class_="seal\n\tcub", tail=True).subject == "seal cub"


# --- bad lines


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("kind: class", "not JSON"),
        ('{"kind":"class"', "not JSON"),
        ('{"kind":"class"} {"kind":"class"}', "not JSON"),
        ('{"kind":"class","x":NaN}', "not JSON"),
        ('{"kind":"class","x":"\\ud83d"}', "not JSON"),  # half an emoji
        ('["kind","class"]', "not a record .*pass on what an ltgc command wrote"),
        ('"class"', "not a record"),
        ("null", "not a record"),
        ("{}", "not a record"),
        ('{"label":3,"class":"crane"}', "not a record"),
        ('{"kind":7}', "not a record"),
        ('{"kind":"class","label":3}', "not a class record .*missing required field `tail`"),
        ('{"kind":"class","label":"3"}', "not a class record .*Expected `int`, got `str` - at `\\$.label`"),
        ('{"kind":"class","label":1.5}', "not a class record .*`\\$.label`"),
        ('{"kind":"class","class":null}', "not a class record .*`\\$.class`"),
        ('{"kind":"description","label":3}', "not a description record .*missing required field `text`"),
        ('{"kind":"image","sha256":"ab","origin":"drawn"}', "not a image record .*`\\$.origin`"),
        ('{"kind":"image","sha256":7}', "not a image record .*`\\$.sha256`"),
        ('{"kind":"image","sha256":"ab","history":[{}]}', "not a image record .*`\\$.history\\[0\\]`"),
    ],
)
def test_a_bad_line_is_an_error_with_file_line_and_what_is_wrong(line, message):
    with pytest.raises(InputError, match=f"^birds.jsonl:3: {message}"):
        list(read([A, "\n", line + "\n"], "birds.jsonl"))


def test_the_good_lines_before_a_bad_one_are_handed_out_first():
    records = read([A, "bad\n"])

    assert next(records).class_ == "a"
    with pytest.raises(InputError, match="^stdin:2: "):
        next(records)


def test_what_is_no_text_is_an_error_and_no_traceback():
    lines = (line.decode() for line in [A.encode(), b'{"kind":"class","class":"\xff"}\n'])  # as the runner does

    with pytest.raises(InputError, match="^birds.jsonl:.* not UTF-8 text"):
        list(read(lines, "birds.jsonl"))


def test_what_is_no_text_is_an_error_with_its_line():
    with pytest.raises(InputError, match="^birds.jsonl:2: not UTF-8 text"):
        list(read([A.encode(), b'{"kind":"class","class":"\xff"}\n'], "birds.jsonl"))


def test_a_line_nested_too_deep_is_an_error_and_no_traceback():
    with pytest.raises(InputError, match="^stdin:1: "):
        list(read(['{"kind":"class","x":' + "[" * 100_000]))


# --- ids


def test_an_id_is_pinned_because_seeds_come_from_it():
    made = identify(Description(label=3, class_="crane", text="a", origin="extended", parents=("0",)), "a")

    assert made.id == "33609adefed7ce49"


def test_an_id_depends_on_content_and_on_nothing_else():
    one = identify(Template(label=3, class_="crane", text="a"), "a")

    assert one.id == identify(Template(label=3, class_="crane", text="a", rest={"mine": 1}), "a").id
    assert one.id == identify(parse(dump(one)), "a").id
    others = [
        identify(Template(label=3, class_="crane", text="a"), "b"),
        identify(Template(label=4, class_="crane", text="a"), "a"),
        identify(Template(label=3, class_="heron", text="a"), "a"),
        identify(Template(label=3, class_="crane", text="a", parents=("0",)), "a"),
        identify(Failure(label=3, class_="crane", stage="extend", reason="a"), "a"),
    ]
    assert len({one.id, *(other.id for other in others)}) == 6


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_class_name_makes_an_id_that_is_safe_anywhere(name):
    id = identify(Class(label=0, class_=name, tail=True), name).id

    assert len(id) == 16 and set(id) <= set("0123456789abcdef")


# --- by class


def labelled(label: int, name: str, kind: str = "template") -> str:
    return line_of(kind=kind, label=label, **{"class": name}, text="a", tail=True)


def test_lines_come_class_by_class_in_their_order():
    lines = [labelled(7, "seal", "class"), labelled(7, "seal"), labelled(2, "crane", "class"), labelled(2, "crane")]
    groups = list(by_class(read(lines)))

    assert [(group.cls.label, group.cls.class_, [kind_of(row) for row in group.rows]) for group in groups] == [
        (7, "seal", ["class", "template"]),
        (2, "crane", ["class", "template"]),
    ]


def test_a_group_has_the_class_record_of_the_stream_wherever_it_stands():
    lines = [labelled(2, "crane"), '{"kind":"class","label":2,"class":"crane","tail":true,"sense":"bird"}']
    (group,) = by_class(read(lines))

    assert group.cls.subject == "crane (bird)" and len(group.rows) == 2


def test_a_stream_without_a_class_record_gets_one_made_up_that_is_not_written():
    (group,) = by_class(read([labelled(2, "crane")]))

    assert (group.cls.label, group.cls.class_, group.cls.tail) == (2, "crane", True)
    assert [kind_of(row) for row in group.rows] == ["template"]


def test_lines_of_no_class_stay_where_they_are_and_no_line_is_lost():
    lines = [
        '{"kind":"note","n":0}',
        labelled(7, "seal"),
        '{"kind":"checkpoint","sha256":"ab"}',
        '{"kind":"note","label":2}',
        '{"kind":"metric","name":"accuracy","group":"class","value":1.0,"label":9,"class":"heron"}',
        labelled(7, "seal"),
        labelled(2, "crane"),
        '{"kind":"failure","stage":"describe","reason":"no label"}',
    ]

    assert [dump(row) for group in by_class(read(lines)) for row in group.rows] == lines


def test_lines_without_a_label_are_in_no_tail():
    assert [group.cls.tail for group in by_class(read(['{"kind":"note"}', labelled(2, "crane")]))] == [False, True]


def test_one_label_with_two_names_is_an_error_that_names_both():
    with pytest.raises(InputError, match="label 2 is 'crane' in one line and 'heron' in another"):
        list(by_class(read([labelled(2, "crane"), labelled(2, "heron")])))


def test_lines_of_a_class_that_do_not_stay_together_are_an_error_that_says_how_to_sort_them():
    with pytest.raises(InputError, match="class 'crane' \\(label 2\\) do not stay together; .*jq -s -c"):
        list(by_class(read([labelled(2, "crane"), labelled(7, "seal"), labelled(2, "crane")])))


def test_groups_come_as_soon_as_the_next_class_begins():
    lines = iter([labelled(2, "crane"), labelled(7, "seal"), labelled(8, "wren")])

    assert next(by_class(read(lines))).cls.class_ == "crane"
    assert next(lines) == labelled(8, "wren")


# --- share


def test_the_parts_of_a_usage_sum_to_it():
    parts = share(Usage(prompt_tokens=11, completion_tokens=2, dollars=0.3), 3)

    assert [part.prompt_tokens for part in parts] == [4, 4, 3]
    assert [part.completion_tokens for part in parts] == [1, 1, 0]
    assert sum(part.dollars for part in parts) == pytest.approx(0.3)


def test_a_price_that_is_not_known_stays_unknown_in_every_part():
    assert [part.dollars for part in share(Usage(prompt_tokens=2), 2)] == [None, None]


def test_one_part_is_the_whole():
    assert share(Usage(prompt_tokens=5, dollars=0.1), 1) == [Usage(prompt_tokens=5, dollars=0.1)]


def test_what_is_no_number_is_null_in_json():
    line = records.dump(records.Metric(name="a", group="all", value=float("nan"), low=float("inf")))
    assert '"value":null' in line and "NaN" not in line and "Infinity" not in line
    assert records.dump(records.parse(line)) == line
