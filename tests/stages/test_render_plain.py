"""render --plain: what the bare name of a class gives, to look at; and what a stream has a drawing of already."""

from __future__ import annotations

import msgspec
import pytest
from fakes import a_class, a_description, an_image, draws, of, sha
from judging import CAPPED, COSINE, paint_as_told, rates, says

from ltgc_cli import records
from ltgc_cli import usage as bill
from ltgc_cli.cli import show as view
from ltgc_cli.errors import Refused
from ltgc_cli.ports import Usage
from ltgc_cli.records import Description, Failure, Group, Image, Rejected, dump, evolve, identify, parse
from ltgc_cli.report.contact_sheet import sheet_row
from ltgc_cli.settings import Judging, Style
from ltgc_cli.stages import filter, preview
from ltgc_cli.stages.overview import overview
from ltgc_cli.stages.render import render, source, wanted

CRANE = a_class("crane", 3)
SEAL = a_class("seal", 7, sense="marine mammal")
TALL, GREY = (a_description(CRANE, feature) for feature in ("tall", "grey"))
STYLE = Style()


def run(*groups: Group, generate=None, plain=0, style=STYLE) -> list[list]:
    return list(render(groups, generate=generate or draws(), model="sd", style=style, batch=4, plain=plain))


def texts(generate) -> list[str]:
    return [request.text for requests in generate.seen for request in requests]


def judged(rows, cosine, **settings) -> list:
    """Returns the rows of one class as filter leaves them, where every drawing scores the same."""
    judging = Judging(scale="cosine", threshold=0.3, **settings)
    ports = {"ask": _ask, "generate": paint_as_told, "score": rates(lambda _: cosine)}
    models = {"llm": "m", "t2i": "sd", "clip": "clip"}
    (found,) = filter.evaluate(lambda: [Group(CRANE, list(rows))], **ports, **models, settings=judging, style=STYLE)
    return found


def _ask(question):
    return says("A photo of the class crane, refined.")(question) if question.task == "refine" else CAPPED(question)


# --- the bare name


def test_plain_images_stand_behind_the_others_and_say_which_class_they_are_of():
    (rows,) = run(Group(SEAL, [SEAL, a_description(SEAL, "wet")]), plain=2)

    drawn, *plain = of(Image, rows)
    assert drawn.origin == "generated"
    assert [(image.origin, image.text, image.parents) for image in plain] == [
        ("plain", "A photo of the class seal", (SEAL.id,))
    ] * 2


def test_what_is_generated_is_the_bare_name_with_the_sense_and_another_seed_each_time():
    generate = draws()
    run(Group(SEAL, [SEAL]), generate=generate, plain=3)

    assert texts(generate) == ["A photo of seal (marine mammal)"] * 3
    assert len({request.seed for requests in generate.seen for request in requests}) == 3


def test_the_seed_of_a_plain_image_is_of_its_label_name_and_number_and_of_nothing_else():
    def seeds(cls, plain, *rows):
        return [image.made.seed for image in of(Image, run(Group(cls, [cls, *rows]), plain=plain)[0]) if _plain(image)]

    assert seeds(CRANE, 2) == [1970969853, 1430986914]
    assert seeds(a_class("crane", 3, count=7, sense="bird"), 2, TALL) == seeds(CRANE, 2) == seeds(CRANE, 3)[:2]
    assert not {*seeds(a_class("crane", 4), 2), *seeds(a_class("seal", 3), 2)} & {*seeds(CRANE, 2)}


def test_a_class_that_is_not_in_the_tail_has_no_plain_images():
    sparrow = a_class("sparrow", 0, tail=False)
    assert run(Group(sparrow, [sparrow]), plain=4, generate=lambda _: 1 / 0) == [[sparrow]]


def test_plain_images_are_generated_from_nothing_where_the_others_are_generated_from_an_original():
    generate = draws()
    (rows,) = run(Group(CRANE, [CRANE, TALL]), generate=generate, plain=1, style=Style(from_original=0.6))

    assert [type(row).__name__ for row in rows[2:]] == ["Failure", "Image"]
    assert [request.original for request in generate.seen[0]] == [generate.seen[0][0].original] and not rows[
        -1
    ].original


def test_two_plain_images_that_are_refused_are_two_failures():
    (rows,) = run(Group(CRANE, [CRANE]), generate=draws(failing=lambda _: Refused("busy")), plain=2)

    assert [failure.parents for failure in of(Failure, rows)] == [(CRANE.id,)] * 2
    assert len({failure.id for failure in of(Failure, rows)}) == 2


def test_without_plain_the_lines_are_byte_for_byte_those_of_before_there_was_any():
    (rows,) = run(Group(CRANE, [CRANE, an_image(CRANE, "1.jpg"), TALL, GREY]))

    lines = "\n".join(map(dump, rows))
    assert sha(lines) == "b0619f8c2015c9d8b44c10b0df16b2b909450e781a921691eff4315879429b0f"


# --- what is there already


def test_a_description_that_has_an_image_is_not_generated_again():
    (first,) = run(Group(CRANE, [CRANE, TALL]))
    generate = draws()
    (rows,) = run(Group(CRANE, [*first, GREY]), generate=generate)

    assert texts(generate) == ["A photo of crane, grey."]
    assert rows[:-1] == [*first, GREY]


def test_plain_images_that_are_there_are_not_generated_again_and_more_are_added():
    (first,) = run(Group(CRANE, [CRANE, TALL]), plain=2)
    generate = draws()
    (rows,) = run(Group(CRANE, first), generate=generate, plain=4)

    assert len(texts(generate)) == 2
    (whole,) = run(Group(CRANE, [CRANE, TALL]), plain=4)
    assert rows == whole
    assert run(Group(CRANE, rows), generate=lambda _: 1 / 0, plain=4) == [rows]
    assert run(Group(CRANE, rows), generate=lambda _: 1 / 0, plain=1) == [rows]


def test_a_plain_image_that_failed_is_tried_again_and_no_other():
    (whole,) = run(Group(CRANE, [CRANE]), plain=3)
    generate = draws()
    (rows,) = run(Group(CRANE, [row for row in whole if row is not whole[2]]), generate=generate, plain=3)

    assert [request.attempt for request in generate.seen[0]] == [1]
    assert sorted(map(dump, rows)) == sorted(map(dump, whole))


@pytest.mark.parametrize("cosine", [0.1, 0.5])
def test_what_filter_accepted_or_rejected_is_not_generated_again(cosine):
    (drawn,) = run(Group(CRANE, [CRANE, TALL, GREY]))
    rows = judged(drawn, cosine)

    images = of(Rejected if cosine < 0.3 else Image, rows)
    assert len([row for row in images if getattr(row, "of", "image") == "image"]) == 2
    assert run(Group(CRANE, rows), generate=lambda _: 1 / 0) == [rows]


def test_what_filter_rejected_the_second_time_it_looked_is_not_generated_again():
    (drawn,) = run(Group(CRANE, [CRANE, TALL]))
    refined = judged(drawn, 0.1, never_pass="best", rounds=2)
    rows = judged(refined, 0.1, rounds=3)

    (rejected,) = [row for row in of(Rejected, rows) if row.of == "image"]
    assert source(rejected, [GREY, TALL]) == TALL
    assert run(Group(CRANE, rows), generate=lambda _: 1 / 0) == [rows]


def test_a_description_whose_image_failed_is_tried_again():
    (failed,) = run(Group(CRANE, [CRANE, TALL]), generate=draws(failing=lambda _: Refused("busy")))
    (rows,) = run(Group(CRANE, failed))

    assert [type(row).__name__ for row in rows] == ["Class", "Description", "Failure", "Image"]


def test_the_same_text_of_two_descriptions_is_two_images_one_of_which_may_be_there():
    twin = identify(Description(label=3, class_="crane", text=TALL.text, origin="described"), "another")
    (drawn,) = run(Group(CRANE, [CRANE, TALL]))
    rows = judged(drawn, 0.1, mode="exclude")

    assert [one.row for one in wanted(Group(CRANE, [*rows, twin]))] == [twin]


def test_a_rejected_description_says_nothing_of_images():
    turned_down = identify(Rejected(label=3, class_="crane", of="description", reason="twice", text=TALL.text), "x")
    assert [one.row for one in wanted(Group(CRANE, [CRANE, TALL, turned_down]))] == [TALL]


def test_lines_of_a_person_without_ids_are_all_generated():
    nameless = [evolve(row, id="") for row in (TALL, GREY)]
    (rows,) = run(Group(CRANE, nameless))
    assert len(of(Image, rows)) == 2


# --- nothing else uses them


def _plain(image: Image) -> bool:
    return image.origin == "plain"


def with_plain() -> list:
    (rows,) = run(Group(CRANE, [CRANE, an_image(CRANE, "1.jpg"), TALL]), plain=2)
    return [parse(dump(row)) for row in rows]


def test_filter_neither_scores_nor_changes_them():
    scored = rates(lambda _: 0.5)
    ports = {"ask": CAPPED, "generate": lambda _: 1 / 0, "score": scored, "llm": "m", "t2i": "sd", "clip": "clip"}
    given = with_plain()
    (rows,) = filter.evaluate(lambda: [Group(CRANE, given)], **ports, settings=COSINE, style=STYLE)

    plain = [image for image in of(Image, given) if _plain(image)]
    assert [row for row in rows if row in plain] == plain
    assert not {image.sha256 for image in plain} & {match.image for matches in scored.seen for match in matches}


def test_the_preview_does_not_count_them():
    ports = {"ask": CAPPED, "score": rates(lambda _: 0.5), "llm": "m", "clip": "clip"}
    groups = [Group(CRANE, with_plain())]
    *_, everything = preview.preview(overview(groups), lambda: groups, **ports, settings=COSINE)
    assert (len(everything.real), len(everything.generated)) == (1, 1)


def test_the_contact_sheet_and_the_tables_leave_them_out(capsys):
    rows = with_plain()
    assert [
        (len(row.real), len(row.accepted), len(row.rejected)) for row in map(sheet_row, records.by_class(rows))
    ] == [(1, 1, 0)]
    view.generated_images(rows)
    (_, line) = capsys.readouterr().out.splitlines()
    assert line.split() == ["crane", "1", "1", "0", "0"]  # descriptions, images, regenerated, rejected


def test_what_they_cost_is_part_of_what_generating_costs():
    generate = draws()

    def priced(drawings):
        return [msgspec.structs.replace(picture, usage=Usage(dollars=0.25)) for picture in generate(drawings)]

    (rows,) = run(Group(CRANE, [CRANE, TALL]), generate=priced, plain=2)

    assert {key: (one.new, one.dollars) for key, one in bill.sums(rows, ["stage"]).items()} == {("render",): (3, 0.75)}
