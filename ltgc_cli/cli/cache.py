"""The commands for the store itself: cache info, ls, show, verify, prune, export, import, dir."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ltgc_cli import console
from ltgc_cli.cli import app
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o
from ltgc_cli.cli.help import App, Group
from ltgc_cli.errors import FELL_SHORT, InputError

if TYPE_CHECKING:
    from ltgc_cli.cache.prune import What
    from ltgc_cli.store import Store

Stage = Literal["describe", "extend", "reflect", "render", "filter", "mix-train", "eval"]
_ROWS = 40
"""Rows shown on a terminal; lines have them all."""

cache = App(
    cls=Group,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="""Look into the store of answers, check it, share it, and delete from it.

    The store has every answer that was paid for, the pictures, each stage's output and the checkpoints. Nothing in it
    is ever deleted but by `ltgc cache prune`.

    \b
    ltgc cache info
    ltgc cache show 6f0c2a91
    ltgc cache export answers.tar
    """,
)
app.add_typer(cache, name="cache")

OfStage = Annotated[Stage | None, typer.Option("--stage", help="Only what this stage asked for, or made.")]
OfModel = Annotated[
    str | None,
    typer.Option("--model", metavar="MODEL", help="Only the answers of this model, whatever follows an @ in its name."),
]


@cache.command()
def info(json: o.Json = False, cache_dir: o.CacheDir = None, quiet: o.Quiet = False) -> None:
    """Sum up the store by stage and model: entries, bytes, and the dollars that they stand for.

    \b
    ltgc cache info
    ltgc cache info --json | jq -r 'select(.dollars > 1) | [.stage, .model, .dollars] | @tsv'
    """
    from msgspec import to_builtins

    from ltgc_cli.cache.contents import show_sums, sums

    with _opened(cache_dir, quiet) as store:
        rows = sums(store)
        _write(map(to_builtins, rows), json)
        if _person(json):
            show_sums(rows)
            console.notice(f"the store is in {store.folder}")


@cache.command("ls")
def list_(
    stage: OfStage = None,
    model: OfModel = None,
    class_: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="Only what names this class, in any case.")
    ] = None,
    artifacts: Annotated[bool, typer.Option("--artifacts", help="List the outputs of stages, not answers.")] = False,
    json: o.Json = False,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """List the answers in the store, in the order in which they came, or the artifacts, newest first.

    \b
    ltgc cache ls --stage extend --class crane
    ltgc cache ls --model gpt-4o | jq -r .key
    """
    from ltgc_cli.cache import contents
    from ltgc_cli.cache.entries import Choice, answers

    if artifacts and (model or class_):
        raise InputError("--artifacts: artifacts are chosen by --stage alone")
    choice = Choice(stage, model, class_)
    with _opened(cache_dir, quiet) as store:
        if artifacts:
            lines = map(contents.artifact_line, contents.artifacts(store, choice))
            columns: tuple[str, ...] = ("artifact", "stage", "new lines", "MB", "made")
            cells = contents.artifact_cells
        else:
            lines = map(contents.answer_line, answers(store, choice))
            columns, cells = ("key", "stage", "model", "about", "tokens", "US dollars"), contents.answer_cells
        shown: list[tuple[str, ...]] = []
        count = _write(lines, json, lambda line: shown.append(cells(line)) if len(shown) < _ROWS else None)
    if _person(json):
        console.table("", columns, shown)
        if count > len(shown):
            console.notice(f"… and {count - len(shown):,} more; --json lists them all")


@cache.command()
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="A record's id, an answer's key or an image's sha256.")],
    children: Annotated[bool, typer.Option("--children", help="Show what was made from it as well.")] = False,
    json: o.Json = False,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Show a record with all that it was made from, as a tree; or an answer by its key, an image by its sha256.

    The beginning of an id is enough where it is no other's. The artifacts are read from the newest on, as far as
    needed, which can take a while where they are large. --json writes each record once, what was asked for first.

    \b
    ltgc cache show 6f0c2a91
    ltgc cache ls --class crane | jq -r .key | head -1 | xargs ltgc cache show
    """
    from ltgc_cli.cache import show as cache_show

    with _opened(cache_dir, quiet) as store:
        found = cache_show.show(store, id, children=children)
        if _person(json):
            for tree in cache_show.trees(found):
                console.tree(tree)
        else:
            _write_texts(cache_show.lines(found), json)


@cache.command()
def verify(json: o.Json = False, cache_dir: o.CacheDir = None, quiet: o.Quiet = False) -> f.Ran:
    """Check every byte: pictures against their names, answers against their questions, artifacts, checkpoints.

    Changes nothing. Exit status 1 where something is damaged.

    \b
    ltgc cache verify && ltgc cache export answers.tar
    """
    from ltgc_cli.cache import verify as cache_verify

    with _opened(cache_dir, quiet) as store:
        checked, damages, others = cache_verify.verify(store)
        folder = store.folder
    _write(({"kind": "damage", "what": one.kind, "name": one.name, "why": one.why} for one in damages), json)
    if _person(json) and damages:
        rows = [(one.kind, one.name[:20], one.why) for one in damages[:_ROWS]]
        console.table("", ("damaged", "name", "why"), rows)
        if len(damages) > _ROWS:
            console.notice(f"… and {len(damages) - _ROWS:,} more; --json lists them all")
    if others:
        console.notice(f"cache verify: {others:,} answers are of another version of ltgc, and are left to it")
    counts = ", ".join(f"{count:,} {kind}s" for kind, count in checked.items()) or "nothing"
    if not damages:
        console.notice(f"cache verify: all is well in {folder}: {counts}")
        return f.Ran(None)
    console.error(f"{len(damages):,} damaged in {folder} of {counts}; to mend it: {_mend(damages, cache_dir)}")
    return f.Ran(None, FELL_SHORT)


def _mend(damages: Iterable[Any], cache_dir: Path | None) -> str:
    """Returns the command that mends a store."""
    if any(one.kind == "database" for one in damages):
        return (
            "move its folder `answers` away, and `ltgc cache import` what was exported, or save what `sqlite3 cache.db "
            ".recover` finds"
        )
    where = f" --cache-dir {cache_dir}" if cache_dir else ""
    return f"ltgc cache prune --damaged{where} deletes it, and the next run asks for it again"


@cache.command()
def prune(
    answers: Annotated[bool, typer.Option("--answers", help="Delete answers: what is meant unless told.")] = False,
    artifacts: Annotated[bool, typer.Option("--artifacts", help="Delete the outputs of stages.")] = False,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Delete trained models, and mix-train's outputs that name them.")
    ] = False,
    unused: Annotated[
        bool, typer.Option("--unused", help="Delete pictures, older than a day, that no answer and no artifact names.")
    ] = False,
    damaged: Annotated[bool, typer.Option("--damaged", help="Delete what `ltgc cache verify` finds damaged.")] = False,
    stage: OfStage = None,
    model: OfModel = None,
    older_than: Annotated[
        float | None, typer.Option("--older-than", min=0, metavar="DAYS", help="Only what is at least so old.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> f.Ran:
    """Delete from the store, once a person agrees: says first what it is, and what it would cost to buy again.

    Name what goes, several together too (answers, where nothing is named), and narrow it down by stage, model and age.
    A picture stays as long as an answer or an artifact names it, so deleting answers leaves every finished output
    whole. Let no other run use the store meanwhile.

    \b
    ltgc cache prune --stage extend --model gpt-4o --dry-run
    ltgc cache prune --stage render --answers --artifacts --unused   # drawings, their stage's outputs, their pictures
    """
    from ltgc_cli.cache.entries import Choice
    from ltgc_cli.cache.prune import delete, doomed

    named = {
        "answers": answers,
        "artifacts": artifacts,
        "checkpoints": checkpoints,
        "unused": unused,
        "damaged": damaged,
    }
    choice = Choice(stage, model, older_than=older_than)
    what = _what({name for name, given in named.items() if given}, choice)
    with _opened(cache_dir, quiet) as store:
        doom = doomed(store, what, choice)
        if not doom.said:
            console.notice("cache prune: nothing to delete")
            return f.Ran(None)
        for text in doom.said:
            console.notice(f"{'would delete' if dry_run else 'to be deleted'}: {text}")
        if dry_run:
            return f.Ran(None)
        if not (yes or console.agreed(f"Delete this from {store.folder}, for good?")):
            console.error("nothing was deleted; --yes deletes without asking")
            return f.Ran(None, FELL_SHORT)
        total = len(doom.answers) + len(doom.artifacts) + len(doom.checkpoints) + len(doom.objects)
        with console.progress("cache prune", total) as progress, _one_line(store.folder):
            for count in delete(store, doom):
                progress.advance(count)
        console.notice(f"cache prune: deleted {total:,} from {store.folder}")
    return f.Ran(None)


def _what(named: set[str], choice: Any) -> frozenset[What]:
    """Returns what is to be deleted. Raises InputError where that is not said, or where a choice says nothing of it."""
    narrowed = choice != type(choice)()
    if not (named or narrowed):
        raise InputError(
            "say what to delete: answers by --stage, --model or --older-than, or --artifacts, --checkpoints, --unused, "
            "--damaged"
        )
    what: Any = frozenset(named or {"answers"})
    if choice.model and "answers" not in what:
        raise InputError("--model chooses answers; name --answers too, or leave it out")
    if choice.stage and not what & {"answers", "artifacts"}:
        raise InputError("--stage chooses answers and artifacts; name --answers or --artifacts too, or leave it out")
    if narrowed and what == {"damaged"}:
        raise InputError("--damaged deletes all that is damaged; leave --older-than out")
    return what


@cache.command("export")
def export_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, a plain tar.", show_default=False)],
    stage: OfStage = None,
    model: OfModel = None,
    artifact: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl", help="Only answers on the classes and images of these records.", exists=True
        ),
    ] = None,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Write answers, and the pictures drawn, to one file, with which a colleague's run asks nothing again.

    Your own images are not in it, nor are artifacts and checkpoints. An answer that looks as if it held a key is left
    out, and named. The same answers make the same bytes.

    \b
    ltgc cache export answers.tar --artifact filtered.jsonl
    """
    from ltgc_cli.cache import sharing as cache_sharing

    with _opened(cache_dir, quiet) as store, console.progress("cache export") as progress:
        done = cache_sharing.export(store, file, stage, model, artifact, progress.advance)
    size = file.stat().st_size
    console.notice(f"cache export: {done.answers:,} answers and {done.pictures:,} pictures in {file} ({size:,} bytes)")
    console.notice(f"cache export: they are taken in with: ltgc cache import {file}")


@cache.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `ltgc cache export` wrote.", show_default=False)],
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Take in the answers that someone else exported: all of the file is checked first, and of two answers mine holds.

    What is checked is that each answer belongs to its question, and each picture to its answer; whether the answers
    are good is up to who sent them.

    \b
    ltgc cache import answers.tar
    """
    from ltgc_cli.cache.archive import unpack
    from ltgc_cli.store import Store

    console.configure(quiet=quiet)
    if not file.is_file():
        wrong = "a folder; name the file that `ltgc cache export` wrote" if file.is_dir() else "no such file"
        raise InputError(f"{file}: {wrong}")
    with closing(Store(_folder(cache_dir))) as store, console.progress("cache import") as progress:
        done = unpack(store, file, progress.advance)
        console.notice(f"cache import: {done.answers:,} answers and {done.pictures:,} pictures were new")


@cache.command("dir")
def dir_(cache_dir: o.CacheDir = None) -> None:
    """Print the store's folder.

    \b
    ltgc cache dir | xargs du -sh
    """
    import sys

    sys.stdout.write(f"{_folder(cache_dir)}\n")


def _folder(cache_dir: Path | None) -> Path:
    return cache_dir or f.default_folder()


@contextmanager
def _opened(cache_dir: Path | None, quiet: bool) -> Iterator[Store]:
    from ltgc_cli.cache.entries import opened

    console.configure(quiet=quiet)
    with closing(opened(_folder(cache_dir))) as store:
        yield store


@contextmanager
def _one_line(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or folder}: {error.strerror}; run again to go on") from None


def _person(json: bool) -> bool:
    return console.is_terminal() and not json


def _write(lines: Iterable[dict[str, Any]], json: bool, seen: Any = lambda line: None) -> int:
    """Returns how many lines there were; programs get them, and `seen` is told of each."""
    from json import dumps

    count = 0

    def texts() -> Iterator[str]:
        nonlocal count
        for count, line in enumerate(lines, start=1):  # noqa: B007
            seen(line)
            yield dumps(line, ensure_ascii=False, separators=(",", ":"))

    _write_texts(texts(), json)
    return count


def _write_texts(texts: Iterable[str], json: bool) -> None:
    from ltgc_cli.pipeline.stage import Streams, writing

    with writing(Streams(json=json)) as write:
        for text in texts:
            write((text + "\n").encode(errors="replace"))
