"""How well model answers are read: what is kept of what a person would keep, and let through of what one would drop.

python benchmarks/reading.py            the corpus that the rules were made with
python benchmarks/reading.py held       the one that they were not made with
python benchmarks/reading.py lost       … of the first, and every line lost or let through
python benchmarks/reading.py fuzz [N]   N broken texts [100000]: exceptions, and the slowest
python benchmarks/reading.py speed      CPU milliseconds for an answer of 20 lines
"""

import gc
import random
import re
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ltgc_cli.answers.numbers import numbers
from ltgc_cli.answers.read import Parsed, read

CORPUS = Path(__file__).parent / "reading"
Answer = dict[str, Any]


class Judged(NamedTuple):
    """A labelled piece of an answer, what was made of it, and the rule that dropped it where one did."""

    answer: Answer
    say: str
    words: str
    kept: bool
    rule: str
    why: str


def answers(name: str) -> list[Answer]:
    """Returns the labelled answers of a half of the corpus."""
    return tomllib.loads((CORPUS / f"{name}.toml").read_text(encoding="utf-8"))["answer"]


def parsed(answer: Answer, text: str | None = None) -> Parsed:
    """Returns what the reader makes of an answer, called as the stages call it."""
    name, sense = answer["class"], answer.get("sense", "")
    ended, one = answer.get("finish") == "length", answer["task"] != "extend"
    return read(text or answer["text"], name, f"{name} ({sense})" if sense else name, cut_off=ended, one=one)


def bare(text: str) -> str:
    """Returns a text's words, so that neither marks nor capitals count."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def judged(answer: Answer) -> Iterator[Judged]:
    """Returns each labelled piece with what became of it: two pieces in one description count as one lost."""
    found = parsed(answer)
    texts, taken = [f" {bare(text)} " for text in found.texts], set[int]()
    for line in answer["lines"]:
        words = f" {bare(line['words'])} "
        within = [at for at, text in enumerate(texts) if words in text]
        free = [at for at in within if at not in taken]
        if line["say"] == "keep" and answer["task"] == "extend":
            within = free
        taken |= set(within[:1]) if line["say"] == "keep" else set()
        rule = next((why for text, why in found.dropped if words in f" {bare(text)} "), "")
        yield Judged(answer, line["say"], line["words"], bool(within), "" if within else rule, line.get("why", ""))


def report(name: str, *, lost: bool) -> None:
    """Prints the shares kept and let through, by task and by manner, and how often each rule is right."""
    rows = [row for answer in answers(name) for row in judged(answer)]
    print(f"{name}: {len(answers(name))} answers, {len(rows)} labelled lines")
    for kind in ("", "task", "manner"):
        groups = defaultdict[str, list[Judged]](list)
        for row in rows:
            groups[row.answer[kind] if kind else "all"].append(row)
        for group, own in sorted(groups.items()):
            keep, drop = ([row.kept for row in own if row.say == say] for say in ("keep", "drop"))
            kept, through = sum(keep) / max(1, len(keep)), sum(drop) / max(1, len(drop))
            print(f"  {group:28} kept {kept:6.1%} of {len(keep):3}   let through {through:6.1%} of {len(drop):3}")
    right, wrong = Counter[str](), Counter[str]()
    for row in rows:
        if row.rule:
            (right if row.say != "keep" else wrong)[row.rule] += 1
    for rule in sorted({*right, *wrong}):
        fired = right[rule] + wrong[rule]
        print(f"  {rule:44} right {right[rule] / fired:6.1%} of {fired}")
    for row in rows if lost else ():
        if (row.say == "keep") != row.kept and row.say != "either":
            verb = "let through" if row.kept else f"lost ({row.rule or 'within another'})"
            print(f"  {verb}: {row.words!r} of {row.answer['class']} ({row.answer['manner']}) {row.why}")


_MARKS = [
    *("\n", "\n\n", "- ", "1. ", "> ", "#", "**", "_", "`", "```", "|", "{", "}", "[", "]", '"', "'", ":", "\t", "\\"),
    *("<b>", "<think>", "</think>", "&amp;", "\\n", "…", "，", "\u200b", "\ue000", "鹤", "🦩", " and ", "A photo of "),
]


def broken(rng: random.Random, texts: list[str]) -> str:
    """Returns a text that no one wrote: parts of answers, cut, shuffled, repeated, with marks put between them."""
    parts = []
    for _ in range(rng.randint(1, 12)):
        text = rng.choice(texts)
        start = rng.randrange(max(1, len(text)))
        part = rng.choice([text[start : start + rng.randint(1, 400)], rng.choice(_MARKS) * rng.randint(1, 60)])
        parts.append(part)
    return "".join(parts)[:4_000]


def fuzz(times: int) -> None:
    """Prints how many broken texts raised an exception, how many took over 50 ms of CPU, and the longest time."""
    rng = random.Random(0)
    rows = answers("building")
    texts = [row["text"] for row in rows]
    for row in rows:  # what is imported and compiled on first use is
        parsed(row)
    gc.disable()  # its pauses, over all that the labelled answers hold, are not the reader's
    raised, slow, longest, worst = 0, 0, 0.0, ""
    for _ in range(times):
        row, text = rng.choice(rows), broken(rng, texts)
        started = time.thread_time()
        raised += bool(parsed(row, text).trouble)
        numbers(text, 40)
        taken = time.thread_time() - started
        slow += taken > 0.05
        longest, worst = max((longest, worst), (taken, text))
    print(f"{times} texts: {raised} exceptions, {slow} over 50 ms, the longest {longest * 1000:.1f} ms: {worst[:60]!r}")


def speed() -> None:
    """Prints the CPU time for lists of 20 lines that are all different: plain, with talk around them, and bold."""
    rng = random.Random(0)
    rows = [row for row in answers("building") if row["task"] == "extend"]
    said = [line["words"] for row in rows for line in row["lines"] if line["say"] == "keep" and len(line["words"]) > 30]
    for form in (
        "{n}. A photo of the class crane, {said}.",
        "- **A photo of the class crane**, {said}.",
        "{n}) {said}",
    ):
        lists = [
            "\n".join(form.format(n=n, said=text) for n, text in enumerate(rng.sample(said, 20), start=1))
            for _ in range(200)
        ]
        for around in ("{}", "Sure! Here are 20 descriptions:\n\n{}\n\nLet me know if you want more!"):
            texts = [around.format(text) for text in lists]
            read(texts[0], "crane", "crane")
            started = time.process_time()
            for text in texts:
                read(text, "crane", "crane")
            print(f"  {(time.process_time() - started) / len(texts) * 1000:.2f} ms  {form}  {around[:6]!r}")


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "building"
    if what == "fuzz":
        fuzz(int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
    elif what == "speed":
        speed()
    else:
        report("held" if what == "held" else "building", lost=what == "lost")
