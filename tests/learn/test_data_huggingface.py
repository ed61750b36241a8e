"""What Hugging Face's `save_to_disk` writes, opened for real."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets as hf
import pytest
from PIL import Image

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import ClassInfo, Source, fingerprint, image_bytes, open_data, pixels, splits


@pytest.fixture(autouse=True, scope="module")
def no_bars() -> None:
    hf.disable_progress_bars()


def encoded(red: int) -> dict[str, Any]:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (red, 0, 0)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def rows(labels: list[int], names: list[str] | None = None, column: str = "label") -> hf.Dataset:
    kind = hf.ClassLabel(names=names) if names else hf.Value("int64")
    features = hf.Features({"image": hf.Image(), column: kind})
    return hf.Dataset.from_dict({"image": [encoded(n) for n in range(len(labels))], column: labels}, features=features)


def test_a_dataset_gives_its_class_names_and_the_bytes_of_its_images(tmp_path: Path) -> None:
    rows([2, 0, 2], ["cat", "dog", "eel"]).save_to_disk(tmp_path / "data")
    data = open_data(str(tmp_path / "data"), "train")
    assert [(info.name, info.count) for info in data.classes] == [("cat", 1), ("dog", 0), ("eel", 2)]
    assert [(item.label, item.name) for item in data.items] == [(0, "train/1"), (2, "train/0"), (2, "train/2")]
    assert image_bytes(data, data.items[0]) == encoded(1)["bytes"]
    assert pixels(image_bytes(data, data.items[2]), "x").getpixel((0, 0)) == (2, 0, 0)
    assert data.named and splits(str(tmp_path / "data")) == ("train",)


def test_a_datasetdict_has_splits_and_counts_are_of_the_training_split(tmp_path: Path) -> None:
    names = ["cat", "dog"]
    parts = {"train": rows([0, 0, 1], names), "validation": rows([1], names)}
    hf.DatasetDict(parts).save_to_disk(tmp_path / "data")
    val = open_data(str(tmp_path / "data"), "val")
    assert [item.label for item in val.items] == [1] and [info.count for info in val.classes] == [2, 1]
    assert splits(str(tmp_path / "data")) == ("train", "val")
    with pytest.raises(InputError, match="has no split 'test', only train, validation"):
        open_data(str(tmp_path / "data"), "test")


def test_labels_without_names_are_named_by_a_table_or_not_at_all(tmp_path: Path) -> None:
    rows([1, 0], column="labels").save_to_disk(tmp_path / "data")
    assert not open_data(str(tmp_path / "data"), "train").named
    (tmp_path / "classes.txt").write_text("0 cat\n1 dog\n")
    data = open_data(Source(str(tmp_path / "data"), classes=tmp_path / "classes.txt"), "train")
    assert data.named and data.classes[1] == ClassInfo(label=1, name="dog", count=1)
    (tmp_path / "classes.txt").write_text("0 cat\n")
    with pytest.raises(
        InputError, match=r"data: row 0: label 1 is not in the class table .*classes.txt \(labels 0 to 0\)"
    ):
        open_data(Source(str(tmp_path / "data"), classes=tmp_path / "classes.txt"), "train")


def test_a_row_without_a_label_or_an_image_and_a_data_set_without_columns_are_refused(tmp_path: Path) -> None:
    rows([0, -1]).save_to_disk(tmp_path / "unlabelled")
    with pytest.raises(InputError, match=r"unlabelled: row 1: no label$"):
        open_data(str(tmp_path / "unlabelled"), "test")
    hf.Dataset.from_dict({"text": ["a"], "label": [0]}).save_to_disk(tmp_path / "text")
    with pytest.raises(
        InputError, match="which column has the images is unclear: none is called so of text, label; name them"
    ):
        open_data(str(tmp_path / "text"), "train")
    features = hf.Features({"image": hf.Image(), "label": hf.Value("int64")})
    hf.Dataset.from_dict({"image": [None], "label": [0]}, features=features).save_to_disk(tmp_path / "gone")
    data = open_data(str(tmp_path / "gone"), "train")
    with pytest.raises(InputError, match=r"gone/data-00000-of-00001\.arrow: row 0 has no image bytes"):
        image_bytes(data, data.items[0])


def test_a_fingerprint_needs_no_datasets_library_and_sees_other_rows(tmp_path: Path) -> None:
    rows([0, 1], ["cat", "dog"]).save_to_disk(tmp_path / "a")
    rows([1, 1], ["cat", "dog"]).save_to_disk(tmp_path / "b")
    assert fingerprint(str(tmp_path / "a"), "train") != fingerprint(str(tmp_path / "b"), "train")
    code = f"""
import sys
from ltgc_cli.learn.datasets import fingerprint
fingerprint({str(tmp_path / "a")!r}, "train")
assert not {{"numpy", "PIL", "torch", "datasets", "pyarrow"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_library_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows([0], ["cat"]).save_to_disk(tmp_path / "data")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"in the checkout: pip install '\.\[hf\]'$"):
        open_data(str(tmp_path / "data"), "train")
