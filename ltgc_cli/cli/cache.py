"""The commands for the store itself: cache info, show, verify, prune, export, import, dir."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from ltgc_cli import console
from ltgc_cli.cache.choice import Choice, Parts, Stage
from ltgc_cli.cli import app
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o
from ltgc_cli.cli.help import App, Group
from ltgc_cli.errors import FELL_SHORT, InputError

if TYPE_CHECKING:
    from ltgc_cli.store import Store

_ROWS = 40
"""Rows shown on a terminal; lines have them all."""


class _Commands(Group):
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] == "ls":
            raise InputError("`ltgc cache ls` is gone: `ltgc cache show`, without an ID, lists what is in the store")
        return super().resolve_command(ctx, args)


cache = App(
    cls=_Commands,
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


def _flag(name: str, kind: type[Choice] | type[Parts] = Choice) -> Any:
    """Returns the flag of a setting, as its struct describes it."""
    hint = get_type_hints(kind, include_extras=True)[name]
    (meta,) = next(one for one in (hint, *get_args(hint)) if hasattr(one, "__metadata__")).__metadata__
    extra = meta.extra or {}
    names = extra.get("names", (f"--{name.replace('_', '-')}",))
    return typer.Option(*names, help=meta.description, metavar=extra.get("metavar"), min=meta.ge)


OfStage = Annotated[Stage | None, _flag("stage")]
OfModel = Annotated[str | None, _flag("model")]


@cache.command()
def info(json: o.Json = False, cache_dir: o.CacheDir = None, quiet: o.Quiet = False) -> None:
    """Sum up the store by stage and model: entries, bytes, and the dollars that they stand for.

    \b
    ltgc cache info
    ltgc cache info --json | jq -r 'select(.dollars > 1) | [.stage, .model, .dollars] | @tsv'
    """
    from msgspec import to_builtins

    from ltgc_cli.cache.info import sums

    with _opened(cache_dir, quiet) as store:
        rows = [to_builtins(row) for row in sums(store)]
    _output(rows, json, "kind stage model entries bytes tokens dollars", len(rows))
    if _person(json):
        console.notice(f"the store is in {store.folder}")


@cache.command()
def show(
    id: Annotated[
        str | None, typer.Argument(metavar="ID", help="A record's id, an answer's key or an image's sha256.")
    ] = None,
    children: Annotated[bool, typer.Option("--children", help="Show what was made from it as well.")] = False,
    stage: OfStage = None,
    model: OfModel = None,
    class_: Annotated[str | None, _flag("class_")] = None,
    artifacts: Annotated[bool, typer.Option("--artifacts", help="List the outputs of stages, not answers.")] = False,
    json: o.Json = False,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """List the answers or artifacts in the store; or show one record with all that it was made from, as a tree.

    Answers are listed in the order in which they came, artifacts newest first. An ID is a record's, an answer's key or
    an image's sha256; its beginning is enough where it is no other's. The artifacts are read from the newest on, as far
    as needed, which can take a while where they are large. --json writes each record once, what was asked for first.

    \b
    ltgc cache show --stage extend --class crane
    ltgc cache show 6f0c2a91
    ltgc cache show --model gpt-4o | jq -r .key | head -1 | xargs ltgc cache show
    """
    from ltgc_cli.cache import show as found

    choice = Choice(stage=stage, model=model, class_=class_)
    if id and (artifacts or choice != Choice()):
        raise InputError("--stage, --model, --class and --artifacts choose what is listed; leave them out with an ID")
    if children and not id:
        raise InputError("--children: name the ID of a record, whose children are wanted")
    with _opened(cache_dir, quiet) as store:
        if not id and artifacts:
            _output(found.artifacts(store, choice), json, "path stage kinds bytes made")
        elif not id:
            _output(found.answers(store, choice), json, "key stage model subject tokens dollars")
        else:
            shown = found.show(store, id, children=children)
            if _person(json):
                for tree in shown.trees:
                    console.tree(tree)
            else:
                _write(shown.lines)


@cache.command()
def verify(json: o.Json = False, cache_dir: o.CacheDir = None, quiet: o.Quiet = False) -> None:
    """Check every byte: images against their names, answers against their questions, artifacts, checkpoints.

    Changes nothing. Exit status 1 where something is damaged.

    \b
    ltgc cache verify && ltgc cache export answers.tar
    """
    from ltgc_cli.cache import verify as check

    with _opened(cache_dir, quiet) as store:
        checked, damages, others = check.verify(store)
    lines = [
        {"kind": "damage", "what": one.part.removesuffix("s"), "name": one.name, "why": why} for one, why in damages
    ]
    if damages or not _person(json):
        _output(lines, json, "what name why")
    if others:
        console.notice(f"cache verify: {others:,} answers are of another version of ltgc, and are left to it")
    counts = ", ".join(f"{count:,} {part}" for part, count in checked.items()) or "nothing"
    if not damages:
        console.notice(f"cache verify: all is well in {store.folder}: {counts}")
        return
    mend = check.mend(damages, f" --cache-dir {cache_dir}" if cache_dir else "")
    console.error(f"{len(damages):,} damaged in {store.folder} of {counts}; to mend it: {mend}")
    raise typer.Exit(FELL_SHORT)


@cache.command()
def prune(
    answers: Annotated[bool, _flag("answers", Parts)] = False,
    artifacts: Annotated[bool, _flag("artifacts", Parts)] = False,
    checkpoints: Annotated[bool, _flag("checkpoints", Parts)] = False,
    unused: Annotated[bool, _flag("unused", Parts)] = False,
    damaged: Annotated[bool, _flag("damaged", Parts)] = False,
    stage: OfStage = None,
    model: OfModel = None,
    older_than: Annotated[float | None, _flag("older_than")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Delete from the store, once a person agrees: says first what it is, and what it would cost to buy again.

    Name what goes, several together too (answers, where nothing is named), and narrow it down by stage, model and age.
    An image stays as long as an answer or an artifact names it, so deleting answers leaves every finished output
    whole. Let no other run use the store meanwhile.

    \b
    ltgc cache prune --stage extend --model gpt-4o --dry-run
    ltgc cache prune --stage render --answers --artifacts --unused   # generated images, with their stage's outputs
    """
    from ltgc_cli.cache.prune import delete, to_delete

    parts = Parts(answers=answers, artifacts=artifacts, checkpoints=checkpoints, unused=unused, damaged=damaged)
    with _opened(cache_dir, quiet) as store:
        deletions = to_delete(store, parts, Choice(stage=stage, model=model, older_than=older_than))
        for one in deletions:
            console.notice(f"{'would delete' if dry_run else 'to be deleted'}: {one.line()}")
        if not deletions:
            console.notice("cache prune: nothing to delete")
        if dry_run or not deletions:
            return
        if not (yes or console.agreed(f"Delete this from {store.folder}, for good?")):
            console.error("nothing was deleted; --yes deletes without asking")
            raise typer.Exit(FELL_SHORT)
        total = sum(map(len, deletions))
        with console.progress("cache prune", total) as progress:
            for count in delete(store, deletions):
                progress.advance(count)
        console.notice(f"cache prune: deleted {total:,} from {store.folder}")


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
    """Write answers, and the generated images, to one file, with which a colleague's run asks nothing again.

    Your own images are not in it, nor are artifacts and checkpoints. An answer that looks as if it held a key is left
    out, and named. The same answers make the same bytes.

    \b
    ltgc cache export answers.tar --artifact filtered.jsonl
    """
    from ltgc_cli.cache.archive import export

    with _opened(cache_dir, quiet) as store, console.progress("cache export") as progress:
        done = export(store, file, Choice(stage=stage, model=model), artifact, progress.advance)
    if done.secret:
        named = ", ".join(key[:12] for key in done.secret[:3]) + (", …" if len(done.secret) > 3 else "")
        console.notice(
            f"cache export: {len(done.secret):,} answers look as if they held a key, and were left out: {named} "
            "(ltgc cache show)"
        )
    if done.others:
        console.notice(f"cache export: {done.others:,} answers of another version of ltgc were left out")
    size = file.stat().st_size
    console.notice(f"cache export: {done.answers:,} answers and {done.images:,} images in {file} ({size:,} bytes)")
    console.notice(f"cache export: they are taken in with: ltgc cache import {file}")


@cache.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `ltgc cache export` wrote.", show_default=False)],
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Take in the answers that someone else exported: all of the file is checked first, and of two answers mine holds.

    What is checked is that each answer belongs to its question, and each image to its answer; whether the answers
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
        new = unpack(store, file, progress.advance)
    console.notice(f"cache import: {new.answers:,} answers and {new.images:,} images were new")


@cache.command("dir")
def dir_(cache_dir: o.CacheDir = None) -> None:
    """Print the store's folder.

    \b
    ltgc cache dir | xargs du -sh
    """
    typer.echo(_folder(cache_dir))


def _folder(cache_dir: Path | None) -> Path:
    return cache_dir or f.default_folder()


@contextmanager
def _opened(cache_dir: Path | None, quiet: bool) -> Iterator[Store]:
    from ltgc_cli.cache.walk import opened

    console.configure(quiet=quiet)
    with closing(opened(_folder(cache_dir))) as store:
        yield store


def _person(json: bool) -> bool:
    return console.is_terminal() and not json


def _output(lines: Iterable[dict[str, Any]], json: bool, columns: str, most: int = _ROWS) -> None:
    """Writes lines for programs, and for a person a table of the first ones: their values under these keys."""
    from json import dumps

    if not _person(json):
        _write(dumps(line, ensure_ascii=False, separators=(",", ":")) for line in lines)
        return
    count, rows = 0, []
    for count, line in enumerate(lines, start=1):  # noqa: B007
        if count <= most:
            rows.append([_cell(line, key) for key in columns.split()])
    console.table("", [_HEADINGS.get(key, key) for key in columns.split()], rows)
    if count > most:
        console.notice(f"… and {count - most:,} more; --json lists them all")


_HEADINGS = {"kind": "", "what": "damaged", "subject": "about", "path": "artifact", "kinds": "new lines"}
_HEADINGS |= {"bytes": "MB", "dollars": "US dollars"}


def _cell(line: dict[str, Any], key: str) -> str:
    from ltgc_cli.cache.info import megabytes
    from ltgc_cli.usage import UsageSum

    value = line[key]
    if key == "dollars":
        paid = line["kind"] in ("answer", "answers", "total")
        return UsageSum(new=paid, dollars=value or 0.0, unpriced=line.get("unpriced", value is None)).priced()
    if key == "kinds":
        return ", ".join(f"{count:,} {kind}" for kind, count in value.items()) if line["whole"] else "not whole"
    if key == "bytes":
        return megabytes(value)
    text = Path(value).stem if key == "path" else f"{value:,}" if isinstance(value, int) else str(value)
    return text[: {"key": 12, "path": 12, "name": 20}.get(key)]


def _write(lines: Iterable[str]) -> None:
    import sys

    for line in lines:
        sys.stdout.buffer.write(f"{line}\n".encode(errors="replace"))
    sys.stdout.buffer.flush()
