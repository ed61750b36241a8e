"""All stages one after another, each from the file of the one before, with the settings of one file: `ltgc run`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from ltgc_cli import console, records, written
from ltgc_cli.config import FILE, Config, command_settings, configure
from ltgc_cli.errors import DONE, BudgetError, InputError, LtgcError, OutputError
from ltgc_cli.files import named_errors
from ltgc_cli.pipeline import adapt, chain, sheet
from ltgc_cli.pipeline.data import open_data
from ltgc_cli.pipeline.generate import source_of
from ltgc_cli.pipeline.recipes import REAL_ALONE, RECIPES, STRONGEST, Recipe, training
from ltgc_cli.pipeline.report import write_report
from ltgc_cli.pipeline.run_checks import check, check_average
from ltgc_cli.pipeline.stage import Ran
from ltgc_cli.pipeline.streams import Streams, reading
from ltgc_cli.pipeline.training.check import Dropped
from ltgc_cli.settings import Adapt, Render, Report, Run, RunStage, Storage, TextToImage, Training, settings_of
from ltgc_cli.text import cents
from ltgc_cli.usage import UsageSum

_ORDER: tuple[str, ...] = RunStage.__args__  # type: ignore[attr-defined]
SHEET = "contact-sheet.png"  # beside report.html
_AWAY = "move it away"
_MODELS = ("lmm", "direct", "llm", "t2i", "clip")
_OF_TRAINING = {one.name for one in settings_of(Training)} | {"generated", "average"}


class RunStep(NamedTuple):
    """One command of a run, what its file in the run's folder is called, and settings of its own."""

    command: str
    file: str
    own: Mapping[str, Any] = {}
    usual: Mapping[str, Any] = {}
    """Settings of the run's recipe: those of the settings file go before them."""


class Job(NamedTuple):
    """What a run is, besides its steps."""

    settings: Mapping[str, Mapping[str, Any]]
    """What the settings file says, by command."""
    run: Run
    typed: Mapping[str, Any]
    """Settings of every step that were typed for the run: cache_dir, max_pixels, quiet."""
    again: Callable[..., str]
    """Returns what a person types to go on: the same command, with more flags, and `without` some."""
    adapts: bool = False
    """Whether the settings have a table for adapt, which turns it on in every recipe."""
    file: Path = FILE
    """The settings file, as errors name it."""


def run(job: Job) -> Ran:
    """Returns what all steps did together. Killed at any point, the same run goes on."""
    before, todo = chosen(steps_of(job), job.run.first, job.run.until)
    given = job.run.out / before.file if before else None
    if before and given and not given.is_file():
        raise InputError(f"{given} is not there; {job.again('--until', before.command, without=['--from'])} makes it")
    configs = [(step, _config(job, step)) for step in todo]
    own = job.settings.get("mix-train", {})
    out = Path(own["out"]) if own.get("out") else None
    stages = {step.command: config for step, config in configs}
    left_out = [any(config.get(name) for config in stages.values()) for name in ("drop_broken", "drop_duplicates")]
    drop = Dropped(job.run.drop_broken or left_out[0], job.run.drop_duplicates or left_out[1])
    check(stages, own.get("data"), out, dry=job.run.dry_run, drop=drop)
    check_average([config for step, config in configs if step.command == "mix-train"], known=before is None)
    for _, config in configs:
        chain.check(_limited(config, job.run.max_cost, 0.0)[0])
    for index in range(len(configs)):
        _check_file(job, configs, index)
    if job.run.dry_run:
        return _try_out(configs, given)
    return _run(job, configs, given, out)


def steps_of(job: Job) -> list[RunStep]:
    """Returns the steps of a job: those of its recipe, as far as its settings leave room for it."""
    recipe = RECIPES[job.run.recipe]
    own = {name: value for name, value in job.settings.get("mix-train", {}).items() if value is not None}
    trained = training(recipe, own)
    render = _config(job, RunStep("render", "render.jsonl"))
    model = render[TextToImage]
    adapts = job.adapts or (recipe.adapts and _can_adapt(job, model))
    if render[Render].unadapted and not (adapts or model.lora):
        raise InputError("[render] unadapted: no LoRA is in use, so its images would be the same again; take it out")
    # The name is that of what was measured: with training settings of a person's own it is another recipe.
    named = recipe.name if trained and not own.keys() & _OF_TRAINING else ""
    return steps(job.run.baselines, Recipe(adapts, trained, named), msgspec.structs.asdict(model))


def _can_adapt(job: Job, model: TextToImage) -> bool:
    """Returns whether a recipe's own adapt has something to teach, and to learn from; where not, it says why."""
    config = _config(job, RunStep("adapt", "adapt.jsonl"))
    source, least = source_of(config), config[Adapt].from_classes
    assert source, "_config wants data"
    largest = max((info.count or 0 for info in open_data(source, "train").classes), default=0)
    reason = adapt.cannot(model.t2i) or ("--lora is one of its own" if model.lora else "")
    if not reason and largest < least:
        more = "[adapt] from-classes says how many are enough"
        reason = f"no class has {least} images to learn from, the largest {largest}; {more}"
    if reason and console.first(reason):
        console.notice(f"run: the image model is not adapted: {reason}")
    return not reason


def steps(
    baselines: bool, recipe: Recipe = RECIPES["ltgc"], model: Mapping[str, Any] = MappingProxyType({})
) -> list[RunStep]:
    """Returns the steps of a run, in order.

    model -- settings of the text-to-image model that adapt teaches and filter has, where the settings file has none
        for them: render's

    >>> [step.file for step in steps(True)][5:8]
    ['fine-tuning.jsonl', 'fine-tuning-la.jsonl', 'fine-tuning-cutmix.jsonl']
    """
    # mix-train's copy of the checkpoint is made at the end: it would stop a run that goes on.
    apart: dict[str, Any] = {"out": None, "merge": False}
    # What the settings file says of the training is for the classifier of the run, not for what it is compared with.
    real = apart | {"generated": False, "average": (), "syn_prior": False, "syn_head": False, "harmonise": False}
    real |= {"fixed_crops": 0}  # which keeps features of whole images, and the third mixes them
    trainings = [RunStep("mix-train", "mix-train.jsonl", apart, {**recipe.training, "name": recipe.name})]
    if baselines:  # all checkpoints ride the one stream to eval
        plain = real | {"mix": "none", "loss": "ce"}
        adjusted = plain | {"loss": "la", "name": "fine-tuning + logit adjustment"}
        trainings[:0] = [
            RunStep("mix-train", "fine-tuning.jsonl", plain | {"name": "fine-tuning"}),
            RunStep("mix-train", "fine-tuning-la.jsonl", adjusted),
            RunStep("mix-train", "fine-tuning-cutmix.jsonl", real | dict(STRONGEST) | {"name": REAL_ALONE}),
        ]
    found = []
    for name in _ORDER[:-1]:
        if name == "mix-train":
            found += trainings
        elif name != "adapt" or recipe.adapts:
            found.append(RunStep(name, f"{name}.jsonl", usual=model if name in ("adapt", "filter") else {}))
    return [*found, RunStep("report", "report.html")]


def chosen(every: Sequence[RunStep], first: str | None, until: str | None) -> tuple[RunStep | None, list[RunStep]]:
    """Returns the step whose file is read first (None: the data), and the steps from `first` to `until`."""
    start, end = _ORDER.index(first or _ORDER[0]), _ORDER.index(until or _ORDER[-1])
    if start > end:
        raise InputError(f"--from {first} comes after --until {until}")
    if "adapt" in (first, until) and not any(step.command == "adapt" for step in every):
        raise InputError(
            'adapt is no stage of this run: recipe = "best", or an [adapt] table in the settings, empty or not, '
            "turns it on"
        )
    todo = [step for step in every if start <= _ORDER.index(step.command) <= end]
    index = every.index(todo[0])
    return (every[index - 1] if index else None), todo


def _config(job: Job, step: RunStep) -> Config:
    """Returns the settings of a step. Raises InputError where no data is named."""
    known = command_settings(step.command)
    written = {
        name: value for name, value in job.settings.get(step.command, {}).items() if name not in ("output", "input")
    }
    values = {name: value for name, value in step.usual.items() if name in known and value is not None} | written
    if step.command in ("eval", "mix-train") and job.run.test:
        values["data" if step.command == "eval" else "test"] = job.run.test
    values |= {name: True for name in ("drop_broken", "drop_duplicates") if name in known and getattr(job.run, name)}
    # The run's limit, wherever it was set, holds for all stages together: it is no stage's own.
    if values.get("max_cost") == job.settings["run"].get("max_cost"):
        values.pop("max_cost", None)
    if job.run.retry_failures and "retry_failures" in known:
        values["retry_failures"] = True
    typed = {name: value for name, value in job.typed.items() if name in known}
    config = configure(step.command, typed, values, chain.without_limit(), job.file)
    if (config.get("dry_run") or config.get("preview")) and not job.run.dry_run:
        raise InputError(
            f"{job.run.out / step.file} would not be made: dry-run or preview, in the settings, is for the command "
            f"{step.command} alone; take it out, or try all of it: {job.again('--dry-run')}"
        )
    if "data" in known and not config.get("data"):
        raise InputError('no data is named; write data = "birds/" at the top of the settings, or run ltgc init')
    return config.changed(**step.own) if step.own else config


def _run(job: Job, configs: Sequence[tuple[RunStep, Config]], given: Path | None, out: Path | None) -> Ran:
    with named_errors(job.run.out):
        job.run.out.mkdir(parents=True, exist_ok=True)
    paid, exit_code, ran, not_copied = 0.0, DONE, Ran(), ""
    for index, (step, config) in enumerate(configs):
        console.notice(f"run: {index + 1}/{len(configs)} {_described(config)}")
        _check_file(job, configs, index)
        path = job.run.out / step.file
        if step.command == "report":
            with reading(Streams(input=given, called=True), "report") as rows:
                write_report(rows, _target(config, path, given), config[Report])
            with reading(Streams(input=given, called=True), "sheet") as rows:
                sheet.write_sheet(rows, _target(config, job.run.out / SHEET, given))
            continue
        limited, limit = _limited(config, job.run.max_cost, paid)
        with _named_errors(job, config, paid, limit):
            # A stage that makes its own records has none to read.
            behind = [other for one, other in configs[index + 1 :] if one.command != "report"]
            ran = chain.run(limited, Streams(input=given if index or given else None, called=True), behind)
            gc.collect()  # the models of a stage make room for those of the next
            if step.file == "mix-train.jsonl":
                not_copied = _copied_out(job, config, ran.artifact, out)
        _check_file(job, configs, index)  # again: a stage takes hours
        _put(ran.artifact, _target(config, path))
        paid, exit_code = paid + ran.dollars, max(exit_code, ran.exit_code)
        given = path
    problem = f"all is done but [mix-train] out: {not_copied}; {job.again()} then copies it there" if not_copied else ""
    return Ran(ran.artifact, exit_code, paid, problem=problem)


def _limited(config: Config, most: float | None, paid: float) -> tuple[Config, float]:
    """Returns a step's settings with what is left of the run's limit, and that limit, in US dollars."""
    if most is None or "max_cost" not in command_settings(config.command):
        return config, 0.0
    own = config.get("max_cost")
    limit = most if own is None else min(most, own)
    return config.changed(max_cost=max(0.0, min(most - paid, limit))), limit


@contextmanager
def _named_errors(job: Job, config: Config, paid: float, limit: float) -> Iterator[None]:
    """Says of an error or an interruption in which stage it came, and of an error how to go on.

    limit -- US dollars that this stage could spend if those before it asked nothing, as when they are run again
    """
    title, most = _title(config), job.run.max_cost
    try:
        yield
    except BudgetError as error:
        spent = f" (${paid:.4g} of --max-cost {most:g} went to the stages before)" if paid and most is not None else ""
        again = error.again or error.most <= limit
        raise BudgetError(
            f"in {title}: {error.reached}{spent}", f"{job.again()} goes on there" if again else error.then
        ) from None
    except LtgcError as error:
        raise type(error)(f"in {title}: {error}; {job.again()} goes on there") from None
    except KeyboardInterrupt:
        console.notice(f"run: stopped in {title}")
        raise


def _check_file(job: Job, configs: Sequence[tuple[RunStep, Config]], index: int) -> None:
    """Raises InputError where what a step writes would take the place of what a person made."""
    step, config = configs[index]
    path = job.run.out / step.file
    if step.command == "report":
        for made in (path, job.run.out / SHEET):
            if made.exists():  # their folder is made when the run begins
                written.check(_target(config, made))
    elif not written.is_ours(path, config[Storage].folder):
        following = next((other.command for other, _ in configs[index + 1 :]), "")
        there = path.is_file() and following not in ("", step.command) and "name" not in step.own
        go_on = f"go on from it with {job.again('--from', following)}, or move it away" if there else "move it away"
        raise InputError(f"{path} is not as a stage left it, and would be overwritten: {go_on}")


def _put(artifact: Path | None, target: written.Target) -> None:
    """Copies a stage's artifact to its place. Raises InputError where the stage left none."""
    if artifact is None:
        raise InputError(f"{target.path} was not made: dry-run or preview, in the settings, is for the command alone")
    with artifact.open("rb") as lines, written.writing(target) as write:
        while block := lines.read(1 << 20):
            write(block)


def _target(config: Config, path: Path, *inputs: Path | None) -> written.Target:
    return written.Target(path, config[Storage].folder, tuple(one for one in inputs if one), remedy=_AWAY)


def _copied_out(job: Job, config: Config, artifact: Path | None, out: Path | None) -> str:
    """Copies the checkpoint where [mix-train] `out` says; where it is from an earlier run of this one, it stays.

    Returns what stood in the way: eval and report, which come behind, need no copy.
    """
    from ltgc_cli.pipeline.training.fit import copy_out

    merge = bool(job.settings.get("mix-train", {}).get("merge"))
    if artifact and (out or merge):
        try:
            copy_out(config[Storage].folder, artifact, out, config.get("clip"), merge)
        except (InputError, OutputError) as error:
            return str(error)
    return ""


def _try_out(configs: Sequence[tuple[RunStep, Config]], given: Path | None) -> Ran:
    """Returns what all steps that can be tried would ask, each on what the one before would write."""
    can = [config for _, config in configs if "dry_run" in command_settings(config.command)]
    can = [config for config in can if config.command != "eval" or config.get("direct")]
    rows: list[Any] = []
    if given:
        with given.open("rb") as lines:
            rows = list(records.read(lines, str(given)))
    would: dict[tuple[str, str], UsageSum] = {}
    for config, session in chain.try_out_all(can, rows):
        for text in session.remarks:
            console.notice(f"{config.command}: {text}")
        for (purpose, model), one in session.sums.items():
            would[purpose if purpose == config.command else f"{config.command}: {purpose}", model] = one
    rest = dict.fromkeys(step.command for step, config in configs if config not in can)
    if rest:
        console.notice(f"run: {', '.join(rest)} cannot be tried; no model is paid there")
    return Ran(would_ask=would)


def _title(config: Config) -> str:
    """Returns what a step is called: its command, and of several trainings which."""
    name = config.get("name") if config.command == "mix-train" else ""
    return f"{config.command} of {name}" if name else config.command


def _described(config: Config) -> str:
    models = dict.fromkeys(str(spec) for name in _MODELS if (spec := config.get(name)))
    return f"{_title(config)} ({', '.join(models)})" if models else _title(config)


def outcome(job: Job, paid: float) -> str:
    """Returns what a run came to, in words: what it cost, where its records are."""
    from ltgc_cli.usage import sums, total, worded

    last = last_file(job)
    with last.open("rb") as lines:
        cost = total(sums(records.read(lines, str(last)), ["stage"]).values())
    now = f", ${cents(paid)} of it now" if cost.dollars else ""
    return f"run: it cost {worded(cost)}{now}; every record is in {last}"


def last_file(job: Job) -> Path:
    """Returns the file of the last step that left records."""
    _, todo = chosen(steps_of(job), job.run.first, job.run.until)
    files = [step.file for step in todo if step.command != "report"] or ["eval.jsonl"]
    return job.run.out / files[-1]
