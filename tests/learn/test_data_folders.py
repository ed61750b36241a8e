from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import (
    ClassInfo,
    Sample,
    Source,
    align,
    class_indices,
    fingerprint,
    image_bytes,
    open_data,
    pixels,
    pixels_version,
    samples,
    shot,
)
from ltgc_cli.learn.datasets.digits import digit_counts


def png(path: Path, color: tuple[int, int, int] = (255, 0, 0)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), color).save(path)
    return path


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """cat: 2 images, one of them nested; dog: 1."""
    png(tmp_path / "cat" / "b.png")
    png(tmp_path / "cat" / "close up" / "a.JPG")
    png(tmp_path / "dog" / "a.png")
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    png(tmp_path / "dog" / ".thumbnail.png")
    png(tmp_path / ".cache" / "a.png")
    return tmp_path


# ---- shots


@pytest.mark.parametrize(
    ("count", "group"), [(101, "many"), (100, "medium"), (20, "medium"), (19, "few"), (1, "few"), (0, "few")]
)
def test_many_is_above_100_and_few_is_below_20(count: int, group: str) -> None:
    assert shot(count) == group


# ---- digits-lt


def test_digits_have_counts_from_110_down_to_4_in_an_order_that_the_seed_shuffles() -> None:
    assert sorted(digit_counts(0), reverse=True) == [110, 76, 53, 36, 25, 17, 12, 8, 6, 4]
    assert sorted(digit_counts(7)) == sorted(digit_counts(0))
    assert digit_counts(7) != digit_counts(0)


def test_the_class_table_of_digits_is_the_same_in_every_split_and_counts_training_images() -> None:
    train, val, test = (open_data("digits-lt", split) for split in ("train", "val", "test"))
    assert train.classes == val.classes == test.classes
    assert train.classes[3] == ClassInfo(label=3, name="three", sense="written digit", count=digit_counts(0)[3])
    in_train = [item.label for item in train.items]
    assert [in_train.count(label) for label in range(10)] == list(digit_counts(0))


def test_there_are_60_test_images_a_digit_and_up_to_40_for_validation() -> None:
    test = [item.label for item in open_data("digits-lt:5", "test").items]
    val = [item.label for item in open_data("digits-lt:5", "val").items]
    assert [test.count(label) for label in range(10)] == [60] * 10
    assert max(val.count(label) for label in range(10)) == 40
    assert min(val.count(label) for label in range(10)) >= 4


@pytest.mark.parametrize("spec", ["digits-lt", "digits-lt:1"])
def test_no_image_and_no_picture_is_in_two_splits_of_digits(spec: str) -> None:
    sets = [open_data(spec, split) for split in ("train", "val", "test")]
    names = [item.name for data in sets for item in data.items]
    pictures = [image_bytes(data, item) for data in sets for item in data.items]
    assert len(set(names)) == len(names)
    assert len(set(pictures)) == len(pictures)


def test_a_digit_is_what_scikit_learn_has_under_its_number_drawn_up_to_32() -> None:
    from sklearn.datasets import load_digits

    data = open_data("digits-lt", "test")
    item = data.items[100]
    index = int(item.name.removeprefix("digits/"))
    assert load_digits().target[index] == item.label
    picture = pixels(image_bytes(data, item), item.name)
    assert (picture.size, picture.mode) == ((32, 32), "RGB")
    levels = np.rint(load_digits().images[index] * 255 / 16).astype(np.uint8)
    expected = Image.fromarray(levels).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(picture)[:, :, 0], np.asarray(expected))


def test_the_default_seed_of_digits_is_0() -> None:
    assert open_data("digits-lt", "train").items == open_data("digits-lt:0", "train").items
    assert fingerprint("digits-lt", "train") == fingerprint("digits-lt:0", "train")


def test_seeds_and_splits_of_digits_have_their_own_fingerprints() -> None:
    prints = {fingerprint(spec, split) for spec in ("digits-lt", "digits-lt:1") for split in ("train", "val", "test")}
    assert len(prints) == 6


def test_the_fingerprint_of_digits_stays_what_it_was_for_a_change_trains_every_checkpoint_anew() -> None:
    assert fingerprint("digits-lt", "train") == "3d66c6452c3438fb2c9bb07a08de0729763abb019c5876346eca1241fedfc246"


def test_what_is_trained_on_files_is_told_from_what_an_earlier_version_read_otherwise_and_digits_are_not() -> None:
    assert pixels_version(Source("photos"), None) == pixels_version(Source("digits-lt"), Source("photos")) == 2
    assert pixels_version(Source("digits-lt:3"), None) is None


def test_the_images_of_digits_are_scikit_learns_and_stay_what_they_were() -> None:
    dataset = open_data("digits-lt", "train")
    found = hashlib.sha256(b"".join(bytes([item.label]) + image_bytes(dataset, item) for item in dataset.items))
    assert found.hexdigest() == "9443eba22e8a6f6bcf17a38952705afd509841c49ded92523e1361f00eb3972a"


def test_digits_are_cut_to_an_imbalance_as_the_field_defines_it_the_largest_class_over_the_smallest() -> None:
    counts = [info.count for info in open_data("digits-lt:0:100", "train").classes]
    assert sorted(counts) == [1, 2, 3, 5, 9, 14, 24, 40, 66, 110]
    assert sorted(info.count for info in open_data("digits-lt:3:10", "train").classes)[0] == 11
    assert {info.count for info in open_data("digits-lt:0:1", "train").classes} == {110}


def test_the_cut_of_the_first_version_stays_what_a_bare_spec_means_and_has_a_factor_of_its_own() -> None:
    assert fingerprint("digits-lt:0:27.5", "train") == fingerprint("digits-lt", "train")
    assert fingerprint("digits-lt:0:100", "train") == fingerprint("digits-lt::100", "train")
    assert fingerprint("digits-lt:0:100", "train") != fingerprint("digits-lt", "train")


def test_every_cut_of_a_seed_has_the_same_test_images() -> None:
    assert open_data("digits-lt:4:100", "test").items == open_data("digits-lt:4", "test").items


@pytest.mark.parametrize(
    "spec", ["digits-lt:0:x", "digits-lt:0:0.5", "digits-lt:0:-1", "digits-lt:0:111", "digits-lt:0:100:1"]
)
def test_an_imbalance_that_cannot_be_is_told(spec: str) -> None:
    with pytest.raises(InputError, match=f"{spec}: the imbalance of digits-lt is"):
        open_data(spec, "train")


@pytest.mark.parametrize("spec", ["digits-lt:x", "digits-lt:-1", "digits-lt:1.5"])
def test_a_seed_that_is_no_number_is_refused(spec: str) -> None:
    with pytest.raises(InputError, match="whole number"):
        open_data(spec, "train")


def test_a_fingerprint_is_found_without_numpy_scikit_learn_pillow_or_torch(animals: Path) -> None:
    code = f"""
import sys
from ltgc_cli.learn.datasets import fingerprint
fingerprint("digits-lt:3", "train"); fingerprint({str(animals)!r}, "train")
assert not {{"numpy", "sklearn", "PIL", "torch"}} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- folders


def test_a_folder_is_read_as_classes_by_sorted_name_and_hidden_or_other_files_are_left_out(animals: Path) -> None:
    data = open_data(str(animals), "train")
    assert data.classes == (ClassInfo(label=0, name="cat", count=2), ClassInfo(label=1, name="dog", count=1))
    assert [(item.label, item.name) for item in data.items] == [
        (0, "cat/b.png"),
        (0, "cat/close up/a.JPG"),
        (1, "dog/a.png"),
    ]
    assert image_bytes(data, data.items[0]) == (animals / "cat" / "b.png").read_bytes()


def test_samples_read_their_own_image(animals: Path) -> None:
    last = samples(open_data(str(animals), "train"))[-1]
    assert (last.label, last.name) == (1, "dog/a.png")
    assert last.read() == (animals / "dog" / "a.png").read_bytes()


def test_folders_named_train_val_and_test_are_the_splits(tmp_path: Path) -> None:
    png(tmp_path / "train" / "cat" / "1.png")
    png(tmp_path / "train" / "dog" / "1.png")
    png(tmp_path / "val" / "dog" / "2.png")
    data = open_data(str(tmp_path), "val")
    assert [(item.label, item.name) for item in data.items] == [(1, "val/dog/2.png")]
    assert [info.count for info in data.classes] == [1, 1]
    with pytest.raises(InputError, match="no folder 'test', only train, val"):
        open_data(str(tmp_path), "test")


def test_a_class_that_a_split_lacks_never_shifts_the_others(tmp_path: Path) -> None:
    for name in ("ant", "bee", "cow"):
        png(tmp_path / "train" / name / "1.png")
    png(tmp_path / "test" / "cow" / "1.png")
    assert [item.label for item in open_data(str(tmp_path), "test").items] == [2]


def test_a_class_in_test_that_training_lacks_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    png(tmp_path / "train" / "house sparrow" / "1.png")
    png(tmp_path / "test" / "house_sparrows" / "1.png")
    with pytest.raises(InputError, match="no class 'house_sparrows'; did you mean 'house sparrow'"):
        open_data(str(tmp_path), "test")


def test_what_is_no_data_set_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder.*digits-lt"):
        open_data(str(tmp_path / "missing"), "train")
    with pytest.raises(InputError, match="no class in it"):
        open_data(str(tmp_path), "train")
    (tmp_path / "cat").mkdir()
    with pytest.raises(InputError, match="no image in any class folder"):
        open_data(str(tmp_path), "train")


def test_an_image_that_is_gone_is_named(animals: Path) -> None:
    data = open_data(str(animals), "train")
    (animals / "dog" / "a.png").unlink()
    with pytest.raises(InputError, match=r"dog/a\.png: No such file"):
        image_bytes(data, data.items[-1])


def test_a_folders_fingerprint_changes_with_a_name_a_size_or_a_time(animals: Path) -> None:
    before = fingerprint(str(animals), "train")
    assert fingerprint(str(animals), "train") == before
    png(animals / "dog" / "a.png", (0, 255, 0))
    (animals / "dog" / "a.png").touch()
    changed = fingerprint(str(animals), "train")
    (animals / "dog" / "a.png").rename(animals / "dog" / "c.png")
    assert len({before, changed, fingerprint(str(animals), "train")}) == 3


def test_a_splits_fingerprint_covers_the_training_counts_too(tmp_path: Path) -> None:
    png(tmp_path / "train" / "cat" / "1.png")
    png(tmp_path / "test" / "cat" / "1.png")
    before = fingerprint(str(tmp_path), "test")
    png(tmp_path / "train" / "cat" / "2.png")
    assert fingerprint(str(tmp_path), "test") != before


# ---- the class table


def test_align_gives_the_tables_labels_by_name(animals: Path) -> None:
    table = [ClassInfo(label=70, name="dog", count=5), ClassInfo(label=71, name="eel"), ClassInfo(label=99, name="cat")]
    data = align(open_data(str(animals), "train"), table)
    assert [(item.label, item.name) for item in data.items] == [
        (99, "cat/b.png"),
        (99, "cat/close up/a.JPG"),
        (70, "dog/a.png"),
    ]
    assert data.classes == tuple(table)


def test_a_class_index_is_of_the_table_never_of_a_listing() -> None:
    tail = [ClassInfo(label=7, name="seven"), ClassInfo(label=8, name="eight"), ClassInfo(label=9, name="nine")]
    assert class_indices([Sample(9, bytes), Sample(7, bytes)], tail) == [2, 0]
    with pytest.raises(InputError, match="^x.png: the class table has no label 3"):
        class_indices([Sample(3, bytes, "x.png")], tail)


def test_align_refuses_a_class_that_the_table_does_not_have(animals: Path) -> None:
    with pytest.raises(InputError, match="no class 'dog'; did you mean 'dogs'"):
        align(open_data(str(animals), "train"), [ClassInfo(label=0, name="cat"), ClassInfo(label=1, name="dogs")])


def test_align_refuses_a_table_with_one_name_for_two_classes(animals: Path) -> None:
    with pytest.raises(InputError, match="'crane' twice"):
        align(open_data(str(animals), "train"), [ClassInfo(label=0, name="crane"), ClassInfo(label=1, name="crane")])


# ---- pixels


def test_bytes_that_are_no_whole_image_are_refused_by_name(animals: Path) -> None:
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(whole, "PNG")
    with pytest.raises(InputError, match=r"^x\.png: not a whole image \(no image format that is read here\)$"):
        pixels(b"not an image", "x.png")
    with pytest.raises(InputError, match=r"^x\.png: not a whole image"):
        pixels(whole.getvalue()[:2000], "x.png")
    with pytest.raises(InputError, match=r"^x\.png: not a whole image"):
        pixels(b"", "x.png")


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_images_of_every_mode_come_as_rgb(mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (3, 2)).save(file, "TIFF" if mode == "CMYK" else "PNG")
    assert pixels(file.getvalue(), "x").mode == "RGB"
