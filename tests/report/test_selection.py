from fakes import sha
from small_run import crane
from test_thumbnails import encoded

from ltgc_cli.records import Image
from ltgc_cli.report.content import content_of
from ltgc_cli.report.thumbnails import SEEN, SHARP, cut, fitted

CONTENT = content_of(
    Image(id=f"{label} {n}", label=label, class_=str(label), sha256=sha(f"{label} {n}"), origin="generated")
    for label in range(20)
    for n in range(30)
)


def noise(_: str) -> bytes:
    return encoded((300, 300), format="JPEG")


def test_where_there_is_room_every_image_is_there_and_sharp() -> None:
    assert fitted(CONTENT, noise, 64e6) == (CONTENT, SHARP)


def test_where_room_is_short_images_are_less_sharp_and_then_fewer() -> None:
    content, pixels = fitted(CONTENT, noise, 3e5)
    assert pixels == SEEN
    assert 1 < len(content.shown[0].images) < 30
    assert len({len(cls.images) for cls in content.shown}) == 1


def test_every_class_has_an_image_however_little_room_there_is() -> None:
    assert {len(cls.images) for cls in fitted(CONTENT, noise, 1)[0].shown} == {1}


def test_every_image_that_is_shown_is_listed_once_rounds_too() -> None:
    assert content_of(crane()).images == [sha(of) for of in ("real", "dawn", "in flight", "blurred", "mud", "plain")]


def many(count: int) -> list[Image]:
    return [
        Image(id=str(n), label=0, class_="crane", sha256=sha(str(n)), origin="generated", score=0.5)
        for n in range(count)
    ]


def test_a_cut_class_keeps_a_fair_choice_and_says_what_is_left_out() -> None:
    whole = content_of([*crane(), *many(100)])
    (cls,) = cut(whole, 8).shown
    assert len(cls.images) == 8
    assert len(cls.originals) == len(cls.plain) == 1
    assert sum(not one.accepted for one in cls.generated) == 1
    assert cls.left_out == 102 + 1 + 1 + 1 - 8
    assert cls.accepted == 102, "the numbers are those of all"


def test_the_generated_images_that_stay_are_spread_over_all_of_them() -> None:
    (cls,) = cut(content_of(many(100)), 4).shown
    assert [one.sha256 for one in cls.generated] == [sha(n) for n in ("0", "25", "50", "75")]


def test_a_class_that_fits_is_not_cut() -> None:
    assert cut(content_of(crane()), 8).shown == content_of(crane()).classes
