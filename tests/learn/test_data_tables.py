"""CSV and JSONL manifests of images, class tables, and folders under a class table."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from PIL import Image

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import ClassInfo, Source, align, class_table, fingerprint, open_data, splits


def png(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)
    return path


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# ---- tables of images

CSV = """path,label,class,split
"images/a, b.jpg",1,dog,train
images/c.jpg,0,cat,train
images/d.jpg,1,dog,test
"""
JSONL = """{"path": "images/a, b.jpg", "label": 1, "class": "dog", "split": "train"}

{"path": "images/c.jpg", "label": "0", "class": "cat", "split": "train", "id": 7}
{"path": "images/d.jpg", "label": 1, "class": "dog", "split": "test"}
"""


@pytest.mark.parametrize(("name", "text"), [("data.csv", CSV), ("data.jsonl", JSONL)])
def test_a_table_with_classes_and_splits_says_all_of_it(tmp_path: Path, name: str, text: str) -> None:
    spec = str(write(tmp_path / name, text))
    train, test = open_data(spec, "train"), open_data(spec, "test")
    assert (
        train.classes
        == test.classes
        == (ClassInfo(label=0, name="cat", count=1), ClassInfo(label=1, name="dog", count=1))
    )
    assert [(item.label, item.name) for item in train.items] == [(0, "images/c.jpg"), (1, "images/a, b.jpg")]
    assert [item.path for item in test.items] == [str(tmp_path / "images" / "d.jpg")]
    assert train.named and splits(spec) == ("train", "test")
    with pytest.raises(InputError, match="no row of split 'val', only train, test"):
        open_data(spec, "val")


def test_a_table_without_splits_has_its_others_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "birds_train.csv", "path,label\na.jpg,3\n")
    write(tmp_path / "birds_val.csv", "file_name,label\nb.jpg,3\n")
    data = open_data(str(tmp_path / "birds_train.csv"), "val")
    assert [item.name for item in data.items] == ["b.jpg"]
    assert data.classes == (ClassInfo(label=3, name="3", count=1),) and not data.named


def test_what_a_table_lacks_or_contradicts_is_named_with_its_line(tmp_path: Path) -> None:
    for text, message in [
        ("a.jpg,0\nb.jpg,1\n", r"x\.csv:1: the first row names the columns: path,label"),
        ("", r"x\.csv:1: the first row"),
        ("path,label\na.jpg,0\nb.jpg,cat\n", r"x\.csv:3: 'cat' is no label"),
        ("path,label\na.jpg,cat\nb.jpg,0\n", r"x\.csv:3: '0' is a number where other labels are names"),
        ("path,label\na.jpg\n", r"x\.csv:2: no label$"),
        ("path,label\na.jpg,0\nb.jpg,\nc.jpg,\n", r"x\.csv:3: no label; so it is in 2 rows$"),
        ("path,label\na.jpg,-1\n", r"x\.csv:2: '-1' is no label"),
        ("path,label\na, b.jpg,1\n", r"x\.csv:2: 3 cells where the first row has 2; a cell with ',' in it stands in"),
        ("path,label,label\na.jpg,1,2\n", r"x\.csv:1: two columns are called 'label'"),
        ("path,label\n,0\n", r"x\.csv:2: no path"),
        ("path,label,split\na.jpg,0,later\n", r"x\.csv:2: 'later' is no split; one of train, val, test"),
        ("path,label,split\na.jpg,0,train\nb.jpg,0,\n", r"x\.csv:3: some rows name their split, and some do not"),
        ("path,label,class\na.jpg,0,cat\nb.jpg,0,dog\n", r"x\.csv:3: label 0 is 'dog' here and 'cat' above"),
        ("path,label,class\na.jpg,0,cat\nb.jpg,1,\n", r"x\.csv:3: label 1 has no class name, as others have"),
    ]:
        with pytest.raises(InputError, match=message):
            open_data(str(write(tmp_path / "x.csv", text)), "train")
    for text, message in [
        ('{"path": "a.jpg", "label": 0}\n[1]\n', r"x\.jsonl:2: not a JSON object"),
        ('{"path": "a.jpg", "label": true}\n', r"x\.jsonl:1: 'True' is no label"),
        ('{"path": "a.jpg", "label": 0, "class": "a\\nb"}\n', r"x\.jsonl:1: 'a\\nb' is no class name"),
    ]:
        with pytest.raises(InputError, match=message):
            open_data(str(write(tmp_path / "x.jsonl", text)), "train")


def test_one_label_with_two_names_in_two_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "b_train.csv", "path,label,class\na.jpg,0,cat\n")
    write(tmp_path / "b_test.csv", "path,label,class\nb.jpg,0,lynx\n")
    with pytest.raises(InputError, match=r"b_test\.csv: label 0 is 'lynx' here and 'cat' in .*b_train\.csv"):
        open_data(str(tmp_path / "b_train.csv"), "test")


# ---- class tables

CLASSES = (
    ClassInfo(label=0, name="crane (bird)", sense="wading bird", synonyms=("crane", "Grus")),
    ClassInfo(label=7, name="seal"),
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.csv", "label,name,synonyms,sense\n7,seal,,\n0,crane (bird),crane;Grus,wading bird\n"),
        ("c.csv", "Name,Label,sense,synonyms,count\nseal,7,,,12\ncrane (bird),0,wading bird,crane | Grus,3\n"),
        (
            "c.jsonl",
            '{"label": 7, "name": "seal"}\n'
            '{"label": 0, "name": "crane (bird)", "synonyms": ["crane", "Grus"], "sense": "wading bird"}\n',
        ),
        (
            "c.json",
            '{"categories": [{"id": 7, "name": "seal", "supercategory": "x"},'
            '{"id": 0, "name": "crane (bird)", "synonyms": "crane;Grus", "sense": "wading bird"}]}',
        ),
    ],
)
def test_a_class_table_is_csv_jsonl_or_categories_in_any_order(tmp_path: Path, name: str, text: str) -> None:
    assert class_table.load(write(tmp_path / name, text)) == CLASSES


def test_a_class_table_may_be_lines_of_a_label_and_a_name(tmp_path: Path) -> None:
    file = write(tmp_path / "classes.txt", "1 great white shark\n0\ttench\n")
    assert [(info.label, info.name) for info in class_table.load(file)] == [(0, "tench"), (1, "great white shark")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.txt", "tench\ngreat white shark\n"),
        ("c.csv", "name\ntench\ngreat white shark\n"),
        ("c.csv", "class,sense\ntench,\ngreat white shark,\n"),
        ("c.csv", "id;name\n1;great white shark\n0;tench\n"),
        ("c.json", '["tench", "great white shark"]'),
        ("c.json", '{"0": "tench", "1": "great white shark"}'),
        ("c.json", '{"tench": 0, "great white shark": 1}'),
        ("c.json", '{"id2label": {"0": "tench", "1": "great white shark"}, "model_type": "vit"}'),
        ("c.txt", "0: tench\n1: great white shark\n"),
        ("c.txt", "great white shark 1\ntench 0\n"),  # Places' categories have the label last
    ],
)
def test_names_alone_are_a_class_table_by_their_order_or_their_label(tmp_path: Path, name: str, text: str) -> None:
    assert class_table.load(write(tmp_path / name, text)) == (
        ClassInfo(label=0, name="tench"),
        ClassInfo(label=1, name="great white shark"),
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("imagenet_class_index.json", '{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}'),
        ("synset_words.txt", "n01440764 tench\nn01443537 goldfish\n"),
        ("map_clsloc.txt", "n01443537 1 goldfish\nn01440764 0 tench\n"),
    ],
)
def test_imagenets_ids_are_synonyms(tmp_path: Path, name: str, text: str) -> None:
    assert class_table.load(write(tmp_path / name, text)) == (
        ClassInfo(label=0, name="tench", synonyms=("n01440764",)),
        ClassInfo(label=1, name="goldfish", synonyms=("n01443537",)),
    )


def test_of_imagenets_names_the_first_is_the_name(tmp_path: Path) -> None:
    file = write(tmp_path / "synset_words.txt", "n01440764 tench, Tinca tinca\n")
    assert class_table.load(file) == (ClassInfo(label=0, name="tench", synonyms=("n01440764", "Tinca tinca")),)


def test_numbers_in_names_are_no_labels(tmp_path: Path) -> None:
    names = ["Boeing 707", "Boeing 717", "2CV"]
    assert [info.name for info in class_table.load(write(tmp_path / "c.txt", "\n".join(names)))] == names
    assert [info.label for info in class_table.load(write(tmp_path / "cub.txt", "1 001.Black\n2 002.Laysan\n"))] == [
        1,
        2,
    ]


def test_inaturalists_categories_json_is_a_class_table(tmp_path: Path) -> None:
    file = write(tmp_path / "categories.json", '[{"kingdom": "Animalia", "name": "Gea heptagon", "id": 25}]')
    assert class_table.load(file) == (ClassInfo(label=25, name="Gea heptagon"),)


def test_what_a_class_table_lacks_is_named_with_its_line(tmp_path: Path) -> None:
    for name, text, message in [
        ("c.csv", "label,name\n0,cat\n0,dog\n", r"c\.csv:3: label 0 is there twice; it is 'cat' already"),
        ("c.csv", "label,name\n0,\n", r"c\.csv:2: no name; a class has a label and a name"),
        ("c.csv", "label,name\nx,cat\n", r"c\.csv:2: 'x' is no label"),
        ("c.csv", "number,name\n0,cat\n", r"c\.csv:1: the first row names the columns: label,name,synonyms,sense"),
        ("c.jsonl", '{"label": 0}\n', r"c\.jsonl:1: no name"),
        ("c.jsonl", '{"label": 0, "name": "a", "synonyms": 3}\n', r"c\.jsonl:1: synonyms are a list"),
        ("c.json", '{"a": [1]}', r"c\.json: no list of categories"),
        ("c.txt", "0 cat\n1 dog\nairfield\n", r"c\.txt:3: 'airfield': a line is `label name`; or all lines are names"),
        ("c.txt", "cat\ndog\n7 up\n", r"c\.txt:3: '7 up': a line is `label name`"),
        ("c.txt", "0\n", r"c\.txt:1: '0': a line is"),
        ("c.txt", "crane\n" + "rane\n3 seal\n" * 50_000, r"c\.txt:3: '3 seal': a line is"),
        ("c.txt", "0" + " " * 200_000 + "a b\n1\n", r"c\.txt:1: '0 +': a line is"),
        ("c.txt", "a" + " " * 200_000 + "b\nc 1\n2\n", r"c\.txt:3: '2': a line is"),
        ("c.txt", "\n", r"c\.txt: no class in it"),
    ]:
        with pytest.raises(InputError, match=message):
            class_table.load(write(tmp_path / name, text))


# ---- folders under a class table


def test_folders_that_are_called_by_label_name_or_synonym_are_found_in_the_table(tmp_path: Path) -> None:
    for folder in ("0042", "7", "n01440764", "great grey owl"):
        png(tmp_path / "data" / folder / "1.png")
    table = write(
        tmp_path / "classes.csv",
        "label,name,synonyms\n42,wren,\n7,robin,\n3,tench,n01440764\n1,great grey owl,\n0,extinct,\n",
    )
    data = open_data(Source(str(tmp_path / "data"), classes=table), "train")
    assert [(item.label, item.name) for item in data.items] == [
        (1, "great grey owl/1.png"),
        (3, "n01440764/1.png"),
        (7, "7/1.png"),
        (42, "0042/1.png"),
    ]
    assert [(info.label, info.count) for info in data.classes] == [(0, 0), (1, 1), (3, 1), (7, 1), (42, 1)]


def test_a_split_under_a_table_counts_the_training_folder(tmp_path: Path) -> None:
    png(tmp_path / "data" / "train" / "1" / "a.png")
    png(tmp_path / "data" / "train" / "0" / "a.png")
    png(tmp_path / "data" / "test" / "robin" / "b.png")
    source = Source(str(tmp_path / "data"), classes=write(tmp_path / "c.txt", "0 wren\n1 robin\n"))
    test = open_data(source, "test")
    assert [item.label for item in test.items] == [1]
    assert [(info.name, info.count) for info in test.classes] == [("wren", 1), ("robin", 1)]
    assert splits(source) == ("train", "test")


def test_a_folder_that_is_no_class_or_may_be_two_is_refused(tmp_path: Path) -> None:
    png(tmp_path / "data" / "wrens" / "1.png")
    table = write(tmp_path / "classes.csv", "label,name\n0,wren\n1,0\n")
    with pytest.raises(InputError, match="has no class 'wrens'; did you mean 'wren'"):
        open_data(Source(str(tmp_path / "data"), classes=table), "train")
    png(tmp_path / "zero" / "0" / "1.png")
    with pytest.raises(InputError, match=r"the folder '0' may be 'wren' \(label 0\) and '0' \(label 1\) of .*classes"):
        open_data(Source(str(tmp_path / "zero"), classes=table), "train")


def test_the_table_is_part_of_a_folders_fingerprint(tmp_path: Path) -> None:
    png(tmp_path / "data" / "wren" / "1.png")
    source = Source(str(tmp_path / "data"), classes=write(tmp_path / "c.txt", "0 wren\n"))
    before = fingerprint(source, "train")
    write(tmp_path / "c.txt", "1 wren\n")
    assert len({before, fingerprint(source, "train"), fingerprint(str(tmp_path / "data"), "train")}) == 3


def test_flags_that_would_do_nothing_are_refused(tmp_path: Path) -> None:
    png(tmp_path / "data" / "wren" / "1.png")
    with pytest.raises(InputError, match="--root goes with a list"):
        open_data(Source(str(tmp_path / "data"), root=tmp_path), "train")
    # A folder of test images may well stand beside a list that has a root.
    assert len(open_data(Source(str(tmp_path / "data"), root=tmp_path), "test").items) == 1
    with pytest.raises(InputError, match="^--label-column goes with a table .CSV, JSONL, parquet, Hugging Face's.; "):
        open_data(Source(str(tmp_path / "data"), label_column="label"), "train")
    with pytest.raises(InputError, match="leave out --root and --classes"):
        open_data(Source("digits-lt", classes=tmp_path / "c.txt"), "train")


def test_classes_of_one_name_keep_their_labels_where_data_and_table_agree(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("a.jpg 0\nb.jpg 1\n")
    (tmp_path / "c.csv").write_text("label,name,sense\n0,crane,bird\n1,crane,machine\n")
    data = open_data(Source(str(tmp_path / "x.txt"), classes=tmp_path / "c.csv"), "train")
    assert [item.label for item in align(data, data.classes).items] == [0, 1]
    swapped = [
        msgspec.structs.replace(info, sense=sense)
        for info, sense in zip(data.classes, ["machine", "bird"], strict=True)
    ]
    with pytest.raises(InputError, match="has the name 'crane' twice"):
        align(data, swapped)
