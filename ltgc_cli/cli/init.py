"""`ltgc init`: looks at a data set, says what it will cost, and writes the settings that `ltgc run` goes by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ltgc_cli import console, settings_file
from ltgc_cli.cli.app import app
from ltgc_cli.cli.flags import command
from ltgc_cli.config import Config
from ltgc_cli.errors import InputError, LtgcError
from ltgc_cli.settings import Data, Init, Storage

if TYPE_CHECKING:
    from ltgc_cli.learn.datasets import Dataset, Source
    from ltgc_cli.pipeline.forecast import Forecast
    from ltgc_cli.records import Class

_NAMED = 6
"""Classes named as examples."""


@command(app)
def init(config: Config, ctx: typer.Context) -> None:
    """Look at a data set, say what is rare in it and what it will cost, and write ltgc.toml for `ltgc run`.

    Nothing is asked. CLIP is tried on a few of the real images, where it is on this disk; no other image is opened.
    A file that is there already is never overwritten.

    \b
    ltgc init --data birds/
    ltgc init --data birds/ --test birds-test/ --tail few --lmm gpt-4o --llm gpt-4o --t2i stabilityai/sd-turbo \\
      --clip ViT-B-32/laion2b_s34b_b79k
    """
    from ltgc_cli.learn import datasets
    from ltgc_cli.pipeline import forecast, generate
    from ltgc_cli.pipeline.class_table import class_record

    settings = config[Init]
    source = generate.source_of(config)
    if source is None:
        raise InputError("init needs --data")
    if settings.output.exists():
        raise InputError(f"{settings.output} is there already; edit it, move it away, or write another with -o FILE")
    below = generate.tail_below(settings.tail)
    train = datasets.open_data(source, "train")
    table = [class_record(info, below) for info in train.classes]
    about = [_counted(train, table, below), *_remarks(train, table), *_tested(source, settings.test)]
    models = {"lmm": settings.lmm, "llm": settings.llm, "t2i": settings.t2i, "clip": settings.clip}
    values = {**models, "k": settings.k, "price": settings.price, "cache_dir": config[Storage].folder}
    values |= {"api_base": settings.api_base} if settings.api_base else {}
    found = forecast.forecast(train, below, values)
    about += _priced(found, models, sum(cls.tail for cls in table), settings.k)
    for line in about:
        console.notice(line)
    about += _tried(train, table, settings.clip)
    _tables(train, found)
    data = config[Data]
    chosen = {
        **{("describe", name): getattr(data, name) for name in ("data", "root", "classes")},
        # Where it comes from LTGC_CACHE_DIR, that says so to every command anyway.
        ("describe", "cache_dir"): config.given.get("cache_dir"),
        **{("describe", name): getattr(settings, name) for name in ("tail", "lmm", "api_base")},
        **{("extend", name): getattr(settings, name) for name in ("llm", "price")},
        **{("run", name): getattr(settings, name) for name in ("test", "max_cost")},
        ("render", "t2i"): settings.t2i,
        ("filter", "clip"): settings.clip,
        ("reflect", "k"): settings.k,
        ("eval", "zero_shot"): True,
    }
    text = settings_file.text(chosen, ["What `ltgc run` goes by; `ltgc init` wrote it.", *about])
    _write(settings.output, text)
    again = "" if settings.output == settings_file.PATH else f" {settings.output}"
    console.notice(f"{settings.output} is written: read it, then: ltgc run{again} --dry-run, and: ltgc run{again}")


def _counted(train: Dataset, table: Sequence[Class], below: int) -> str:
    rare = sorted((cls for cls in table if cls.tail), key=lambda cls: (cls.count or 0, cls.label))
    whole = f"{train.spec}: {len(table):,} classes, {sum(cls.count or 0 for cls in table):,} training images"
    if not rare:
        return f"{whole}; no class has fewer than {below:,} images, so nothing would be generated: see --tail"
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
        found.append(f"Classes without a training image, generated from their names alone: {_named(empty)}.")
    return found


def _tested(source: Source, test: str | None) -> list[str]:
    """Returns what eval will look at. Raises InputError for test images that are none, or of other classes."""
    from ltgc_cli.learn import datasets

    where = datasets.Source(test, source.root, source.classes) if test else source
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


def _priced(found: Sequence[Forecast], models: Mapping[str, str], tail: int, k: int) -> list[str]:
    """Returns what the run costs, in words."""
    from ltgc_cli.pipeline.forecast import sampled, together
    from ltgc_cli.usage import worded

    if not found:
        return []
    images = sum(one.usage.new for one in found if (one.stage, one.purpose) == ("render", "generate"))
    language = worded(together(found, "describe", "extend", "reflect"))
    lines = [
        f"What it will cost, about: {language} for describe, extend and reflect; {worded(together(found, 'render'))} "
        f"for {images:,} generated images; {worded(together(found, 'filter'))} at the most for filter, which has "
        "rewritten and regenerated what fails."
    ]
    if sampled(tail, k) < tail:
        lines.append(f"That is counted up from {sampled(tail, k)} of the {tail:,} tail classes.")
    unknown = sorted({one.spec for one in found if one.usage.unpriced})
    if unknown:
        lines.append(f"The price of {', '.join(unknown)} is unknown: give --price IN,OUT.")
    small = [f"--{name}" for name, spec in models.items() if spec == "embedded"]
    if small:
        lines.append(
            f"Embedded models cost nothing, but know written digits and nothing else: {', '.join(small)} name others."
        )
    return lines


def _tried(train: Dataset, table: Sequence[Class], clip: str) -> list[str]:
    """Says how well CLIP tells the classes apart, as it judges the generated images; returns that in words."""
    from ltgc_cli import trial
    from ltgc_cli.pipeline.look import look

    try:
        metric = look(train, table, clip)
    except LtgcError as error:  # for a later command to stop at: init only looks
        console.notice(f"CLIP could not be tried on real images: {error}")
        return []
    if metric is None:
        return []
    said = [f"{trial.words(metric)}, by their names."]
    console.notice(said[0])
    if doubt := trial.doubt(metric):
        said.append(f"{doubt[0].upper()}{doubt[1:]}.")
        (console.warning if trial.trust(metric) == "poor" else console.notice)(said[1])
    return said


def _tables(train: Dataset, found: Sequence[Forecast]) -> None:
    from ltgc_cli.learn import checks
    from ltgc_cli.pipeline import forecast

    counts = checks.counts_by_shot(train.classes, Counter())
    columns = ("shot", "classes", "training images")
    console.table("", columns, [(shot, f"{classes:,}", f"{images:,}") for shot, classes, images, _ in counts])
    if found:
        console.table("", forecast.COLUMNS, forecast.table(found))


def _write(output: Path, text: str) -> None:
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{output} is there already") from None
    except OSError as error:
        raise InputError(f"{output}: {error.strerror}") from None
