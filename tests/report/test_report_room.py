from collections.abc import Mapping

from fakes import sha
from small_run import crane

from ltgc_cli.records import Image, Record, Rejected, by_class
from ltgc_cli.report import room
from ltgc_cli.report.content import ClassContent, class_content, content_of, origins, whole_content
from ltgc_cli.report.room import PIXELS, ClassSize, Fit
from ltgc_cli.report.thumbnails import SEEN, SHARP

LENGTHS = {SHARP: 8000.0, SEEN: 3000.0}


def sizes(classes: int, images: int = 30) -> Mapping[int, ClassSize]:
    return {label: ClassSize(images, 0, 0.0, 0, ()) for label in range(classes)}


def fitted(classes: int, room_: float) -> Fit:
    return room.fitted(sizes(classes), range(classes), LENGTHS, room_)


def test_where_there_is_room_every_image_is_there_and_sharp() -> None:
    assert fitted(20, 64e6) == Fit(PIXELS[0])


def test_where_room_is_short_images_are_less_sharp_and_then_fewer() -> None:
    assert fitted(20, 3e6) == Fit(SEEN)
    assert fitted(20, 1e6) == Fit(SEEN, most=13)


def test_where_each_class_would_show_too_little_the_worthiest_show_a_dozen_and_all_are_listed() -> None:
    fit = room.fitted(sizes(100), [*range(50, 100), *range(50)], LENGTHS, 2e5)
    assert (fit.most, fit.listed) == (12, None)
    assert fit.sheets == {50, 51}


def test_where_not_even_their_names_fit_the_worthiest_are_listed() -> None:
    fit = room.fitted(sizes(100), [7, 3, *range(100)], LENGTHS, 2000)
    assert (fit.sheets, fit.listed) == (frozenset(), {7, 3})


def test_no_more_images_are_opened_of_thousands_of_classes_than_a_minute_allows() -> None:
    fit = fitted(20_000, 64e6)
    assert fit.sheets is not None and len(fit.sheets) * 12 == 6000


def of(label: int, real: int, rejected: int, gain: float | None = None) -> ClassContent:
    cls = ClassContent(label, str(label), real=real, tail=True, accepted=10, rejected=rejected)
    return cls if gain is None else cls._replace(method=50 + gain, baseline=50.0)


def test_the_worthiest_are_in_turn_the_most_rejected_the_greatest_loss_and_the_rarest() -> None:
    classes = [of(0, 90, 1), of(1, 50, 9), of(2, 5, 0, gain=3), of(3, 60, 0, gain=-8), of(4, 1, 0)]
    assert room.by_worth(classes) == [1, 3, 4, 0, 2]


def test_the_size_of_a_class_counts_earlier_rounds_and_real_images_that_stand_beside_generated_ones() -> None:
    size = room.size_of(content_of(crane()).classes[0])
    assert (size.images, size.originals) == (7, 1)
    assert len(size.sample) == 5


def many(count: int) -> list[Record]:
    return [
        Image(id=str(n), label=0, class_="crane", sha256=sha(str(n)), origin="generated", score=0.5)
        for n in range(count)
    ]


def one(rows: list[Record]) -> ClassContent:
    return content_of(rows).classes[0]


def test_a_cut_class_keeps_a_fair_choice_and_says_what_is_left_out() -> None:
    cls = room.cut(one([*crane(), *many(100)]), 8)
    assert len(cls.images) == 8
    assert len(cls.originals) == len(cls.plain) == 1
    assert sum(not image.accepted for image in cls.generated) == 1
    assert cls.left_out == 102 + 1 + 1 + 1 - 8
    assert cls.accepted == 102, "the numbers are those of all"


def test_the_generated_images_that_stay_are_spread_over_all_of_them() -> None:
    assert [image.sha256 for image in room.cut(one(many(100)), 4).generated] == [
        sha(n) for n in ("0", "25", "50", "75")
    ]


def test_a_cut_class_lists_a_dozen_of_the_texts_that_were_dropped_and_says_how_many_more() -> None:
    texts = [Rejected(id=str(n), label=0, class_="crane", of="description", reason="short") for n in range(30)]
    cls = room.cut(one([*many(100), *texts]), 8)
    assert (len(cls.rejected_descriptions), cls.texts_left_out) == (12, 18)


def test_a_class_that_is_only_listed_keeps_its_numbers() -> None:
    cls = room.bare(one(crane())._replace(originals=(), generated=(), plain=(), rejected_descriptions=(), failures=()))
    assert not cls.has_details
    assert (cls.accepted, cls.rejected, cls.left_out) == (2, 1, 4)


def test_a_class_that_fits_is_not_cut() -> None:
    assert room.cut(one(crane()), 8) == one(crane())


def test_every_image_that_is_shown_is_listed_once_rounds_too() -> None:
    assert content_of(crane()).images == [sha(of) for of in ("real", "dawn", "in flight", "blurred", "mud", "plain")]


def test_a_class_is_the_same_whether_its_stream_is_held_or_it_is_looked_at_alone() -> None:
    (group,) = by_class(crane())
    assert whole_content([class_content(group, {})], [], origins(crane())).classes == content_of(crane()).classes
