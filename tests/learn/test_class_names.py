"""Class names as data spells them and as people write them, and names that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ltgc_cli.errors import InputError
from ltgc_cli.learn.checks import check_table
from ltgc_cli.learn.datasets import ClassInfo, Source, align, open_data
from ltgc_cli.learn.datasets.names import as_read, codes, imagenet, readable


def read(*names: str) -> dict[str, str]:
    classes = as_read([ClassInfo(label=label, name=name) for label, name in enumerate(names)])
    return {name: info.name for name, info in zip(names, classes, strict=True)}


def folder(root: Path, *names: str) -> str:
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "1.png").write_bytes(b"no photo")
    return str(root)


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("golden_retriever", "golden retriever"),
        ("001.Black_footed_Albatross", "Black footed Albatross"),
        ("200.Common_Yellowthroat", "Common Yellowthroat"),
        ("n02099601-golden_retriever", "golden retriever"),
        ("00042-cat", "cat"),
        ("crane_(bird)", "crane (bird)"),
        ("n02123045", "tabby cat"),
        ("/a/abbey", "abbey"),
        ("/a/apartment_building/outdoor", "apartment building/outdoor"),
        ("cafe\u0301", "caf\u00e9"),  # as macOS spells it
    ],
)
def test_a_name_is_read_as_people_write_it_and_keeps_its_spelling_as_a_synonym(spelled: str, name: str) -> None:
    (info,) = as_read([ClassInfo(label=3, name=spelled, synonyms=("other",), count=5)])
    assert (info.label, info.name, info.count) == (3, name, 5)
    assert info.synonyms[0] == spelled and info.synonyms[-1] == "other"


@pytest.mark.parametrize(
    "name",
    [
        "t-shirt",
        "jack-o'-lantern",
        "Golden-Retriever",
        "747-400",
        "3.5mm jack",
        "7up",
        "4-door sedan",
        "n12345678",
        "0042",
    ],
)
def test_what_is_part_of_a_name_stays(name: str) -> None:
    assert read(name, "another") == {name: name, "another": "another"}


def test_a_hyphen_and_a_year_stay_beside_underscores() -> None:
    assert read("Great_Grey-Owl", "2012_BMW_M3", "2011_Audi_TT") == {
        "Great_Grey-Owl": "Great Grey-Owl",
        "2012_BMW_M3": "2012 BMW M3",
        "2011_Audi_TT": "2011 Audi TT",
    }


def test_numbers_before_all_names_are_an_index_where_none_is_left_out() -> None:
    assert list(read("1_cat", "2_dog", "3_eel").values()) == ["cat", "dog", "eel"]
    assert list(read("1_cat", "3_eel").values()) == ["1 cat", "3 eel"]


def test_a_number_of_thousands_of_digits_is_no_index() -> None:
    long = "4" * 50_000 + " crane"
    assert read(long, "1 seal") == {long: long, "1 seal": "1 seal"}


def test_two_classes_that_would_be_called_the_same_keep_their_own_names() -> None:
    names = ("golden_retriever", "golden retriever", "tabby_cat")
    assert list(read(*names).values()) == ["golden_retriever", "golden retriever", "tabby cat"]


def test_imagenets_thousand_names_differ_by_the_rule_that_class_tables_are_checked_by() -> None:
    wnids = list(imagenet())
    assert len(wnids) == 1000 and wnids == sorted(wnids) and wnids[0] == "n01440764"
    classes = as_read([ClassInfo(label=label, name=wnid) for label, wnid in enumerate(wnids)])
    assert check_table(classes) == []
    assert all(info.name != wnid and info.synonyms == (wnid,) for info, wnid in zip(classes, wnids, strict=True))
    named = {info.label: info.name for info in classes}
    assert [named[label] for label in (134, 517)] == ["crane bird", "construction crane"]
    assert [named[label] for label in (638, 639)] == ["tights", "one-piece bathing suit"]


def test_folders_lists_and_tables_are_read_alike(tmp_path: Path) -> None:
    spelled = ("001.Black_footed_Albatross", "n02123045", "tree_frog")
    (tmp_path / "x.csv").write_text(
        "path,label,class\n" + "".join(f"{label}.png,{label},{name}\n" for label, name in enumerate(spelled))
    )
    (tmp_path / "x.txt").write_text("0.png 0\n1.png 1\n2.png 2\n")
    (tmp_path / "classes.txt").write_text("".join(f"{label} {name}\n" for label, name in enumerate(spelled)))
    photos = folder(tmp_path / "photos", *spelled)
    classes = as_read([ClassInfo(label=label, name=name, count=1) for label, name in enumerate(spelled)])
    assert [info.name for info in classes] == ["Black footed Albatross", "tabby cat", "tree frog"]
    sources = [photos, str(tmp_path / "x.csv")]
    sources += [Source(where, classes=tmp_path / "classes.txt") for where in (photos, str(tmp_path / "x.txt"))]
    for source in sources:
        assert open_data(source, "train").classes == classes


def test_folders_match_a_class_table_however_both_are_spelled(tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", "Black footed Albatross", "tree_frog")
    (tmp_path / "classes.txt").write_text("7 001.Black_footed_Albatross\n3 tree frog\n")
    found = open_data(Source(photos, classes=tmp_path / "classes.txt"), "train")
    assert [(item.label, item.name) for item in found.items] == [
        (3, "tree_frog/1.png"),
        (7, "Black footed Albatross/1.png"),
    ]


def test_a_checkpoint_of_an_older_version_meets_its_classes_again(tmp_path: Path) -> None:
    names = ("001.Black_footed_Albatross", "golden_retriever", "n02123045", "seal")
    old = [ClassInfo(label=label, name=name) for label, name in enumerate(names)]
    test = open_data(folder(tmp_path / "test", "golden_retriever", "n02123045", "seal"), "test")
    assert [(item.label, item.name) for item in align(test, old).items] == [
        (1, "golden_retriever/1.png"),
        (2, "n02123045/1.png"),
        (3, "seal/1.png"),
    ]
    # The other way round too: test images in folders as people write the names.
    people = open_data(folder(tmp_path / "people", "Black footed Albatross", "golden retriever", "tabby cat"), "test")
    assert [item.label for item in align(people, old).items] == [0, 1, 2]


def test_a_class_is_met_by_its_own_spelling_before_the_way_it_is_read(tmp_path: Path) -> None:
    both = open_data(folder(tmp_path / "train", "golden retriever", "golden_retriever"), "train").classes
    for name, label in (("golden retriever", 0), ("golden_retriever", 1)):
        one = open_data(folder(tmp_path / f"test {label}", name), "test")
        assert [item.label for item in align(one, both).items] == [label]


def test_a_synonym_that_two_classes_share_matches_neither(tmp_path: Path) -> None:
    cranes = [
        ClassInfo(label=0, name="crane (bird)", synonyms=("crane",)),
        ClassInfo(label=1, name="crane (machine)", synonyms=("crane",)),
    ]
    with pytest.raises(InputError, match="has no class 'crane'"):
        align(open_data(folder(tmp_path, "crane"), "test"), cranes)


def test_names_are_read_without_the_escapes_of_the_web() -> None:
    assert readable("golden%20retriever") == "golden retriever" and readable("caf%C3%A9") == "caf\u00e9"
    assert readable("50%25 wool") == "50% wool"
    assert readable("100%") == "100%" and readable("a%00b") == "a%00b" and readable("caf%E9") == "caf%E9"


def test_numbers_codes_and_hashes_are_no_names() -> None:
    none = ["0042", "7", "1,000", "n12345678", "c12", "class_3", "Class 3", "cls0007", "label5", "id_123", "p001"]
    none += ["9f86d081884c7d65", "123e4567-e89b-12d3-a456-426614174000", "/m/0bt9lr"]
    assert codes(none) == none


def test_names_of_aircraft_cars_and_drinks_are_names() -> None:
    real = ["Boeing 737", "727-200", "747-400", "A320", "a320", "A300B4", "C-130", "C-47", "MiG29", "DR-400", "F-16A/B"]
    real += ["Tu-134", "BAE 146-200", "2012 BMW M3", "7up", "T-72", "Z3", "b52", "AK47", "three", "facade", "decade"]
    assert codes(real) == []
