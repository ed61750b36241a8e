"""Verdicts: what a person said of a drawing goes before what CLIP says, in filter and in what is trained on."""

from __future__ import annotations

import pytest
from fakes import a_description, of, says, sha
from judging import CRANE, SEAL, a_drawing, accepted, drawn, group, paint_as_told, run, sentence

from ltgc_cli.errors import Refused
from ltgc_cli.ports import GeneratedImage
from ltgc_cli.records import Group, Image, Rejected, Step, Verdict, dump, evolve
from ltgc_cli.settings import Judging, Style
from ltgc_cli.stages import verdicts
from ltgc_cli.stages.render import render
from ltgc_cli.stages.verdicts import effective, fingerprint, summary


def said(features: str, verdict: str, cls=CRANE) -> dict:
    """A verdict on the drawing of a text."""
    return {(cls.label, sha(drawn(features, cls))): verdict}


def a_verdict(verdict: str, image: str = "a", label: int = 3) -> Verdict:
    return Verdict(label=label, class_="crane", sha256=image, verdict=verdict)


# --- what holds


def test_of_several_verdicts_on_an_image_of_a_class_the_last_one_holds():
    given = [a_verdict("keep"), a_verdict("reject", "b"), a_verdict("reject"), a_verdict("keep", label=7)]
    assert effective(given) == {(3, "a"): "reject", (3, "b"): "reject", (7, "a"): "keep"}


def test_none_takes_a_verdict_back_and_it_can_be_said_again():
    assert effective([a_verdict("keep"), a_verdict("none")]) == {}
    assert effective([a_verdict("keep"), a_verdict("none"), a_verdict("reject")]) == {(3, "a"): "reject"}


def test_the_fingerprint_is_of_what_holds_and_of_no_order():
    one = effective([a_verdict("reject"), a_verdict("keep"), a_verdict("reject", "b")])
    other = effective([a_verdict("reject", "b"), a_verdict("none", "c"), a_verdict("keep")])

    assert fingerprint(one) == fingerprint(other) != fingerprint({})
    assert fingerprint({}) == sha("[]")


def test_the_summary_says_what_applies_and_what_is_not_there():
    assert summary({}, []) == "0 of 0 verdicts apply (0 kept, 0 rejected)"
    assert summary({(3, "a"): "keep"}, [(3, "a")]) == "1 of 1 verdict applies (1 kept, 0 rejected)"
    assert summary({(3, "a"): "keep", (3, "b"): "reject"}, []) == (
        "0 of 2 verdicts apply (0 kept, 0 rejected); 2 are on images that are not in the stream"
    )


# --- filter


def test_what_a_person_keeps_passes_at_once_whatever_its_score():
    rows = run([group("tall")], {drawn("tall"): 0.1}, verdicts=said("tall", "keep"), generate=lambda _: 1 / 0)

    (image,) = of(Image, rows)
    assert (image.text, image.score, image.threshold) == (sentence("tall"), 0.1, 0.3)
    assert image.history == (Step(text=sentence("tall"), sha256=image.sha256, score=0.1, verdict="keep"),)


def test_what_a_person_rejects_fails_above_the_threshold_and_is_rewritten_and_regenerated():
    refine = says(sentence("tall, with a red cap"))
    cosines = {drawn("tall"): 0.9, drawn("tall, with a red cap"): 0.4}
    rows = run([group("tall")], cosines, verdicts=said("tall", "reject"), refine=refine)

    assert accepted(rows) == [sentence("tall, with a red cap")]
    assert [step.verdict for step in of(Image, rows)[0].history] == ["reject", ""]


def test_a_verdict_holds_for_a_generated_image_of_a_later_round_too():
    cosines = {drawn("first"): 0.1, drawn("second"): 0.5, drawn("third"): 0.2}
    refine = says(sentence("second"), sentence("third"))
    verdict = said("second", "reject") | said("third", "keep")
    rows = run([group("first")], cosines, verdicts=verdict, refine=refine)

    (image,) = of(Image, rows)
    assert image.text == sentence("third")
    assert [step.verdict for step in image.history] == ["", "reject", "keep"]


def test_a_verdict_is_on_a_generated_image_of_its_class_and_of_no_other():
    rows = run([group("tall")], {drawn("tall"): 0.5}, verdicts={(7, sha(drawn("tall"))): "reject"})
    assert accepted(rows) == [sentence("tall")]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (Judging(scale="cosine", threshold=0.3, mode="exclude"), "rejected by hand"),
        (Judging(scale="cosine", mode="score"), "rejected by hand"),
        (Judging(scale="cosine", threshold=0.3, rounds=1), "rejected by hand"),
        (Judging(scale="cosine", threshold=0.3, never_pass="best", mode="exclude"), "rejected by hand"),
    ],
)
def test_where_nothing_passes_the_reason_says_that_it_was_rejected_by_hand(settings, reason):
    rows = run([group("tall")], {drawn("tall"): 0.9}, verdicts=said("tall", "reject"), settings=settings)

    (rejected,) = of(Rejected, rows)
    assert (rejected.reason, rejected.sha256, accepted(rows)) == (reason, sha(drawn("tall")), [])


def test_the_reason_tells_what_a_person_rejected_from_what_scored_too_low():
    cosines = {drawn("a"): 0.9, drawn("b"): 0.2, drawn("c"): 0.25}
    refine = says(sentence("b"), sentence("c"))

    def rejected(verdict) -> Rejected:
        return of(Rejected, run([group("a")], cosines, verdicts=verdict, refine=refine, settings=settings))[0]

    settings = Judging(scale="cosine", threshold=0.3)
    assert rejected(said("a", "reject")).reason == "rejected by hand, and its 2 other drawings failed"
    refine = says(sentence("b"), sentence("c"))
    assert rejected(said("a", "reject") | said("b", "reject")).reason == (
        "rejected by hand, and its other drawing failed"
    )
    refine = says(sentence("b"), sentence("c"))
    everything = said("a", "reject") | said("b", "reject") | said("c", "reject")
    assert rejected(everything).reason == "rejected by hand in each of its 3 drawings"


def test_the_best_image_that_nobody_rejected_is_the_one_that_is_shown():
    cosines = {drawn("a"): 0.9, drawn("b"): 0.2}
    rows = run(
        [group("a")],
        cosines,
        verdicts=said("a", "reject"),
        refine=says(sentence("b")),
        settings=Judging(scale="cosine", threshold=0.3, rounds=2),
    )
    assert of(Rejected, rows)[0].sha256 == sha(drawn("b"))


def test_never_pass_best_takes_the_best_image_that_nobody_rejected():
    settings = Judging(scale="cosine", threshold=0.3, rounds=2, never_pass="best")
    cosines = {drawn("a"): 0.25, drawn("b"): 0.2}
    rows = run([group("a")], cosines, verdicts=said("a", "reject"), refine=says(sentence("b")), settings=settings)

    assert accepted(rows) == [sentence("b")]


def test_what_a_person_rejected_and_nobody_could_regenerate_says_both():
    rows = run(
        [group("a")],
        {drawn("a"): 0.9},
        verdicts=said("a", "reject"),
        refine=says(sentence("b")),
        generate=lambda drawings: [Refused("not safe") for _ in drawings],
    )
    assert of(Rejected, rows)[0].reason == "rejected by hand; could not be redrawn: not safe"


def test_a_margin_asks_nothing_of_a_generated_image_that_a_person_keeps():
    settings = Judging(scale="cosine", threshold=0.3, margin=0.1)
    rows = run(
        [group("tall"), group("wet", cls=SEAL)],
        {drawn("tall"): 0.5, drawn("wet", SEAL): 0.5},
        verdicts=said("tall", "keep") | said("wet", "keep", SEAL),
        template=says(lambda q: f"A photo of the class {q.subject} with legs."),
        settings=settings,
        compare=lambda rivals: [] if not rivals else pytest.fail("nothing is to be compared"),
        keep=lambda data: sha("texts"),
    )
    assert len(accepted(rows)) == 2


def test_a_rejected_image_in_the_stream_that_a_person_keeps_is_an_image_again():
    first = run([group("tall", "grey")], {drawn("tall"): 0.1, drawn("grey"): 0.1}, settings=_EXCLUDE)
    assert len(of(Rejected, first)) == 2
    again = [Group(CRANE, first)]
    rows = run(again, {drawn("tall"): 0.1, drawn("grey"): 0.1}, verdicts=said("tall", "keep"), settings=_EXCLUDE)

    (image,) = of(Image, rows)
    assert (image.id, image.text, image.made.seed) == (a_drawing("tall").id, sentence("tall"), 1)
    assert [rejected.text for rejected in of(Rejected, rows)] == [sentence("grey")]


def test_without_a_verdict_on_its_images_the_lines_are_those_of_before():
    cosines = {drawn("a"): 0.5, drawn("b"): 0.1, drawn("c"): 0.1}
    groups = [group("a", "b")]
    plain = run(groups, cosines, refine=says(sentence("c")))

    assert list(map(dump, run(groups, cosines, refine=says(sentence("c")), verdicts=said("d", "keep")))) == list(
        map(dump, plain)
    )


def test_a_rejection_says_the_format_of_its_image_where_it_is_not_the_usual_one():
    webp = evolve(a_drawing("a"), format="webp")
    rows = run([Group(CRANE, [CRANE, webp])], {drawn("a"): 0.1}, settings=_EXCLUDE)
    assert of(Rejected, rows)[0].format == "webp"

    def generate(drawings):
        return [GeneratedImage(sha256=sha(drawing.text), format="jpeg") for drawing in drawings]

    cosines = {drawn("a"): 0.1, drawn("b"): 0.2}
    rows = run([group("a")], cosines, settings=_TWICE, refine=says(sentence("b")), generate=generate)
    assert of(Rejected, rows)[0].format == "jpeg"


_EXCLUDE = Judging(scale="cosine", threshold=0.3, mode="exclude")
_TWICE = Judging(scale="cosine", threshold=0.3, rounds=2)


# --- what is trained on


def filtered(*features: str, rejected: tuple[str, ...] = ()) -> list:
    """Returns the class as filter leaves it: drawings that pass, and drawings that do not."""
    descriptions = [a_description(CRANE, feature) for feature in (*features, *rejected)]
    (rows,) = render([Group(CRANE, [CRANE, *descriptions])], generate=paint_as_told, model="sd", style=Style(), batch=8)
    cosines = dict.fromkeys(map(drawn, features), 0.5) | dict.fromkeys(map(drawn, rejected), 0.1)
    return run([Group(CRANE, rows)], cosines, settings=_EXCLUDE)


def test_without_verdicts_the_accepted_images_are_trained_on():
    rows = filtered("tall", "grey", rejected=("dark",))
    assert [image.text for image in verdicts.accepted(Group(CRANE, rows))] == [sentence("tall"), sentence("grey")]


def test_what_a_person_rejects_is_not_trained_on_and_what_one_keeps_is():
    rows = filtered("tall", "grey", rejected=("dark", "dim"))
    trained = verdicts.accepted(Group(CRANE, rows), said("tall", "reject") | said("dark", "keep"))

    assert [image.text for image in trained] == [sentence("grey"), sentence("dark")]


def test_a_generated_image_that_a_person_keeps_is_the_image_that_it_was_but_for_what_filter_found():
    description = a_description(CRANE, "dark")
    drawn_from = [CRANE, description]
    (rows,) = render([Group(CRANE, drawn_from)], generate=paint_as_told, model="sd", style=Style(), batch=8)
    (image,) = verdicts.accepted(Group(CRANE, filtered(rejected=("dark",))), said("dark", "keep"))

    assert image.parents == (description.id,)
    assert evolve(image, score=None, threshold=None, scale="", history=()) == rows[-1]
    assert (image.score, image.threshold, image.scale, len(image.history)) == (0.1, 0.3, "cosine", 1)


def test_a_class_that_nothing_is_kept_of_stays_the_very_lines_that_it_was():
    crane = Group(CRANE, filtered("tall", rejected=("dark",)))
    assert verdicts.restored(crane, said("tall", "reject")) is crane


def test_originals_and_plain_images_are_never_trained_on_as_images():
    rows = [evolve(a_drawing("tall"), origin=origin) for origin in ("original", "plain")]
    assert verdicts.accepted(Group(CRANE, rows), said("tall", "keep")) == []


def test_the_images_of_a_stream_are_accepted_and_rejected_ones_and_where_wanted_those_replaced():
    cosines = {drawn("a"): 0.1, drawn("b"): 0.5}
    rows = [*run([group("a")], cosines, refine=says(sentence("b"))), *filtered(rejected=("dark",))]

    there = {(3, sha(drawn(feature))) for feature in ("b", "dark")}
    assert verdicts.image_keys(rows) == there
    assert verdicts.image_keys(rows, replaced=True) == there | {(3, sha(drawn("a")))}
