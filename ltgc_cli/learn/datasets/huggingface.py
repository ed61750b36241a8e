"""Hugging Face's data sets on this machine: what `save_to_disk` wrote, a snapshot of the hub, parquet files.

All are columns of pyarrow. Labels are read alone; an image is read when it is wanted, out of memory-mapped Arrow or
the row group of a parquet file that it lies in. Nothing is converted, so nothing is written anywhere.
"""

from __future__ import annotations

import errno
import re
import stat
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.files import named_errors, read_regular, sha256_file
from ltgc_cli.learn.datasets import columns, tree
from ltgc_cli.learn.datasets.class_table import name_of
from ltgc_cli.learn.datasets.files import image_file, read_text, sha256, stamped
from ltgc_cli.learn.datasets.listing import ListedImage, Listing, beside, label_rows, named_settings, named_split
from ltgc_cli.learn.datasets.tree import LeftOut
from ltgc_cli.learn.datasets.types import SPLIT_WORDS, Dataset, Format, Item, Source, Split
from ltgc_cli.text import one_line

_DICT, _STATE, _INFO = "dataset_dict.json", "state.json", "dataset_info.json"
_ABOUT = ("README.md", _INFO)
_GROUPS = 16
"""Row groups of images that are kept in memory: Hugging Face writes a hundred in each, or a thousand small ones."""


class _File(msgspec.Struct):
    """A file of Arrow in state.json."""

    filename: str


class _Described(msgspec.Struct):
    """What dataset_dict.json (splits), dataset_info.json (features) or state.json (files) says."""

    splits: list[str] = []
    features: dict[str, Any] = {}
    files: list[_File] = msgspec.field(default_factory=list, name="_data_files")


class _Part(NamedTuple):
    """The files of a split; where it lies, for messages."""

    where: Path
    files: tuple[Path, ...]


class _Schema(NamedTuple):
    """The columns of a part: those with images, those whose values may be labels, the names of those that have some."""

    columns: list[str]
    images: list[str]
    labels: list[str]
    names: dict[str, tuple[str, ...]]


def _takes(spec: str) -> bool:
    path = Path(spec).expanduser()
    if path.suffix.lower() == ".parquet" and not path.is_dir():
        return True
    depth = 4 if (path / "snapshots").is_dir() else 3  # a data set's own folder in the cache of the hub
    return (path / _DICT).is_file() or (path / _STATE).is_file() or (path.is_dir() and _has_parquet(path, depth))


def _has_parquet(folder: Path, depth: int) -> bool:
    """Returns whether parquet files lie in a folder or in those in it. Looks at few entries: photos may be millions."""
    try:
        entries = sorted(islice(folder.iterdir(), 64))
    except OSError:
        return False
    if any(entry.suffix.lower() == ".parquet" for entry in entries):
        return True
    inside = (entry for entry in entries if depth > 1 and entry.is_dir() and not entry.name.startswith("."))
    return any(_has_parquet(entry, depth - 1) for entry in inside)


def _open(source: Source, split: Split) -> Dataset:
    training, own = _chosen(source, split)
    column, listing = _listed(own, source)
    whole = listing if training == own else _listed(training, source)[1]
    for part in (whole, listing):
        if not part.rows:
            raise InputError(f"{part.file}: no image with a label in it")
    found = label_rows(source, listing, whole, lambda listing, row: f"{listing.file}: row {row.line}")
    places = [(str(file), row) for file in own.files for row in range(_row_count(file))]
    order = sorted(range(len(places)), key=found.labels.__getitem__)
    items = tuple(
        Item(label=found.labels[row], name=f"{split}/{row}", path=places[row][0], line=places[row][1]) for row in order
    )
    classes, named = found.classes, found.named
    left_out = tuple(_unused(_root(source)))
    found_as = Dataset(spec=source.spec, split=split, classes=classes, items=items, named=named, column=column)
    return msgspec.structs.replace(found_as, left_out=left_out, bounds=_bounds(source))


def _listed(part: _Part, source: Source) -> tuple[str, Listing]:
    """Returns the column of the images, and the label of each row; no rows where not one has a label.

    Raises InputError where it is unclear which columns are meant, and for a row without a label among others.
    """
    schema = _schema(part)
    where = str(part.where)
    image = columns.image_column(where, schema.columns, schema.images, source, columns.IMAGES)
    may = list(schema.names)
    if len(may) != 1 or source.label_column:
        may = columns.label_columns(where, [name for name in schema.columns if name != image], source, may)
        called, may = may, [name for name in may if name in schema.labels]
        if not may:
            kind = _arrow_schema(part.files[0]).field(called[0]).type
            raise InputError(f"{where}: {called[0]} has no label in it, a number or a text for each image, but {kind}")
    values = {name: _values(part, name) for name in may}
    rows = len(next(iter(values.values())))
    if all(value is None for column in values.values() for value in column):
        return image, Listing(part.where, [], {})
    labels = columns.labels(columns.Columns(where, [f"{where}: row {row}" for row in range(rows)], values), source)
    names = dict(enumerate(schema.names.get(labels.column, ()))) or labels.names
    return image, Listing(part.where, [ListedImage("", label, row) for row, label in enumerate(labels.of_rows)], names)


def _read(dataset: Dataset, item: Item) -> bytes:
    assert item.path is not None
    file = Path(item.path)
    value = _value(file, dataset.column, item.line)
    try:
        if isinstance(value, dict):
            value = value.get("bytes") or value["path"]
        if isinstance(value, str):
            with image_file(file.parent / value, dataset.bounds) as opened:
                return opened.readall()
        if isinstance(value, int):  # so many zeros
            raise TypeError(f"it is {value}")
        return bytes(value)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: row {item.line} has no image bytes ({error})") from None


def _fingerprint(source: Source, split: Split) -> str:
    """Returns the hash of what describes the data, and of its files' sizes and times. Does not need `pyarrow`.

    Images that lie outside, of which a row has only the path, are not looked at.
    """
    lines = ["huggingface", split]
    for part in dict.fromkeys(_chosen(source, split)):
        if (part.where / _STATE).is_file():
            lines += [sha256_file(part.where / _STATE), sha256_file(part.where / _INFO)]
            lines += [stamped(path, part.where) for path in sorted(part.where.glob("*.arrow"))]
        else:
            folder = part.where if part.where.is_dir() else part.where.parent
            with named_errors(part.where):
                lines += [stamped(path, folder) for path in part.files]
            lines += [sha256_file(folder / name) for name in _ABOUT if (folder / name).is_file()]
    return sha256([*lines, *named_settings(source)], source.classes)


def _splits(source: Source) -> tuple[Split, ...]:
    return tuple(
        split for split, part in _parts(_root(source)).items() if split == "train" or _has_labels(part, source)
    ) or ("train",)


def _has_labels(part: _Part, source: Source) -> bool:
    """Returns whether a split has labels, which many a test set has not. What is wrong is said by opening it."""
    try:
        return bool(_listed(part, source)[1].rows)
    except InputError:
        return True


# ---- files


def _root(source: Source) -> Path:
    return Path(source.spec).expanduser()


def _bounds(source: Source) -> str:
    root = _root(source)
    return tree.boundary(root if root.is_dir() else root.parent, follow_links=source.follow_links)


def _chosen(source: Source, split: Split) -> tuple[_Part, _Part]:
    """Returns the part that the class counts come from, and the one with the split's images.

    Raises InputError where a file of theirs, but for the one that is named, lies out of bounds.
    """
    training, own = _parts_of(source, split)
    bounds = _bounds(source)
    for file in (*training.files, *own.files):
        if file != _root(source) and not tree.within(file, bounds):
            raise InputError(f"{file}: it lies outside of {bounds}; --follow-links reads it all the same")
    return training, own


def _parts_of(source: Source, split: Split) -> tuple[_Part, _Part]:
    root = _root(source)
    found = _parts(root)
    if not found:
        whole = _Part(root, _files(root))
        return whole, whole
    if root.is_file() and split == "test" and named_split(root) == "val":
        own = found["val"]
    elif split in found:
        own = found[split]
    else:
        there = ", ".join(name if part.where == root else part.where.name for name, part in found.items())
        raise InputError(f"{source.spec}: has no split {split!r}, only {there}")
    return found.get("train", own), own


def _parts(root: Path) -> dict[Split, _Part]:
    """Returns the splits that a folder tells apart, or that lie beside a file; none where there are no splits."""
    if (root / _DICT).is_file():
        there = _described(root / _DICT).splits
        words = {split: next((word for word in words if word in there), None) for split, words in SPLIT_WORDS.items()}
        if not any(words.values()):
            raise InputError(f"{root}: its splits are {', '.join(there)}; train, val (or validation) or test is wanted")
        return {split: _Part(root / word, _files(root / word)) for split, word in words.items() if word}
    if root.is_dir() and not (root / _STATE).is_file():
        return _configured_parts(root) or _named_parts(root)
    beside_it = {split: beside(root, split) for split in SPLIT_WORDS} if named_split(root) else {}
    return {split: _Part(file, (file,)) for split, file in beside_it.items() if file}


def _unused(root: Path) -> list[LeftOut]:
    """Returns the splits and files of a folder that are of no split of ours: `extra`, another configuration's."""
    parts = _parts(root)
    used = {file for part in parts.values() for file in (part.where, *part.files)}
    others: list[Path] = []
    if (root / _DICT).is_file():
        others = [root / word for word in _described(root / _DICT).splits]
    elif root.is_dir() and parts:
        others = [*_files(root)]
    return [
        LeftOut(path.relative_to(root), "neither training, validation nor test") for path in others if path not in used
    ]


def _configured_parts(root: Path) -> dict[Split, _Part]:
    """Returns the parquet files of each split as the README of a data set of the hub says it; none where it does not.

    Raises InputError where it names several configurations, and none of them as the default.
    """
    found: dict[Split, list[Path]] = {}
    for told in _default(root).get("data_files", []):
        split = next((split for split, words in SPLIT_WORDS.items() if told["split"] in words), None)
        paths = told["path"] if isinstance(told["path"], list) else [told["path"]]
        files = [file for path in paths for file in _matching(root, path) if _is_parquet(file)]
        if split and files:
            found.setdefault(split, []).extend(files)
    return {split: _Part(root, tuple(found[split])) for split in SPLIT_WORDS if split in found}


def _matching(root: Path, pattern: object) -> list[Path]:
    try:
        return sorted(root.glob(str(pattern)))
    except (ValueError, NotImplementedError) as error:
        raise InputError(f"{root / _ABOUT[0]}: its data_files {str(pattern)!r} cannot be read ({error})") from None


def _default(root: Path) -> dict[str, Any]:
    """Returns the configuration in a data set's README that is its default, or the only one; empty where none is."""
    configs = [one for one in _front_matter(root / _ABOUT[0]).get("configs") or [] if _has_files(one)]
    chosen = [one for one in configs if one.get("default")] or [
        one for one in configs if len(configs) == 1 or one.get("config_name") == "default"
    ]
    if configs and not chosen:
        names = ", ".join(str(one.get("config_name")) for one in configs)
        raise InputError(
            f"{root}: several data sets lie in it: {names}, and its README names none the default; name the parquet "
            "files of one, or a folder with no others"
        )
    return chosen[0] if chosen else {}


def _has_files(config: Any) -> bool:
    """Returns whether a configuration names the files of its splits."""
    files = config.get("data_files") if isinstance(config, dict) else None
    return isinstance(files, list) and all(isinstance(one, dict) and {"split", "path"} <= one.keys() for one in files)


def _named_parts(root: Path) -> dict[Split, _Part]:
    """Returns the parquet files of each split, which their names or their folders' say: `data/train-00000-of-00001`."""
    found: dict[Split, list[Path]] = {}
    others = {}
    for file in _files(root):
        inside = file.relative_to(root)
        words = [set(re.split("[^a-z]+", part.lower())) for part in (inside.stem, *inside.parts[-2::-1])]
        split = next((split for own in words for split, known in SPLIT_WORDS.items() if own & set(known)), None)
        others[_without_split(inside.parent)] = inside.parent
        if split:
            found.setdefault(split, []).append(file)
    if len(others) > 1:
        there = ", ".join(sorted(str(root / folder) for folder in others.values()))
        raise InputError(f"{root}: several data sets lie in it; name the folder of one: {there}")
    return {split: _Part(root, tuple(found[split])) for split in SPLIT_WORDS if split in found}


def _without_split(folder: Path) -> tuple[str, ...]:
    known = {word for words in SPLIT_WORDS.values() for word in words}
    return tuple(part for part in folder.parts if not known & set(re.split("[^a-z]+", part.lower())))


def _files(root: Path) -> tuple[Path, ...]:
    """Returns the files of a data set: in the order that `save_to_disk` says, else parquet by their names."""
    if not root.is_dir():
        return (root,)
    if (root / _STATE).is_file():
        return tuple(root / file.filename for file in _described(root / _STATE).files)
    return tuple(sorted(file for file in root.rglob("*.parquet") if not _hidden(file.relative_to(root))))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


# ---- columns


def _schema(part: _Part) -> _Schema:
    """Returns what the columns are, by what `datasets` wrote beside them, else by their types."""
    pa = _pyarrow(part.where)
    if not part.files:
        raise InputError(f"{part.where}: no file of rows in it")
    schema = _arrow_schema(part.files[0])
    told = _features(part, schema.metadata or {})
    images, labels = [], []
    for column in schema:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        encoded = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        encoded = encoded or (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)
        if told.get(column.name, {}).get("_type", "Image" if encoded else "") == "Image":
            images.append(column.name)
        elif (
            pa.types.is_integer(kind)
            or pa.types.is_floating(kind)
            or pa.types.is_string(kind)
            or pa.types.is_large_string(kind)
        ):
            labels.append(column.name)
    if not images:  # as in a metadata.parquet
        images = [name for name in labels if columns.bare(name) in columns.PATHS]
        labels = [name for name in labels if name not in images]
    names = {name: told[name]["names"] for name in schema.names if told.get(name, {}).get("_type") == "ClassLabel"}
    where = f"{part.where}: "
    checked = {name: tuple(name_of(where + name, one) for one in given) for name, given in names.items()}
    return _Schema(schema.names, images, labels, checked)


def _values(part: _Part, name: str) -> list[Any]:
    """Returns a column of labels. Hugging Face's -1 is no label: of a test set whose labels are kept back."""
    found = [value for file in part.files for value in _column(file, name).to_pylist()]
    return [None if isinstance(value, int) and value < 0 else value for value in found]


def _features(part: _Part, metadata: Mapping[bytes, bytes]) -> dict[str, dict[str, Any]]:
    """Returns what a data set's own description says of its columns: their type, and the names of labels."""
    folder = part.where if part.where.is_dir() else part.where.parent
    if metadata.get(b"huggingface"):
        found = msgspec.json.decode(metadata[b"huggingface"]).get("info", {}).get("features", {})
    elif (folder / _INFO).is_file():
        found = _described(folder / _INFO).features
    else:
        found = _card(folder / _ABOUT[0])
    return {name: told for name, told in found.items() if isinstance(told, dict)}


def _card(file: Path) -> dict[str, Any]:
    """Returns what a README of the hub says of columns, as dataset_info.json has it. Empty where it says nothing."""
    about = _front_matter(file).get("dataset_info", {})
    try:
        rows = (about[0] if isinstance(about, list) else about).get("features", [])
        kinds = {row["name"]: row["dtype"] for row in rows if "dtype" in row}
        labels = {name: kind["class_label"]["names"] for name, kind in kinds.items() if isinstance(kind, dict)}
        named = {name: [names[key] for key in sorted(names, key=int)] for name, names in labels.items()}
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"{file}: its dataset_info cannot be read ({one_line(error)})") from None
    images = {name: {"_type": "Image"} for name, kind in kinds.items() if kind == "image"}
    return images | {name: {"_type": "ClassLabel", "names": names} for name, names in named.items()}


def _front_matter(file: Path) -> dict[str, Any]:
    """Returns the YAML at the head of a README; empty where there is none."""
    if not file.is_file():
        return {}
    head = re.match(r"---\r?\n(.*?)\n---", read_text(file), re.DOTALL)
    if not head:
        return {}
    import yaml

    try:
        found = yaml.safe_load(head[1])
    except yaml.YAMLError as error:
        raise InputError(f"{file}: its head is no YAML ({one_line(error)})") from None
    return found if isinstance(found, dict) else {}


# ---- pyarrow


def _pyarrow(where: Path) -> Any:
    try:
        import pyarrow
    except ImportError:
        missing = "for which pyarrow is missing: in the checkout: pip install '.[hf]'"
        raise InputError(f"{where} is a Hugging Face data set, {missing}") from None
    return pyarrow


@contextmanager
def _named_errors(file: Path) -> Iterator[None]:
    pa = _pyarrow(file)
    try:
        yield
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise InputError(f"{file}: not a file that pyarrow can read ({one_line(error)})") from None


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() == ".parquet"


def _stamp(file: Path) -> int:
    with named_errors(file):
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "no regular file")  # a pipe would be waited on
        return status.st_mtime_ns


def _arrow_schema(file: Path) -> Any:
    opened = _opened(file, _stamp(file))
    return opened.schema.to_arrow_schema() if _is_parquet(file) else opened.schema


def _row_count(file: Path) -> int:
    return int(_opened(file, _stamp(file)).num_rows)


@lru_cache(maxsize=256)
def _opened(file: Path, _: int) -> Any:
    """Returns the footer of a parquet file, or the memory-mapped table of an Arrow file."""
    with _named_errors(file):
        import pyarrow as pa
        import pyarrow.parquet as pq

        return pq.read_metadata(file) if _is_parquet(file) else pa.ipc.open_stream(pa.memory_map(str(file))).read_all()


def _column(file: Path, name: str) -> Any:
    with _named_errors(file):
        import pyarrow.parquet as pq

        if _is_parquet(file):
            return pq.ParquetFile(file, memory_map=True).read(columns=[name]).column(name)
        return _opened(file, _stamp(file)).column(name)


def _value(file: Path, column: str, row: int) -> Any:
    """Returns one value of a column of images."""
    opened = _opened(file, stamp := _stamp(file))
    with _named_errors(file):
        if not _is_parquet(file):
            return opened.column(column)[row].as_py()
        starts = [0, *accumulate(opened.row_group(group).num_rows for group in range(opened.num_row_groups))]
        group = bisect_right(starts, row) - 1
        return _row_group(file, stamp, group, column)[row - starts[group]].as_py()


@lru_cache(maxsize=_GROUPS)
def _row_group(file: Path, _: int, group: int, column: str) -> Any:
    import pyarrow.parquet as pq

    # Opened anew: several threads read at once.
    return pq.ParquetFile(file, memory_map=True).read_row_group(group, columns=[column]).column(column)


def _described(file: Path) -> _Described:
    try:
        with named_errors(file):
            return msgspec.json.decode(read_regular(file), type=_Described)
    except msgspec.DecodeError as error:
        raise InputError(f"{file}: {error}") from None


FORMAT = Format(takes=_takes, open=_open, read=_read, fingerprint=_fingerprint, splits=_splits, columns=True)
