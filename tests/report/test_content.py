import pytest
from fakes import sha
from small_run import HOSTILE, crane, head, run

from ltgc_cli.errors import InputError
from ltgc_cli.records import Class, Image, Rejected, Step
from ltgc_cli.report.content import content_of, only


def test_a_class_has_its_originals_and_its_generated_images_the_accepted_first() -> None:
    (cls,) = content_of(crane()).classes
    assert (cls.name, cls.sense, cls.real, cls.shot, cls.tail) == ("crane", "wading bird", 3, "few", True)
    assert [one.name for one in cls.originals] == ["crane/1.jpg"]
    assert [(one.text.removeprefix("A photo of the class crane, "), one.accepted) for one in cls.generated] == [
        ("at dawn.", True),
        ("in flight.", True),
        ("in mud.", False),
    ]
    assert cls.generated[2].reason == "scored below the class's bar in its one drawing"
    assert (cls.accepted, cls.rejected, cls.regenerated, cls.rejection_rate) == (2, 1, 1, 1 / 3)
    assert (cls.template, cls.threshold) == ("A photo of the class crane with long legs.", 0.25)


def test_a_generated_image_has_its_rounds_only_where_there_was_more_than_one() -> None:
    once, twice, _ = content_of(crane()).classes[0].generated
    assert once.steps == ()
    assert [step.score for step in twice.steps] == [0.2, 0.3]


def test_what_was_generated_from_the_bare_name_stands_apart() -> None:
    (cls,) = content_of(crane()).classes
    assert [one.sha256 for one in cls.plain] == [sha("plain")]
    assert sha("plain") not in [one.sha256 for one in cls.generated]


def test_failures_and_rejected_descriptions_keep_their_reasons() -> None:
    (cls,) = content_of(crane()).classes
    assert cls.failures == (("render", "the request was refused: unsafe", "A crane."),)
    assert cls.rejected_descriptions == (("A photo of the class crane, dawn.", "says the same as another"),)


def test_the_last_verdict_of_a_person_holds() -> None:
    dawn, _, mud = content_of(run()).classes[0].generated
    assert (dawn.verdict, mud.verdict) == ("", "keep")


def test_each_class_has_its_accuracy_with_generated_images_and_without() -> None:
    gains = {cls.name: cls.gain for cls in content_of(run()).classes}
    assert gains == {"crane": 20.0, HOSTILE: 10.0, "pigeon": -2.0}


def test_dollars_are_those_of_the_records() -> None:
    content = content_of(crane())
    assert (content.dollars, content.unpriced, content.made) == (0.25, 0, (("describe", "gpt-4o", 1, 0),))


def test_streams_behind_one_another_are_taken_as_one() -> None:
    assert content_of([*crane(), *head(), *crane(), *head()]) == content_of([*crane(), *head()])


def test_two_names_of_one_label_are_refused() -> None:
    rows = [Class(label=0, class_="crane", tail=True), Class(id="x", label=0, class_="seal", tail=True)]
    with pytest.raises(InputError, match="label 0 is 'crane' in one line and 'seal' in another"):
        content_of(rows)


def test_a_class_without_its_record_is_known_by_its_images() -> None:
    (cls,) = content_of([Image(id="o", label=4, class_="seal", sha256=sha("seal"), origin="original")]).classes
    assert (cls.label, cls.name, cls.real, cls.has_details) == (4, "seal", None, True)


def test_an_empty_stream_has_no_content() -> None:
    content = content_of([])
    assert (content.classes, content.results, content.comparison, content.judged) == ((), (), None, False)


def test_only_the_named_classes_are_shown_and_the_others_still_count() -> None:
    content = only(content_of(run()), ["crane"])
    assert [cls.name for cls in content.shown] == ["crane"]
    assert (content.tail, len(content.classes)) == (2, 3)


def test_an_unknown_class_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="--class cranes: no class of the stream; did you mean crane?"):
        only(content_of(run()), ["cranes"])


def test_what_a_person_decided_when_filter_judged_is_shown_of_the_chosen_image() -> None:
    of = {"label": 0, "class_": "crane", "score": 0.1, "threshold": 0.25}
    steps = (
        Step(text="", sha256=sha("one"), score=0.3, verdict="reject"),
        Step(text="", sha256=sha("two"), score=0.1, verdict="keep"),
    )
    (kept,) = (
        content_of([Image(id="g", sha256=sha("two"), origin="generated", history=steps, **of)]).classes[0].generated
    )
    assert (kept.verdict, kept.below, [step.verdict for step in kept.steps]) == ("keep", True, ["reject", "keep"])
    once = Rejected(id="r", of="image", reason="rejected by hand", sha256=sha("one"), history=steps[:1], **of)
    assert [one.verdict for one in content_of([once]).classes[0].generated] == ["reject"]
