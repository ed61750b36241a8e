"""Parquet and Hugging Face's folders as the hub has them: which columns, which splits, whose names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import datasets as hf
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import Dataset, Source, fingerprint, image_bytes, open_data, pixels, splits
from ltgc_cli.learn.datasets.tree import worded


@pytest.fixture(autouse=True, scope="module")
def no_bars() -> None:
    hf.disable_progress_bars()


def encoded(folder: Path, red: int) -> bytes:
    Image.new("RGB", (4, 4), (red, 0, 0)).save(folder / "one.png")
    return (folder / "one.png").read_bytes()


def rows(folder: Path, first: int = 0, count: int = 3, **others: hf.ClassLabel | hf.Value) -> hf.Dataset:
    """Rows whose images are red by their number, and whose labels are 0, 1, 2, 0 …, in columns of some types."""
    features = hf.Features({"image": hf.Image(), **others})
    data = {"image": [{"bytes": encoded(folder, n), "path": None} for n in range(first, first + count)]}
    return hf.Dataset.from_dict({**data, **{name: [n % 3 for n in range(count)] for name in others}}, features=features)


def counts(data: Dataset) -> list[tuple[int, str, int]]:
    return [(info.label, info.name, info.count) for info in data.classes]


def red(data: Dataset, index: int) -> int:
    return pixels(image_bytes(data, data.items[index]), "x").getpixel((0, 0))[0]  # type: ignore[index]


ANIMALS = hf.ClassLabel(names=["cat", "dog", "eel"])


# ---- which column


def test_the_image_is_the_column_called_image_though_a_mask_comes_first(tmp_path: Path) -> None:
    data = rows(tmp_path, 0, label=ANIMALS)
    masks = hf.Dataset.from_dict(
        {"mask": [{"bytes": encoded(tmp_path, 99), "path": None}] * 3}, features=hf.Features({"mask": hf.Image()})
    )
    hf.concatenate_datasets([masks, data], axis=1).save_to_disk(tmp_path / "data")
    assert red(open_data(str(tmp_path / "data"), "train"), 1) == 1
    assert red(open_data(Source(str(tmp_path / "data"), image_column="mask"), "train"), 1) == 99
    hf.concatenate_datasets([masks, data.rename_column("image", "photo")], axis=1).save_to_disk(tmp_path / "unclear")
    said = "the images is unclear: it may be mask or photo; name them with --image-column and --label-column$"
    with pytest.raises(InputError, match=said):
        open_data(str(tmp_path / "unclear"), "train")


def test_of_several_label_columns_the_person_says_which(tmp_path: Path) -> None:
    coarse = hf.ClassLabel(names=["land", "water", "air"])
    rows(tmp_path, fine_label=ANIMALS, coarse_label=coarse).to_parquet(tmp_path / "cifar100.parquet")
    spec = str(tmp_path / "cifar100.parquet")
    with pytest.raises(InputError, match="the labels is unclear: it may be fine_label or coarse_label; name them with"):
        open_data(spec, "train")
    assert counts(open_data(Source(spec, label_column="fine_label"), "train"))[0] == (0, "cat", 1)
    assert counts(open_data(Source(spec, label_column="coarse_label"), "train"))[0] == (0, "land", 1)
    rows(tmp_path, label=ANIMALS, coarse_label=coarse).save_to_disk(tmp_path / "disk")
    with pytest.raises(InputError, match="the labels is unclear: it may be label or coarse_label"):
        open_data(str(tmp_path / "disk"), "train")


@pytest.mark.parametrize("kind", ["uint8", "int32", "int64", "string", "large_string"])
def test_labels_of_any_type_are_labels(tmp_path: Path, kind: str) -> None:
    rows(tmp_path, label=hf.Value(kind)).save_to_disk(tmp_path / "data")
    data = open_data(str(tmp_path / "data"), "train")
    assert counts(data) == [(0, "0", 1), (1, "1", 1), (2, "2", 1)] and not data.named


def test_texts_are_class_names_and_gaps_are_no_classes(tmp_path: Path) -> None:
    image = {"bytes": encoded(tmp_path, 5), "path": None}
    features = hf.Features({"image": hf.Image(), "species": hf.Value("string"), "label": hf.Value("int64")})
    data = hf.Dataset.from_dict(
        {"image": [image] * 3, "species": ["yak", "ant", "yak"], "label": [12, 2, 12]}, features
    )
    data.save_to_disk(tmp_path / "gaps")
    assert counts(open_data(str(tmp_path / "gaps"), "train")) == [(2, "2", 1), (12, "12", 2)]
    named = open_data(Source(str(tmp_path / "gaps"), label_column="species"), "train")
    assert counts(named) == [(0, "ant", 1), (1, "yak", 2)] and named.named


def test_what_pandas_wrote_is_read_by_its_types(tmp_path: Path) -> None:
    kinds = pa.array(["yak", "ant", "yak"]).dictionary_encode()
    pq.write_table(pa.table({"img": [encoded(tmp_path, n) for n in range(3)], "class": kinds}), tmp_path / "x.parquet")
    data = open_data(str(tmp_path / "x.parquet"), "train")
    assert counts(data) == [(0, "ant", 1), (1, "yak", 2)] and [red(data, n) for n in range(3)] == [1, 0, 2]


# ---- the hub's layouts


def test_shards_of_the_hub_are_splits_and_every_image_is_found_in_its_row_group(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for shard in range(2):
        part = rows(tmp_path, 5 * shard, 5, label=ANIMALS)
        part.to_parquet(tmp_path / "data" / f"train-0000{shard}-of-00002.parquet", batch_size=2)
    rows(tmp_path, 50, 2, label=ANIMALS).to_parquet(tmp_path / "data" / "validation-00000-of-00001.parquet")
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# Animals\n")
    assert splits(str(tmp_path)) == ("train", "val")
    data = open_data(str(tmp_path), "train")
    assert counts(data) == [(0, "cat", 4), (1, "dog", 4), (2, "eel", 2)]
    assert [item.name for item in data.items] == [f"train/{n}" for n in (0, 3, 5, 8, 1, 4, 6, 9, 2, 7)]
    assert [red(data, n) for n in range(10)] == [0, 3, 5, 8, 1, 4, 6, 9, 2, 7]
    val = open_data(str(tmp_path), "val")
    assert [red(val, n) for n in range(2)] == [50, 51] and val.classes == data.classes
    with pytest.raises(InputError, match="has no split 'test', only train, val"):
        open_data(str(tmp_path), "test")


@pytest.mark.parametrize("layout", ["{}.parquet", "default/{}/0000.parquet", "{}/part-0.parquet", "x_{}.parquet"])
def test_splits_are_told_by_files_or_by_folders(tmp_path: Path, layout: str) -> None:
    for first, split in enumerate(["train", "test"]):
        file = tmp_path / "snapshot" / layout.format(split)
        file.parent.mkdir(parents=True, exist_ok=True)
        rows(tmp_path, 10 * first, label=ANIMALS).to_parquet(file)
    assert splits(str(tmp_path / "snapshot")) == ("train", "test")
    assert red(open_data(str(tmp_path / "snapshot"), "test"), 0) == 10
    if layout == "{}.parquet":  # one of them that is named has the other beside it, as lists have
        assert red(open_data(str(tmp_path / "snapshot" / "train.parquet"), "test"), 0) == 10


def test_a_test_split_whose_labels_are_kept_back_is_none(tmp_path: Path) -> None:
    rows(tmp_path, label=ANIMALS).to_parquet(tmp_path / "train.parquet")
    hidden = rows(tmp_path, label=ANIMALS).remove_columns("label").add_column("label", [-1, -1, -1])
    hidden.to_parquet(tmp_path / "test.parquet")
    assert splits(str(tmp_path)) == ("train",)
    with pytest.raises(InputError, match="no image with a label in it"):
        open_data(str(tmp_path), "test")


def test_several_data_sets_in_one_folder_are_named_and_none_is_chosen(tmp_path: Path) -> None:
    for name in ("cropped", "full"):
        (tmp_path / name).mkdir()
        rows(tmp_path, label=ANIMALS).to_parquet(tmp_path / name / "train-00000-of-00001.parquet")
    with pytest.raises(InputError, match=r"several data sets lie in it; name the folder of one: .*/cropped, .*/full$"):
        open_data(str(tmp_path), "train")
    assert len(open_data(str(tmp_path / "full"), "train").items) == 3


def test_the_readme_of_a_snapshot_names_the_labels_that_parquet_does_not(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"image": [{"bytes": encoded(tmp_path, n), "path": "x"} for n in range(2)], "label": [1, 0]}),
        tmp_path / "train.parquet",
    )
    (tmp_path / "README.md").write_text(
        "---\ndataset_info:\n  features:\n  - name: image\n    dtype: image\n  - name: label\n    dtype:\n"
        "      class_label:\n        names:\n          '0': cat\n          '1': dog\n---\n"
    )
    before = fingerprint(str(tmp_path), "train")
    assert counts(open_data(str(tmp_path), "train")) == [(0, "cat", 1), (1, "dog", 1)]
    (tmp_path / "README.md").write_text("---\ndataset_info: 7\n---\n")
    assert fingerprint(str(tmp_path), "train") != before
    with pytest.raises(InputError, match=r"README\.md: its dataset_info cannot be read"):
        open_data(str(tmp_path), "train")


def test_a_file_that_is_no_parquet_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(InputError, match=r"x\.parquet: not a file that pyarrow can read"):
        open_data(str(tmp_path / "x.parquet"), "train")
    with pytest.raises(InputError, match=r"none\.parquet: No such file"):
        open_data(str(tmp_path / "none.parquet"), "train")


def test_reading_writes_nothing_and_the_fingerprint_loads_no_library(tmp_path: Path) -> None:
    rows(tmp_path, label=ANIMALS).to_parquet(tmp_path / "train.parquet")
    before = sorted(tmp_path.rglob("*"))
    code = f"""
import sys
from ltgc_cli.learn.datasets import fingerprint, image_bytes, open_data
fingerprint({str(tmp_path)!r}, "train")
assert not {{"numpy", "PIL", "torch", "datasets", "pyarrow"}} & set(sys.modules)
data = open_data({str(tmp_path)!r}, "train")
image_bytes(data, data.items[0])
assert not {{"torch", "datasets"}} & set(sys.modules)
"""
    home = {"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=home)
    assert sorted(tmp_path.rglob("*")) == before


# ---- images beside their metadata


def image_folder(folder: Path, name: str, text: str, *images: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for image in images:
        (folder / image).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / image)
    (folder / name).write_text(text)
    return folder


def test_metadata_in_each_split_folder_is_read_with_the_images_beside_it(tmp_path: Path) -> None:
    image_folder(tmp_path / "train", "metadata.csv", "file_name,label\n1.png,yak\n2.png,ant\n", "1.png", "2.png")
    image_folder(tmp_path / "test", "metadata.csv", "file_name,label\n1.png,yak\n", "1.png")
    data = open_data(str(tmp_path), "test")
    assert data.items[0].path == str(tmp_path / "test" / "1.png") and image_bytes(data, data.items[0])
    assert counts(data) == [(0, "ant", 1), (1, "yak", 1)] and splits(str(tmp_path)) == ("train", "test")
    with pytest.raises(InputError, match=r"has no metadata of split 'val', only train/metadata.csv, test/metadata.csv"):
        open_data(str(tmp_path), "val")
    assert splits(str(tmp_path / "train")) == ("train",)


def test_one_metadata_file_for_all_has_the_splits_of_its_folders(tmp_path: Path) -> None:
    lines = '{"file_name": "train/1.png", "label": 0}\n{"file_name": "val/2.png", "label": 0}\n'
    image_folder(tmp_path, "metadata.jsonl", lines, "train/1.png", "val/2.png")
    assert splits(str(tmp_path)) == ("train", "val")
    assert [item.name for item in open_data(str(tmp_path), "val").items] == ["val/2.png"]


def test_a_table_that_names_no_files_is_no_metadata_of_a_folder_of_classes(tmp_path: Path) -> None:
    image_folder(tmp_path, "metadata.csv", "species,rarity\ncat,1\n", "cat/1.png")
    assert counts(open_data(str(tmp_path), "train")) == [(0, "cat", 1)]


# ---- what is no split of ours


LEFT = "neither training, validation nor test"


def test_splits_and_files_that_are_none_of_ours_are_named(tmp_path: Path) -> None:
    splits_of_svhn = {"train": rows(tmp_path, label=ANIMALS), "extra": rows(tmp_path, 7, label=ANIMALS)}
    hf.DatasetDict(splits_of_svhn).save_to_disk(tmp_path / "saved")
    (tmp_path / "hub" / "data").mkdir(parents=True)
    for split in ("train", "unlabeled"):
        rows(tmp_path, label=ANIMALS).to_parquet(tmp_path / "hub" / "data" / f"{split}-00000-of-00001.parquet")
    assert worded(open_data(str(tmp_path / "saved"), "train").left_out) == f"left out: extra ({LEFT})"
    assert worded(open_data(str(tmp_path / "hub"), "train").left_out) == (
        f"left out: data/unlabeled-00000-of-00001.parquet ({LEFT})"
    )


CONFIG = """---
configs:
- config_name: {name}
  data_files:
  - split: train
    path: one/a.parquet
  - split: test
    path: [one/b*]
- config_name: other
  data_files:
  - split: train
    path: two/*.parquet
---
"""


def test_a_readme_of_the_hub_says_which_files_are_which_split(tmp_path: Path) -> None:
    for number, file in enumerate(("one/a", "one/b", "two/train")):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        rows(tmp_path, 10 * number, label=ANIMALS).to_parquet(tmp_path / f"{file}.parquet")
    (tmp_path / "README.md").write_text(CONFIG.format(name="default"))
    assert splits(str(tmp_path)) == ("train", "test")
    found = open_data(str(tmp_path), "test")
    assert [red(found, index) for index in range(3)] == [10, 11, 12]
    assert worded(found.left_out) == f"left out: two/train.parquet ({LEFT})"
    (tmp_path / "README.md").write_text(CONFIG.format(name="cropped"))
    with pytest.raises(InputError, match="several data sets lie in it: cropped, other, and its README names none the"):
        open_data(str(tmp_path), "train")
    (tmp_path / "README.md").write_text(CONFIG.format(name="default").replace("one/a.parquet", "/a"))
    with pytest.raises(InputError, match=r"README\.md: its data_files '/a' cannot be read"):
        open_data(str(tmp_path), "train")


def test_the_folder_of_a_data_set_in_the_cache_of_the_hub_is_read(tmp_path: Path) -> None:
    snapshot = tmp_path / "datasets--a--b" / "snapshots" / "0123abc" / "data"
    snapshot.mkdir(parents=True)
    rows(tmp_path, label=ANIMALS).to_parquet(snapshot / "train-00000-of-00001.parquet")
    assert len(open_data(str(tmp_path / "datasets--a--b"), "train").items) == 3


# ---- images that lie outside


def test_images_by_paths_are_read_and_nothing_waits_for_a_pipe(tmp_path: Path) -> None:
    data = encoded(tmp_path, 7)
    os.mkfifo(tmp_path / "pipe.png")
    pq.write_table(
        pa.table({"file_name": ["one.png", "pipe.png", "none.png"], "label": ["cat", "dog", "eel"]}),
        tmp_path / "metadata.parquet",
    )
    found = open_data(str(tmp_path), "train")
    assert image_bytes(found, found.items[0]) == data
    for index, said in ((1, "no regular file"), (2, "No such file")):
        with pytest.raises(InputError, match=rf"metadata\.parquet: row {index} has no image bytes \(.*{said}"):
            image_bytes(found, found.items[index])


def test_a_column_of_another_type_is_no_column_of_labels(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [encoded(tmp_path, 1)], "labels": [[0, 1]]}), tmp_path / "train.parquet")
    with pytest.raises(InputError, match="labels has no label in it, a number or a text for each image, but list<"):
        open_data(str(tmp_path), "train")
