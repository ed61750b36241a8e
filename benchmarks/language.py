"""How fast a language stage asks, as a whole command, and what a description costs in prompt tokens.

    python benchmarks/language.py                                       # 200 ms to an answer, 64 at once
    python benchmarks/language.py --latency 2 --at-once 256 --questions 7680
    python benchmarks/language.py --stage reflect
    python benchmarks/language.py --tokens                              # prompt tokens alone; nothing is timed

Each turn runs the command and a program that only calls litellm.acompletion, each in a process of its own against one
server, in a third, that answers on loopback always after the same time. What a process takes to ask a single question
(its imports) is taken away, so that what is left is the cost of the questions.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from loopback import serving

from ltgc_cli import prompts, records
from ltgc_cli.ports import Answer, Question
from ltgc_cli.records import Class, Description, Group, Image, Record, identify
from ltgc_cli.stages.extend import extend
from ltgc_cli.stages.reflect import reflect
from ltgc_cli.store import Store

MODEL, LINES = "gpt-4o", 20
COMMANDS = {
    "describe": ["describe", "--lmm", MODEL],
    "extend": ["extend", "--llm", MODEL, "-n", str(LINES)],
    "reflect": ["reflect", "--llm", MODEL, "-k", str(LINES), "--rounds", "1"],
}


def said() -> list[str]:
    """Returns what real models said of classes, in the labelled answers of reading.py."""
    text = (Path(__file__).parent / "reading" / "building.toml").read_text(encoding="utf-8")
    lines = [line for answer in tomllib.loads(text)["answer"] if answer["task"] == "extend" for line in answer["lines"]]
    return [line["words"] for line in lines if line["say"] == "keep" and len(line["words"]) > 30]


def names(count: int) -> list[str]:
    """Returns names of classes, all different."""
    first = ["red", "blue", "snowy", "great", "lesser", "golden", "common", "striped", "spotted", "dusky"]
    last = ["crane", "owl", "heron", "finch", "trogon", "seal", "maple", "beetle", "lathe", "bowl", "kettle", "anvil"]
    return [f"{first[n % 10]} {last[n // 10 % 12]}{f' {n // 120}' if n >= 120 else ''}" for n in range(count)]


def answer(prompt: str, bank: Sequence[str]) -> str:
    """Returns an answer to a prompt: a list, a sentence, or that no description repeats another."""
    if "exclude any repetitive" in prompt:
        return "none"
    name = re.findall(r"the class ([^,.\n]+)[,.]", prompt)[-1]
    chosen = random.Random(name).sample(bank, LINES)
    if "Answer with one sentence" in prompt:
        return f"A photo of the class {name}, {chosen[0]}."
    return "\n".join(f"{n}. A photo of the class {name}, {text}." for n, text in enumerate(chosen, start=1))


class Cost(NamedTuple):
    """What a process took, in seconds."""

    wall: float
    cpu: float


def timed(command: Sequence[str], environment: dict[str, str], ends: Sequence[int] = (0,)) -> Cost:
    """Returns what a command takes that ends with one of some exit statuses."""
    before, begun = os.times(), time.perf_counter()
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    took, after = time.perf_counter() - begun, os.times()
    assert done.returncode in ends, done.stderr
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Cost(took, cpu)


def rows(stage: str, count: int, folder: Path) -> Iterator[Record]:
    """Returns what a stage reads that asks so many questions, one a class; images go into the store of a folder."""
    bank, rng = said(), random.Random(0)
    for label, name in enumerate(names(count)):
        yield identify(Class(label=label, class_=name, count=1, tail=True), name)
        if stage == "describe":
            image = Image(label=label, class_=name, sha256=one_image(folder), origin="original", name=f"{label}.png")
            yield identify(image, label)
        for text in rng.sample(bank, LINES) if stage == "reflect" else ():
            text = f"A photo of the class {name}, {text}."
            yield identify(Description(label=label, class_=name, text=text, origin="extended"), text)


def one_image(folder: Path) -> str:
    """Returns the sha256 of a small image in the store of a folder."""
    import io

    from PIL import Image as Picture

    file = io.BytesIO()
    Picture.new("RGB", (64, 64), "grey").save(file, "PNG")
    store = Store(folder)
    try:
        return store.put_object(file.getvalue())
    finally:
        store.close()


def ours(stage: str, address: str, at_once: int, questions: int) -> Cost:
    """Returns what the command takes, with an empty store."""
    with TemporaryDirectory() as folder:
        given = Path(folder) / "in.jsonl"
        given.write_text("".join(records.dump(row) + "\n" for row in rows(stage, questions, Path(folder) / "store")))
        command = [sys.executable, "-m", "ltgc_cli", *COMMANDS[stage], "-i", str(given), "-o", f"{folder}/out.jsonl"]
        command += ["--concurrency", str(at_once), "--api-base", address, "-q"]
        cost = timed(command, {"LTGC_CACHE_DIR": f"{folder}/store", "OPENAI_API_KEY": "none"}, (0, 1))
        written = (Path(folder) / "out.jsonl").read_text()
        assert written.count('"kind":"description"') >= questions, "each class has descriptions"
    return cost


def bare(address: str, at_once: int, questions: int) -> Cost:
    """Returns what litellm.acompletion alone takes for prompts of extend, in a process of its own."""
    return timed([sys.executable, __file__, "--bare", address, str(at_once), str(questions)], {})


async def ask_bare(address: str, at_once: int, questions: int) -> None:
    """Asks litellm.acompletion as often, with so many questions at once."""
    from ltgc_cli.providers.llm.litellm import imported

    litellm = imported()
    places = asyncio.Semaphore(at_once)

    async def ask(prompt: str) -> None:
        async with places:
            await litellm.acompletion(
                model=f"openai/{MODEL}",
                messages=[{"role": "user", "content": prompt}],
                temperature=1.0,
                max_tokens=2048,
                timeout=60,
                max_retries=0,
                api_base=address,
                api_key="bare",
            )

    await asyncio.gather(*(ask(prompts.extend(prompts.PAPER, name, [], LINES)) for name in names(questions)))


def compare(stage: str, latency: float, at_once: int, questions: int, turns: int) -> str:
    """Returns a line: the command's rate and CPU beside those of bare litellm, medians of turns that alternate."""
    found: dict[str, list[Cost]] = {"ours": [], "bare": []}
    with serving(latency, partial(answer, bank=said())) as address:
        runs = {"ours": lambda n: ours(stage, address, at_once, n), "bare": lambda n: bare(address, at_once, n)}
        for run in runs.values():  # compiles what is not compiled
            run(1)
        for _ in range(turns):
            for name, run in runs.items():
                one, all_ = run(1), run(questions)
                cost = Cost(all_.wall - one.wall + latency, all_.cpu - one.cpu)
                found[name].append(cost)
    rate = {name: statistics.median(questions / cost.wall for cost in costs) for name, costs in found.items()}
    cpu = {name: statistics.median(1000 * cost.cpu / questions for cost in costs) for name, costs in found.items()}
    ideal = at_once / latency
    return (
        f"{stage}, {latency:g} s, {at_once} at once, {questions} questions, {turns} turns | "
        f"{rate['ours']:.1f}/s, {rate['ours'] / rate['bare']:.1%} of bare litellm ({rate['bare']:.1f}/s), "
        f"{rate['ours'] / ideal:.1%} of the ideal ({ideal:.0f}/s) | CPU a question {cpu['ours']:.2f} ms, "
        f"bare {cpu['bare']:.2f}, ours beside it {cpu['ours'] - cpu['bare']:.2f}"
    )


def prompt_tokens(k: int) -> str:
    """Returns a line: prompt tokens, at four letters each, for a description that is kept, where all are new."""
    letters = 0
    told = 0

    def ask(question: Question) -> Answer:
        nonlocal letters, told
        letters += len(question.text)
        if question.task == "reflect":
            return Answer(text="none")
        lines = []
        for number in range(1, question.want + 1):
            told += 1
            words = " ".join(f"thing{told * 7 + part:05}" for part in range(7))
            lines.append(f"{number}. A photo of the class crane, {words}.")
        return Answer(text="\n".join(lines))

    cls = identify(Class(label=0, class_="crane", tail=True), "crane")
    first = [
        identify(Description(label=0, class_="crane", text=f"A photo of the class crane, {n}.", origin="described"), n)
        for n in ("wading", "in flight", "asleep on one leg", "at its nest")
    ]
    rows = extend(Group(cls, [cls, *first]), ask=ask, model="m", want=min(k, 40))
    rows = reflect(Group(cls, rows), ask=ask, model="m", k=k, rounds=3, near=0.9)
    kept = sum(isinstance(row, Description) for row in rows)
    assert kept == k, f"{kept} of {k}"
    return f"K_y = {k} | {letters / 4 / kept:.1f} prompt tokens a description"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=COMMANDS, default="extend")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds to an answer")
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--questions", type=int, default=1280)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--tokens", action="store_true", help="prompt tokens alone")
    parser.add_argument("--bare", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bare:
        address, at_once, questions = args.bare
        asyncio.run(ask_bare(address, int(at_once), int(questions)))
    elif args.tokens:
        for k in (50, 100, 200, 400):
            print(prompt_tokens(k), flush=True)
    else:
        print(compare(args.stage, args.latency, args.at_once, args.questions, args.turns), flush=True)


if __name__ == "__main__":
    main()
