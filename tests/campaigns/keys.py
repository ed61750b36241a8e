"""Looks for a key that was set: in the store, in records, in what was said, in reports. A trial is a stage.

In every other trial the server is one that sends the key back in its errors.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from aiohttp import web
from campaigns.chain import STAGES, Chain, said_wrong
from campaigns.counts import Counts, Fault, attempted
from campaigns.language import language
from campaigns.programs import Ran, environment, programs

KEY = "sk-proj-Pl4ntedPl4ntedPl4ntedPl4ntedPl4ntedPl4nted0123"
_NAMES = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HF_TOKEN", "WANDB_API_KEY", "GEMINI_API_KEY")


def attack(numbers: range, seed: int, place: Path) -> Counts:
    """Returns where the key was found."""
    with programs(place / "programs") as start, language() as model:
        chain = Chain(place, start, model, {})

        def trial(number: int) -> list[Fault]:
            name = list(STAGES)[number // 2 % len(STAGES)]
            chain.undisturbed(name)
            folder = place / f"trial-{number}"
            try:
                return _trial(chain, name, bool(number % 2), folder)
            finally:
                chain.model.get_well()
                shutil.rmtree(folder, ignore_errors=True)

        return attempted(numbers, trial)


def _trial(chain: Chain, name: str, echoes: bool, folder: Path) -> list[Fault]:
    chain.prepared(name, folder)
    what = f"{name}{', a server that sends keys back' if echoes else ''}"
    if echoes:
        chain.model.routes.update({path: _echoing for path in chain.model.routes})
    variables = environment(folder / "store", TMPDIR=str(folder / "tmp"), **dict.fromkeys(_NAMES, KEY))
    ran = chain.start(chain.arguments(name), folder, variables).wait()
    faults = said_wrong(ran, [0, 1, 3], what) + list(_found(ran, folder, what))
    if (folder / "out").exists():
        report = chain.start(["report", "-i", "out", "-o", "report.html"], folder, variables).wait()
        faults += said_wrong(report, [0, 1], f"the report of {what}") + list(
            _found(report, folder, f"report of {what}")
        )
    return faults


def _found(ran: Ran, folder: Path, what: str) -> Iterator[Fault]:
    """Returns where the key is, or most of it."""
    part = KEY[8:30]
    for where, text in (("stdout", ran.out.decode(errors="replace")), ("stderr", ran.err)):
        if part in text:
            yield Fault("other", f"{what}: the key is in {where}")
    for path in folder.rglob("*"):
        if path.is_file() and part.encode() in path.read_bytes():
            yield Fault("other", f"{what}: the key is in {path.relative_to(folder)}")


async def _echoing(request: web.Request) -> web.StreamResponse:
    key = request.headers.get("Authorization", "")
    error = {"message": f"Incorrect API key provided: {key}. {key.removeprefix('Bearer ')}", "type": "invalid"}
    return web.json_response({"error": error}, status=400, headers={"x-key": key})
