"""The commands for the store itself: cache info, show, verify, prune, export, import, dir."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ltgc_cli import console
from ltgc_cli.cli.app import app
from ltgc_cli.cli.flags import NamedPath, command
from ltgc_cli.config import Config
from ltgc_cli.errors import FELL_SHORT, InputError
from ltgc_cli.settings import CacheExport, CachePrune, CacheShow, Choice, JsonLines, Storage
from ltgc_cli.text import agreeing, counted

if TYPE_CHECKING:
    from ltgc_cli.store import Store

_ROWS = 40
"""Rows shown on a terminal; lines have them all."""


cache = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="""Look into the store of answers, check it, share it, and delete from it.

    The store has every answer that was paid for, the images, each stage's output and the checkpoints. Nothing in it
    is ever deleted but by `ltgc cache prune`.

    \b
    ltgc cache info
    ltgc cache show 6f0c2a91
    ltgc cache export answers.tar
    """,
)
app.add_typer(cache, name="cache")


@command(cache, settings="cache info")
def info(config: Config) -> None:
    """Sum up entries, bytes and dollars by stage and model, as a table wherever it goes.

    \b
    ltgc cache info
    ltgc cache info --json | jq -r 'select(.dollars > 1) | [.stage, .model, .dollars] | @tsv'
    """
    from msgspec import to_builtins

    from ltgc_cli.cache.info import sums

    with _opened(config) as store:
        rows = [to_builtins(row) for row in sums(store)]
    if config[JsonLines].json:
        _write(map(_line, rows))
        return
    _table(rows, "kind stage model entries bytes tokens dollars")
    console.notice(f"the store is in {store.folder}")


@command(cache, settings="cache show")
def show(
    config: Config,
    id: Annotated[
        str | None, typer.Argument(metavar="ID", help="A record's id, an answer's key or an image's sha256.")
    ] = None,
) -> None:
    """List answers or artifacts; or show one record and its ancestry.

    Answers are listed in the order in which they came, artifacts newest first. A record is shown as a tree, with all
    that it was made from. The beginning of an ID is enough where it is no other's. The artifacts are read from the
    newest on, as far as needed, which can take a while. --json writes each record once, what was asked for first.

    \b
    ltgc cache show --stage extend --class crane
    ltgc cache show 6f0c2a91
    ltgc cache show --model gpt-4o | jq -r .key | head -1 | xargs ltgc cache show
    """
    from ltgc_cli.cache import show as shows

    what, choice = config[CacheShow], config[Choice]
    if id and (what.artifacts or choice != Choice()):
        raise InputError("an ID is shown whole; leave out what chooses from the list (--stage, --artifacts and so on)")
    if what.children and not id:
        raise InputError("--children: name the ID of a record, whose children are wanted")
    if what.artifacts and (choice.model or choice.class_):
        raise InputError("--artifacts: artifacts are chosen by --stage and --older-than alone")
    with _opened(config) as store:
        if what.artifacts:
            _output(shows.artifacts(store, choice), config, "path stage kinds bytes made")
        elif not id:
            _output(shows.answers(store, choice), config, "key stage model subject tokens dollars")
        else:
            lines, trees = shows.show(store, id, children=what.children)
            if _person(config):
                for tree in trees:
                    console.tree(tree)
            else:
                _write(lines)


@command(cache, settings="cache verify")
def verify(config: Config) -> None:
    """Check every byte: images, answers, artifacts, checkpoints.

    Images are checked against their names, answers against their questions. Changes nothing. Exit status 1 where
    something is damaged.

    \b
    ltgc cache verify && ltgc cache export answers.tar
    """
    from ltgc_cli.cache import verify as check

    with _opened(config) as store:
        checked, damages, others = check.verify(store)
    if damages or not _person(config):
        _output((damage.line() for damage in damages), config, "what name why")
    if others:
        are = agreeing(others, "is", "are")
        console.notice(
            f"cache verify: {counted(others, 'answer')} {are} of another version of ltgc, and {are} left to it"
        )
    counts = ", ".join(counted(count, part.removesuffix("s")) for part, count in checked.items()) or "nothing"
    if damages:
        mend = check.mend(damages, config[Storage].cache_dir)
        console.error(f"{len(damages):,} damaged in {store.folder} of {counts}; to mend it: {mend}")
        raise typer.Exit(FELL_SHORT)
    console.notice(f"cache verify: all is well in {store.folder}: {counts}")


@command(cache, settings="cache prune")
def prune(
    config: Config,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="Single answers, by their keys.", show_default=False)
    ] = None,
) -> None:
    """Delete from the store, once a person agrees.

    It says first what goes, and what it would cost to buy again. Name what goes, several together too (answers, where
    none is named), and narrow it down by stage, model, class and age; or name single answers by KEY (ltgc cache show).
    What is deleted is asked again by the next run: the outputs of stages that rest on it go too. An image stays as long
    as an answer or an output names it. Let no other run use the store meanwhile.

    \b
    ltgc cache prune --stage extend --model gpt-4o --dry-run
    ltgc cache prune --class "fire truck"
    ltgc cache prune 6f0c2a91
    ltgc cache prune --stage render --answers --artifacts --unused   # generated images, with their stage's outputs
    """
    from ltgc_cli.cache.prune import delete, to_delete

    wanted, choice = config[CachePrune], config[Choice]
    what = CachePrune(dry_run=wanted.dry_run, yes=wanted.yes)
    if keys and (wanted != what or choice != Choice()):
        raise InputError("a KEY names one answer; leave out what chooses among them (--stage, --artifacts and so on)")
    with _opened(config) as store:
        deletions = to_delete(store, wanted, choice, keys or ())
        for one in deletions:
            console.notice(f"{'would delete' if wanted.dry_run else 'to be deleted'}: {one.line()}")
        if not deletions:
            console.notice("cache prune: nothing to delete")
        if wanted.dry_run or not deletions:
            return
        if not (wanted.yes or console.agreed(f"Delete this from {store.folder}, for good?")):
            console.error("nothing was deleted; --yes deletes without asking")
            raise typer.Exit(FELL_SHORT)
        total = sum(map(len, deletions))
        with console.progress("cache prune", total) as progress:
            for count in delete(store, deletions):
                progress.advance(count)
    console.notice(f"cache prune: deleted {total:,} from {store.folder}")


@command(cache, settings="cache export")
def export_(
    config: Config,
    file: Annotated[
        Path,
        typer.Argument(click_type=NamedPath(), metavar="FILE", help="A new file, a plain tar.", show_default=False),
    ],
) -> None:
    """Write answers and generated images to one file, to share.

    A colleague's run asks none of it again. Your own images are not in it, nor are artifacts and checkpoints. An
    answer that looks as if it held a key is left out, and named. The same answers make the same bytes.

    \b
    ltgc cache export answers.tar --artifact filtered.jsonl
    """
    from ltgc_cli.cache.archive import export

    with _opened(config) as store, console.progress("cache export") as progress:
        done = export(store, file, config[Choice], config[CacheExport].artifact, progress.advance)
    if done.secret:
        named = ", ".join([key[:12] for key in done.secret[:3]] + ["…"] * (len(done.secret) > 3))
        number = len(done.secret)
        held = f"{counted(number, 'answer')} {agreeing(number, 'seems', 'seem')} to hold a key"
        left_out = f"{held}, and {agreeing(number, 'was', 'were')} left out"
        console.notice(f"cache export: {left_out}: {named} (ltgc cache show)")
    if done.others:
        were = agreeing(done.others, "was", "were")
        console.notice(f"cache export: {counted(done.others, 'answer')} of another version of ltgc {were} left out")
    answers, images = counted(done.answers, "answer"), counted(done.images, "image")
    if not file.is_file():  # a device or a pipe
        console.notice(f"cache export: {answers} and {images} in {file}")
        return
    console.notice(f"cache export: {answers} and {images} in {file} ({counted(file.stat().st_size, 'byte')})")
    console.notice(f"cache export: they are taken in with: ltgc cache import {file}")


@command(cache, settings="cache")
def import_(
    config: Config,
    file: Annotated[
        Path,
        typer.Argument(
            click_type=NamedPath(),
            metavar="FILE",
            help="What `ltgc cache export` wrote, or the folder of another store.",
            show_default=False,
        ),
    ],
) -> None:
    """Take in the answers that someone else exported, or another store.

    All of a file is checked before anything is taken in: that each answer belongs to its question, and each image
    to its answer. Whether the answers are good is up to who sent them. Of two answers mine holds. A store's folder
    gives its artifacts and checkpoints as well, each thing checked as it is taken: stopped, it goes on when run again.

    \b
    ltgc cache import answers.tar
    ltgc cache import /mnt/worker-3/store
    """
    from ltgc_cli.cache.archive import unpack
    from ltgc_cli.cache.merge import Merged, merge
    from ltgc_cli.store import Store

    if not (file.is_file() or file.is_dir()):
        raise InputError(f"{file}: no such file" if not file.exists() else f"{file} is a device or a pipe; name a file")
    if file.is_dir() and not (file / "answers").is_dir():
        raise InputError(
            f"{file}: a folder without a store; name a store's, or the file that `ltgc cache export` wrote"
        )
    with closing(Store(config[Storage].folder, anew=True)) as store, console.progress("cache import") as progress:
        new = (merge if file.is_dir() else unpack)(store, file, progress.advance)
    counts = [(new.answers, "answer"), (new.images, "image")]
    if isinstance(new, Merged):
        counts += [(new.artifacts, "artifact"), (new.checkpoints, "checkpoint")]
    *first, last = [counted(number, what) for number, what in counts]
    console.notice(f"cache import: {', '.join(first)} and {last} were new")


@command(cache, settings="cache")
def dir_(config: Config) -> None:
    """Print the store's folder.

    \b
    ltgc cache dir | xargs du -sh
    """
    typer.echo(config[Storage].folder)


@contextmanager
def _opened(config: Config) -> Iterator[Store]:
    from ltgc_cli.cache.walk import opened

    with closing(opened(config[Storage].folder)) as store:
        yield store


def _person(config: Config) -> bool:
    return console.is_terminal() and not config[JsonLines].json


def _output(lines: Iterable[dict[str, Any]], config: Config, columns: str) -> None:
    """Writes lines for programs, and for a person a table of the first ones: their values under these keys."""
    if not _person(config):
        _write(map(_line, lines))
        return
    rest = iter(lines)
    _table(list(islice(rest, _ROWS)), columns)
    if more := sum(1 for _ in rest):
        console.notice(f"… and {more:,} more; --json lists them all")


def _line(line: dict[str, Any]) -> str:
    from json import dumps

    return dumps(line, ensure_ascii=False, separators=(",", ":"))


def _table(lines: Iterable[dict[str, Any]], columns: str) -> None:
    keys = columns.split()
    cells = [[_cell(line, key) for key in keys] for line in lines]
    console.table("", [_HEADINGS.get(key, key) for key in keys], cells)


_HEADINGS = {
    "kind": "",
    "subject": "about",
    "path": "artifact",
    "kinds": "new lines",
    "bytes": "MB",
    "dollars": "US dollars",
}


def _cell(line: dict[str, Any], key: str) -> str:
    from ltgc_cli.cache.info import megabytes
    from ltgc_cli.usage import UsageSum

    value = line[key]
    if key == "dollars":
        paid = line["kind"] in ("answer", "answers", "total")
        return UsageSum(new=paid, dollars=value or 0.0, unpriced=line.get("unpriced", value is None)).priced()
    if key == "kinds":
        return ", ".join(counted(count, kind) for kind, count in value.items()) if line["whole"] else "not whole"
    if key == "bytes":
        return megabytes(value)
    if key in ("key", "path"):
        return Path(value).stem[:12]
    return f"{value:,}" if isinstance(value, int) else value


def _write(lines: Iterable[str]) -> None:
    import sys

    for line in lines:
        sys.stdout.buffer.write(f"{line}\n".encode(errors="replace"))
    sys.stdout.buffer.flush()
