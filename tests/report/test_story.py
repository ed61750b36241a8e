import pytest
from fakes import sha
from small_run import HOSTILE, crane, head, run

from ltgc_cli.errors import InputError
from ltgc_cli.records import Class, Image, Rejected, Step
from ltgc_cli.report.story import cut, only, pictures, shas, told


def test_a_class_has_its_originals_and_its_drawings_the_accepted_first() -> None:
    (cls,) = told(crane()).classes
    assert (cls.name, cls.sense, cls.real, cls.shot, cls.tail) == ("crane", "wading bird", 3, "few", True)
    assert [one.name for one in cls.originals] == ["crane/1.jpg"]
    assert [(one.text.removeprefix("A photo of the class crane, "), one.state) for one in cls.drawings] == [
        ("at dawn.", "accepted"),
        ("in flight.", "accepted"),
        ("in mud.", "rejected"),
    ]
    assert cls.drawings[2].reason == "scored below the class's bar in its one drawing"
    assert (cls.accepted, cls.rejected, cls.redrawn, cls.rejection) == (2, 1, 1, 1 / 3)
    assert (cls.template, cls.bar) == ("A photo of the class crane with long legs.", 0.25)


def test_a_drawing_has_its_rounds_only_where_there_was_more_than_one() -> None:
    once, twice, _ = told(crane()).classes[0].drawings
    assert once.steps == ()
    assert [step.score for step in twice.steps] == [0.2, 0.3]


def test_what_was_drawn_from_the_bare_name_stands_apart() -> None:
    (cls,) = told(crane()).classes
    assert [one.sha256 for one in cls.plain] == [sha("plain")]
    assert sha("plain") not in [one.sha256 for one in cls.drawings]


def test_failures_and_rejected_descriptions_keep_their_reasons() -> None:
    (cls,) = told(crane()).classes
    assert cls.failures == (("render", "the request was refused: unsafe", "A crane."),)
    assert cls.turned_down == (("A photo of the class crane, dawn.", "says the same as another"),)


def test_the_last_verdict_of_a_person_holds() -> None:
    dawn, _, mud = told(run()).classes[0].drawings
    assert (dawn.verdict, mud.verdict) == ("", "keep")


def test_each_class_has_its_accuracy_with_drawings_and_without() -> None:
    gains = {cls.name: cls.gain for cls in told(run()).classes}
    assert gains == {"crane": 20.0, HOSTILE: 10.0, "pigeon": -2.0}


def test_dollars_are_those_of_the_records() -> None:
    story = told(crane())
    assert (story.dollars, story.unpriced, story.made) == (0.25, 0, (("describe", "gpt-4o", 1, 0),))


def test_streams_behind_one_another_are_taken_as_one() -> None:
    assert told([*crane(), *head(), *crane(), *head()]) == told([*crane(), *head()])


def test_two_names_of_one_label_are_refused() -> None:
    rows = [Class(label=0, class_="crane", tail=True), Class(id="x", label=0, class_="seal", tail=True)]
    with pytest.raises(InputError, match="label 0 is 'crane' in one line and 'seal' in another"):
        told(rows)


def test_a_class_without_its_record_is_known_by_its_images() -> None:
    (cls,) = told([Image(id="o", label=4, class_="seal", sha256=sha("seal"), origin="original")]).classes
    assert (cls.label, cls.name, cls.real, cls.pictured) == (4, "seal", None, True)


def test_an_empty_stream_tells_nothing() -> None:
    story = told([])
    assert (story.classes, story.lines, story.comparison, story.judged) == ((), (), None, False)


def test_only_the_named_classes_are_shown_and_the_others_still_count() -> None:
    story = only(told(run()), ["crane"])
    assert [cls.name for cls in story.shown] == ["crane"]
    assert (story.tail, len(story.classes)) == (2, 3)


def test_an_unknown_class_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="--class cranes: no class of the stream; did you mean crane?"):
        only(told(run()), ["cranes"])


def test_every_picture_that_is_shown_is_listed_once_rounds_too() -> None:
    assert shas(told(crane())) == [sha(of) for of in ("real", "dawn", "in flight", "blurred", "mud", "plain")]


def many(count: int) -> list[Image]:
    return [
        Image(id=str(n), label=0, class_="crane", sha256=sha(str(n)), origin="generated", score=0.5)
        for n in range(count)
    ]


def test_a_cut_class_keeps_a_fair_choice_and_says_what_is_left_out() -> None:
    whole = told([*crane(), *many(100)])
    (cls,) = cut(whole, 8).shown
    assert pictures(cls) == 8
    assert len(cls.originals) == len(cls.plain) == 1
    assert sum(not one.accepted for one in cls.drawings) == 1
    assert cls.left_out == 102 + 1 + 1 + 1 - 8
    assert cls.accepted == 102, "the numbers are those of all"


def test_the_drawings_that_stay_are_spread_over_all_of_them() -> None:
    (cls,) = cut(told(many(100)), 4).shown
    assert [one.id for one in cls.drawings] == ["0", "25", "50", "75"]


def test_a_class_that_fits_is_not_cut() -> None:
    assert cut(told(crane()), 8).shown == told(crane()).classes


def test_what_a_person_said_when_filter_judged_is_told_of_the_chosen_picture() -> None:
    of = {"label": 0, "class_": "crane", "score": 0.1, "threshold": 0.25}
    steps = (
        Step(text="", sha256=sha("one"), score=0.3, verdict="reject"),
        Step(text="", sha256=sha("two"), score=0.1, verdict="keep"),
    )
    (kept,) = told([Image(id="g", sha256=sha("two"), origin="generated", history=steps, **of)]).classes[0].drawings
    assert (kept.verdict, kept.below, [step.verdict for step in kept.steps]) == ("keep", True, ["reject", "keep"])
    once = Rejected(id="r", of="image", reason="rejected by hand", sha256=sha("one"), history=steps[:1], **of)
    assert [one.verdict for one in told([once]).classes[0].drawings] == ["reject"]
