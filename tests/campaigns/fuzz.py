"""Gives what ltgc reads (answers, records, lists, settings files, tars) mutated: an LtgcError, or a good result.

    python tests/campaigns/campaign.py --only fuzz-answers
    PYTHONPATH=tests python -m campaigns.fuzz answers FILE      # one input again, as an example names it

Where atheris is installed it guides a fiftieth of the mutations by what code they reach, at ten times the cost;
the rest are blind, of what it found as of the seeds. A thousandth of the inputs are long: parts of a seed, repeated up
to 100,000 bytes, for what takes time that grows faster than its input.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
from campaigns.counts import SECONDS, Counts, Fault, Kind, note, seconds_left

TESTS = Path(__file__).parents[1]
LONGEST = 100_000
KEEP = "CAMPAIGN_KEEP"
"""The variable that names the folder for inputs that something is wrong with."""
_GUIDED = 50  # of how many inputs atheris makes one
_MEMORY = Path("/dev/shm")  # a file on a disk takes longer to make than to read
_SHORT = 4_000
_SLOW = 2.0
_NAMES = (
    ("crane", "crane (bird)"),
    ("Trogon rufus", "Trogon rufus"),
    ("a.b*c", "a.b*c"),
    ("3", "3"),
    ("鶴", "鶴 (鳥)"),
)


class Reader(NamedTuple):
    """What reads an input, and from what inputs others are made."""

    read: Callable[[bytes, Path], object]
    seeds: Callable[[], list[bytes]]
    modules: tuple[str, ...]
    """Those whose code guides the mutations."""


def attack(name: str, numbers: range, seed: int, place: Path) -> Counts:
    """Returns what a reader made of as many inputs as there are numbers."""
    file, told = place / "counts.json", place / "said.txt"
    limit = max(1.0, seconds_left() - 5)
    for guided in [True, False] if find_spec("atheris") and not os.environ.get("CAMPAIGN_BLIND") else [False]:
        part = limit * (0.2 if guided else 1)  # to have every module's code rewritten takes seconds
        with told.open("wb") as said, tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.exists() else place) as read:
            command = [sys.executable, "-m", "campaigns.fuzz", name, len(numbers), seed + numbers.start, place, read]
            environment = {**os.environ, SECONDS: str(part), **({} if guided else {"CAMPAIGN_BLIND": "1"})}
            try:
                ended = subprocess.run(
                    [*map(str, command)], stdout=said, stderr=said, env=environment, timeout=part + 60
                )
                why = f"it ended with {ended.returncode}"
            except subprocess.TimeoutExpired:
                why = "it did not end"
        limit = max(1.0, seconds_left() - 5)
        counts = _counted(file)
        if why != "it ended with 0":
            faults = [Fault("other", f"{why}: {told.read_text(errors='replace')[-1500:]}")]
            note(counts, faults, f"behind input {counts.tried}")
            file.write_bytes(msgspec.json.encode(counts))
    return _counted(file)


def _counted(file: Path) -> Counts:
    return msgspec.json.decode(file.read_bytes(), type=Counts) if file.exists() else Counts()


# ---- what reads


def _answers(data: bytes, place: Path) -> None:
    from ltgc_cli.answers.read import read

    options = data[0] if data else 0
    name, subject = _NAMES[options % len(_NAMES)]
    text = data[1:].decode(errors="surrogateescape")
    found = read(text, name, subject, ["heron"], cut_off=bool(options & 64), one=bool(options & 128))
    if "fault of ltgc" in found.trouble:
        raise AssertionError(found.trouble)
    wrong = [text for text in found.texts if not text.startswith(f"A photo of the class {name}")]
    assert not wrong, wrong
    assert len(found.marks) == len(found.texts)


def _records(data: bytes, place: Path) -> None:
    from ltgc_cli import records

    lines = data.splitlines(keepends=True)
    for record in records.read(lines, "in"):
        records.dump(record).encode()
    for group in records.by_class(records.read(lines, "in")):
        assert group.rows


def _lists(data: bytes, place: Path) -> None:
    from ltgc_cli.learn.datasets import Source, open_data, splits

    name = _LISTS[data[0] % len(_LISTS)] if data else "train.txt"
    path = _written(place, name, data[1:])
    if "table" in name:
        found = open_data(Source(str(_list_of_one(place)), classes=path), "train")
    else:
        spec = str(path.parent if "metadata" in name else path)
        if len(data) % 4 == 0:  # reads it as well
            splits(Source(spec))
        found = open_data(Source(spec), "train")
    labels = {info.label for info in found.classes}
    assert all(item.label in labels for item in found.items)


_LISTS = (
    "train.txt", "list.csv", "list.tsv", "list.jsonl", "train2018.json", "folder/metadata.csv", "json/metadata.jsonl",
    "table.csv", "table.jsonl", "table.json", "table.txt",
)  # fmt: skip


@cache
def _list_of_one(place: Path) -> Path:
    return _written(place, "of-one.txt", b"a/1.jpg 0\n")


def _written(place: Path, name: str, data: bytes) -> Path:
    """Returns a file with an input, in the place of the one before: to ask for each what is there takes longer."""
    path = _path(place, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


@cache
def _path(place: Path, name: str) -> Path:
    path = place / name
    path.parent.mkdir(exist_ok=True)
    return path


def _settings(data: bytes, place: Path) -> None:
    from ltgc_cli import settings_file
    from ltgc_cli.config import configure
    from ltgc_cli.errors import LtgcError

    path = _written(place, "ltgc.toml", data)
    for command, given in (settings_file.load(path) or {}).items():
        if given:
            with suppress(LtgcError):
                configure(command, {}, given, {})


def _tars(data: bytes, place: Path) -> None:
    from ltgc_cli.cache.archive import unpack

    options = data[0] if data else 0
    tar = _repaired(data[1:], keys=bool(options & 2)) if options & 1 else data[1:]
    unpack(_nowhere(place), _written(place, "a.tar", tar))


@cache
def _nowhere(place: Path) -> Any:
    """Returns a store that takes all and keeps nothing: what is written to a real one waits for the disk."""
    from ltgc_cli.store import EmptyStore

    class Nowhere(EmptyStore):
        def put_object(self, data: bytes, source: Path | None = None, *, fixed: bool = False) -> str:
            return hashlib.sha256(data).hexdigest()

        def add_all(self, entries: Any) -> Any:
            return dict(entries)

    return Nowhere(place)


def _repaired(data: bytes, keys: bool) -> bytes:
    """Returns a tar whose checksums are right, and, if wanted, the keys of its answers, so that more of it is read."""
    from ltgc_cli.keys import key_of

    tar, at = bytearray(data), 0
    while at + 512 <= len(tar):
        header = tar[at : at + 512]
        header[148:156] = b" " * 8
        if not any(tar[at : at + 512]):
            at += 512
            continue
        tar[at + 148 : at + 156] = f"{sum(header):06o}\0 ".encode()
        try:
            size = max(0, int(bytes(header[124:136]).strip(b" \0") or b"0", 8))
        except ValueError:
            size = 0
        body = bytes(tar[at + 512 : at + 512 + size])
        if keys and header.startswith(b"answers.jsonl\0"):
            for line in body.splitlines():
                with suppress(Exception):
                    asked = json.loads(line)["request"]
                    right = key_of(asked.pop("type"), asked)
                    old = json.loads(line)["key"]
                    if len(old) == len(right):
                        body = body.replace(old.encode(), right.encode())
            tar[at + 512 : at + 512 + len(body)] = body
        at += 512 + -(-size // 512) * 512
    return bytes(tar)


# ---- what inputs are made from


def _some_answers() -> list[bytes]:
    answers = tomllib.loads((TESTS / "answers" / "answers_of_models.toml").read_text())["answer"]
    texts = [one["text"].replace(one["class"].partition(",")[0], "crane").encode() for one in answers]
    return [bytes([at % 2 * 128]) + text for at, text in enumerate(texts)]


def _some_records() -> list[bytes]:
    import small_run

    from ltgc_cli.records import dump

    lines = [dump(one) for one in small_run.run()]
    return ["\n".join(lines[at : at + 2]).encode() for at in range(len(lines))]


def _some_lists() -> list[bytes]:
    inaturalist = {
        "images": [{"id": 1, "file_name": "a/1.jpg"}, {"id": 2, "file_name": "b/2.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 0}, {"image_id": 2, "category_id": 3}],
        "categories": [{"id": 0, "name": "crane"}, {"id": 3, "name": "seal"}],
    }
    texts = {
        "train.txt": ["a/1.jpg 0\nb/2.jpg 3\n", "/a/1 crane\n\n"],
        "list.csv": ["path,label,class,split\na/1.jpg,0,crane,train\nb/2.jpg,3,seal,val\n", 'image,species\n"a,1",x\n'],
        "list.tsv": ["path\tlabel\na/1.jpg\t0\n"],
        "list.jsonl": ['{"path":"a/1.jpg","label":0,"class":"crane"}\n{"path":"b/2.jpg","label":3,"class":"seal"}\n'],
        "train2018.json": [json.dumps(inaturalist)],
        "folder/metadata.csv": ["file_name,label\n1.png,crane\n"],
        "json/metadata.jsonl": ['{"file_name":"1.png","label":"crane"}\n'],
        "table.csv": ["label,name,synonyms,sense\n0,crane,heron;egret,bird\n"],
        "table.jsonl": ['{"label":0,"name":"crane","synonyms":["heron"],"sense":"bird"}\n'],
        "table.json": [json.dumps(inaturalist["categories"])],
        "table.txt": ["0 crane\n3 seal\n", "crane\nseal\n"],
    }
    return [bytes([_LISTS.index(name)]) + text.encode() for name in texts for text in texts[name]]


def _some_settings() -> list[bytes]:
    from ltgc_cli import settings_file
    from ltgc_cli.config import command_settings

    whole = settings_file.text({}, [])
    found = [whole.replace("#", "").encode(), b'llm = "gpt-4o"\n[reflect]\nk = 300\n[adapt]\n[mix-train]\nlr = 1e-3\n']
    values = ("2.7", "true", '["a"]', "1979-05-27", "1e400", "-1", "{a = 1}", '"x"', "nan", "9" * 30)
    for command, value in product(("extend", "filter", "mix-train", "run", "render"), values):
        lines = [f"{one.flag.lstrip('-')} = {value}" for one in command_settings(command).values()]
        found += [f"[{command}]\n{line}\n".encode() for line in lines]
    return Random(0).sample(found, 300)


def _some_tars() -> list[bytes]:
    from ltgc_cli.keys import key
    from ltgc_cli.ports import Answer, GeneratedImage, ImageRequest, Match, Question, Usage
    from ltgc_cli.store import entry_for

    image = b"an image"
    sha256 = hashlib.sha256(image).hexdigest()
    pairs = [
        (Question(model="gpt-4o", task="extend", subject="crane", text="What?"), Answer(text="a", usage=Usage())),
        (ImageRequest(model="sd", text="A photo of crane.", seed=7), GeneratedImage(sha256=sha256)),
        (Match(model="clip", image="ab" * 32, text="A photo of crane."), 0.25),
    ]
    lines = [json.dumps({"key": key(request), **entry_for(request, answer)}) for request, answer in pairs]
    answers = "".join(f"{line}\n" for line in sorted(lines)).encode()
    found = []
    for members in ([("answers.jsonl", answers), (f"objects/{sha256[:2]}/{sha256}", image)], [("answers.jsonl", b"")]):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name, data in members:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        found += [bytes([options]) + file.getvalue().rstrip(b"\0") + bytes(1024) for options in range(4)]
    return found


READERS = {
    "answers": Reader(_answers, _some_answers, ("ltgc_cli.answers", "ltgc_cli.text")),
    "records": Reader(_records, _some_records, ("ltgc_cli.records", "jsonlines")),
    "lists": Reader(_lists, _some_lists, ("ltgc_cli.learn.datasets", "csv")),
    "settings": Reader(_settings, _some_settings, ("ltgc_cli.settings_file", "ltgc_cli.config", "tomllib")),
    "tars": Reader(_tars, _some_tars, ("ltgc_cli.cache.archive", "ltgc_cli.store", "tarfile")),
}


# ---- mutated, and counted


class _Tried:
    """A reader under attack: what it is called with is counted, and what it does wrong is kept."""

    def __init__(self, name: str, runs: int, place: Path, file: Path) -> None:
        self.name, self.read, self.runs, self.place, self.file = name, READERS[name].read, runs, place, file
        self.counts = _counted(file)
        self.before, self.peak = _memory(), self.counts.peak
        self.kept = 0.0

    def __call__(self, data: bytes) -> None:
        fault = judged(self.read, data, self.place)
        self.counts.tried += 1
        self.counts.held += not fault
        if fault:
            self.note(data, fault)
        # libFuzzer ends the process as it likes: what was counted is written now and then.
        if fault or self.counts.tried >= self.runs or time.monotonic() > self.kept + 1:
            self.keep()

    def note(self, data: bytes, fault: Fault) -> None:
        """Notes a fault; the input is written to a file where it is the first of its kind."""
        before, sha256 = len(self.counts.examples), hashlib.sha256(data).hexdigest()
        file = Path(os.environ.get(KEEP) or self.file.parent) / f"{self.name}-{sha256[:16]}"
        note(self.counts, [fault], f"input {file} ({data[:60]!r}, {len(data):,} bytes, sha256 {sha256})")
        if len(self.counts.examples) > before:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)

    def keep(self) -> None:
        """Writes the counts to their file."""
        self.kept = time.monotonic()
        self.counts.peak = max(self.peak, _memory() - self.before)
        unfinished = self.file.with_suffix(".tmp")
        unfinished.write_bytes(msgspec.json.encode(self.counts))
        unfinished.replace(self.file)


def judged(read: Callable[[bytes, Path], object], data: bytes, place: Path) -> Fault | None:
    """Returns what a reader does wrong with an input, None where it reads it or refuses it in one line."""
    from ltgc_cli.errors import LtgcError

    kind: Kind = "traceback"
    started = time.perf_counter()  # to ask for the processor's time takes longer than most inputs
    said = ""
    try:
        read(data, place)
    except LtgcError:
        pass
    except Exception:
        said = " / ".join(traceback.format_exc(limit=-3).splitlines()[-7:])[-600:]
    if not said and time.perf_counter() - started > _SLOW and (took := _processor_time(read, data, place)) > _SLOW:
        kind, said = "other", f"{took:.1f} s for {len(data):,} bytes"
    return Fault(kind, said) if said else None


def _processor_time(read: Callable[[bytes, Path], object], data: bytes, place: Path) -> float:
    """Returns how long an input is read by a processor: of a busy machine others have a part."""
    started = time.process_time()
    with suppress(Exception):
        read(data, place)
    return time.process_time() - started


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def long_ones(seeds: Sequence[bytes], random: Random, count: int) -> Iterator[bytes]:
    """Returns inputs of up to 100,000 bytes: a part of a seed, repeated, and what a mutation makes of it."""
    for _ in range(count):
        seed = random.choice(seeds)
        first, last = sorted(random.randrange(1, len(seed) + 1) for _ in range(2))
        part = seed[first:last] or random.choice(
            [b"[", b"{", b" ", b"A", b"(", b'"', b"\n", b",", b"=", b"\xef\xbf\xbd"]
        )
        length = random.choice([LONGEST // 10, LONGEST // 2, LONGEST - len(seed) - 1])
        long = seed[:first] + part * (length // len(part)) + seed[last:]
        yield mutated(long, random) if random.random() < 0.3 else long


_TOKENS = (
    b"\0", b"\n", b'"', b"[", b"]", b"{", b"}", b"null", b"true", b"NaN", b"1e400", b"-1", b"9" * 25, b",", b":", b"=",
    b"\xff", b"\xed\xa0\x80", b"\\u0000", b"\r", b"#", b"'''", b"../", b"\xe2\x80\xae", b" ", b"\t",
)  # fmt: skip


def mutated(data: bytes, random: Random) -> bytes:
    """Returns an input with one to four changes made without knowing anything of it."""
    found = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at, length = random.randrange(len(found) + 1), random.randrange(1, 16)
        change = random.randrange(5)
        if change == 0:
            found[at : at + 1] = bytes([random.randrange(256)])
        elif change == 1:
            del found[at : at + length]
        elif change == 2:
            found[at:at] = random.choice(_TOKENS)
        elif change == 3:
            found[at : at + length] = random.choice(_TOKENS)
        else:
            other = random.randrange(len(found) + 1)
            found[at:at] = found[other : other + length]
    return bytes(found)


def blind(seeds: Sequence[bytes], runs: int, random: Random) -> Iterator[bytes]:
    """Returns mutations of the seeds that nothing guides, and every thousandth time a long input."""
    for number in range(runs):
        yield next(long_ones(seeds, random, 1)) if number % 1_000 == 0 else mutated(random.choice(seeds), random)


@contextmanager
def _instrumented(modules: Sequence[str]) -> Iterator[Any]:
    """Within it what is imported tells atheris where it goes; gives atheris, None where it is not installed."""
    try:
        if os.environ.get("CAMPAIGN_BLIND"):
            raise ImportError
        import atheris
    except ImportError:
        yield None
        return
    with atheris.instrument_imports(include=list(modules)):
        yield atheris


def main(name: str, runs: int, seed: int, place: Path, read: Path) -> None:
    """Tries inputs until so many were tried, written to the folder `read`; the counts are in a file of the place."""
    reader = READERS[name]
    with _instrumented(reader.modules) as atheris:
        seeds = reader.seeds() + [path.read_bytes() for path in _corpus(name)]
        for one in seeds[:3]:
            judged(reader.read, one, read)  # imports what it needs
    tried = _Tried(name, runs, read, place / "counts.json")
    if atheris:
        _guided(atheris, tried, seeds, runs // _GUIDED, seed, place / "corpus")
    found = [data for path in sorted((place / "corpus").glob("*")) if (data := path.read_bytes())]
    for data in blind(seeds + found, runs - tried.counts.tried, Random(f"{name} {seed}")):
        tried(data)
        if seconds_left() <= 0:
            break
    tried.keep()


def _guided(atheris: Any, tried: _Tried, seeds: Sequence[bytes], runs: int, seed: int, corpus: Path) -> None:
    """Tries inputs that atheris makes; it does not return: libFuzzer ends the process."""
    corpus.mkdir()
    for one in seeds:
        (corpus / hashlib.sha256(one).hexdigest()[:16]).write_bytes(one)
    options = {
        "runs": runs,
        "seed": seed % 2**31 or 1,
        "max_len": min(_SHORT, 2 * max(map(len, seeds))),
        "timeout": 60,
        "rss_limit_mb": 4_000,
    }
    options |= {"max_total_time": max(1, int(min(seconds_left(), 10**6))), "verbosity": 0}
    options["artifact_prefix"] = f"{corpus.parent}/"
    atheris.Setup([sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), str(corpus)], tried)
    atheris.Fuzz()


def _corpus(name: str) -> list[Path]:
    """Returns the inputs that were found before."""
    return sorted(path for path in (Path(__file__).parent / "corpus" / name).glob("*") if path.is_file())


if __name__ == "__main__":
    if len(sys.argv) == 3:
        with tempfile.TemporaryDirectory() as folder:
            print(judged(READERS[sys.argv[1]].read, Path(sys.argv[2]).read_bytes(), Path(folder)) or "held")
    else:
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *map(Path, sys.argv[4:6]))
