"""List files as they are published: ImageNet-LT, Places-LT, iNaturalist 2018; and iNaturalist's own JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import ClassInfo, Source, align, check_found, fingerprint, image_bytes, open_data, splits


def png(path: Path, color: tuple[int, int, int] = (255, 0, 0)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), color).save(path, "PNG")
    return path


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(line + "\n" for line in lines))
    return path


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """ImageNet-LT's three lists; two classes, label 0 and 2. Label 2 has the most training images."""
    write(
        tmp_path / "ImageNet_LT_train.txt",
        "train/n01443537/n01443537_10007.JPEG 2",
        "train/n01440764/n01440764_190.JPEG 0",
        "train/n01443537/n01443537_10014.JPEG 2",
    )
    write(tmp_path / "ImageNet_LT_val.txt", "train/n01440764/n01440764_3198.JPEG 0")
    write(tmp_path / "ImageNet_LT_test.txt", "val/n01443537/ILSVRC2012_val_00000236.JPEG 2")
    return tmp_path


def test_a_list_gives_the_images_of_a_class_together_under_the_labels_that_it_writes(imagenet: Path) -> None:
    data = open_data(str(imagenet / "ImageNet_LT_train.txt"), "train")
    assert [(item.label, item.name, item.line) for item in data.items] == [
        (0, "train/n01440764/n01440764_190.JPEG", 2),
        (2, "train/n01443537/n01443537_10007.JPEG", 1),
        (2, "train/n01443537/n01443537_10014.JPEG", 3),
    ]
    assert data.items[0].path == str(imagenet / "train" / "n01440764" / "n01440764_190.JPEG")


def test_without_a_table_the_names_are_the_labels_and_the_data_is_not_named(imagenet: Path) -> None:
    data = open_data(str(imagenet / "ImageNet_LT_train.txt"), "train")
    assert data.classes == (ClassInfo(label=0, name="0", count=1), ClassInfo(label=2, name="2", count=2))
    assert not data.named


def test_with_a_table_every_class_is_there_and_counts_are_of_training_images_in_every_split(imagenet: Path) -> None:
    table = write(imagenet / "classes.csv", "label,name", "0,tench", "1,shark", "2,goldfish")
    source = Source(str(imagenet / "ImageNet_LT_train.txt"), classes=table)
    for split in ("train", "val", "test"):
        data = open_data(source, split)
        assert [(info.name, info.count) for info in data.classes] == [("tench", 1), ("shark", 0), ("goldfish", 2)]
        assert data.named


def test_other_splits_are_the_lists_beside_it_and_their_paths_start_at_the_root(imagenet: Path, tmp_path: Path) -> None:
    source = Source(str(imagenet / "ImageNet_LT_train.txt"), root=tmp_path / "ILSVRC2012")
    test = open_data(source, "test")
    assert [item.path for item in test.items] == [
        str(tmp_path / "ILSVRC2012" / "val" / "n01443537" / "ILSVRC2012_val_00000236.JPEG")
    ]
    assert splits(source) == ("train", "val", "test")


def test_a_test_list_is_itself_and_counts_the_training_list_beside_it(imagenet: Path) -> None:
    spec = str(imagenet / "ImageNet_LT_test.txt")
    assert [item.label for item in open_data(spec, "test").items] == [2]
    assert [info.count for info in open_data(spec, "test").classes] == [1, 2]
    assert len(open_data(spec, "train").items) == 3


def test_a_split_without_a_list_is_refused_and_those_there_are_named(imagenet: Path) -> None:
    spec = str(imagenet / "ImageNet_LT_train.txt")
    (imagenet / "ImageNet_LT_test.txt").unlink()
    with pytest.raises(InputError, match=r"no list for 'test' beside it, only ImageNet_LT_train.txt, ImageNet_LT_val"):
        open_data(spec, "test")
    assert splits(spec) == ("train", "val")


def test_a_list_whose_name_says_no_split_is_the_same_images_for_any(tmp_path: Path) -> None:
    spec = str(write(tmp_path / "birds.txt", "a.png 0"))
    assert open_data(spec, "train").items == open_data(spec, "test").items
    assert splits(spec) == ("train",)


@pytest.mark.parametrize(
    ("name", "other"),
    [("train.txt", "test.txt"), ("iNaturalist18_train.txt", "iNaturalist18_test.txt"), ("x-train2.txt", "x-test2.txt")],
)
def test_the_word_for_the_split_ends_the_name_of_the_list(tmp_path: Path, name: str, other: str) -> None:
    write(tmp_path / name, "a.png 0")
    write(tmp_path / other, "b.png 0")
    assert [item.name for item in open_data(str(tmp_path / name), "test").items] == ["b.png"]


@pytest.mark.parametrize("name", ["restrain.txt", "trainees.txt", "trainval.txt"])
def test_a_word_that_only_holds_a_split_is_no_split(tmp_path: Path, name: str) -> None:
    assert splits(str(write(tmp_path / name, "a.png 0"))) == ("train",)


def test_a_path_has_spaces_in_it_for_the_label_is_the_last_field(tmp_path: Path) -> None:
    png(tmp_path / "data set" / "a b" / "c  d.png")
    spec = str(write(tmp_path / "list.txt", "data set/a b/c  d.png 3", "data set/a b/e.png\t4", "", "f.png   5  "))
    data = open_data(spec, "train")
    assert [(item.name, item.label) for item in data.items] == [
        ("data set/a b/c  d.png", 3),
        ("data set/a b/e.png", 4),
        ("f.png", 5),
    ]
    assert image_bytes(data, data.items[0]) == (tmp_path / "data set" / "a b" / "c  d.png").read_bytes()


def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_a_path(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.png 0\r\nb.png 1\r\n")
    assert [item.name for item in open_data(str(tmp_path / "list.txt"), "train").items] == ["a.png", "b.png"]


@pytest.mark.parametrize("line", ["a.png -1", "a.png 1.5", "a.png " + "9" * 5000])
def test_a_number_that_is_no_label_is_named(tmp_path: Path, line: str) -> None:
    file = write(tmp_path / "list.txt", "a.png 1", line)
    with pytest.raises(InputError, match=r"list\.txt:2: '[-.\d]+' is no label; labels are whole numbers from 0"):
        open_data(str(file), "train")


@pytest.mark.parametrize(
    "line", ["cat/1 2.png,7", "cat/1 2.png ; 7", '"cat/1 2.png" 7', "cat/1 2.png\t7", "cat/1 2.png 7.0"]
)
def test_path_and_label_may_stand_apart_as_people_write_them_after_comments(tmp_path: Path, line: str) -> None:
    data = open_data(str(write(tmp_path / "list.txt", "# path label", line)), "train")
    assert [(item.name, item.label, item.line) for item in data.items] == [("cat/1 2.png", 7, 2)]


def test_names_behind_paths_are_classes(tmp_path: Path) -> None:
    data = open_data(str(write(tmp_path / "list.txt", "1.png great white shark", "2.jpg,dog", "3.png dog")), "train")
    assert [(info.name, info.count) for info in data.classes] == [("dog", 2), ("great white shark", 1)]
    data = open_data(str(write(tmp_path / "tabs.txt", "cat/1\tcat", "dog/2\tgreat dane")), "train")
    assert [(info.name, info.count) for info in data.classes] == [("cat", 1), ("great dane", 1)]
    file = write(tmp_path / "mixed.txt", "1.png dog", "2.png 7")
    with pytest.raises(InputError, match=r"mixed\.txt:2: '7' is a number where other labels are names"):
        open_data(str(file), "train")


def test_paths_from_the_root_of_places365_lie_below_root_and_those_without_a_suffix_get_theirs(tmp_path: Path) -> None:
    png(tmp_path / "images" / "a" / "abbey" / "1.jpg")
    places = write(tmp_path / "places.txt", "/a/abbey/1.jpg 0", "/b/bar/2.jpg 1")
    found = open_data(Source(str(places), root=tmp_path / "images"), "train")
    assert [item.path for item in found.items] == [
        str(tmp_path / f"images/{one}.jpg") for one in ("a/abbey/1", "b/bar/2")
    ]
    food = write(tmp_path / "food.csv", "image_id,label", "a/abbey/1,abbey", "b/bar/2,bar")
    found = open_data(Source(str(food), root=tmp_path / "images"), "train")
    assert [item.name for item in found.items] == ["a/abbey/1.jpg", "b/bar/2.jpg"]


def test_addresses_of_images_are_no_paths(tmp_path: Path) -> None:
    file = write(tmp_path / "list.csv", "url,label", "https://example.org/1.jpg,cat")
    with pytest.raises(InputError, match="https://example.org/1.jpg is no path; download the images, and write the"):
        check_found(open_data(str(file), "train"))


def test_a_table_in_json_is_read_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps([{"image": "1.png", "label": 2}, {"image": "2.png", "label": 7}]))
    found = open_data(str(tmp_path / "list.json"), "train")
    assert [(item.name, item.label, item.line) for item in found.items] == [("1.png", 2, 0), ("2.png", 7, 0)]
    (tmp_path / "list.json").write_text(json.dumps([{"image": "1.png", "label": 2}, {"image": "2.png", "label": ""}]))
    with pytest.raises(InputError, match=r"list\.json: entry 2: no label"):
        open_data(str(tmp_path / "list.json"), "train")


@pytest.mark.parametrize("line", ["a.png", "7", "a.png 1 2", "1 cat/a.png", "1\tcat/a.png", "a cat"])
def test_a_line_that_is_no_path_and_label_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match=r"list\.txt:2: .* is no path and label; a line is: relative/path.jpg 17"):
        open_data(str(write(tmp_path / "list.txt", "b.png 0", line)), "train")


def test_a_label_outside_the_table_is_named_with_its_line_and_the_labels_that_there_are(tmp_path: Path) -> None:
    table = write(tmp_path / "classes.csv", "label,name", "0,tench", "1,goldfish")
    write(tmp_path / "list.txt", "a.png 0", "b.png 1000", "c.png 7")
    with pytest.raises(InputError) as raised:
        open_data(Source(str(tmp_path / "list.txt"), classes=table), "train")
    assert str(raised.value) == (
        f"{tmp_path}/list.txt:2: label 1000 is not in the class table {table} (labels 0 to 1); so it is in 2 rows"
    )


def test_a_test_label_that_training_lacks_is_refused_where_there_is_no_table(imagenet: Path) -> None:
    write(imagenet / "ImageNet_LT_test.txt", "a.JPEG 1")
    with pytest.raises(InputError, match=r"ImageNet_LT_test.txt:1: label 1 is not in .*ImageNet_LT_train.txt, where"):
        open_data(str(imagenet / "ImageNet_LT_train.txt"), "test")


def test_a_missing_image_is_named_with_the_line_of_the_list_that_names_it(imagenet: Path) -> None:
    data = open_data(str(imagenet / "ImageNet_LT_train.txt"), "test")
    with pytest.raises(InputError, match=r"ImageNet_LT_test.txt:1: .*00000236.JPEG: No such file or directory"):
        image_bytes(data, data.items[0])


def test_a_list_that_is_missing_empty_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none_train\.txt: No such file"):
        open_data(str(tmp_path / "none_train.txt"), "train")
    with pytest.raises(InputError, match=r"none\.txt: No such file"):
        open_data(str(tmp_path / "none.txt"), "train")
    with pytest.raises(InputError, match=r"empty\.txt: no image with a label in it"):
        open_data(str(write(tmp_path / "empty.txt")), "train")
    (tmp_path / "binary.txt").write_bytes(b"a.png 0\n\xff\xfe 1\n")
    with pytest.raises(InputError, match=r"binary\.txt:2: not UTF-8"):
        open_data(str(tmp_path / "binary.txt"), "train")


def test_a_fingerprint_sees_the_list_the_training_list_the_table_and_the_root(imagenet: Path) -> None:
    spec = str(imagenet / "ImageNet_LT_train.txt")
    table = write(imagenet / "classes.csv", "label,name", "0,tench", "2,goldfish")
    seen = [fingerprint(spec, "test"), fingerprint(spec, "val"), fingerprint(Source(spec, classes=table), "test")]
    seen.append(fingerprint(Source(spec, root=imagenet / "images"), "test"))
    write(imagenet / "ImageNet_LT_train.txt", "train/n01440764/n01440764_190.JPEG 0")
    seen.append(fingerprint(spec, "test"))
    write(imagenet / "ImageNet_LT_test.txt", "other.JPEG 2")
    seen.append(fingerprint(spec, "test"))
    assert len(set(seen)) == 6
    assert fingerprint(spec, "test") == seen[-1]


def test_a_fingerprint_of_a_list_opens_no_image_and_loads_nothing_heavy(imagenet: Path) -> None:
    code = f"""
import sys
from ltgc_cli.learn.datasets import fingerprint, open_data
fingerprint({str(imagenet / "ImageNet_LT_train.txt")!r}, "train")
open_data({str(imagenet / "ImageNet_LT_train.txt")!r}, "train")
assert not {{"numpy", "sklearn", "PIL", "torch", "datasets"}} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- paths that are not there


def test_paths_of_windows_are_read_with_slashes_where_they_are_not_there_as_such(tmp_path: Path) -> None:
    png(tmp_path / "train" / "cat" / "1.png")
    png(tmp_path / "odd\\name.png")
    data = open_data(str(write(tmp_path / "x.txt", "train\\cat\\1.png 0", "odd\\name.png 0")), "train")
    assert [item.name for item in data.items] == ["train/cat/1.png", "odd\\name.png"]
    assert all(image_bytes(data, item) for item in data.items)


@pytest.mark.parametrize("path", ["C:\\photos\\1.png", "d:/photos/1.png", "\\\\nas\\photos\\1.png"])
def test_a_path_with_a_drive_is_told_apart(tmp_path: Path, path: str) -> None:
    png(tmp_path / "0.png")
    with pytest.raises(
        InputError, match=r"x\.txt:2: .*1\.png is a path of a Windows machine; write paths from a folder"
    ):
        open_data(str(write(tmp_path / "x.txt", "0.png 0", f"{path} 0")), "train")


@pytest.mark.parametrize(
    ("listed", "root", "said"),
    [
        ("train/cat/{}.png", "photos/train", "--root {}/photos has them"),  # one level too low
        ("cat/{}.png", "photos", "--root {}/photos/train has them"),  # one level too high
        ("old/train/cat/{}.png", "photos", "they are there without old/ before them: take that out of the list"),
        ("dog/{}.png", "photos", "where do their paths start? --root DIR"),
    ],
)
def test_where_all_images_are_missing_one_sentence_says_so_and_which_root_would_do(
    tmp_path: Path, listed: str, root: str, said: str
) -> None:
    png(tmp_path / "photos" / "train" / "cat" / "0.png")
    spec = str(write(tmp_path / "x.txt", *(f"{listed.format(n)} 0" for n in range(2000))))
    with pytest.raises(InputError) as raised:
        check_found(open_data(Source(spec, root=tmp_path / root), "train"))
    missing = f"2,000 of 2,000 images are missing under {tmp_path / root}, such as {listed.format(0)}"
    assert str(raised.value) == f"{spec}: {missing}; {said.format(tmp_path)}"


def test_absolute_paths_of_another_machine_are_told_and_one_image_that_is_there_is_enough(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"1 of 1 images are missing, such as /gone/1.png; write paths from a folder on"
    ):
        check_found(open_data(str(write(tmp_path / "x.txt", "/gone/1.png 0")), "train"))
    png(tmp_path / "2.png")
    check_found(open_data(str(write(tmp_path / "x.txt", "/gone/1.png 0", "2.png 0")), "train"))


# ---- a split that is named


def test_a_validation_list_that_is_named_for_testing_is_taken_as_it_is(imagenet: Path) -> None:
    spec = str(imagenet / "ImageNet_LT_val.txt")
    assert [item.label for item in open_data(spec, "test").items] == [0]
    assert [info.count for info in open_data(spec, "test").classes] == [1, 2]  # of the training list beside it
    assert [item.label for item in open_data(spec, "val").items] == [0]
    assert [item.label for item in open_data(str(imagenet / "ImageNet_LT_train.txt"), "test").items] == [2]
    table = str(write(imagenet / "rows.csv", "path,label,split", "a.png,0,val", "b.png,2,val"))
    assert len(open_data(table, "test").items) == 2


def test_lists_are_called_in_any_case(tmp_path: Path) -> None:
    write(tmp_path / "Train.csv", "Path,ClassId", "a.png,3")
    write(tmp_path / "Test.csv", "Path,ClassId", "b.png,3")
    assert splits(str(tmp_path / "Train.csv")) == ("train", "test")
    assert [item.name for item in open_data(str(tmp_path / "Train.csv"), "test").items] == ["b.png"]


# ---- under another class table


def test_data_without_names_is_aligned_by_label(imagenet: Path) -> None:
    data = open_data(str(imagenet / "ImageNet_LT_train.txt"), "train")
    table = [ClassInfo(label=2, name="goldfish"), ClassInfo(label=0, name="tench"), ClassInfo(label=1, name="0")]
    assert [item.label for item in align(data, table).items] == [0, 2, 2]
    with pytest.raises(InputError, match=r"the class table has no label 2 \(labels 0 to 1\)"):
        align(data, [ClassInfo(label=0, name="tench"), ClassInfo(label=1, name="2")])


def test_named_data_under_a_table_without_names_is_told_why_they_differ(imagenet: Path) -> None:
    table = write(imagenet / "classes.csv", "label,name", "0,tench", "2,goldfish")
    data = open_data(Source(str(imagenet / "ImageNet_LT_train.txt"), classes=table), "train")
    with pytest.raises(InputError, match="no class 'tench' .*made without --classes"):
        align(data, [ClassInfo(label=0, name="0"), ClassInfo(label=2, name="2")])


# ---- iNaturalist's JSON


def coco(path: Path, images: list[str], labels: list[int], names: dict[int, str]) -> Path:
    """A file of iNaturalist 2018: annotations in another order than images, and keys that nobody reads."""
    data = {
        "info": {"year": 2018},
        "images": [{"id": 100 + n, "file_name": name, "width": 800} for n, name in enumerate(images)],
        "annotations": [{"id": n, "image_id": 100 + n, "category_id": label} for n, label in enumerate(labels)][::-1],
        "categories": [{"id": id, "name": name, "supercategory": "Plantae"} for id, name in names.items()],
    }
    path.write_text(json.dumps(data))
    return path


NAMES = {5859: "Trillium grandiflorum", 7477: "Viola sororia", 12: "Gea heptagon"}


def test_inaturalists_json_gives_images_labels_and_the_names_of_its_categories(tmp_path: Path) -> None:
    png(tmp_path / "train_val2018" / "Plantae" / "7477" / "3b60.jpg")
    paths = ["train_val2018/Plantae/7477/3b60.jpg", "train_val2018/Plantae/5859/aa.jpg"]
    file = coco(tmp_path / "train2018.json", paths, [7477, 5859], NAMES)
    coco(tmp_path / "val2018.json", ["train_val2018/Plantae/5859/bb.jpg"], [5859], NAMES)
    data = open_data(str(file), "train")
    assert [(item.label, item.name) for item in data.items] == [(5859, paths[1]), (7477, paths[0])]
    assert [(info.label, info.name, info.count) for info in data.classes] == [
        (12, "Gea heptagon", 0),
        (5859, "Trillium grandiflorum", 1),
        (7477, "Viola sororia", 1),
    ]
    assert image_bytes(data, data.items[1]) == (tmp_path / paths[0]).read_bytes()
    val = open_data(str(file), "val")
    assert [item.label for item in val.items] == [5859] and val.classes == data.classes
    assert splits(str(file)) == ("train", "val")


def test_a_test_file_without_annotations_is_no_split(tmp_path: Path) -> None:
    file = coco(tmp_path / "train2018.json", ["a.jpg"], [12], NAMES)
    coco(tmp_path / "test2018.json", ["b.jpg", "c.jpg"], [], {})
    assert splits(str(file)) == ("train",)
    with pytest.raises(InputError, match=r"test2018\.json: no image with a label in it"):
        open_data(str(file), "test")


def test_inaturalists_validation_images_are_the_test_images_of_who_names_them(tmp_path: Path) -> None:
    coco(tmp_path / "train2018.json", ["a.jpg", "c.jpg"], [12, 12], NAMES)
    coco(tmp_path / "test2018.json", ["x.jpg"], [], {})
    file = coco(tmp_path / "val2018.json", ["b.jpg"], [12], NAMES)
    test = open_data(str(file), "test")
    assert [item.name for item in test.items] == ["b.jpg"] and [info.count for info in test.classes] == [2, 0, 0]


def test_the_class_table_wins_over_the_names_in_the_json(tmp_path: Path) -> None:
    file = coco(tmp_path / "train2018.json", ["a.jpg"], [12], NAMES)
    table = write(tmp_path / "classes.csv", "label,name,synonyms", "12,orb weaver,Gea heptagon")
    data = open_data(Source(str(file), classes=table), "train")
    assert data.classes == (ClassInfo(label=12, name="orb weaver", synonyms=("Gea heptagon",), count=1),)


def test_names_that_are_only_the_labels_are_none(tmp_path: Path) -> None:
    assert not open_data(str(coco(tmp_path / "train2018.json", ["a.jpg"], [1], {1: "1"})), "train").named


def test_json_that_is_not_inaturalists_is_refused_with_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(InputError, match="not iNaturalist's JSON.*Expected `object`"):
        open_data(str(tmp_path / "other.json"), "train")
    with pytest.raises(InputError, match=r"other2018\.json: image b\.jpg \(id 101\) has no annotation"):
        open_data(str(coco(tmp_path / "other2018.json", ["a.jpg", "b.jpg"], [12], NAMES)), "train")
    file = coco(tmp_path / "train2018.json", ["a.jpg", "b.jpg"], [12, 13], NAMES)
    with pytest.raises(InputError, match=r"train2018\.json: b\.jpg: label 13 is not in .*where the classes come from"):
        open_data(str(file), "train")
