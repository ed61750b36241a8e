"""What an adapter learns from, and the images that are generated without it, to look at."""

from __future__ import annotations

import pytest
from fakes import a_class, a_description, an_image, draws, of
from judging import CAPPED, COSINE, rates

from ltgc_cli.errors import Refused
from ltgc_cli.providers import Opened
from ltgc_cli.providers.t2i.examples import Example
from ltgc_cli.records import Description, Failure, Group, Image, Rejected, evolve, identify
from ltgc_cli.settings import Style
from ltgc_cli.stages import filter
from ltgc_cli.stages.adapt import examples
from ltgc_cli.stages.render import Without, render, wanted

SEAL = a_class("seal", 7, sense="marine mammal")
WET, DRY = (an_image(SEAL, name) for name in ("wet.jpg", "dry.jpg"))


def described(image: Image, feature: str) -> Description:
    text = f"A photo of the class seal, {feature}."
    return identify(Description(label=7, class_="seal", text=text, origin="described", parents=(image.id,)), text)


def dropped(row: Description) -> Rejected:
    return Rejected(label=7, class_="seal", of="description", reason="the same", text=row.text, parents=(row.id,))


def test_an_image_is_learnt_with_its_descriptions_and_the_bare_name_as_render_sends_them():
    rows = [SEAL, WET, described(WET, "wet"), DRY]

    assert examples(SEAL, [WET, DRY], rows) == [
        Example(WET.sha256, ("A photo of seal (marine mammal), wet.",), "A photo of seal (marine mammal)"),
        Example(DRY.sha256, (), "A photo of seal (marine mammal)"),
    ]


def test_what_no_image_shows_is_no_caption():
    rows = [SEAL, WET, evolve(a_description(SEAL, "in the snow"), parents=(WET.id,))]
    assert examples(SEAL, [WET], rows)[0].captions == ()


def test_a_description_that_reflect_dropped_is_a_caption_of_the_image_before_it():
    rows = [SEAL, WET, dropped(described(WET, "wet")), DRY, described(DRY, "wet")]
    assert [one.captions for one in examples(SEAL, [WET, DRY], rows)] == [
        ("A photo of seal (marine mammal), wet.",)
    ] * 2


def test_what_was_dropped_and_described_another_image_is_no_caption():
    rows = [SEAL, WET, DRY, dropped(described(WET, "wet")), dropped(a_description(SEAL, "in the snow"))]
    assert [one.captions for one in examples(SEAL, [WET, DRY], rows)] == [(), ()]


# --- without the adapter, to look at

CRANE = a_class("crane", 3)
TALL, GREY, WHITE = (a_description(CRANE, feature) for feature in ("tall", "grey", "white"))
STYLE = Style()


def run(*groups: Group, number=2, adapted=None, base=None) -> list[list]:
    without = Without(number, Opened("sd", base or draws()))
    return list(render(groups, generate=adapted or draws(), model="sd + lora", style=STYLE, batch=4, without=without))


def test_the_first_descriptions_are_generated_once_more_by_the_model_alone_from_the_same_seeds():
    adapted, base = draws(), draws()
    (rows,) = run(Group(CRANE, [CRANE, TALL, GREY, WHITE]), adapted=adapted, base=base)

    images = of(Image, rows)
    assert [(image.origin, image.text, image.made.model) for image in images[3:]] == [
        ("unadapted", TALL.text, "sd"), ("unadapted", GREY.text, "sd"),
    ]  # fmt: skip
    assert [image.made.seed for image in images[3:]] == [image.made.seed for image in images[:2]]
    assert [image.parents for image in images[3:]] == [(TALL.id,), (GREY.id,)]
    assert len({image.id for image in images}) == 5, "though the fake's images are alike"
    asked = [[request.model for requests in port.seen for request in requests] for port in (adapted, base)]
    assert asked == [["sd + lora"] * 3, ["sd"] * 2]


def test_those_that_are_there_are_not_generated_again_and_more_are_added():
    (first,) = run(Group(CRANE, [CRANE, TALL, GREY, WHITE]), number=1)
    base = draws()
    (rows,) = run(Group(CRANE, first), number=3, adapted=lambda _: 1 / 0, base=base)

    assert [request.text for requests in base.seen for request in requests] == [
        "A photo of crane, grey.", "A photo of crane, white.",
    ]  # fmt: skip
    assert run(Group(CRANE, rows), number=3, adapted=lambda _: 1 / 0, base=lambda _: 1 / 0) == [rows]


def test_one_that_failed_is_a_failure_of_its_own_and_its_description_has_its_image():
    refused = draws(failing=lambda _: Refused("busy"))
    (rows,) = run(Group(CRANE, [CRANE, TALL]), number=1, adapted=refused, base=refused)
    assert len({failure.id for failure in of(Failure, rows)}) == 2

    (rows,) = run(Group(CRANE, [CRANE, TALL]), number=1, base=refused)
    assert [type(row).__name__ for row in rows] == ["Class", "Description", "Image", "Failure"]


def test_only_tail_classes_have_them():
    sparrow = a_class("sparrow", 0, tail=False)
    assert run(Group(sparrow, [sparrow, a_description(sparrow, "small")])) == [
        [sparrow, a_description(sparrow, "small")]
    ]


@pytest.mark.parametrize("number", [0, 1])
def test_a_description_with_nothing_but_such_an_image_is_still_to_be_generated(number):
    (rows,) = run(Group(CRANE, [CRANE, TALL]), number=1)
    without = [row for row in rows if not (isinstance(row, Image) and row.origin == "generated")]
    assert [(one.row, one.origin) for one in wanted(Group(CRANE, without), unadapted=number)] == [(TALL, "generated")]


def test_filter_neither_scores_nor_changes_them():
    (given,) = run(Group(CRANE, [CRANE, an_image(CRANE, "1.jpg"), TALL]), base=draws())
    scored = rates(lambda _: 0.5)
    ports = {"ask": CAPPED, "generate": lambda _: 1 / 0, "score": scored, "llm": "m", "t2i": "sd", "clip": "clip"}
    (rows,) = filter.evaluate(lambda: [Group(CRANE, given)], **ports, settings=COSINE, style=STYLE)

    (shown,) = [row for row in of(Image, given) if row.origin == "unadapted"]
    assert shown in rows and Group(CRANE, rows).generated != [] and shown not in Group(CRANE, rows).generated
    assert sum(len(matches) for matches in scored.seen) == 1, "the generated one"
