"""render: one picture per description, in any batch; the seed comes from the record and from nothing else."""

from __future__ import annotations

import pytest
from fakes import a_class, a_description, an_image, draws, of, picture_of, sha

from ltgc_cli.errors import ProviderError, Refused
from ltgc_cli.ports import GeneratedImage, ImageRequest, Usage
from ltgc_cli.records import Failure, Group, Image, Made, dump, evolve, parse
from ltgc_cli.settings import Style
from ltgc_cli.stages.render import image_request, render, seed, style_of

CRANE = a_class("crane", 3)
SEAL = a_class("seal", 7, sense="marine mammal")
SPARROW = a_class("sparrow", 0, tail=False)


def group(cls, *features: str) -> Group:
    return Group(cls, [cls, *(a_description(cls, feature) for feature in features)])


def run(*groups: Group, generate=None, batch=64) -> list[list]:
    return list(render(groups, generate=generate or draws(), model="sd", style=Style(), batch=batch))


def test_every_description_of_a_tail_class_is_generated_once_and_the_images_follow_its_lines():
    given = group(CRANE, "tall", "in flight")
    (rows,) = run(given)

    assert rows[:3] == given.rows
    assert [image.text for image in rows[3:]] == [
        "A photo of the class crane, tall.",
        "A photo of the class crane, in flight.",
    ]


def test_what_is_generated_is_the_description_without_the_words_the_class_and_with_the_sense():
    generate = draws()
    run(group(SEAL, "wet"), generate=generate)

    assert [request.text for request in generate.seen[0]] == ["A photo of seal (marine mammal), wet."]


def test_an_image_says_which_description_model_seed_and_cost_it_comes_from():
    description = a_description(CRANE, "tall")

    def generate(drawings):
        return [GeneratedImage(sha256=sha("tall"), format="webp", usage=Usage(dollars=0.04)) for _ in drawings]

    ((*_, image),) = run(Group(CRANE, [description]), generate=generate)
    assert image == Image(
        id=image.id,
        label=3,
        class_="crane",
        parents=(description.id,),
        made=Made(model="sd", seed=seed(description.id, 0), usage=Usage(dollars=0.04)),
        sha256=sha("tall"),
        origin="generated",
        format="webp",
        text="A photo of the class crane, tall.",
    )


def test_images_of_several_classes_share_a_batch():
    generate = draws()
    run(group(CRANE, "a", "b"), group(SEAL, "c"), group(a_class("wren", 9), "d", "e"), generate=generate, batch=5)

    assert [len(drawings) for drawings in generate.seen] == [5]


def test_every_batch_is_full_across_classes_but_for_the_last():
    generate = draws()
    run(group(CRANE, *"abcdefghijk"), group(SEAL, *"lm"), generate=generate, batch=4)

    assert [len(drawings) for drawings in generate.seen] == [4, 4, 4, 1]


def test_a_long_stream_with_nothing_to_generate_is_not_held_in_memory():
    taken = []
    groups = (taken.append(number) or group(a_class("sparrow", number, tail=False)) for number in range(100_000))

    next(render(groups, generate=draws(), model="sd", style=Style(), batch=64))
    assert len(taken) < 10_000


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_the_output_is_the_same_in_any_batch(batch):
    groups = [group(CRANE, *"abcde"), group(SPARROW, "f"), group(SEAL, *"ghi"), group(a_class("wren", 9))]

    assert run(*groups, batch=batch) == run(*groups, batch=64)


def test_classes_come_out_in_the_order_they_came_in_each_with_its_own():
    groups = run(group(SEAL, "wet"), group(CRANE, "tall"), group(SPARROW, "small"), batch=2)

    assert [[(type(row).__name__, row.class_) for row in rows] for rows in groups] == [
        [("Class", "seal"), ("Description", "seal"), ("Image", "seal")],
        [("Class", "crane"), ("Description", "crane"), ("Image", "crane")],
        [("Class", "sparrow"), ("Description", "sparrow")],
    ]


def test_a_class_is_handed_out_before_the_stream_ends():
    stream = iter([group(CRANE, "a", "b"), group(SEAL, "c"), group(SEAL, "d")])
    first = next(render(stream, generate=draws(), model="sd", style=Style(), batch=2))

    assert len(of(Image, first)) == 2
    assert next(stream).cls is SEAL


def test_a_class_that_is_not_in_the_tail_is_not_generated():
    assert run(group(SPARROW, "small"), generate=lambda _: 1 / 0) == [group(SPARROW, "small").rows]


def test_a_stream_with_nothing_to_generate_asks_nothing():
    assert run(group(CRANE), generate=lambda _: 1 / 0) == [[CRANE]]
    assert run() == []


def test_an_image_that_is_refused_becomes_a_failure_in_its_place():
    generate = draws(failing=lambda request: Refused("not safe") if "nude" in request.text else None)
    (rows,) = run(group(CRANE, "tall", "nude", "grey"), generate=generate)

    assert [type(row).__name__ for row in rows[4:]] == ["Image", "Failure", "Image"]
    assert rows[5] == Failure(
        id=rows[5].id,
        label=3,
        class_="crane",
        stage="render",
        reason="not safe",
        text="A photo of the class crane, nude.",
        parents=(rows[2].id,),
    )


def test_a_provider_that_cannot_be_used_at_all_stops_the_run():
    def generate(_):
        raise ProviderError("no weights")

    with pytest.raises(ProviderError, match="no weights"):
        run(group(CRANE, "tall"), generate=generate)


def test_an_image_too_few_is_an_error_and_no_image_is_mistaken_for_another():
    with pytest.raises(ValueError, match="shorter"):
        run(group(CRANE, "tall", "grey"), generate=lambda drawings: draws()(drawings)[1:])


def test_lines_of_other_kinds_pass_byte_for_byte():
    lines = ['{"kind": "note"}', '{"kind":"template","label":3,"class":"crane","text":"a","mine":[1]}']
    photo = an_image(CRANE, "1.jpg")
    (rows,) = run(Group(CRANE, [CRANE, *map(parse, lines), photo, a_description(CRANE, "tall")]))

    assert [dump(row) for row in rows[1:3]] == lines and rows[3] is photo
    assert len(of(Image, rows)) == 2


def test_settings_of_the_style_are_in_the_request_and_what_is_not_set_is_left_to_the_model():
    style = Style(width=64, height=32, steps=4, guidance=1.5, negative="text")

    assert image_request("A photo of the class crane, tall.", "ab", 2, CRANE, "sd", style) == ImageRequest(
        model="sd",
        text="A photo of crane, tall.",
        seed=seed("ab", 2),
        attempt=2,
        width=64,
        height=32,
        steps=4,
        guidance=1.5,
        negative="text",
    )
    assert image_request("a", "ab", 0, CRANE, "sd", Style()).steps is None


def test_seeds_are_pinned_because_a_changed_seed_is_another_image():
    assert seed("33609adefed7ce49", 0) == 1060498349
    assert seed("33609adefed7ce49", 1) == 1719610069
    assert seed("33609adefed7ce49", 0, 7) == 5371642


def test_a_seed_depends_on_the_record_the_attempt_and_the_base_and_fits_every_generator():
    seeds = {seed(id, attempt, base) for id in ("a", "b") for attempt in (0, 1) for base in (0, 1)}

    assert len(seeds) == 8
    assert all(0 <= number < 2**31 for number in seeds)


def test_the_place_in_the_stream_is_not_in_the_seed():
    def seeds(*features: str) -> dict[str, int]:
        return {image.text: image.made.seed for image in of(Image, run(group(CRANE, *features), batch=2)[0])}

    assert seeds("a", "b", "c") == seeds("c", "a", "b")


def test_the_image_depends_on_its_own_request_alone():
    (rows,) = run(group(CRANE, "tall", "grey"))
    (alone,) = run(group(CRANE, "grey"))
    request = image_request(
        "A photo of the class crane, grey.", a_description(CRANE, "grey").id, 0, CRANE, "sd", Style()
    )

    assert rows[-1] == alone[-1]
    assert rows[-1].sha256 == picture_of(request)


def test_lines_that_a_person_wrote_without_ids_are_told_apart():
    (rows,) = run(Group(CRANE, [evolve(a_description(CRANE, feature), id="") for feature in ("tall", "grey")]))

    assert [image.text for image in of(Image, rows)] == [
        "A photo of the class crane, tall.",
        "A photo of the class crane, grey.",
    ]


def test_a_class_without_an_original_fails_alone_where_images_start_from_one():
    photo = an_image(CRANE, "birds/1.jpg")
    crane = Group(CRANE, [CRANE, photo, a_description(CRANE, "a")])
    generate = draws()
    found = list(
        render([crane, group(SEAL, "b")], generate=generate, model="sd", style=Style(from_original=0.6), batch=4)
    )

    (drawn,) = of(Image, found[0][3:])
    assert (drawn.original, drawn.strength) == (photo.sha256, 0.6)
    (failure,) = of(Failure, found[1])
    assert failure.reason == "its class has no original image to draw over; leave --from-original out"
    assert [len(drawings) for drawings in generate.seen] == [1]


def test_what_was_generated_from_an_original_is_generated_again_over_it_as_much():
    image = an_image(CRANE, "1", "generated", original=sha("photo"), strength=0.6)
    assert style_of(Style(steps=4), image) == Style(steps=4, from_original=0.6)
    assert style_of(Style(from_original=0.3), image) == Style(from_original=0.3)
    assert style_of(Style(), an_image(CRANE, "2", "generated")) == Style()
