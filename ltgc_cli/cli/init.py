"""`ltgc init`: looks at a data set, says what it will cost, and writes the settings that `ltgc run` goes by."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ltgc_cli import console
from ltgc_cli.cli import SETTINGS_FILE, app
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o
from ltgc_cli.cli.language import describe, reflect
from ltgc_cli.errors import InputError

if TYPE_CHECKING:
    from ltgc_cli.learn.datasets import Dataset, Source
    from ltgc_cli.pipeline.forecast import Line, Models
    from ltgc_cli.records import Class

_NAMED = 6
"""Classes named as examples."""
_TAIL: str = inspect.signature(describe).parameters["tail"].default
_K: int = inspect.signature(reflect).parameters["k"].default


@app.command()
def init(
    ctx: typer.Context,
    data: o.Data,
    root: o.Root = None,
    classes: o.Classes = None,
    test: Annotated[
        str | None, typer.Option(metavar="DATA", help="Test images [the test split of the data itself].")
    ] = None,
    tail: Annotated[
        str, typer.Option(help="Classes with fewer training images than this are tail classes; or: few (20).")
    ] = _TAIL,
    lmm: o.Lmm = "embedded",
    llm: o.Llm = "embedded",
    t2i: o.T2i = "embedded",
    clip: o.Clip = "embedded",
    k: Annotated[int, typer.Option("-k", min=1, help="Descriptions per tail class, K_y.")] = _K,
    price: o.Price = None,
    max_cost: o.MaxCost = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file that is written.")] = (
        SETTINGS_FILE
    ),
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Look at a data set, say what is rare in it and what it will cost, and write ltgc.toml for `ltgc run`.

    No image is opened and nothing is asked. A file that is there already is never overwritten.

    \b
    ltgc init --data birds/
    ltgc init --data birds/ --test birds-test/ --tail few --lmm gpt-4o --llm gpt-4o --t2i stabilityai/sd-turbo \\
      --clip ViT-B-32/laion2b_s34b_b79k
    """
    from ltgc_cli.learn import datasets
    from ltgc_cli.pipeline import forecast
    from ltgc_cli.pipeline import generate as plans
    from ltgc_cli.pipeline.class_table import class_record

    console.configure(quiet=quiet)
    if output.exists():
        raise InputError(f"{output} is there already; edit it, move it away, or write another with -o FILE")
    source = f.source(data, root, classes)
    below = plans.tail_below(tail)
    train = datasets.open_data(source, "train")
    table = [class_record(info, below) for info in train.classes]
    about = [_counted(train, table, below), *_remarks(train, table), *_tested(source, test)]
    models = forecast.Models(lmm, llm, t2i, clip, price)
    lines = forecast.forecast(train, below, models, k, cache_dir or f.default_folder(), _usual(ctx))
    about += _priced(lines, models, sum(cls.tail for cls in table), k)
    for line in about:
        console.notice(line)
    _tables(train, lines)
    chosen = {
        **{("describe", name): ctx.params[name] for name in ("data", "root", "classes", "tail", "lmm")},
        # Where it comes from LTGC_CACHE_DIR, that says so to every command anyway.
        ("describe", "cache_dir"): cache_dir if _typed(ctx, "cache_dir") else None,
        **{("extend", name): ctx.params[name] for name in ("llm", "price")},
        **{("run", name): ctx.params[name] for name in ("test", "max_cost")},
        ("render", "t2i"): t2i,
        ("filter", "clip"): clip,
        ("reflect", "k"): k,
        ("eval", "zero_shot"): True,
    }
    _write(output, ctx, chosen, about)
    again = "" if output == SETTINGS_FILE else f" {output}"
    console.notice(f"{output} is written: read it, then: ltgc run{again} --dry-run, and: ltgc run{again}")


def _typed(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _usual(ctx: typer.Context) -> Any:
    """Returns what the default of a command's flag is."""
    commands = ctx.parent.command.commands  # type: ignore[union-attr]

    def default(command: str, name: str) -> Any:
        return next(param.default for param in commands[command].params if param.name == name)

    return default


def _counted(train: Dataset, table: Sequence[Class], below: int) -> str:
    rare = sorted((cls for cls in table if cls.tail), key=lambda cls: (cls.count or 0, cls.label))
    whole = f"{train.spec}: {len(table):,} classes, {sum(cls.count or 0 for cls in table):,} training images"
    if not rare:
        return f"{whole}; no class has fewer than {below:,} images, so nothing would be drawn: see --tail"
    return f"{whole}; {len(rare):,} tail classes, with fewer than {below:,} images: {_named(rare, counted=True)}"


def _named(classes: Sequence[Class], *, counted: bool = False) -> str:
    names = [f"{cls.class_} ({cls.count or 0:,})" if counted else cls.class_ for cls in classes[:_NAMED]]
    return ", ".join(names) + (f", … and {len(classes) - _NAMED:,} more" if len(classes) > _NAMED else "")


def _remarks(train: Dataset, table: Sequence[Class]) -> list[str]:
    """Returns what a person should know of the class names."""
    from ltgc_cli.learn import checks
    from ltgc_cli.stages import senses

    if not train.named:
        return ["The data has no class names, and models know nothing of a class called 7: give them with --classes."]
    found = checks.some(checks.check_table(train.classes))
    unclear = [cls for cls in table if cls.label in senses.ambiguous(table)]
    if unclear:
        found.append(
            f"Names that may mean several things: {_named(unclear)}. Say which is meant in a file (senses under "
            f"[describe]), or have the vision model asked: disambiguate = true, {len(unclear):,} questions."
        )
    empty = [cls for cls in table if not cls.count]
    if empty:
        found.append(f"Classes without a training image, drawn from their names alone: {_named(empty)}.")
    return found


def _tested(source: Source, test: str | None) -> list[str]:
    """Returns what eval will look at. Raises InputError for test images that are none, or of other classes."""
    from ltgc_cli.learn import datasets

    where = f.source(test, source.root, source.classes) if test else source
    if not test and "test" not in datasets.splits(source):
        return [f"{source.spec} has no test images of its own: ltgc run needs some for eval, --test birds-test/."]
    found = datasets.open_data(where, "test")
    known = {info.name for info in datasets.open_data(source, "train").classes}
    strange = [info.name for info in found.classes if info.name not in known]
    if strange:
        raise InputError(
            f"{where.spec}: {len(strange):,} of its classes are not in {source.spec}: {', '.join(strange[:_NAMED])}"
        )
    return [f"Test images: {len(found.items):,}, in {where.spec}."]


def _priced(lines: Sequence[Line], models: Models, tail: int, k: int) -> list[str]:
    """Returns what the run costs, in words."""
    from ltgc_cli.pipeline.forecast import bill, sampled
    from ltgc_cli.usage import worded

    if not lines:
        return []
    drawn = sum(line.bill.new for line in lines if (line.stage, line.purpose) == ("render", "draw"))
    language = worded(bill(lines, "describe", "extend", "reflect"))
    said = [
        f"What it will cost, about: {language} for describe, extend and reflect; {worded(bill(lines, 'render'))} for "
        f"{drawn:,} drawings; {worded(bill(lines, 'filter'))} at the most for filter, which has rewritten and redrawn "
        "what fails."
    ]
    if sampled(tail, k) < tail:
        said.append(f"That is counted up from {sampled(tail, k)} of the {tail:,} tail classes.")
    unknown = sorted({line.spec for line in lines if line.bill.unpriced})
    if unknown:
        said.append(f"The price of {', '.join(unknown)} is unknown: give --price IN,OUT.")
    small = [f"--{name}" for name in ("lmm", "llm", "t2i", "clip") if getattr(models, name) == "embedded"]
    if small:
        said.append(
            f"Embedded models cost nothing, but know written digits and nothing else: {', '.join(small)} name others."
        )
    return said


def _tables(train: Dataset, lines: Sequence[Line]) -> None:
    from ltgc_cli.learn import checks
    from ltgc_cli.pipeline import forecast

    counts = checks.counts_by_shot(train.classes, Counter())
    columns = ("shot", "classes", "training images")
    console.table("", columns, [(shot, f"{classes:,}", f"{images:,}") for shot, classes, images, _ in counts])
    if lines:
        console.table("", forecast.COLUMNS, forecast.table(lines))


def _write(output: Path, ctx: typer.Context, chosen: Any, about: Sequence[str]) -> None:
    from ltgc_cli.cli import settings_text

    commands = ctx.parent.command.commands  # type: ignore[union-attr]
    said = settings_text.text(commands, chosen, ["What `ltgc run` goes by; `ltgc init` wrote it.", *about])
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(said)
    except FileExistsError:
        raise InputError(f"{output} is there already") from None
    except OSError as error:
        raise InputError(f"{output}: {error.strerror}") from None
