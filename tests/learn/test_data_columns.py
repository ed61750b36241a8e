"""CSV and JSONL as people have them: which column is taken, in which words, and what is asked where it is unclear."""

from __future__ import annotations

from pathlib import Path

import pytest

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import Dataset, Source, fingerprint, open_data, splits

ROWS = ("train/zero/0000.png", "zero", 0), ("train/zero/0010.png", "zero", 0), ("train/one/0001.png", "one", 1)
BY_NAME = [("one", 1), ("zero", 2)]  # names in alphabetical order
BY_NUMBER = [("0", 2), ("1", 1)]


def counts(data: Dataset) -> list[tuple[str, int]]:
    return [(info.name, info.count) for info in data.classes]


def opened(folder: Path, text: str | bytes, name: str = "x.csv", split: str = "train", **columns: str) -> Dataset:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return open_data(Source(str(folder / name), **columns), split)  # type: ignore[arg-type]


def table(path: str, label: str, value: int, separator: str = ",") -> str:
    return "\n".join([f"{path}{separator}{label}", *(f"{row[0]}{separator}{row[value]}" for row in ROWS)])


@pytest.mark.parametrize(
    "path",
    ["path", "file_name", "filename", "file", "Filepath", "file-path", "image", "IMG", "ImageFile", "\ufeffpath"],
)
def test_the_column_of_paths_is_found_by_the_names_that_people_give_it(tmp_path: Path, path: str) -> None:
    data = opened(tmp_path, table(path, "label", 2))
    assert counts(data) == BY_NUMBER and not data.named
    assert [item.name for item in data.items] == [path for path, _, _ in ROWS]


@pytest.mark.parametrize("label", ["label", "labels", "class", "Class Name", "category", "target", "label_name"])
def test_labels_that_are_texts_make_classes_in_alphabetical_order(tmp_path: Path, label: str) -> None:
    data = opened(tmp_path, table("path", label, 1))
    assert counts(data) == BY_NAME and data.named
    assert [item.label for item in data.items] == [0, 1, 1]


@pytest.mark.parametrize("label", ["label", "class", "ClassId", "class index", "target", "category_id"])
def test_labels_that_are_numbers_make_the_classes_that_occur(tmp_path: Path, label: str) -> None:
    text = f"path,{label}\na.png,12\nb.png,2.0\nc.png,7\nd.png,2"
    assert counts(opened(tmp_path, text)) == [("2", 2), ("7", 1), ("12", 1)]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_cells_end_at_what_the_first_row_has_most_of(tmp_path: Path, separator: str) -> None:
    assert counts(opened(tmp_path, table("path", "label", 2, separator))) == BY_NUMBER
    quoted = f'"path"{separator}"label"\r\n"a{separator} b.png"{separator}"cat"\r\n\r\n'
    assert opened(tmp_path, quoted).items[0].name == f"a{separator} b.png"


def test_excels_ways_are_read_and_cells_of_any_size(tmp_path: Path) -> None:
    assert counts(opened(tmp_path, "sep=;\r\n" + table("path", "label", 2, ";"))) == BY_NUMBER
    assert counts(opened(tmp_path, table("path", "label", 1, "\t").encode("utf-16"), "x.tsv")) == BY_NAME
    assert counts(opened(tmp_path, f"path,label,text\na.png,cat,{'x' * 200_000}\n")) == [("cat", 1)]
    with pytest.raises(InputError, match=r"x\.csv:4: 'x' is no label"):
        opened(tmp_path, "sep=;\npath;label\na.png;1\nb.png;x\n")


def test_many_columns_of_which_most_rows_have_none_take_no_more_time_than_their_text(tmp_path: Path) -> None:
    many = "path,label" + "," * 50_000 + "\n" + "1.png,3\n" * 20_000
    keys = "".join(f'{{"path":"1.png","label":3,"k{n}":1}}\n' for n in range(10_000))

    assert counts(opened(tmp_path, many)) == [("3", 20_000)]
    assert counts(opened(tmp_path, keys, "x.jsonl")) == [("3", 10_000)]


def test_a_number_and_a_text_beside_it_are_a_label_and_its_name_whichever_is_called_what(tmp_path: Path) -> None:
    for head in ("path,label,class", "filepaths,class id,labels", "image,target,class_name", "file,class,label"):
        data = opened(tmp_path, f"{head}\na.png,3,zebra\nb.png,5,ant\n")
        assert [(info.label, info.name) for info in data.classes] == [(3, "zebra"), (5, "ant")], head
    kaggle = (
        "class id,filepaths,labels,data set,scientific name\n0.0,train/A/1.jpg,A,train,a\n1.0,test/B/1.jpg,B,test,b\n"
    )
    data = opened(tmp_path, kaggle)
    assert [(info.label, info.name, info.count) for info in data.classes] == [(0, "A", 1), (1, "B", 0)]
    assert splits(str(tmp_path / "x.csv")) == ("train", "test")


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("path,fine_label,coarse_label", "the labels is unclear: it may be fine_label or coarse_label"),
        ("id,breed", "the images is unclear: none is called so of id, breed"),
        ("path,breed", "the labels is unclear: none is called so of breed"),
        ("filename,image_path,label", "the images is unclear: it may be filename or image_path"),
    ],
)
def test_where_a_column_is_unclear_the_run_stops_and_names_both_flags(tmp_path: Path, head: str, said: str) -> None:
    values = {"label": "1", "fine_label": "1", "coarse_label": "2", "id": "4711", "breed": "pug"}
    row = ",".join(values.get(name, "a.png") for name in head.split(","))
    with pytest.raises(InputError) as raised:
        opened(tmp_path, f"{head}\n{row}\n")
    flags = "name them with --image-column and --label-column"
    assert str(raised.value) == f"{tmp_path}/x.csv: which column has {said}; {flags}"


def test_the_flags_say_which_columns_are_meant(tmp_path: Path) -> None:
    text = "id,photo,label,genus,breed\n1,a.png,0,Canis,pug\n2,b.png,1,Canis,whippet\n"
    data = opened(tmp_path, text, image_column="photo", label_column="Breed")
    assert counts(data) == [("pug", 1), ("whippet", 1)] and data.items[0].name == "a.png"
    data = opened(tmp_path, text, image_column="photo", label_column="genus")
    assert counts(data) == [("Canis", 2)]
    with pytest.raises(
        InputError, match="^--label-column bread: .*x.csv has no such column, only .*; did you mean breed"
    ):
        opened(tmp_path, text, image_column="photo", label_column="bread")


def test_a_label_column_that_is_named_has_the_names_that_go_one_to_one_with_it(tmp_path: Path) -> None:
    text = "path,fine_label,coarse_label,class_name\na.png,3,0,pug\nb.png,5,0,whippet\n"
    assert counts(opened(tmp_path, text, label_column="fine_label")) == [("pug", 1), ("whippet", 1)]
    assert counts(opened(tmp_path, text, label_column="coarse_label")) == [("0", 2)]


def test_columns_that_are_named_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    opened(tmp_path, "path,label\na.png,0\n")
    spec = str(tmp_path / "x.csv")
    named = [Source(spec), Source(spec, label_column="label"), Source(spec, image_column="path")]
    assert len({fingerprint(source, "train") for source in named}) == 3


def test_images_in_a_column_of_another_name_are_known_by_their_suffixes(tmp_path: Path) -> None:
    assert opened(tmp_path, "id,label\na.JPG,cat\nb.heic,cat\n").items[0].name == "a.JPG"


def test_jsonl_has_the_same_words(tmp_path: Path) -> None:
    rows = [("a.png", "zebra", "train"), ("b.png", "ant", "test")]
    lines = "".join(f'{{"image": "{row[0]}", "category": "{row[1]}", "split": "{row[2]}"}}\n' for row in rows)
    data = opened(tmp_path, lines, "x.jsonl")
    assert counts(data) == [("zebra", 1)]
    with pytest.raises(InputError, match=r"x\.jsonl:2: no class is called 'ant' in .*x\.jsonl, where the classes come"):
        opened(tmp_path, lines, "x.jsonl", "test")
    with pytest.raises(InputError, match=r"x\.jsonl:2: no label"):
        opened(tmp_path, '{"file_name": "a.png", "label": 1}\n{"file_name": "b.png"}\n', "x.jsonl")


def test_a_test_list_gets_the_labels_of_the_classes_in_the_training_list(tmp_path: Path) -> None:
    (tmp_path / "b_test.csv").write_text("path,class\nz.png,zero\n")
    train = opened(tmp_path, table("path", "class", 1), "b_train.csv")
    test = open_data(str(tmp_path / "b_train.csv"), "test")
    assert test.classes == train.classes and [item.label for item in test.items] == [1]
    (tmp_path / "b_test.csv").write_text("path,class\nz.png,zeros\n")
    with pytest.raises(InputError, match=r"b_test\.csv:2: no class is called 'zeros' in .*; did you mean 'zero'\?"):
        open_data(str(tmp_path / "b_train.csv"), "test")
    (tmp_path / "b_test.csv").write_text("path,class\nz.png,1\n")  # nobody but us numbers these classes
    with pytest.raises(InputError, match=r"b_test\.csv:2: label 1 is not in .*b_train\.csv"):
        open_data(str(tmp_path / "b_train.csv"), "test")


def test_texts_are_found_in_a_class_table_by_name_and_synonym(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("label,name,synonyms\n7,nought,zero;nil\n9,one,\n")
    data = opened(tmp_path, table("path", "class", 1), classes=tmp_path / "c.csv")  # type: ignore[arg-type]
    assert [(info.label, info.name, info.count) for info in data.classes] == [(7, "nought", 2), (9, "one", 1)]


def test_a_column_is_of_splits_where_its_words_are(tmp_path: Path) -> None:
    opened(tmp_path, "path,label,subset\na.png,0,train\nb.png,0,test\n")
    assert splits(str(tmp_path / "x.csv")) == ("train", "test")
    opened(tmp_path, "path,label,set\na.png,0,A\nb.png,0,B\n")
    assert splits(str(tmp_path / "x.csv")) == ("train",)
