"""The records that stages pass to each other: one JSON object a line, told apart by `kind`.

A line that a stage does not change is written back byte for byte, keys that ltgc does not know included;
so is a line of a kind that ltgc does not know.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from io import BufferedIOBase, RawIOBase
from operator import attrgetter
from typing import IO, Any, Literal, NamedTuple, TypeVar

import msgspec

from ltgc_cli import schemas
from ltgc_cli.errors import InputError
from ltgc_cli.files import whole_lines
from ltgc_cli.ports import Usage

ShotGroup = Literal["many", "medium", "few", "at most 5", "all"]
GROUPS: tuple[ShotGroup, ...] = ("many", "medium", "few", "at most 5", "all")
"""Groups of classes that accuracies are of, by the number of their training images, as tables have them.

Many, medium and few are the field's (Liu et al., CVPR 2019: over 100, 20 to 100, under 20). Classes with at most five
are few-shot classes too; they are a group of their own where there are several, and others not as rare.
"""
SCHEMA = 1  # part of every record's id: a change here makes every artifact anew (answers in the store are kept)


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """Who made a record: the model, the named prompt (its sha256 where a person replaced it), seed, attempt, cost."""

    model: str
    prompt: str = ""
    seed: int | None = None
    attempt: int = 0
    usage: Usage = Usage()


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=str.lower, forbid_unknown_fields=True):
    """What every record has."""

    id: str = ""
    label: int = -1
    class_: str = msgspec.field(default="", name="class")
    parents: tuple[str, ...] = ()  # the ids of the records that this one was made from
    made: Made | None = None
    rest: dict[str, Any] = {}  # keys that ltgc does not know, kept as they came
    line: str = ""  # as it was read; empty for a record made or changed here


class Class(Record, frozen=True, kw_only=True):
    """A row of the class table. `count` is the number of real training images, None where there is no data."""

    count: int | None = None
    shot: str = ""
    tail: bool
    sense: str = ""
    synonyms: tuple[str, ...] = ()  # other names that a model may call the class by

    @property
    def subject(self) -> str:
        """The name as prompts use it: `seal (marine mammal)`."""
        subject = f"{self.class_} ({self.sense})" if self.sense else self.class_
        return " ".join(subject.split())


class Description(Record, frozen=True, kw_only=True):
    """One Template-1 sentence. `origin` is described (from an original image) or extended."""

    text: str
    origin: Literal["described", "extended"]
    marks: tuple[str, ...] = ()  # what is doubtful about it, though it is kept: `over 77 tokens`


_THRESHOLD: float | None = msgspec.field(default=None, name="bar")  # records keep the names of their first version


class Template(Record, frozen=True, kw_only=True):
    """C_y, the sentence with the class's most distinctive features, and the threshold that its images must reach."""

    text: str
    threshold: float | None = _THRESHOLD
    marks: tuple[str, ...] = ()  # `bare name`: no features were found, images are judged by the name alone


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One round of an image's life in filter: what was generated, how it scored."""

    text: str
    sha256: str
    score: float
    nearest: str = msgspec.field(default="", name="rival")  # the closest other class, where that was asked (`--margin`)
    margin: float | None = None  # by how much its raw cosine with its own class is above that with the other
    verdict: Literal["", "keep", "reject"] = ""  # a person's (`--verdicts`); it decided, whatever the score
    alike: float | None = None  # its cosine with the nearest original of its class, where asked (`--novelty`)
    copy_of: str = ""  # sha256 of that original where it is nearer than originals are to each other


class Image(Record, frozen=True, kw_only=True):
    """An image; its bytes are in the store under `sha256`.

    `origin`: original, generated (from a description), or, to look at beside the others and for nothing else, plain:
    generated from the bare name of the class, or unadapted: from a description, by the model without its adapter.
    """

    sha256: str
    origin: Literal["original", "generated", "plain", "unadapted"]
    format: str = "png"
    text: str = ""  # the description that it was generated from
    original: str = ""  # sha256 of the original image that it started from, where it did (image to image)
    strength: float | None = None  # how much of that was changed, in (0, 1]
    name: str = ""  # where an original came from, relative to its data set
    score: float | None = None
    threshold: float | None = _THRESHOLD
    scale: str = ""
    history: tuple[Step, ...] = ()


class Rejected(Record, frozen=True, kw_only=True):
    """A description or an image that was turned down, with the reason."""

    of: str
    reason: str
    text: str = ""
    sha256: str = ""
    format: str = "png"
    score: float | None = None
    threshold: float | None = _THRESHOLD
    scale: str = ""
    history: tuple[Step, ...] = ()


class Failure(Record, frozen=True, kw_only=True):
    """Something that could not be done: a refused prompt, a broken image, an empty answer."""

    stage: str
    reason: str
    text: str = ""


class Checkpoint(Record, frozen=True, kw_only=True):
    """A trained model: a folder in the store's checkpoints, named by `sha256` of what it was trained from.

    `of`: t2i for an adapter of the text-to-image model, which ltgc adapt made; empty for a classifier.
    """

    sha256: str
    method: str = ""
    settings: dict[str, Any] = {}
    of: Literal["", "t2i"] = ""

    @property
    def classifies(self) -> bool:
        """Whether it is a classifier, which eval measures."""
        return not self.of


class Metric(Record, frozen=True, kw_only=True):
    """One measured value. `group` is one of GROUPS, class or pair; `value` in percent for an accuracy."""

    name: str
    group: str
    value: float | None
    low: float | None = None  # to `high`: the 95% interval of the value over test images, where it has one
    high: float | None = None
    spread: float | None = None  # the sample standard deviation over runs, of which the value is the mean
    runs: int = 1
    method: str = ""
    images: int = 0
    predicted: str = ""  # of a confusion (group pair): what `images` of the class, `value` percent, were taken for
    source: str = ""  # where a number was published that was not measured here


class Verdict(Record, frozen=True, kw_only=True):
    """What a person says of a generated image of a class, whatever its score: keep, reject, or none (as if never said).

    Of several on one image of a class the last one holds.
    """

    sha256: str
    verdict: Literal["keep", "reject", "none"]


class Other(Record, frozen=True, kw_only=True, tag=False):
    """A line of a kind that ltgc does not know; it passes through."""

    kind: str


KINDS: dict[str, type[Record]] = {
    kind.__name__.lower(): kind
    for kind in (Class, Description, Template, Image, Rejected, Failure, Checkpoint, Metric, Verdict)
}
_NAMES = {cls: kind for kind, cls in KINDS.items()}
_KEYS = {kind: frozenset(cls.__struct_encode_fields__) - {"rest", "line"} for kind, cls in KINDS.items()}

_BEGINNING = '{"kind":"'
_KIND = len(_BEGINNING)  # where it stands
_DECODERS = {f"{_BEGINNING}{kind}": msgspec.json.Decoder(cls) for kind, cls in KINDS.items()}

R = TypeVar("R", bound=Record)


def kind_of(record: Record) -> str:
    """Returns the `kind` that a record is written with."""
    return _NAMES.get(type(record)) or str(getattr(record, "kind", ""))


def parse(line: str) -> Record:
    """Returns the record on one line. Raises ValueError for a line that is none."""
    line = line.strip()
    if record := _as_written(line):
        return record
    try:
        data = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not JSON ({error}); every line must be one ltgc record") from None
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str):
        raise ValueError('not a record (a JSON object with a "kind"); pass on what an ltgc command wrote')
    if kind not in KINDS:
        return Other(kind=kind, line=line)
    if said := schemas.newer(data.get("schema")):
        raise ValueError(f"the line {said}")
    fields = {key: value for key, value in data.items() if key in _KEYS[kind]}
    rest = {key: value for key, value in data.items() if key not in _KEYS[kind] and key != "kind"}
    # A line that a person wrote may have no id; seeds and provenance want one.
    fields.setdefault("id", hashlib.sha256(line.encode()).hexdigest()[:16])
    try:
        return msgspec.convert(fields | {"rest": rest, "line": line}, KINDS[kind])
    except msgspec.ValidationError as error:
        raise ValueError(f"not a {kind} record that ltgc can read: {error}") from None


def _as_written(line: str) -> Record | None:
    """Returns the record on a line as ltgc writes them; None for others, which are read with care: what is wrong is
    said, and keys that ltgc does not know are kept.
    """
    if '"rest"' in line or '"line"' in line:  # fields of ours, keys of others
        return None
    decoder = _DECODERS.get(line[: line.find('"', _KIND)])
    try:
        record = decoder.decode(line) if decoder else None
    except (msgspec.DecodeError, RecursionError):
        return None
    if not record or not record.id or record.line or record.rest:
        return None
    msgspec.structs.force_setattr(record, "line", line)  # nobody else has it yet
    return record


def dump(record: Record) -> str:
    """Returns the record as one line of JSON, without the newline: as it was read where nothing changed."""
    if record.line:
        return record.line
    content = {"kind": kind_of(record), **_plain(record, _written(type(record))), **record.rest}
    try:
        return _json(content)
    except ValueError:  # NaN and inf are no JSON, and no reader takes them
        return _json(msgspec.json.decode(msgspec.json.encode(content)))


# json.dumps would make one for each call
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_AS_IT_IS = frozenset((str, int, float, bool))


class _Fields(NamedTuple):
    """Fields of a type: a function that returns their values, the names they are written under, their defaults."""

    values: Callable[[msgspec.Struct], tuple[Any, ...]]
    names: list[str]
    defaults: list[Any]  # NODEFAULT where there is none


@cache
def _fields(kind: type[msgspec.Struct]) -> _Fields:
    return _fields_of(msgspec.structs.fields(kind))


def _fields_of(fields: Sequence[msgspec.structs.FieldInfo]) -> _Fields:
    defaults = [f.default if f.default_factory is msgspec.NODEFAULT else f.default_factory() for f in fields]
    return _Fields(attrgetter(*(f.name for f in fields)), [f.encode_name for f in fields], defaults)


@cache
def _written(kind: type[msgspec.Struct]) -> _Fields:
    """Returns the fields of a record in the order in which they are written.

    Where a record came from goes last: what it says is what people look for.
    """
    fields = {f.name: f for f in msgspec.structs.fields(kind) if f.name not in ("line", "rest", "kind")}
    last = [fields.pop(name) for name in ("parents", "made")]
    return _fields_of([*fields.values(), *last])


def _plain(value: msgspec.Struct, fields: _Fields) -> dict[str, Any]:
    """Returns a struct as JSON has it, without the fields that equal their default.

    msgspec's own omit_defaults compares some of them by identity, and so depends on where a value came from.
    """
    return {
        name: item if type(item) in _AS_IT_IS else _listed(item)
        for name, item, default in zip(fields.names, fields.values(value), fields.defaults, strict=True)
        if item is not default and item != default
    }


def _listed(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return _plain(value, _fields(type(value)))
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def evolve(record: R, **changes: Any) -> R:
    """Returns the record with some fields changed; keys that ltgc does not know stay with it."""
    return msgspec.structs.replace(record, line="", **changes)


def identify(record: R, *content: object) -> R:
    """Returns the record with an id made of its kind, class, parents and `content`: never of a place or a time."""
    what = [SCHEMA, kind_of(record), record.label, record.class_, list(record.parents), *content]
    return evolve(record, id=hashlib.sha256(_json(what).encode()).hexdigest()[:16])


def failed(of: Record, stage: str, reason: str, content: Sequence[object] | None = None, **fields: Any) -> Failure:
    """Returns the record of what could not be done for a record's class; its id is made of `content`, or the reason."""
    failure = Failure(label=of.label, class_=of.class_, stage=stage, reason=reason, **fields)
    return identify(failure, *(content or (reason,)))


def dropped(
    of: Record, lines: Iterable[tuple[str, str]], content: Sequence[object] = (), **fields: Any
) -> list[Record]:
    """Returns a record of each line of an answer about a record's class that is no description: (line, reason)."""
    return [
        identify(
            Rejected(label=of.label, class_=of.class_, of="description", reason=reason, text=text, **fields),
            *content, number, reason, text,
        )
        for number, (text, reason) in enumerate(lines)
    ]  # fmt: skip


def read(stream: IO[bytes] | Iterable[str | bytes], name: str = "stdin") -> Iterator[Record]:
    """Returns the records of a file, or of lines, blank lines skipped. Raises InputError with file and line."""
    import jsonlines

    lines = whole_lines(stream, name) if isinstance(stream, RawIOBase | BufferedIOBase) else stream
    reader = jsonlines.Reader(lines, loads=parse)
    try:
        while True:  # its own `iter` would take longer, a record
            yield reader.read(skip_empty=True)
    except EOFError:
        return
    except jsonlines.InvalidLineError as error:
        cause = error.__cause__ or error
        if isinstance(cause, UnicodeDecodeError):
            cause = f"not UTF-8 text ({cause.reason}); ltgc reads JSONL"
        raise InputError(f"{name}:{error.lineno}: {cause}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 text ({error.reason}); ltgc reads JSONL") from None


class Group(msgspec.Struct, frozen=True):
    """The lines of one class, in order. `cls` is its class record, or one made up where the stream has none."""

    cls: Class
    rows: list[Record]

    @property
    def originals(self) -> list[Image]:
        """The original images of the class."""
        return [row for row in self.rows if isinstance(row, Image) and row.origin == "original"]

    @property
    def generated(self) -> list[Image]:
        """The generated images of the class, those from its bare name left out."""
        return [row for row in self.rows if isinstance(row, Image) and row.origin == "generated"]


_OF_NO_CLASS = (Other, Checkpoint, Metric, Verdict)


def by_class(records: Iterable[Record]) -> Iterator[Group]:
    """Returns the stream class by class. Lines that belong to no class (a checkpoint, say) stay where they are.

    Raises InputError where one label has two names, or the lines of one class do not stay together.
    """
    names: dict[int, str] = {}
    rows: list[Record] = []
    for record in records:
        if isinstance(record, _OF_NO_CLASS):
            rows.append(record)
            continue
        if rows and record.label != rows[0].label:
            yield _group(rows)
            rows = []
        if record.label >= 0:
            if not rows and record.label in names:
                apart = f"the lines of class {record.class_!r} (label {record.label}) do not stay together"
                raise InputError(f"{apart}; sort the stream by label: jq -s -c 'sort_by(.label)[]'")
            if (name := names.setdefault(record.label, record.class_)) != record.class_:
                two = f"label {record.label} is {name!r} in one line and {record.class_!r} in another"
                raise InputError(f"{two}; a stream holds the classes of one data set")
        rows.append(record)
    if rows:
        yield _group(rows)


def _group(rows: list[Record]) -> Group:
    own = next((row for row in rows if isinstance(row, Class)), None)
    return Group(own or Class(label=rows[0].label, class_=rows[0].class_, tail=rows[0].label >= 0), rows)


def share(usage: Usage, parts: int) -> list[Usage]:
    """Returns a usage cut into parts that sum to it, one for each record that an answer became.

    >>> [part.prompt_tokens for part in share(Usage(prompt_tokens=11), 3)]
    [4, 4, 3]
    """

    def cut(total: int, part: int) -> int:
        return total // parts + (part < total % parts)

    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    dollars = None if usage.dollars is None else usage.dollars / parts
    return [
        Usage(prompt_tokens=cut(prompt, n), completion_tokens=cut(completion, n), dollars=dollars) for n in range(parts)
    ]
