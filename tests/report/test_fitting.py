from fakes import sha
from test_thumbnails import encoded

from ltgc_cli.records import Image
from ltgc_cli.report.fitting import fitted
from ltgc_cli.report.story import pictures, told
from ltgc_cli.report.thumbnails import SEEN, SHARP

STORY = told(
    Image(id=f"{label} {n}", label=label, class_=str(label), sha256=sha(f"{label} {n}"), origin="generated")
    for label in range(20)
    for n in range(30)
)


def noise(_: str) -> bytes:
    return encoded((300, 300), format="JPEG")


def test_where_there_is_room_every_picture_is_there_and_sharp() -> None:
    fit = fitted(STORY, noise, 64e6)
    assert (fit.story, fit.pixels) == (STORY, SHARP)


def test_where_room_is_short_pictures_are_less_sharp_and_then_fewer() -> None:
    fit = fitted(STORY, noise, 3e5)
    assert fit.pixels == SEEN
    assert 1 < pictures(fit.story.shown[0]) < 30
    assert len({pictures(cls) for cls in fit.story.shown}) == 1


def test_every_class_has_a_picture_however_little_room_there_is() -> None:
    assert {pictures(cls) for cls in fitted(STORY, noise, 1).story.shown} == {1}
