"""`ltgc init`: looks at a data set, says what it will cost, and writes the settings that `ltgc run` goes by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import typer

from ltgc_cli import console, settings_file
from ltgc_cli.cli.app import app
from ltgc_cli.cli.flags import command
from ltgc_cli.config import Config
from ltgc_cli.errors import InputError
from ltgc_cli.settings import Data, Init, Storage
from ltgc_cli.text import agreeing, counted, one_line

if TYPE_CHECKING:
    from ltgc_cli.doctor.models import Kind
    from ltgc_cli.learn.datasets import Dataset, Source
    from ltgc_cli.pipeline.forecast import Forecast
    from ltgc_cli.records import Class
    from ltgc_cli.written import Target

_REMEDY = "edit it, write another with -o FILE, or --force"
_NAMED = 6
"""Classes named as examples."""


@command(app)
def init(config: Config, ctx: typer.Context) -> None:
    """Look at a data set, say what is rare in it and what it will cost, and write ltgc.toml for `ltgc run`.

    No model is asked. CLIP is tried on a few of the real images, where it is on this disk; no other image is opened. A
    file that was written, or changed, by hand is never overwritten. On a terminal you are asked for what no flag says:
    data, test images, models, -k, and the most that a run may cost.

    \b
    ltgc init
    ltgc init --data birds/
    ltgc init --data birds/ --test birds-test/ --tail few --lmm gpt-4o --llm gpt-4o --t2i stabilityai/sd-turbo \\
      --clip ViT-B-32/laion2b_s34b_b79k
    """
    from ltgc_cli.pipeline import forecast, generate
    from ltgc_cli.pipeline.class_table import class_record
    from ltgc_cli.pipeline.data import open_data
    from ltgc_cli.stages.reflect import more_than_wanted
    from ltgc_cli.written import check, write

    check(_target(config))
    if console.can_ask():
        config = _asked(config)
        check(_target(config))  # an answer may have named that very file
    output, below = config[Init].output, generate.tail_below(config[Init].tail)
    _check_limit(config)
    settings, source = config[Init], generate.source_of(config)
    if source is None:
        raise InputError("init needs --data")
    train = open_data(source, "train")
    table = [class_record(info, below) for info in train.classes]
    about = [_sizes(train, table, below), *_remarks(train, table), *_tested(source, settings.test)]
    models = {"lmm": settings.lmm, "llm": settings.llm, "t2i": settings.t2i, "clip": settings.clip}
    values = {**models, "k": settings.k, "price": settings.price, "cache_dir": config[Storage].folder}
    addresses = {name: getattr(settings, name) for name in ("api_base", "t2i_api_base")}
    found = forecast.forecast(train, below, values | {name: url for name, url in addresses.items() if url})
    about += more_than_wanted({cls.class_: cls.count or 0 for cls in table if cls.tail}, settings.k)
    about += _priced(found, models, sum(cls.tail for cls in table), settings.k)
    for line in about:
        console.notice(line)
    about += _tried(train, table, settings.clip)
    _tables(train, found)
    data = config[Data]
    chosen = {
        **{("describe", name): getattr(data, name) for name in Data.__struct_fields__},
        # Where it comes from LTGC_CACHE_DIR, that says so to every command anyway.
        ("describe", "cache_dir"): config.given.get("cache_dir"),
        **{("describe", name): getattr(settings, name) for name in ("tail", "lmm", "api_base")},
        **{("extend", name): getattr(settings, name) for name in ("llm", "price")},
        **{("run", name): getattr(settings, name) for name in ("test", "max_cost")},
        **{("render", name): getattr(settings, name) for name in ("t2i", "t2i_api_base")},
        ("filter", "clip"): settings.clip,
        ("reflect", "k"): settings.k,
        ("eval", "zero_shot"): True,
    }
    text = settings_file.text(chosen, ["What `ltgc run` goes by; `ltgc init` wrote it.", *about])
    write(_target(config), text.encode())
    again = "" if output == settings_file.PATH else f" {output}"
    console.notice(f"{output} is written: read it, then: ltgc run{again} --dry-run, and: ltgc run{again}")


def _target(config: Config) -> Target:
    from ltgc_cli.written import Target

    inputs = tuple(config.named_paths())
    return Target(config[Init].output, config[Storage].folder, inputs, config[Init].force, _REMEDY)


def _asked(config: Config) -> Config:
    """Returns the settings with what a person says on what is not known."""
    from ltgc_cli.cli.questions import AskedSetting, ask
    from ltgc_cli.learn import datasets
    from ltgc_cli.pipeline.generate import source_of
    from ltgc_cli.ports import own_server

    def source(config: Config) -> Source:
        if found := source_of(config):
            return found
        raise InputError("a data set is wanted")

    def of_a_server(config: Config) -> bool:
        return bool(_unpriced(config)) or any(map(own_server, (config[Init].lmm, config[Init].llm)))

    questions = {
        "data": AskedSetting(lambda config: datasets.open_data(source(config), "train"), lambda _: "digits-lt"),
        "test": AskedSetting(
            lambda config: _tested(source(config), config[Init].test),
            unset="the data's own, if it has any",
        ),
        "lmm": AskedSetting(partial(_check_model, "lmm")),
        # Most vision-language models write as well.
        "llm": AskedSetting(partial(_check_model, "llm"), lambda config: config[Init].lmm),
        "api_base": AskedSetting(partial(_check_model, "llm"), unset="the usual one", wanted=of_a_server),
        "t2i": AskedSetting(partial(_check_model, "t2i")),
        "clip": AskedSetting(partial(_check_model, "clip")),
        "k": AskedSetting(),
        "price": AskedSetting(unset="unknown", wanted=lambda config: bool(_unpriced(config))),
        "max_cost": AskedSetting(_check_limit, unset="no limit"),
    }
    return ask(config, questions)


def _unpriced(config: Config) -> list[str]:
    """Returns the language models whose price nobody knows."""
    from ltgc_cli.providers import is_real, prices

    specs = dict.fromkeys((config[Init].lmm, config[Init].llm))
    return [spec for spec in specs if is_real(spec) and prices.find(spec, config[Init].price) is None]


def _check_limit(config: Config) -> None:
    """Raises InputError for a limit in dollars that cannot hold, as a run would: a model's price is not known."""
    from ltgc_cli.pipeline import chain

    if config[Init].max_cost is None:
        return
    values = {name: config.get(name) for name in ("lmm", "llm", "t2i", "price", "max_cost")}
    values["cache_dir"] = config[Storage].folder
    for one in chain.configured(("describe", "extend", "render"), values, {}):
        chain.check(one)


def _check_model(kind: Kind, config: Config) -> None:
    """Raises InputError for a model that nobody knows; that its provider has no key yet is only said."""
    from ltgc_cli.doctor.models import Model, look

    address = config.get("t2i_api_base" if kind == "t2i" else "api_base")
    model = Model(kind, config.get(kind), address)
    for check in look(model):
        if check.state == "problem":
            problem = f"--{kind} {check.found}; {check.fix}"
            if check.name == model.name:
                raise InputError(problem)
            console.notice(problem)


def _sizes(train: Dataset, table: Sequence[Class], below: int) -> str:
    rare = sorted((cls for cls in table if cls.tail), key=lambda cls: (cls.count or 0, cls.label))
    images = counted(sum(cls.count or 0 for cls in table), "training image")
    whole = f"{train.spec}: {counted(len(table), 'class')}, {images}"
    fewer = f"fewer than {counted(below, 'image')}"
    if not rare:
        return f"{whole}; no class has {fewer}, so nothing would be generated: see --tail"
    return f"{whole}; {counted(len(rare), 'tail class')}, with {fewer}: {_named(rare, with_count=True)}"


def _named(classes: Sequence[Class], *, with_count: bool = False) -> str:
    return _some([f"{cls.class_} ({cls.count or 0:,})" if with_count else cls.class_ for cls in classes])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f", … and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")


def _remarks(train: Dataset, table: Sequence[Class]) -> list[str]:
    """Returns what a person should know of the class names."""
    from ltgc_cli.learn import checks
    from ltgc_cli.learn.datasets import names
    from ltgc_cli.stages import senses

    if not train.named:
        return ["The data has no class names, and models know nothing of a class called 7: give them with --classes."]
    found = checks.some(checks.check_table(train.classes))
    read = [f"{written} → {info.name}" for info in train.classes if (written := names.written(info)) != info.name]
    if read:
        found.append(f"Classes read as: {_some(read)}.")
    if unnamed := names.codes(info.name for info in train.classes if not info.sense):
        known = f"These are no names, and models know nothing of a class called {unnamed[0]}: {_some(unnamed)}."
        found.append(f"{known} Give names with --classes FILE.")
    ambiguous = senses.ambiguous(table)
    unclear = [cls for cls in table if cls.label in ambiguous and cls.class_ not in unnamed]
    if unclear:
        found.append(
            f"Names that may mean several things: {_named(unclear)}. Say which is meant in a file (senses under "
            f"[describe]), or have the vision model asked: disambiguate = true, {counted(len(unclear), 'question')}."
        )
    empty = [cls for cls in table if not cls.count]
    if empty:
        found.append(f"Classes without a training image, generated from their names alone: {_named(empty)}.")
    return found


def _tested(source: Source, test: str | None) -> list[str]:
    """Returns what eval will look at. Raises InputError for test images that are none, or of other classes."""
    from ltgc_cli.learn import datasets
    from ltgc_cli.learn.datasets import class_table
    from ltgc_cli.pipeline.data import open_data

    where = msgspec.structs.replace(source, spec=test) if test else source
    if not test and "test" not in datasets.splits(source):
        return [f"{source.spec} has no test images of its own: ltgc run needs some for eval, --test birds-test/."]
    found = open_data(where, "test")
    known = class_table.counterparts(found.classes, open_data(source, "train").classes)
    strange = [info.name for info in found.classes if info.label not in known]
    if strange:
        are = f"{len(strange):,} of its classes {agreeing(len(strange), 'is', 'are')}"
        raise InputError(f"{where.spec}: {are} not in {source.spec}: {', '.join(strange[:_NAMED])}")
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
        f"What it will cost, about: {language} for describe, extend and reflect; "
        f"{worded(together(found, 'render'))} for {counted(images, 'generated image')}; "
        f"{worded(together(found, 'filter'))} at the most for filter, which has rewritten and regenerated what fails."
    ]
    if sampled(tail, k) < tail:
        lines.append(f"That is counted up from {sampled(tail, k):,} of the {counted(tail, 'tail class')}.")
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
    except Exception as error:  # for a later command to stop at: init only looks
        console.notice(f"CLIP could not be tried on real images: {one_line(error)}")
        return []
    if metric is None:
        return []
    said = [f"{trial.words(metric)}."]
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
