"""eval as a plan: what is measured, on what. Loads no torch until a classifier is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ltgc_cli import console
from ltgc_cli.errors import InputError
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import ClassInfo, Source
from ltgc_cli.pipeline.class_table import class_info
from ltgc_cli.pipeline.session import Asking, Session
from ltgc_cli.pipeline.stage import ALONE, Plan
from ltgc_cli.records import Checkpoint, Class, Metric, Record

if TYPE_CHECKING:
    from ltgc_cli.pipeline.evaluation.metric_records import Compared, Measured

MEASURES = 2
"""Part of every artifact's hash: raise it when what is measured changes."""
_SETTINGS_NAMED = 3
_NOT_OF_THE_RUN = "seed"


class Test(NamedTuple):
    """What checkpoints are measured on, and how."""

    data: Source
    split: datasets.Split
    clip: str
    val: Source | None = None
    tte: bool = False
    posthoc: bool = False
    device: str | None = None


class Direct(NamedTuple):
    """A vision-language model that is asked directly."""

    lmm: str
    asking: Asking


class Named(NamedTuple):
    """A checkpoint under a name that no other one of the stream has."""

    checkpoint: Checkpoint
    method: str
    run_of: str = ""
    """The method of which it is one run of several, which differ by their seed alone."""


class Table(NamedTuple):
    """The class table of what has none of its own: CLIP itself, a vision-language model."""

    classes: tuple[ClassInfo, ...]
    counts: dict[int, int] | None
    """Real training images by label, None where they are not known."""


def evaluating(
    session: Session,
    *,
    data: Source,
    split: datasets.Split,
    clip: str,
    zero_shot: bool,
    alone: bool = False,
    val: Source | None = None,
    tte: bool = False,
    posthoc: bool = False,
    compare: Compared | None = None,
    direct: Direct | None = None,
    device: str | None = None,
) -> Plan:
    """Returns eval: metric records for every checkpoint of the stream, and for whatever else is to be measured."""
    if val and not posthoc:
        raise InputError("--val is what --posthoc chooses τ on; add --posthoc, or leave it out")
    test = Test(data, split, clip, val, tte, posthoc, device)
    opened = session.ask(direct.lmm, "lmm", direct.asking) if direct else None
    identity = session.score(clip).model
    flags = {"data": datasets.fingerprint(data, split), "split": split, "clip": identity, "zero_shot": zero_shot}
    flags |= {"measures": MEASURES, "tte": tte, "posthoc": posthoc, "compare": compare}
    flags |= {"val": _validation(val or data)} if posthoc else {}
    flags |= {"lmm": opened.model, "image_size": direct.asking.image_size} if direct and opened else {}

    def run(given: Iterator[Record]) -> Iterator[Record]:
        from ltgc_cli.pipeline.evaluation import metric_records

        classes: dict[int, Class] = {}
        checkpoints: dict[str, Checkpoint] = {}
        for record in given:
            if isinstance(record, Checkpoint):
                checkpoints[record.id] = record
            elif isinstance(record, Class):
                _add(classes, record)
            yield record
        if not (checkpoints or zero_shot or direct or compare):
            raise InputError("eval found no checkpoint in its input; pipe mix-train into it, or use --zero-shot")
        found = named(list(checkpoints.values()))
        table = _table(classes.values(), data, split) if zero_shot or direct else None
        if not session.rehearsal:
            yield from _told(_measured(session, test, found, table if zero_shot else None), split)
        if direct and opened and table:
            from ltgc_cli.pipeline.evaluation.ask_directly import recognized

            yield from _told(recognized(session, data, split, table, opened, direct.asking.workers), split)
        if compare and not session.rehearsal:
            yield from metric_records.published(compare, asked_directly=direct is not None)

    optional = bool(zero_shot or direct or compare)
    return Plan("eval", flags, run, source=ALONE if alone else "", whole=True, optional=optional, by_class=False)


def no_validation(error: InputError) -> InputError:
    """Returns the error for validation images that are missing, or are none."""
    return InputError(f"--posthoc chooses τ on validation images: {error}; name them with --val")


def _validation(source: Source) -> str:
    """Returns the fingerprint of what τ is chosen on: another τ is another measurement."""
    try:
        return datasets.fingerprint(source, "val")
    except InputError as error:
        raise no_validation(error) from None


def _measured(session: Session, test: Test, found: Sequence[Named], table: Table | None) -> Iterator[Measured]:
    if not found and not table:
        return
    from ltgc_cli.pipeline.evaluation.measure import measure

    yield from measure(session, test, found, table.classes if table else (), table.counts if table else None)


def _told(found: Iterable[Measured | Record], split: str) -> Iterator[Record]:
    """Returns the metrics of what was measured, then those of several runs of one method together.

    Other records stay what they are.
    """
    from ltgc_cli.pipeline.evaluation import metric_records

    runs: dict[str, list[list[Metric]]] = {}
    said = set()
    for one in found:
        if isinstance(one, Record):
            yield one
            continue
        text = metric_records.check_present(list(one.names), one.labels)
        if text and text not in said:
            said.add(text)
            console.notice(f"eval: {text}")
        rows = metric_records.rows(one, split)
        yield from rows
        if one.run_of:
            runs.setdefault(one.run_of, []).append(rows)
    for method, several in runs.items():
        yield from metric_records.over_runs(method, several)


def named(checkpoints: Sequence[Checkpoint]) -> list[Named]:
    """Returns the checkpoints under names that tell them apart, by what differs in their settings, and their runs.

    Those of one method whose settings are the same but for the seed are runs of it.

    >>> pair = [Checkpoint(id=str(n), sha256=f"{n}" * 64, method="LTGC", settings={"seed": n}) for n in (1, 2)]
    >>> [(one.method, one.run_of) for one in named(pair)]
    [('LTGC (seed 1)', 'LTGC'), ('LTGC (seed 2)', 'LTGC')]
    """
    found = []
    for one in checkpoints:
        same = [other for other in checkpoints if other.method == one.method]
        runs = [other for other in same if _but_for_seed(other) == _but_for_seed(one)]
        seeds = {other.settings.get(_NOT_OF_THE_RUN) for other in runs}
        several = len(runs) > 1 and len(seeds) == len(runs)
        different = len(runs) < len(same)
        group = f"{one.method} ({_told_apart(one, same, besides={_NOT_OF_THE_RUN})})" if different else one.method
        method = f"{one.method} ({_told_apart(one, same)})" if len(same) > 1 else one.method
        found.append(Named(one, method, group if several else ""))
    return found


def _told_apart(one: Checkpoint, same: Sequence[Checkpoint], besides: Iterable[str] = ()) -> str:
    """Returns the settings by which a checkpoint differs from others of its name; its hash where these do not do."""
    keys = sorted({key for other in same for key in other.settings} - set(besides))
    differing = [key for key in keys if len({repr(other.settings.get(key)) for other in same}) > 1]
    told = [tuple(repr(other.settings.get(key)) for key in differing) for other in same]
    unique = len(set(told)) == len(same) or bool(besides)
    if not differing or len(differing) > _SETTINGS_NAMED or not unique:
        return one.sha256[:8]
    return ", ".join(f"{key} {one.settings.get(key)}" for key in differing)


def _but_for_seed(one: Checkpoint) -> dict[str, object]:
    return {key: value for key, value in one.settings.items() if key != _NOT_OF_THE_RUN}


def _add(classes: dict[int, Class], cls: Class) -> None:
    """Adds a row of the class table. Streams that were put together have each class several times."""
    known = classes.get(cls.label)
    if known and known.class_ != cls.class_:
        raise InputError(
            f"label {cls.label} is {known.class_!r} in one line and {cls.class_!r} in another; "
            "compare checkpoints of one data set"
        )
    if known is None or known.count is None:
        classes[cls.label] = cls


def _table(classes: Iterable[Class], data: Source, split: datasets.Split) -> Table:
    """Returns the class table of the stream, else the data's own; with counts of real training images, if known."""
    given = sorted(classes, key=lambda cls: cls.label)
    if given:
        known = {cls.label: cls.count for cls in given if cls.count is not None}
        counts = known if len(known) == len(given) else None
        if counts is None:
            console.notice("eval: the input has no training counts, so many, medium and few are not known")
        return Table(tuple(class_info(cls) for cls in given), counts)
    own = datasets.open_data(data, split).classes
    # A data set that tells no splits apart has only ("train",): its counts may well be the test set's.
    if "train" in (there := datasets.splits(data)) and len(there) > 1:
        return Table(own, {info.label: info.count for info in own})
    console.notice(
        f"eval: {data.spec} has no training images beside these, so many, medium and few are not known; "
        "pipe in the stream with the class table that was trained on"
    )
    return Table(own, None)
