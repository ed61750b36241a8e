"""Runs the same commands in two checkouts, as a user would, and compares what comes of them.

    python tests/campaigns/same_behaviour.py OLD_CHECKOUT NEW_CHECKOUT [--quick] [--only SECTION]... [--old-results DIR]

Compared: exit status, bytes of stdout, every file written, and in the end the store: its keys and answers, its images
and the records of its artifacts. stderr is shown where the exit status differs, and compared nowhere. Each checkout
has a home, a store and a folder of its own; each section begins where the first one, the chain, has ended. Ends with 1
where anything differs that `IGNORED` and `CHANGED_COMMANDS` do not name.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib
import json
import os
import pickle
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

# ---- what differs by intention


class Ignored(NamedTuple):
    """A difference that is meant: what it does to both sides' text, so that they are equal but for it."""

    name: str
    reason: str
    apply: Callable[[str, Came], str]


REMOVED_SETTINGS = ("gate", "syn_by_score", "syn_ratio", "syn_weight", "real_head_epochs")


def _without_removed_settings(text: str, _: Came) -> str:
    return _json_mapped(text, lambda key, value: key in REMOVED_SETTINGS)


def _without_stage_of_training(text: str, _: Came) -> str:
    return _json_mapped(text, lambda key, value: key == "stage" and value == "mix")


def _with_numbered_checkpoints(text: str, side: Came) -> str:
    return re.sub(r"\b[0-9a-f]{16,64}\b", lambda found: side.names.get(found[0], found[0]), text)


def _without_hashes_of_settings(text: str, _: Came) -> str:
    return _json_mapped(text, lambda key, value: key == "settings.json")


IGNORED = [
    Ignored(
        "removed settings",
        "--gate, --syn-by-score, --syn-ratio, --syn-weight and --real-head-epochs are gone, from checkpoints too",
        _without_removed_settings,
    ),
    Ignored(
        "stage in a training curve",
        "there is one stage since --real-head-epochs is gone",
        _without_stage_of_training,
    ),
    Ignored(
        "hash of the settings in done.json",
        "settings.json has fewer keys (removed settings)",
        _without_hashes_of_settings,
    ),
    Ignored(
        "names of checkpoints",
        "a checkpoint is named by the hash of its settings, of which there are fewer; ids of its records follow",
        _with_numbered_checkpoints,
    ),
]
"""Tried one after the other where the bytes differ."""

CHANGED_COMMANDS = {
    r"\bcache ls\b": "`cache show` without an ID lists",
    r"--(gate|syn-by-score|syn-ratio|syn-weight|real-head-epochs)\b": "the flag is gone",
}
"""Commands that may differ in any way, and why."""

NOT_COMPARED = (".html", "contact-sheet.png")
"""Files made to be looked at: that they are there is compared."""

# ---- what is run


class Case(NamedTuple):
    """A command line, and how what it prints is compared: as bytes, as the numbers in it, or not at all."""

    line: str
    out: str = "bytes"


VARIABLES = {
    "MIX": "ltgc mix-train --data digits -i small.jsonl --steps 3 --batch 6",
    "PLAIN": "ltgc mix-train --data digits --no-generated --steps 2 --batch 4",
}
"""What stands for the beginning of many command lines."""

COMMANDS = Path(__file__).with_suffix(".txt")

QUICK = ("pipe", "dry runs", "settings", "mistakes")
"""What --quick runs: a third of the time."""


def sections() -> dict[str, list[Case]]:
    """Returns what there is to run."""
    found: dict[str, list[Case]] = {}
    for line in COMMANDS.read_text().replace("\\\n", "").splitlines():
        if section := re.fullmatch(r"\[(.+)\]", line):
            current = found.setdefault(section[1], [])
        elif line and not line.startswith("#"):
            how = re.match("(numbers|status): ", line)
            current.append(Case(line[how.end() :], how[1]) if how else Case(line))
    return found


def chosen(quick: bool, only: Sequence[str]) -> dict[str, list[Case]]:
    """Returns what is run."""
    there = sections()
    names = ("chain", *(only or (QUICK if quick else list(there)[1:])))
    return {name: there[name] for name in names}


def given(folder: Path) -> None:
    """Writes the data that both sides start from: three digits, of which two are rare."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    taken: Counter[int] = Counter()
    for split, counts in (("train", (9, 3, 2)), ("val", (4, 4, 4)), ("test", (6, 6, 6))):
        for label, (name, count) in enumerate(zip(("zero", "one", "two"), counts, strict=True)):
            (folder / "digits" / split / name).mkdir(parents=True)
            own = digits.images[digits.target == label]
            for number in range(taken[label], taken[label] + count):
                image = Image.fromarray((own[number] * 15.9).astype("uint8")).resize((32, 32))
                image.save(folder / "digits" / split / name / f"{number}.png")
            taken[label] += count
    shutil.copytree(folder / "digits" / "train", folder / "digits-flat")
    (folder / "broken" / "crane").mkdir(parents=True)
    for path in (folder / "broken.png", folder / "broken" / "crane" / "1.png"):
        path.write_bytes(b"no image")
    (folder / "empty").mkdir()
    for path in folder.rglob("*"):
        os.utime(path, (1.6e9, 1.6e9))  # what is known of a data set goes by its files' times


# ---- running


class Done(NamedTuple):
    """What a command came to."""

    status: int
    out: bytes
    err: bytes
    files: dict[str, bytes]
    """Those that it wrote, by path."""
    gone: frozenset[str]
    seconds: float


class Kept(NamedTuple):
    """What lies in a store in the end."""

    answers: dict[str, str]
    objects: frozenset[str]
    artifacts: dict[str, list[bytes]]
    """By stage, their names left out."""


class Came(NamedTuple):
    """What a section came to in one checkout."""

    done: list[Done]
    stores: dict[str, Kept]
    names: dict[str, str]
    """Of what a checkpoint's hash is part of: a name that both sides have."""


HEAVY = (
    "peft",
    "sklearn.datasets",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
    "matplotlib.pyplot",
)
"""What commands import besides what tests/preloaded.py has: all of them forked with it take a second less each."""

HELPERS = {
    "field": """
import json, sys
path, kind, field, *number = sys.argv[1:]
rows = [row for row in map(json.loads, open(path)) if row.get("kind") == kind]
rows = [row for row in rows if kind != "image" or row["origin"] == "generated"]
print(rows[int(number[0]) if number else 0].get(field, ""))
""",
    "settings": """
import pathlib, sys
folder, *lines = sys.argv[1:]
pathlib.Path(folder).mkdir(exist_ok=True)
pathlib.Path(folder, "ltgc.toml").write_text("".join(line + "\\n" for line in lines))
""",
    "verdicts": """
import itertools, json, sys
rows = [row for row in map(json.loads, open(sys.argv[1])) if row["kind"] == "image" and row["origin"] == "generated"]
for row, verdict in zip(rows, itertools.cycle(["reject", "keep", "none"])):
    named = {key: row[key] for key in ("label", "class", "sha256")}
    print(json.dumps({"kind": "verdict", **named, "verdict": verdict}))
""",
}
"""Small programs that the command lines use, besides those of any machine."""


@contextmanager
def programs(checkout: Path, python: Path, folder: Path) -> Iterator[Path]:
    """A folder with an `ltgc` that runs the checkout's, forked from one process that has the libraries imported."""
    bin_, socket = folder / "bin", folder / "socket"
    bin_.mkdir()
    preloaded = next(path for path in (checkout / "tests").rglob("preloaded.py"))
    for name, text in HELPERS.items():
        (bin_ / name).write_text(f"#!{sys.executable} -S\n{text}")
    client = subprocess.run(
        [python, "-c", "import preloaded, sys; print(preloaded.client(sys.argv[1]))", socket],
        env=os.environ | {"PYTHONPATH": str(preloaded.parent)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (bin_ / "ltgc").write_text(client)
    for path in bin_.iterdir():
        path.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LTGC_")}
    environment |= {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{checkout}:{preloaded.parent}",
        "HOME": str(folder / "home"),
    }
    command = [python, __file__, "--serve", str(socket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=folder) as server:
        assert server.stdout
        if server.stdout.readline() != b"ready\n":
            sys.exit(f"{checkout}: its commands cannot be imported")
        try:
            yield bin_
        except ConnectionError:
            sys.exit(f"{checkout}: the process that runs its commands ended with {server.wait(10)}; begin again")
        finally:
            server.terminate()


def serve(socket: str) -> None:
    """Runs the checkout's commands in forks, the heavy libraries imported once mended."""
    preloaded = importlib.import_module("preloaded")
    freeze = gc.freeze

    def import_and_freeze() -> None:
        for name in HEAVY:
            importlib.import_module(name)
        freeze()

    gc.freeze = import_and_freeze
    preloaded.serve(socket)


class Side(NamedTuple):
    """A checkout, and where its commands run."""

    name: str
    checkout: Path
    python: Path
    folder: Path
    results: Path | None = None
    """Where what its sections came to is kept and read again."""

    def file(self, wanted: dict[str, list[Case]], section: str) -> Path | None:
        """Returns where the section is kept, under a hash of all that it depends on."""
        if not self.results:
            return None
        commit = subprocess.run(["git", "-C", self.checkout, "rev-parse", "HEAD"], capture_output=True, check=True)
        about = (commit.stdout, HELPERS, VARIABLES, wanted["chain"], wanted[section])
        return self.results / f"{section.replace(' ', '-')}-{hashlib.sha256(repr(about).encode()).hexdigest()[:16]}"


def run(
    side: Side, wanted: dict[str, list[Case]], data: Path, jobs: int, ready: Callable[[str, Came], None] | None = None
) -> dict[str, Came]:
    """Returns what each section came to: those after the first begin with copies of what it leaves.

    ready -- called with each section as it ends
    """
    files = {section: side.file(wanted, section) for section in wanted}
    found = {section: pickle.loads(file.read_bytes()) for section, file in files.items() if file and file.exists()}

    def keep(section: str, came: Came) -> None:
        found[section] = came
        if file := files[section]:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.with_suffix(".tmp").write_bytes(pickle.dumps(came))
            file.with_suffix(".tmp").replace(file)
        if ready:
            ready(section, came)

    missing = [section for section in wanted if section not in found]
    if missing:
        first = side.folder / "chain"
        shutil.copytree(data, first / "work")
        (first / "home").mkdir()
        with programs(side.checkout, side.python, side.folder) as bin_, ThreadPoolExecutor(jobs) as pool:
            keep("chain", _section(side.name, wanted["chain"], first, bin_))

            def one(section: str) -> None:
                shutil.copytree(first, side.folder / section)
                keep(section, _section(f"{side.name} {section}", wanted[section], side.folder / section, bin_))

            list(pool.map(one, [section for section in missing if section != "chain"]))
    return found


def _section(name: str, cases: Sequence[Case], folder: Path, bin_: Path) -> Came:
    work = folder / "work"
    environment = {
        "HOME": str(folder / "home"), "LTGC_CACHE_DIR": str(folder / "store"), "OMP_NUM_THREADS": "1", "COLUMNS": "100",
        "LANG": "C.UTF-8", "HF_HUB_OFFLINE": "1", "TZ": "UTC", "PATH": f"{bin_}:/usr/local/bin:/usr/bin:/bin",
        **VARIABLES,
    }  # fmt: skip
    found = []
    before = _stamps(work)
    for number, case in enumerate(cases, start=1):
        started = time.monotonic()
        ran = _shell(case.line, environment, work)
        if b"\nConnectionRefusedError: " in ran.stderr:
            raise ConnectionError
        seconds = time.monotonic() - started
        after = _stamps(work)
        changed = [path for path in after if after[path] != before.get(path)]
        written = {path: _plain((work / path).read_bytes(), folder) for path in changed}
        out, err = _plain(ran.stdout, folder), _plain(ran.stderr, folder)
        found.append(Done(ran.returncode, out, err, written, frozenset(before.keys() - after.keys()), seconds))
        before = after
        print(f"{name} {number}/{len(cases)} {seconds:.1f} s, {ran.returncode}: {_short(case.line)}", file=sys.stderr)
    databases = list(folder.rglob("answers/cache.db"))
    stores = {str(path.parents[1].relative_to(folder)): kept(path.parents[1], folder) for path in databases}
    return Came(found, stores, _names(found, stores))


def _shell(line: str, environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    command = ["bash", "-c", f"set -o pipefail; {line}"]
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, cwd=folder, timeout=400
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(command, -1, error.stdout or b"", (error.stderr or b"") + b"\ntook too long")


def _stamps(folder: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "answers" not in path.parts and "objects" not in path.parts:
            stat = path.stat()
            found[str(path.relative_to(folder))] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return found


def _plain(data: bytes, folder: Path) -> bytes:
    """Returns the bytes with what differs by nature named alike: the folder, how fast it was."""
    for path in (folder, folder.parent / "chain"):
        data = data.replace(str(path).encode(), b"FOLDER")
    data = re.sub(rb'("images_per_second": ?)[0-9.]+', rb"\g<1>0", data)
    return re.sub(rb'("metrics.jsonl": ?)"[0-9a-f]{64}"', rb'\g<1>""', data)


def kept(store: Path, folder: Path) -> Kept:
    with closing(sqlite3.connect(store / "answers" / "cache.db")) as database:
        answers = {str(key): str(value) for key, value in database.execute("SELECT key, value FROM Cache ORDER BY key")}
    objects = frozenset(path.name for path in (store / "objects").rglob("*") if path.is_file())
    artifacts: dict[str, list[bytes]] = {}
    for path in sorted(store.glob("artifacts/*/*.jsonl")):
        artifacts.setdefault(path.parent.name, []).append(_plain(path.read_bytes(), folder))
    return Kept(answers, objects, artifacts)


def _names(done: Sequence[Done], stores: dict[str, Kept]) -> dict[str, str]:
    """Returns a name for each checkpoint and each record made from one, in the order in which they came."""
    names: dict[str, str] = {}
    artifacts = (data for kept in stores.values() for stage in kept.artifacts.values() for data in sorted(stage))
    texts = [data for ran in done for data in (ran.out, *ran.files.values())]
    for data in (*texts, *artifacts):
        for line in data.splitlines():
            if b'"kind":"checkpoint"' in line or b'"kind":"metric"' in line:
                record = json.loads(line)
                for key in ("sha256", "id"):
                    if record.get(key):
                        names.setdefault(record[key], f"{record['kind']}-{len(names)}")
    return names


# ---- comparing


def of_section(cases: Sequence[Case], old: Came, new: Came, ignored: Counter[str]) -> Iterator[str]:
    """Returns a text for each thing that a section came to differently."""
    for case, was, now in zip(cases, old.done, new.done, strict=True):
        for text in differences(case, was, now, (old, new), ignored):
            yield f"{_short(case.line, 160)}\n  {text}"
    for text in of_stores(old, new, ignored):
        yield f"in the end\n  {text}"


def differences(case: Case, old: Done, new: Done, sides: tuple[Came, Came], ignored: Counter[str]) -> Iterator[str]:
    """Returns a line for each thing that a command came to differently."""
    for pattern, reason in CHANGED_COMMANDS.items():
        if re.search(pattern, case.line) and (old.status, old.out, old.files) != (new.status, new.out, new.files):
            ignored[f"{reason} ({case.line.split(' -i ')[0]})"] += 1
            return
    if old.status != new.status:
        yield f"exit status {old.status}, now {new.status}\n    old: {_last(old.err)}\n    new: {_last(new.err)}"
    if case.out == "bytes":
        yield from _unequal("stdout", old.out, new.out, sides, ignored)
    elif case.out == "numbers" and (was := _numbers(old.out)) != (now := _numbers(new.out)):
        yield f"numbers on stdout: {_first_unequal(was, now)}"
    for path in sorted(old.files.keys() | new.files.keys()):
        if path not in new.files or path not in old.files:
            yield f"{path}: written by the {'old' if path in old.files else 'new'} one alone"
        elif not path.endswith(NOT_COMPARED):
            yield from _unequal(path, old.files[path], new.files[path], sides, ignored)
    if old.gone != new.gone:
        yield f"deleted: {sorted(old.gone ^ new.gone)}"


def _unequal(what: str, old: bytes, new: bytes, sides: tuple[Came, Came], ignored: Counter[str]) -> Iterator[str]:
    if old == new:
        return
    if what.endswith(".toml") and (_toml_of(old) == _toml_of(new)):  # comments tell a person
        return
    if what.endswith((".safetensors", ".png", ".webp", ".tar")) or b"\0" in old:
        yield f"{what}: other bytes ({len(old):,} and {len(new):,}){_of_tar(old, new) if what.endswith('.tar') else ''}"
        return
    texts, used = [old.decode(errors="replace"), new.decode(errors="replace")], []
    for rule in IGNORED:
        changed = [rule.apply(text, side) for text, side in zip(texts, sides, strict=True)]
        used += [rule] if changed != texts else []
        texts = changed
        if texts[0] == texts[1]:
            ignored.update(f"{rule.name}: {rule.reason}" for rule in used)
            return
    yield f"{what}: {_first_record(texts[0], texts[1])}"


def _toml_of(data: bytes) -> object:
    try:
        return tomllib.loads(data.decode())
    except ValueError:
        return data


def _of_tar(old: bytes, new: bytes) -> str:
    try:
        members = [_members(data) for data in (old, new)]
    except tarfile.TarError:
        return ""
    if members[0] == members[1]:
        return "; the members are the same" + ("" if list(members[0]) == list(members[1]) else ", in another order")
    return f"; members: {_first_unequal(sorted(members[0]), sorted(members[1])) or 'the same names'}"


def _members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        return {member.name: file.read() for member in archive if (file := archive.extractfile(member))}


def _first_record(old: str, new: str) -> str:
    """Returns where two texts of JSON lines differ first, in a few words."""
    was, now = old.splitlines(), new.splitlines()
    count = f"{len(was)} lines, now {len(now)}; " if len(was) != len(now) else ""
    for number, (one, other) in enumerate(zip(was, now, strict=False), start=1):
        if one != other:
            return f"{count}line {number}: {_of_json(one, other)}"
    more = was[len(now) :] or now[len(was) :]
    return f"{count}the first one more: {_short(more[0], 200)}" if more else "other line ends"


def _of_json(old: str, new: str) -> str:
    try:
        found = list(_paths("", json.loads(old), json.loads(new)))
    except ValueError:
        return f"{_short(old, 150)}\n        now: {_short(new, 150)}"
    return "; ".join(found[:3]) or "the same JSON, written otherwise"


def _paths(path: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _paths(f"{path}.{key}", old.get(key, "(none)"), new.get(key, "(none)"))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _paths(f"{path}[{number}]", one, other)
    elif old != new or type(old) is not type(new):
        yield f"{path} {_short(json.dumps(old))}, now {_short(json.dumps(new))}"


def _json_mapped(text: str, dropped: Callable[[str, Any], bool]) -> str:
    """Returns JSON, or JSON lines, without some keys wherever they are; other text as it is."""

    def mapped(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: mapped(item) for key, item in value.items() if not dropped(key, item)}
        return [mapped(item) for item in value] if isinstance(value, list) else value

    try:
        return json.dumps(mapped(json.loads(text)))
    except ValueError:
        pass
    lines = []
    for line in text.splitlines():
        try:
            lines.append(json.dumps(mapped(json.loads(line))))
        except ValueError:
            lines.append(line)
    return "\n".join(lines)


def _numbers(out: bytes) -> list[str]:
    return re.findall(r"\d[\d,.]*\d|\d", out.decode(errors="replace"))


def _first_unequal(old: Sequence[str], new: Sequence[str]) -> str:
    for number, (was, now) in enumerate(zip(old, new, strict=False), start=1):
        if was != now:
            return f"the {number}. is {was}, now {now}"
    return f"{len(old)}, now {len(new)}" if len(old) != len(new) else ""


def of_stores(old: Came, new: Came, ignored: Counter[str]) -> Iterator[str]:
    """Returns a line for each thing in which the stores differ."""
    for name in sorted(old.stores.keys() | new.stores.keys()):
        if name not in old.stores or name not in new.stores:
            yield f"{name}: a store on one side alone"
            continue
        was, now = old.stores[name], new.stores[name]
        for side, keys, answers in (
            ("old", was.answers.keys() - now.answers.keys(), was.answers),
            ("new", now.answers.keys() - was.answers.keys(), now.answers),
        ):
            if keys:
                what = _short(answers[min(keys)], 300)
                yield f"{name}: {len(keys)} keys in the {side} one alone, of {len(answers)}; {what}"
        other = [key for key in was.answers.keys() & now.answers.keys() if was.answers[key] != now.answers[key]]
        if other:
            key = min(other)
            yield f"{name}: {len(other)} other answers; {key[:12]}: {_of_json(was.answers[key], now.answers[key])}"
        if was.objects != now.objects:
            yield f"{name}: {len(was.objects ^ now.objects)} images on one side alone, of {len(was.objects)}"
        for stage in sorted(was.artifacts.keys() | now.artifacts.keys()):
            one, two = was.artifacts.get(stage, []), now.artifacts.get(stage, [])
            yield from (f"{name}: {text}" for text in _of_artifacts(stage, one, two, (old, new), ignored))


def _of_artifacts(
    stage: str, old: list[bytes], new: list[bytes], sides: tuple[Came, Came], ignored: Counter[str]
) -> Iterator[str]:
    both = Counter(old) & Counter(new)
    left = [sorted((Counter(side) - both).elements(), key=_same_order) for side in (old, new)]
    if len(old) != len(new):
        yield f"artifacts of {stage}: {len(old)}, now {len(new)}"
    elif found := [text for one, two in zip(*left, strict=True) for text in _unequal("", one, two, sides, ignored)]:
        yield f"artifacts of {stage}: {len(found)} of {len(old)} differ; the first{found[0]}"


def _same_order(data: bytes) -> str:
    """Returns what sorts artifacts alike on both sides, whatever their hashes are."""
    return re.sub(r"\b[0-9a-f]{16,64}\b", "", _without_removed_settings(data.decode(errors="replace"), None))  # type: ignore[arg-type]


def _short(text: str, most: int = 110) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


def _last(err: bytes) -> str:
    return _short((err.decode(errors="replace").strip().splitlines() or ["(nothing)"])[-1], 300)


# ---- the demonstration


def demo(side: Side, folder: Path) -> Path:
    """Returns a folder with what `ltgc demo` leaves: `out/` and `store/`."""
    folder.mkdir()
    environment = os.environ | {"HOME": str(folder / "home"), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(side.checkout)}
    command = [side.python, "-m", "ltgc_cli", "demo", "--out", "out", "--cache-dir", "store"]
    with (folder / "demo.log").open("wb") as log:
        subprocess.run(command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=True)
    return folder


def of_demo(old: Path, new: Path, ignored: Counter[str]) -> Iterator[str]:
    """Returns a line for each thing in which two demonstrations differ."""
    was, now = ({path.name for path in (side / "out").iterdir()} for side in (old, new))
    if was != now:
        yield f"ltgc demo\n  files in out/: {sorted(was)}, now {sorted(now)}"
    sides = []
    for folder in (old, new):
        stores = {"store": kept(folder / "store", folder)}
        sides.append(Came([], stores, _names([], stores)))
    yield from (f"ltgc demo\n  {text}" for text in of_stores(sides[0], sides[1], ignored))


# ---- the command


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(sections())[1:]
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--python-old", type=Path, help="[OLD/.venv/bin/python]")
    parser.add_argument("--python-new", type=Path, help="[NEW/.venv/bin/python]")
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}; no demo")
    parser.add_argument("--only", action="append", default=[], choices=names, help="this section; no demo; repeatable")
    parser.add_argument("--old-results", type=Path, help="folder where the old side's results are kept and read again")
    parser.add_argument("--demo-old", type=Path, help="folder with out/ and store/ of the old side's demo")
    parser.add_argument("--no-demo", action="store_true")
    parser.add_argument("--jobs", type=int, default=1, help="sections run at once, after the chain [1]")
    parser.add_argument("--keep", action="store_true", help="leave the temporary folder")
    said = parser.parse_args()
    pythons = [
        given or side / ".venv/bin/python" for given, side in ((said.python_old, said.old), (said.python_new, said.new))
    ]
    wanted = chosen(said.quick, said.only)
    folder = Path(tempfile.mkdtemp(prefix="same-"))
    began = time.monotonic()
    given(folder / "given")
    old = Side("old", said.old.resolve(), pythons[0].absolute(), folder / "old", said.old_results)
    new = Side("new", said.new.resolve(), pythons[1].absolute(), folder / "new")
    for side in (old, new):
        side.folder.mkdir()
    was = run(old, wanted, folder / "given", said.jobs)
    ignored: Counter[str] = Counter()
    found: set[str] = set()

    def report(texts: Iterator[str]) -> None:
        for text in texts:
            if text not in found:  # what the chain leaves is in each section's store
                print(text, flush=True)
            found.add(text)

    def compare(section: str, came: Came) -> None:
        report(of_section(wanted[section], was[section], came, ignored))

    run(new, wanted, folder / "given", said.jobs, compare)
    if not (said.quick or said.only or said.no_demo):
        before = said.demo_old or demo(old, folder / "demo-old")
        report(of_demo(before, demo(new, folder / "demo-new"), ignored))
    for name, count in ignored.items():
        print(f"ignored {count} times: {name}")
    print(f"{sum(map(len, wanted.values()))} command lines, {len(found)} differences; {time.monotonic() - began:.0f} s")
    print(folder) if said.keep else shutil.rmtree(folder, ignore_errors=True)
    return int(bool(found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
    sys.exit(main())
