"""From settings to stages that are ready to run. The commands, the demo and a notebook all come through here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from ltgc_cli import console, records
from ltgc_cli import prompts as p
from ltgc_cli.engine import in_order
from ltgc_cli.errors import InputError
from ltgc_cli.learn import checks, datasets
from ltgc_cli.pipeline import senses as naming
from ltgc_cli.pipeline.class_table import class_info, class_record
from ltgc_cli.pipeline.session import Asking, Session
from ltgc_cli.pipeline.stage import Plan
from ltgc_cli.ports import ImageRequest
from ltgc_cli.providers.t2i import image_api
from ltgc_cli.records import Class, Group, Image, Record, identify
from ltgc_cli.stages import describe, extend, filter, reflect, render
from ltgc_cli.stages import senses as meanings
from ltgc_cli.stages import verdicts as by_hand
from ltgc_cli.stages.settings import Judging, Style
from ltgc_cli.stages.verdicts import Verdicts

TAILS = {"few": 20}
"""Names for --tail besides a number of images."""


def describing(
    session: Session,
    *,
    data: datasets.Source | None,
    tail: str,
    lmm: str,
    prompts: p.Prompts,
    asking: Asking,
    senses: Path | None = None,
    disambiguate: bool = False,
) -> Plan:
    """Returns describe over a data set, or over the class and image records of the stream where `data` is None."""
    model, ask = session.ask(lmm, "lmm", asking)
    below = tail_below(tail)
    said = naming.load(senses) if senses else {}

    def one(item: tuple[Class, Record]) -> list[Record]:
        cls, record = item
        if isinstance(record, Image) and record.origin == "original" and cls.tail:
            return describe.describe(record, cls, ask=ask, model=model, prompts=prompts)
        return [record]

    def named_groups(groups: list[Group]) -> list[Group]:
        if senses:
            groups = meanings.told(groups, naming.senses_by_label([group.cls for group in groups], said, senses))
        if disambiguate:
            groups = meanings.asked(groups, ask=ask, model=model, prompts=prompts, workers=asking.workers)
            _tell_senses([group.cls for group in groups])
        return groups

    def run(given: Iterator[Record]) -> Iterator[Record]:
        groups: Iterable[Group] = originals(data, below, session.keep) if data else records.by_class(given)
        if data or senses or disambiguate:  # both look at all names at once
            groups = named_groups(list(groups))
        if data:
            groups = list(groups)
            for text in checks.check_table([class_info(group.cls) for group in groups]):  # before anything is paid
                console.notice(f"describe: {text}: mix-train will not train on these")
            session.expect(sum(map(_originals, groups)))
        return _flat(in_order(one, ((group.cls, row) for group in groups for row in group.rows), asking.workers))

    source = datasets.fingerprint(data, "train") if data else ""
    flags = {"tail": below, "lmm": model, **_asked_with(asking), **_prompts(prompts)}
    flags |= {"senses": msgspec.to_builtins(said)} if senses else {}
    flags |= {"disambiguate": True} if disambiguate else {}
    return Plan("describe", flags, run, source, work=_originals)


def extending(
    session: Session,
    *,
    names: Sequence[str],
    llm: str,
    want: int,
    prompts: p.Prompts,
    asking: Asking,
    senses: Path | None = None,
) -> Plan:
    """Returns extend over the classes of the stream, or over classes that are only named."""
    model, ask = session.ask(llm, "llm", asking)
    stage = partial(extend.extend, ask=ask, model=model, want=want, prompts=prompts)
    classes = list(named(names))
    known = naming.senses_by_label(classes, naming.load(senses), senses) if senses else {}

    def run(given: Iterator[Record]) -> Iterator[Record]:
        groups: Iterable[Group] = records.by_class(given)
        if names:
            groups = meanings.told([Group(cls, []) for cls in classes], known)
        return _flat(in_order(stage, groups, asking.workers))

    source = hashlib.sha256("\0".join(names).encode()).hexdigest() if names else ""
    flags = {"llm": model, "n": want, **_asked_with(asking), **_prompts(prompts)}
    flags |= {"senses": msgspec.to_builtins(known)} if senses else {}
    return Plan("extend", flags, run, source, work=lambda group: group.cls.tail)


def reflecting(
    session: Session, *, llm: str, k: int, rounds: int, near: float, prompts: p.Prompts, asking: Asking
) -> Plan:
    """Returns reflect over the classes of the stream."""
    model, ask = session.ask(llm, "llm", asking)
    stage = partial(reflect.reflect, ask=ask, model=model, k=k, rounds=rounds, near=near, prompts=prompts)
    return Plan(
        "reflect",
        {"llm": model, "k": k, "rounds": rounds, "near": near, **_asked_with(asking), **_prompts(prompts)},
        lambda given: _flat(in_order(stage, records.by_class(given), asking.workers)),
        caveats=("real answers repeat themselves more, or less, than the stand-ins: the number of rounds is a guess",),
    )


def rendering(session: Session, *, t2i: str, style: Style, batch: int, plain: int = 0, **options: Any) -> Plan:
    """Returns render over the classes of the stream."""
    _check(style, t2i)
    model, generate = session.generate(t2i, batch=batch, **options)
    stage = partial(render.render, generate=generate, model=model, style=style, batch=batch, plain=plain)
    return Plan(
        "render",
        {"t2i": model, **_style(style), **({"plain": plain} if plain else {})},
        lambda given: _flat(stage(records.by_class(given))),
        caveats=("at the price of the finest quality, which the API may choose",) if t2i.startswith("litellm:") else (),
    )


def filtering(
    session: Session,
    *,
    llm: str,
    t2i: str,
    clip: str,
    settings: Judging,
    style: Style,
    prompts: p.Prompts,
    asking: Asking,
    batch: int,
    verdicts: Verdicts | None = None,
    **options: Any,
) -> Plan:
    """Returns filter over the whole stream: its bar may be common to all classes.

    verdicts -- what a person said of drawings; it goes before the score
    options -- how pictures are drawn again: device, dtype, lora, …
    """
    _check(style, t2i)
    llm_model, ask = session.ask(llm, "llm", asking)
    t2i_model, generate = session.generate(t2i, batch=batch, **options)
    seeing = {"batch": batch, "device": options.get("device")}
    clip_model, score = session.score(clip, **seeing)
    compare = session.compare(clip, **seeing).port if settings.margin is not None else None
    flags = {"llm": llm_model, "t2i": t2i_model, "clip": clip_model}

    def run(given: Iterator[Record]) -> Iterator[Record]:
        found = filter.evaluate(
            records.by_class(_noted(given, session)),
            ask=ask,
            generate=generate,
            score=score,
            compare=compare,
            keep=session.keep,
            **flags,
            verdicts=verdicts or {},
            settings=settings,
            style=style,
            prompts=prompts,
            workers=asking.workers,
            batch=batch,
            on_round=_quiet_round if session.rehearsal else _tell_round,
        )
        if verdicts is not None:
            there = by_hand.drawings((row for rows in found for row in rows), replaced=True)
            console.notice(f"filter: {by_hand.summary(verdicts, there)}")
        return _flat(found)

    more = {**msgspec.to_builtins(settings), **_style(style), **_asked_with(asking), **_prompts(prompts)}
    more |= {} if verdicts is None else {"verdicts": by_hand.fingerprint(verdicts)}
    caveats = ("at the most: as if no drawing ever passed",) if settings.mode == "refine" else ()
    return Plan("filter", flags | more, run, whole=True, caveats=caveats)


def tail_below(tail: str) -> int:
    """Returns the count below which a class is a tail class, from a number or a name (`few`)."""
    if tail in TAILS:
        return TAILS[tail]
    if not tail.isascii() or not tail.isdigit():
        raise InputError(f"--tail {tail}: a number of training images is wanted, or one of: {', '.join(TAILS)}")
    return int(tail)


def named(names: Sequence[str]) -> Iterator[Class]:
    """Returns classes that have no data, labelled in the order given."""
    if len(set(names)) < len(names):
        raise InputError("--class names one class twice")
    for label, name in enumerate(names):
        if not name.strip() or not name.isprintable():
            raise InputError(f"--class {name!r}: a name in one line is wanted")
        yield Class(label=label, class_=name, tail=True)


def originals(data: datasets.Source, below: int, keep: Callable[[bytes], str]) -> Iterator[Group]:
    """Returns the data set class by class: the class record, and the original images of a tail class."""
    dataset = datasets.open_data(data, "train")
    items: dict[int, list[datasets.Item]] = {}
    for item in dataset.items:
        items.setdefault(item.label, []).append(item)
    for info in dataset.classes:
        cls = class_record(info, below)
        rows: list[Record] = [cls]
        for item in items.get(info.label, []) if cls.tail else []:
            sha256 = keep(datasets.image_bytes(dataset, item))
            image = Image(label=info.label, class_=info.name, sha256=sha256, origin="original", name=item.name)
            rows.append(identify(image, item.name, sha256))
        yield Group(cls, rows)


def _check(style: Style, t2i: str) -> None:
    """Raises InputError for settings that an image API does not take: filter would first pay for its questions."""
    if t2i.startswith("litellm:"):
        asked = ImageRequest(
            model=t2i,
            text="",
            seed=0,
            steps=style.steps,
            guidance=style.guidance,
            negative=style.negative,
            scheduler=style.scheduler or UNSET,
            strength=style.strength or UNSET,
        )
        image_api.check(t2i.removeprefix("litellm:"), [asked])


def _originals(group: Group) -> int:
    return group.cls.tail * sum(isinstance(row, Image) and row.origin == "original" for row in group.rows)


def _asked_with(asking: Asking) -> dict[str, Any]:
    """Returns what of the way of asking changes answers, where it was set."""
    settings = {"max_tokens": asking.max_tokens, "image_size": asking.image_size}
    return {name: value for name, value in settings.items() if value is not None}


def _style(style: Style) -> dict[str, Any]:
    """Returns the style by the names of its flags."""
    named: dict[str, Any] = msgspec.to_builtins(style)
    return {**named, "from-original": named.pop("strength")}


def _noted(given: Iterator[Record], session: Session) -> Iterator[Record]:
    """Returns the records; a rehearsal is told which images are real."""
    for record in given:
        if session.rehearsal and isinstance(record, Image) and record.origin == "original":
            session.rehearsal.originals.add(record.sha256)
        yield record


def _tell_senses(classes: Sequence[Class]) -> None:
    for cls in classes:
        if cls.made and cls.made.prompt.startswith("sense") and cls.sense:
            console.notice(f"describe: {cls.class_} (label {cls.label}) is taken as: {cls.sense}")


def _quiet_round(_: filter.Round) -> None:
    pass


def _prompts(prompts: p.Prompts) -> dict[str, Any]:
    return {} if prompts == p.PAPER else {"prompts": msgspec.to_builtins(prompts)}


def _tell_round(found: filter.Round) -> None:
    if not found.scored:
        return
    share = found.passed / found.scored
    then = f"; {found.redrawn:,} are rewritten and redrawn" if found.redrawn else ""
    console.notice(
        f"filter: round {found.number}: {found.passed:,} of {found.scored:,} drawings pass ({share:.0%}){then}"
    )


def _flat(lists: Iterable[list[Record]]) -> Iterator[Record]:
    for rows in lists:
        yield from rows
