"""The Python API: the stages as functions, for a notebook, a script, a program of one's own.

A stage is a function with the name of its command: records in, records out, each setting a keyword with the same
default, checks, LTGC_* variable and ltgc.toml; the store is the same, so that what a command asked is not asked again,
and the other way round. Nothing is read from stdin or written to stdout, and errors are raised (LtgcError). Calls may
come from several threads at once.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

from ltgc_cli import console, image_formats, records, settings_file, written
from ltgc_cli.config import Config, command_settings, configure
from ltgc_cli.errors import InputError
from ltgc_cli.pipeline import chain, dry_run, lineage
from ltgc_cli.pipeline.streams import Streams, output_of
from ltgc_cli.records import Checkpoint, Image, Record, Rejected
from ltgc_cli.settings import Cost, Export, Input, Output, Predict, Report, Storage, settings_of
from ltgc_cli.store import Store
from ltgc_cli.text import counted

if TYPE_CHECKING:
    from PIL import Image as PIL


class Records(Sequence[Record]):
    """What a stage returned: a sequence of records, read from its artifact when it is first looked at."""

    def __init__(
        self, rows: Iterable[Record] = (), artifact: Path | None = None, exit_code: int = 0, dollars: float = 0.0
    ) -> None:
        self.artifact = artifact
        """The file that holds them; None after a dry run."""
        self.exit_code = exit_code
        """0, or 1 where something fell short or failed: the `failure` records say what."""
        self.dollars = dollars
        """What this call paid; nothing for what was in the store."""
        self._given = tuple(rows)

    @cached_property
    def _rows(self) -> tuple[Record, ...]:
        if not self.artifact:
            return self._given
        with self.artifact.open("rb") as lines:
            return tuple(records.read(lines, str(self.artifact)))

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        return self._rows[index]

    def of(self, kind: str) -> list[Record]:
        """Returns the records of one kind: class, description, template, image, rejected, failure, metric, …"""
        return [row for row in self._rows if records.kind_of(row) == kind]

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Returns the path of a JSONL file, which has them now, for the commands to read.

        Raises InputError where a file is there that ltgc did not write, or that was changed since, unless forced.
        """
        target = written.Target(
            Path(path), store_of(self, None).folder, force=force, remedy="name another file, or force"
        )
        target.path.parent.mkdir(parents=True, exist_ok=True)
        written.write(target, _lines(self).encode())
        return Path(path)

    def __repr__(self) -> str:
        kinds = [records.kind_of(row) for row in self._rows]
        listed = ", ".join(counted(kinds.count(kind), kind) for kind in dict.fromkeys(kinds))
        return f"<Records: {listed or 'none'}>"

    def _repr_html_(self) -> str:
        from ltgc_cli.report.notebook import table

        return table(self._rows)


Given = Records | Iterable[Record] | str | os.PathLike[str] | None
"""Records: what a stage returned, or some of it; or a JSONL file of them, by its path."""


class StageFunction(Protocol):
    """A stage: records first, its settings as keywords."""

    def __call__(self, given: Given = None, /, **settings: Any) -> Records: ...


def _function(command: str, doc: str, *, records_in: bool = True) -> Callable[[Callable[..., Any]], Any]:
    """Returns a decorator that gives a function of records and settings the name, signature and help of a command."""
    not_here = {one.name for kind in (Input, Output) for one in settings_of(kind)} - {"output", "force"}
    name = command.replace("-", "_")
    settings = [one for one in command_settings(command).values() if one.name not in not_here]
    if command in ("cost", "predict"):  # their records are returned
        settings = [one for one in settings if one.name not in ("output", "force")]
    keywords = [inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default) for one in settings]
    first = [inspect.Parameter("given", inspect.Parameter.POSITIONAL_ONLY, default=None)] if records_in else []

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        function = _without(function, name, not_here)
        function.__name__ = function.__qualname__ = name
        function.__module__ = "ltgc_cli"
        function.__signature__ = inspect.Signature([*first, *keywords])  # type: ignore[attr-defined]
        function.__doc__ = "\n".join([doc, "", *(f"{one.name} -- {one.help}" for one in settings)])
        return function

    return decorate


def _without(function: Callable[..., Any], name: str, settings: set[str]) -> Callable[..., Any]:
    """Returns the function, which takes none of the settings that are for the command line alone."""

    def called(*given: Any, **keywords: Any) -> Any:
        for key in keywords:
            if key in settings:
                raise TypeError(f"{name}() got an unexpected keyword argument {key!r}; that is a command's alone")
        return function(*given, **keywords)

    return called


def _stage(command: str, doc: str) -> StageFunction:
    @_function(command, doc)
    def run(given: Given = None, /, **settings: Any) -> Records:
        config = _configured(command, settings)
        with console.quietly(config[Storage].quiet), _file(given) as path:
            streams = Streams(path, output_of(config, *_paths(given)), called=True)
            config = config.changed(input=path) if path else config  # several processes can share a file
            if config.get("preview"):
                from ltgc_cli.pipeline import preview

                return Records(preview.measure(config, streams).metrics)
            if config.get("dry_run"):
                session, stage, made = chain.try_out(config, streams)
                rows = list(made)
                dry_run.summary(stage.name, session, stage.caveats, stream=sys.stderr)
                return Records(rows)
            ran = chain.run(config, streams)
            return Records((), ran.artifact, ran.exit_code, ran.dollars)

    return run


describe = _stage("describe", "Returns descriptions of the original images of the tail classes (Prompt 1).")
extend = _stage("extend", "Returns more descriptions: what the images of a class do not show (Prompt 2).")
reflect = _stage("reflect", "Returns K_y descriptions per tail class, none of which repeats another (Prompt 3).")
adapt = _stage("adapt", "Returns the records with an adapter of the text-to-image model, which render then takes.")
render = _stage("render", "Returns one generated image per description.")
filter = _stage("filter", "Returns the generated images that look like their class, with scores (Prompts 4, 5).")
mix_train = _stage("mix-train", "Returns a checkpoint: CLIP, fine-tuned on mixes of original and generated images.")
eval = evaluate = _stage("eval", "Returns accuracy over many-, medium- and few-shot classes, as metric records.")


@_function("cost", "Returns what the records of a stream cost, as metric records.")
def cost(given: Given, /, **settings: Any) -> Records:
    from ltgc_cli.usage import metrics, sums

    by = _configured("cost", settings)[Cost].by or ("stage", "model")
    return Records(metrics(sums(rows_of(given), by), by))


@_function("predict", "Returns the likeliest classes of image files, a dict an image.", records_in=False)
def predict(images: Sequence[str | os.PathLike[str]] | str | os.PathLike[str], **settings: Any) -> list[dict[str, Any]]:
    from ltgc_cli.pipeline.evaluation import predict as predicting

    config = _configured("predict", settings)
    paths = [images] if isinstance(images, str | os.PathLike) else images
    folders = [Path(path) for path in paths]
    with console.quietly(config[Storage].quiet):
        files = predicting.image_files(folders, follow_links=config[Predict].follow_links)
        return list(predicting.predict(files, config[Predict], folders))


@_function("report", "Returns the path of the report of a stream, one HTML file.")
def write_report(given: Given, /, **settings: Any) -> Path:
    from ltgc_cli.pipeline.report import write_report

    config = _configured("report", settings)
    with console.quietly(config[Storage].quiet):
        folder, output = store_of(given, config[Storage].cache_dir).folder, config[Report].output
        write_report(
            rows_of(given), written.Target(output, folder, _paths(given), config[Report].force), config[Report]
        )
    return output


@_function("export", "Returns the folder with the generated images of a stream and their class table.")
def export(given: Given, /, **settings: Any) -> Path:
    from ltgc_cli.pipeline import export as exporting
    from ltgc_cli.pipeline import generate

    config = _configured("export", settings)
    data = generate.source_of(config)
    with console.quietly(config[Storage].quiet):
        exporting.export(rows_of(given), store_of(given, config[Storage].cache_dir), config[Export], data)
    return config[Export].out  # type: ignore[return-value]


Kind = Literal["original", "generated", "plain", "unadapted", "rejected"]


def images(
    given: Given,
    class_: str | int | None = None,
    kind: Kind = "generated",
    limit: int | None = None,
    cache_dir: Path | None = None,
) -> list[PIL.Image]:
    """Returns the images of a stream, in its order: by default the generated ones that were accepted.

    class_ -- only those of one class, by its name or label
    kind -- original, generated, plain (from the bare name) or rejected
    limit -- so many at the most
    cache_dir -- the store that they lie in, by default that of the records
    Raises InputError where one is not in the store, Unreadable for what is no whole image.
    """
    from ltgc_cli.providers.images import decode

    store = store_of(given, cache_dir)
    found = [row for row in rows_of(given) if _is_image(row, kind) and class_ in (None, row.class_, row.label)]
    return [decode(store.get_object(row.sha256), row.sha256) for row in found[:limit]]  # type: ignore[attr-defined]


def _is_image(row: Record, kind: Kind) -> bool:
    if kind == "rejected":
        return isinstance(row, Rejected) and row.of == "image" and bool(row.sha256)
    return isinstance(row, Image) and row.origin == kind


def contact_sheet(given: Given, class_: str | Sequence[str] = (), cache_dir: Path | None = None) -> PIL.Image:
    """Returns one image of the tail classes: originals, accepted and rejected images of each, the rarest first.

    class_ -- the names of those that are shown instead
    Raises InputError where an image is not in the store.
    """
    from ltgc_cli.pipeline import sheet
    from ltgc_cli.providers.images import decode

    names = (class_,) if isinstance(class_, str) else tuple(class_)
    rows = rows_of(given)
    classes = {group.cls.label: sheet.reduced(group) for group in records.by_class(rows)}
    made = sheet.drawn_sheet(classes, rows, store_of(given, cache_dir).get_object, names)
    return decode(made.png)


def checkpoint(given: Given, method: str = "", cache_dir: Path | None = None) -> Path:
    """Returns the folder of a stream's last checkpoint, or of the last that a method of that name left: for predict.

    Raises InputError where there is none.
    """
    every = [row for row in rows_of(given) if isinstance(row, Checkpoint) and row.classifies]
    found = [row for row in every if method in ("", row.method)]
    if not found:
        raise InputError(f"no checkpoint{f' of {method}' if method else ''} among the records; mix_train makes one")
    return store_of(given, cache_dir).folder / "checkpoints" / found[-1].sha256


def curves(given: Given, cache_dir: Path | None = None) -> dict[str, list[dict[str, float]]]:
    """Returns the training curve of each checkpoint of a stream, by its method, as `figures.curves` takes them."""
    return lineage.curves(rows_of(given), store_of(given, cache_dir).folder)


def real_scores(given: Given, cache_dir: Path | None = None) -> dict[int, list[float]]:
    """Returns what filter scored the original images with, by label, as `figures.scores` takes them.

    Only the store has these scores, and it knows them by the run that wrote the stream: a changed one has none.
    """
    rows, store = rows_of(given), store_of(given, cache_dir)
    runs = lineage.trace(hashlib.sha256(_lines(rows).encode()).hexdigest(), store.folder).runs
    return lineage.real_scores(rows, store, runs)


# ---- settings and records in


def _configured(command: str, given: dict[str, Any]) -> Config:
    config = configure(command, given, (settings_file.load() or {}).get(command))
    image_formats.allow(config[Storage].max_pixels)
    return config


@contextmanager
def _file(given: Given) -> Iterator[Path | None]:
    """The records as a file that a stage reads. Raises InputError for what is none."""
    if given is None:
        yield None
    elif isinstance(given, Records) and given.artifact:
        yield given.artifact
    elif isinstance(given, str | os.PathLike):
        if not Path(given).exists():
            raise InputError(f"{given}: no such file of records; a data set is named by data=")
        yield Path(given)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "records.jsonl"
            path.write_text(_lines(given), encoding="utf-8")
            yield path


def _paths(given: Given) -> tuple[Path, ...]:
    """Returns the file that the records lie in, where they lie in one."""
    path = given.artifact if isinstance(given, Records) else given
    return (Path(path),) if isinstance(path, str | os.PathLike) else ()


def rows_of(given: Given) -> Sequence[Record]:
    """Returns the records. Raises InputError for what is none."""
    if isinstance(given, Records):
        return given
    with _file(given) as path:
        if not path:
            raise InputError("no records were given")
        with path.open("rb") as lines:
            return list(records.read(lines, str(path)))


def _lines(given: Iterable[Record]) -> str:
    """Returns the records as JSON lines. Raises InputError for what is none."""
    try:
        return "".join(records.dump(row) + "\n" for row in given)
    except (AttributeError, KeyError, TypeError):
        raise InputError("records are wanted: what a stage returned, some of it, or the path of a file") from None


def store_of(given: Given, cache_dir: Path | None) -> Store:
    """Returns the store that is named, or that the records lie in, or that the commands use."""
    if not cache_dir and isinstance(given, Records) and given.artifact:
        return Store(given.artifact.parents[2])
    return Store(cache_dir or _configured("report", {})[Storage].folder)
