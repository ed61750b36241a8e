"""`ltgc run`: the commands one after another, each from the file of the one before, with the settings of one file."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from ltgc_cli import console
from ltgc_cli.cli import TYPED, app, settings
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o
from ltgc_cli.cli.interruption import typed
from ltgc_cli.errors import DONE, BudgetError, InputError, LtgcError
from ltgc_cli.learn import processes
from ltgc_cli.pipeline.run_checks import check, check_file, store_folder

if TYPE_CHECKING:
    from ltgc_cli.usage import UsageSum

Stage = Literal["describe", "extend", "reflect", "render", "filter", "mix-train", "eval", "report"]
_ORDER = Stage.__args__  # type: ignore[attr-defined]
_MODELS = ("lmm", "direct", "llm", "t2i", "clip")

_NO_SETTINGS = """\
ltgc run goes the whole road, from images to a trained classifier, by the settings in ltgc.toml; there is none here
  ltgc init --data birds/    looks at your images and writes one: what is rare, which models, what it will cost
  ltgc run --dry-run         says what would be asked, and at what price; then: ltgc run
                             (stopped or killed at any point, it goes on when you start it again)
  ltgc demo                  shows all of it first, on handwritten digits: offline, in a few minutes"""


class Step(NamedTuple):
    """One command of a run, and what its file in the run's folder is called."""

    stage: str
    file: str
    args: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """Settings that are meant for another step of the same command."""


class Ready(NamedTuple):
    """A step with its command line read."""

    step: Step
    context: Any

    @property
    def params(self) -> Mapping[str, Any]:
        return self.context.params


class Job(NamedTuple):
    """What a run is, besides its steps."""

    root: Any
    """The context of `ltgc` itself, with the defaults of each command."""
    out: Path
    test: str | None
    cache_dir: Path | None
    quiet: bool
    arguments: tuple[str, ...]
    """What was typed behind `ltgc`."""

    def command(self, *more: str, without: Collection[str] = ()) -> str:
        """Returns what a person types to go on: the same command, with more flags, and without some."""
        arguments = [word for word in self.arguments if word != "--dry-run"]
        return " ".join([typed(self.root.command_path, arguments, without={*more[:1], *without}), *more])


def _read_settings(ctx: typer.Context, path: Path | None) -> Path | None:
    """Takes the defaults of all commands, run's own among them, from another file than ltgc.toml."""
    root = ctx.parent
    if path and root and not ctx.resilient_parsing:
        root.default_map = settings(path, root.command, root)  # type: ignore[arg-type]
        if root.default_map is None:
            raise InputError(f"{path}: no such file; ltgc init --data birds/ -o {path} writes one")
        ctx.default_map = root.default_map["run"]
    return path


@app.command()
def run(
    ctx: typer.Context,
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="Settings [ltgc.toml]. Paths in it start from the current folder, as those of flags do.",
            is_eager=True,
            callback=_read_settings,
        ),
    ] = None,
    first: Annotated[
        Stage | None, typer.Option("--from", help="Begin here, with what the stage before has left in --out.")
    ] = None,
    until: Annotated[Stage | None, typer.Option(help="Stop after this stage.")] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where each stage's records go, as STAGE.jsonl, and the report.")
    ] = Path("ltgc-run"),
    test: Annotated[
        str | None, typer.Option(metavar="DATA", help="Test images for eval [the test split of the data itself].")
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option(help="Train twice more on the real images alone, by cross-entropy and with logit adjustment."),
    ] = True,
    max_cost: Annotated[
        float | None,
        typer.Option(
            envvar="LTGC_MAX_COST",
            min=0,
            metavar="DOLLARS",
            help="Stop (exit 4) before all stages of this run together have cost more than that.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask nothing; say what describe to filter would ask, at what cost.")
    ] = False,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> f.Ran:
    """Go the whole road, describe to eval, by the settings in ltgc.toml. Killed at any point, it goes on.

    Each stage is the command of its name: a key at the top of ltgc.toml holds for all of them, a table for one.
    `ltgc init` writes such a file.

    \b
    ltgc run --dry-run
    ltgc run
    ltgc run --until render
    ltgc run --from filter                 # with ltgc-run/render.jsonl as it is, changed by hand too
    """
    console.configure(quiet=quiet)
    root = ctx.parent
    assert root is not None
    if root.default_map is None:
        head, *lines = _NO_SETTINGS.splitlines()
        console.error(head)
        for line in lines:
            console.notice(line)
        raise typer.Exit(InputError.exit_code)
    if processes.count() > 1:
        raise InputError("ltgc run is one process; to train with several: ltgc run --until filter, then mix-train")
    job = Job(root, out, test, cache_dir, quiet, root.meta[TYPED])
    before, todo = chosen(steps(baselines, root.command.commands), first, until)  # type: ignore[attr-defined]
    given = out / before.file if before else None
    if given and not given.is_file():
        makes_it = job.command("--until", before.stage, without=["--from"])  # type: ignore[union-attr]
        raise InputError(f"{given} is not there; {makes_it} makes it")
    ready = [_ready(job, step) for step in todo]
    if dry_run:
        return _rehearsed(job, ready, given)
    check(job, ready)
    return _ran(job, ready, given, max_cost)


def steps(baselines: bool, commands: Mapping[str, Any]) -> list[Step]:
    """Returns the steps of a run, in order; those of stages that no command has are left out.

    >>> [step.file for step in steps(True, {"filter": 0, "mix-train": 0, "eval": 0})]
    ['filter.jsonl', 'fine-tuning.jsonl', 'fine-tuning-la.jsonl', 'mix-train.jsonl', 'eval.jsonl']
    """
    plain = ("--no-generated", "--mix", "none")
    own = ("out", "merge", "name")
    found = []
    for stage in _ORDER:
        if stage == "mix-train" and baselines:  # all three checkpoints ride the one stream to eval
            found += [
                Step(stage, "fine-tuning.jsonl", (*plain, "--name", "fine-tuning"), own),
                Step(
                    stage,
                    "fine-tuning-la.jsonl",
                    (*plain, "--loss", "la", "--name", "fine-tuning + logit adjustment"),
                    own,
                ),
            ]
        # mix-train's copy of the checkpoint is made here: it would stop a run that goes on.
        left_out = ("out", "merge") if stage == "mix-train" else ()
        found.append(Step(stage, "report.html" if stage == "report" else f"{stage}.jsonl", (), left_out))
    return [step for step in found if step.stage in commands]


def chosen(every: Sequence[Step], first: str | None, until: str | None) -> tuple[Step | None, list[Step]]:
    """Returns the step whose file is read first (None: the data), and the steps from `first` to `until`."""
    start, end = _ORDER.index(first or _ORDER[0]), _ORDER.index(until or _ORDER[-1])
    if start > end:
        raise InputError(f"--from {first} comes after --until {until}")
    todo = [step for step in every if start <= _ORDER.index(step.stage) <= end]
    if not todo:
        raise InputError(f"there is no command {first}")
    place = every.index(todo[0])
    return (every[place - 1] if place else None), todo


def _ready(job: Job, step: Step, *args: str) -> Ready:
    """Returns a step with its command line read. Raises InputError where no data is named."""
    command = job.root.command.commands[step.stage]
    names = {param.name for param in command.params}
    left_out = {"output", *step.left_out}  # where the records go is --out's to say
    defaults = {key: value for key, value in job.root.default_map[step.stage].items() if key not in left_out}
    line = [*step.args, *args]
    if step.stage == "eval" and job.test:
        line += ["--data", job.test]
    elif "data" in names and not defaults.get("data"):
        raise InputError('no data is named; write data = "birds/" at the top of the settings, or run ltgc init')
    if job.cache_dir:
        line += ["--cache-dir", str(job.cache_dir)]
    if job.quiet:
        line += ["--quiet"]
    return Ready(step, command.make_context(step.stage, line, parent=job.root, default_map=defaults))


def _ran(job: Job, ready: Sequence[Ready], given: Path | None, max_cost: float | None) -> f.Ran:
    """Runs the steps and returns what they did together."""
    from ltgc_cli.pipeline.run_folder import begin, note, put

    begin(job.out)
    paid, exit_code, artifact, not_copied = 0.0, DONE, None, ""
    for number, one in enumerate(ready):
        console.notice(f"run: {number + 1}/{len(ready)} {_named(one)}")
        check_file(job, ready, number)
        path = job.out / one.step.file
        args = ["-i", str(given)] if given else []
        spent, limit = "", 0.0
        if max_cost is not None and "max_cost" in one.params:
            limit = min(max_cost, float(job.root.default_map[one.step.stage].get("max_cost", max_cost)))
            args += ["--max-cost", f"{max(0.0, min(max_cost - paid, limit)):.10f}"]
            spent = f" (${paid:.4g} of --max-cost {max_cost:g} went to the stages before)" if paid else ""
        if one.step.stage == "report":
            args += ["-o", str(path)]
        else:
            note(path)  # the stage may replace the artifact that shows whose it is
        with _stopped(job, one, spent, limit), f.from_python():
            ran = _invoked(job, one.step, args)
            if one.step.file == "mix-train.jsonl":
                not_copied = _copied_out(job, one, ran.artifact)
        if one.step.stage != "report":
            put(ran.artifact, path, partial(check_file, job, ready, number))
        paid += ran.dollars
        exit_code = max(exit_code, ran.exit_code)
        given, artifact = path, ran.artifact
    _tell(job, ready, paid)
    if not_copied:
        raise InputError(f"all is done but [mix-train] out: {not_copied}; {job.command()} then copies it there")
    return f.Ran(artifact, exit_code, paid)


def _invoked(job: Job, step: Step, args: Sequence[str]) -> f.Ran:
    """Returns what a command did, run as its command line would be."""
    context = _ready(job, step, *args).context
    try:
        with context:
            ran = context.command.invoke(context)
    finally:
        console.configure(quiet=job.quiet)
        if "device" in context.params:
            gc.collect()  # the models of a stage make room for those of the next
    return ran if isinstance(ran, f.Ran) else f.Ran(None)


@contextmanager
def _stopped(job: Job, one: Ready, spent: str, limit: float) -> Iterator[None]:
    """Says of an error or an interruption in which stage it came, and of an error how to go on.

    spent -- what is said of the stages before, where a limit is reached
    limit -- US dollars that this stage could spend if those before it asked nothing, as when they are run again
    """
    try:
        yield
    except BudgetError as error:
        again = error.again or error.most <= limit
        then = f"{job.command()} goes on there" if again else error.then
        raise BudgetError(f"in {_title(one)}: {error.reached}{spent}", then) from None
    except LtgcError as error:
        raise type(error)(f"in {_title(one)}: {error}; {job.command()} goes on there") from None
    except KeyboardInterrupt:
        console.notice(f"run: stopped in {_title(one)}")
        raise


def _copied_out(job: Job, one: Ready, artifact: Path | None) -> str:
    """Copies the checkpoint where [mix-train] `out` says; where it is from an earlier run of this one, it stays.

    Returns what stood in the way: eval and report, which come behind, need no copy.
    """
    defaults = job.root.default_map["mix-train"]
    out, merge = defaults.get("out"), bool(defaults.get("merge"))
    if artifact and (out or merge):
        from ltgc_cli.pipeline.training.fit import export

        session = f.session(store_folder(one.params), None, job.quiet)
        try:
            export(session, artifact, Path(out) if out else None, one.params["clip"], merge)
        except InputError as error:
            return str(error)
    return ""


def _title(one: Ready) -> str:
    """Returns what a step is called: its stage, and of several trainings which."""
    name = one.params.get("name") if one.step.stage == "mix-train" else ""
    return f"{one.step.stage} of {name}" if name else one.step.stage


def _named(one: Ready) -> str:
    models = dict.fromkeys(str(one.params[name]) for name in _MODELS if one.params.get(name))
    return f"{_title(one)} ({', '.join(models)})" if models else _title(one)


def _tell(job: Job, ready: Sequence[Ready], paid: float) -> None:
    """Says what came out: the accuracies, what it cost, where everything lies."""
    from ltgc_cli import records
    from ltgc_cli.cli import show as view
    from ltgc_cli.engine import cents
    from ltgc_cli.usage import sums, total, worded

    *_, last = [job.out / one.step.file for one in ready if one.step.stage != "report"] or [job.out / "eval.jsonl"]
    with last.open("rb") as lines:
        cost = total(sums(records.read(lines, str(last)), ["stage"]).values())
    if last.name == "eval.jsonl":
        with last.open("rb") as lines:
            view.accuracy(records.read(lines, str(last)))
    now = f", ${cents(paid)} of it now" if cost.dollars else ""
    console.notice(f"run: it cost {worded(cost)}{now}; every record is in {last}")
    if ready[-1].step.stage == "report":
        console.notice(f"run: the report is {job.out / ready[-1].step.file}")
    elif ready[-1].step.stage != "eval":
        console.notice(f"run: {job.command(without=['--until'])} goes on after {ready[-1].step.stage}")


def _rehearsed(job: Job, ready: Sequence[Ready], given: Path | None) -> f.Ran:
    """Rehearses what can be, each stage on what the one before would write, and says what all of it would ask."""
    from ltgc_cli.pipeline.dry_run import COLUMNS, rows

    can = [one for one in ready if "dry_run" in one.params and (one.step.stage != "eval" or one.params["direct"])]
    would: dict[tuple[str, str], UsageSum] = {}
    with TemporaryDirectory() as folder:
        for one in can:
            path = Path(folder) / one.step.file
            with path.open("w", encoding="utf-8") as file, redirect_stdout(file):  # as into a pipe
                args = ["--dry-run", *(["-i", str(given)] if given else [])]
                asks = _invoked(job, one.step, args).would_ask
            would |= {(_purpose(one, purpose), model): bill for (purpose, model), bill in asks.items()}
            given = path
    if would:
        console.table("what the run would ask", COLUMNS, rows(would))
    else:
        console.notice("run: nothing would be asked")
    rest = dict.fromkeys(one.step.stage for one in ready if one not in can)
    if rest:
        console.notice(f"run: {', '.join(rest)} cannot be rehearsed; no model is paid there")
    return f.Ran(None, would_ask=would)


def _purpose(one: Ready, purpose: str) -> str:
    stage = one.step.stage
    return stage if purpose == stage else f"{stage}: {purpose}"
