"""`ltgc cost`: what the records of a stream cost, by stage, model and class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ltgc_cli import console
from ltgc_cli.cli import app
from ltgc_cli.cli import options as o
from ltgc_cli.errors import InputError
from ltgc_cli.records import Made, Metric, Record, dump, identify, read

BY = ("stage", "model", "class")

_STAGES = {
    "sense": "describe",
    "describe": "describe",
    "extend": "extend",
    "reflect": "reflect",
    "template": "filter",
    "refine": "filter",
}


class Sum(msgspec.Struct):
    """What the records of one group used and cost."""

    records: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float = 0.0
    unpriced: int = 0
    """Records whose price is not known."""


@app.command()
def cost(
    by: Annotated[
        list[str] | None,
        typer.Option("--by", metavar="stage|model|class", help="What to sum by; repeatable [stage and model]."),
    ] = None,
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
) -> None:
    """Sum up what the records of a stream cost, by stage, model and class. Works on a --dry-run's stream too.

    \b
    ltgc cost -i filtered.jsonl
    ltgc cost --by class -i filtered.jsonl
    ltgc describe --data birds/ --lmm gpt-4o --dry-run | ltgc extend --llm gpt-4o --dry-run | ltgc cost
    """
    import sys

    if not input and sys.stdin.isatty():
        raise InputError("cost has nothing to read: pipe records into it, or give -i FILE")
    groups = by or ["stage", "model"]
    for name in groups:
        if name not in BY:
            raise InputError(f"--by {name}: one of {', '.join(BY)} is wanted")
    with input.open("rb") if input else sys.stdin.buffer as stream:
        found = sums(read(stream, str(input or "stdin")), groups)
    if output or json or not console.is_terminal():
        text = "".join(dump(metric) + "\n" for metric in metrics(found, groups))
        _write(text, output)
    if not output and not json:
        columns = (*groups, "records", "tokens in", "tokens out", "US dollars")
        console.table("", columns, rows(found), stream=None if console.is_terminal() else sys.stderr)


def sums(records: Iterable[Record], by: Sequence[str]) -> dict[tuple[str, ...], Sum]:
    """Returns what the records cost, by the values of `by`, in the order in which these first came.

    Drawings count as render, those that filter had made again too. What was free and used no tokens is left out.
    """
    found: dict[tuple[str, ...], Sum] = {}
    for record in records:
        made = record.made
        if made is None or not (made.usage.prompt_tokens or made.usage.completion_tokens or made.usage.dollars):
            continue
        group = {"stage": stage(made), "model": made.model, "class": record.class_}
        total = found.setdefault(tuple(group[name] for name in by), Sum())
        total.records += 1
        total.prompt_tokens += made.usage.prompt_tokens
        total.completion_tokens += made.usage.completion_tokens
        total.dollars += made.usage.dollars or 0.0
        total.unpriced += made.usage.dollars is None
    return found


def stage(made: Made) -> str:
    """Returns the stage that asked.

    >>> stage(Made(model="gpt-4o", prompt="extend@1a2b3c4d", attempt=2)), stage(Made(model="sdxl"))
    ('reflect', 'render')
    """
    prompt = made.prompt.partition("@")[0]
    if prompt == "extend" and made.attempt:
        return "reflect"
    return _STAGES.get(prompt, "render")


def rows(found: dict[tuple[str, ...], Sum]) -> list[tuple[str, ...]]:
    """Returns the sums as a table, the total last."""
    total = Sum()
    for one in found.values():
        for name in Sum.__struct_fields__:
            setattr(total, name, getattr(total, name) + getattr(one, name))
    width = len(next(iter(found))) if found else 2
    named = [*found.items(), (("all", *[""] * (width - 1)), total)]
    return [
        (*key, f"{one.records:,}", f"{one.prompt_tokens:,}", f"{one.completion_tokens:,}", _dollars(one))
        for key, one in named
    ]


def metrics(found: dict[tuple[str, ...], Sum], by: Sequence[str]) -> Iterator[Metric]:
    """Returns the sums as records: `value` in US dollars, None where no price is known."""
    for key, one in found.items():
        group = dict(zip(by, key, strict=True))
        known = None if one.unpriced == one.records else round(one.dollars, 10)
        metric = Metric(
            name="cost",
            group=group.get("stage", ""),
            method=group.get("model", ""),
            class_=group.get("class", ""),
            value=known,
            rest={"prompt_tokens": one.prompt_tokens, "completion_tokens": one.completion_tokens},
        )
        yield identify(metric, *key)


def _dollars(one: Sum) -> str:
    from ltgc_cli.engine import cents

    if one.unpriced and not one.dollars:
        return "unknown"
    return f"{'at least ' if one.unpriced else ''}{cents(one.dollars)}"


def _write(text: str, output: Path | None) -> None:
    import sys

    from ltgc_cli.store import write_atomically

    if output:
        try:
            write_atomically(output, text.encode())
        except OSError as error:
            raise InputError(f"{output}: {error.strerror}") from None
    else:
        sys.stdout.write(text)
