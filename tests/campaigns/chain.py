"""The stages as an attack disturbs them: a command line each, what it reads, and what comes of it undisturbed."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from campaigns.counts import Fault
from campaigns.language import Language, flags
from campaigns.programs import Process, Ran, Start, environment

from ltgc_cli.store import Store

CONCURRENCY = 4
_SETTINGS = """
data = "digits-lt"
tail = 4
t2i = "blank"
llm = "{model}"
lmm = "{model}"
api-base = "{address}"
concurrency = 4
[extend]
n = 4
[reflect]
k = 4
[filter]
mode = "score"
[mix-train]
steps = 3
batch = 6
[run]
recipe = "ltgc"
baselines = false
"""


class Stage(NamedTuple):
    """A command whose records go to the file `out`, and the stage whose records it reads."""

    command: str
    reads: str = ""
    asks: str = ""
    """`llm` or `lmm` where it asks the language model."""


STAGES = {
    "extend": Stage("extend -c crane -c seal -c 'bass (fish)' -n 12 -o out", asks="llm"),
    "describe": Stage("describe --data digits-lt --tail few -o out", asks="lmm"),
    "reflect": Stage("reflect -i in -k 8 -o out", "extend", "llm"),
    "render": Stage("render -i in --t2i blank -o out", "reflect"),
    "few": Stage("extend -i in -n 3 -o out", "describe", "llm"),
    "drawn": Stage("render -i in --t2i blank -o out", "few"),
    "filter": Stage("filter -i in --t2i blank -o out", "drawn", "llm"),
    "mix-train": Stage("mix-train --data digits-lt -i in --steps 6 --batch 6 --val-every 3 -o out", "filter"),
    "eval": Stage("eval --data digits-lt -i in -o out", "mix-train"),
    "run": Stage("run", asks="file"),
    "painted": Stage("render -i in --batch 1 --steps 2 -o out", "extend"),
    "adapt": Stage("adapt --data digits-lt --from-classes 100 -i in --steps 4 --batch 2 -o out", "few"),
    "described": Stage("describe --data digits-lt --tail few -o out"),
}
"""Each behind what it reads."""


class Undisturbed(NamedTuple):
    """What a stage came to, and how long that took."""

    code: int
    made: dict[str, str]
    """The sha256 of each file that must come out the same, by path."""
    seconds: float
    folder: Path


class Chain(NamedTuple):
    """The stages, run once, each when it is wanted; and what runs them."""

    place: Path
    start: Start
    model: Language
    done: dict[str, Undisturbed]

    def undisturbed(self, name: str) -> Undisturbed:
        """Returns what came of a stage."""
        if name not in self.done:
            folder = self.prepared(name, self.place / "undisturbed" / name)
            ran = self.process(name, folder).wait()
            if ran.code not in (0, 1) or "Traceback" in ran.err:
                raise AssertionError(f"undisturbed, {name} ends with {ran.code}: {ran.err[-2000:]}")
            self.done[name] = Undisturbed(ran.code, made(folder), ran.seconds, folder)
        return self.done[name]

    def prepared(self, name: str, folder: Path) -> Path:
        """Returns a new folder with what a stage reads, and a store that has the images and checkpoints for it."""
        (folder / "tmp").mkdir(parents=True)
        if reads := STAGES[name].reads:
            earlier = self.undisturbed(reads).folder
            shutil.copy(earlier / "out", folder / "in")
            Store(folder / "store").close()  # images beside no answers would be damage
            for part in ("objects", "checkpoints"):
                if (earlier / "store" / part).exists():
                    shutil.copytree(earlier / "store" / part, folder / "store" / part)
        if STAGES[name].asks == "file":
            settings = _SETTINGS.format(model="openai/gpt-4o", address=self.model.address)
            (folder / "ltgc.toml").write_text(settings)
        return folder

    def arguments(self, name: str) -> list[str]:
        """Returns the command line of a stage."""
        stage = STAGES[name]
        asks = stage.asks in ("llm", "lmm")
        return shlex.split(stage.command) + (flags(self.model, CONCURRENCY, stage.asks == "lmm") if asks else [])

    def process(self, name: str, folder: Path, more: Sequence[str] = ()) -> Process:
        """Starts a stage in a folder, with more flags if wanted."""
        variables = environment(folder / "store", TMPDIR=str(folder / "tmp"), OPENAI_API_KEY="sk-none")
        return self.start([*self.arguments(name), *more], folder, variables)


def made(folder: Path) -> dict[str, str]:
    """Returns the sha256 of what a stage made: its records, those of `run`, the weights."""
    found = [*folder.glob("out"), *folder.glob("ltgc-run/*.jsonl"), *folder.glob("store/checkpoints/**/*.safetensors")]
    states = {path for path in found if path.name.startswith("state")}  # one is deleted when training is done
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(set(found) - states)
    }


def questions(folder: Path) -> set[str]:
    """Returns the keys of the questions to language models that a store has answers to; the store is left alone."""
    copy = folder / "looked-at"
    shutil.rmtree(copy, ignore_errors=True)
    if not (folder / "store" / "answers" / "cache.db").exists():
        return set()
    shutil.copytree(folder / "store" / "answers", copy)
    statement = 'SELECT key FROM Cache WHERE value LIKE \'{"request":{"type":"Question"%\''
    try:
        with closing(sqlite3.connect(copy / "cache.db")) as connection:
            return {key for (key,) in connection.execute(statement)}
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # it was being made
            return set()
        raise
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def unfinished(folder: Path) -> list[str]:
    """Returns the temporary files of ltgc's that lie in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".tmp-*"))


def said_wrong(ran: Ran, codes: Sequence[int], what: str) -> list[Fault]:
    """Returns the faults of how a command ended: another status, a traceback, no end at all."""
    faults = []
    if "Traceback" in ran.err:
        faults.append(Fault("traceback", f"{what}: {shortened(ran.err)}"))
    if ran.code not in codes:
        ended = "did not end" if ran.code == -1 else f"ended with {ran.code}, not {' or '.join(map(str, codes))}"
        faults.append(Fault("other", f"{what} {ended}: {shortened(ran.err)}"))
    return faults


def differences(wanted: Mapping[str, str], now: Mapping[str, str], what: str) -> list[Fault]:
    """Returns what a stage that was disturbed made in other bytes than undisturbed, or not at all."""
    wrong = sorted(name for name in wanted if now.get(name) != wanted[name])
    return [Fault("loss", f"{what}: {name} is {'another' if name in now else 'not there'}") for name in wrong]


def shortened(text: str) -> str:
    """Returns the end of what a command said, from its last traceback on where it has one."""
    start = text.rfind("Traceback")
    return " / ".join(text[max(start, 0) :].strip().splitlines()[-8:])[-700:]
