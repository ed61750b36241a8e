"""mix-train as a plan: what is trained on, and the checkpoint's record. Loads no torch until something is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from ltgc_cli import records
from ltgc_cli.cli.class_table import agreed, data_classes
from ltgc_cli.cli.runner import ALONE, Plan
from ltgc_cli.cli.session import Session
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import Source
from ltgc_cli.learn.settings import Settings, resolved
from ltgc_cli.records import Checkpoint, Image, Record, identify


def training(
    session: Session, *, data: Source, clip: str, settings: Settings, generated: bool, name: str, alone: bool = False
) -> Plan:
    """Returns mix-train: one more record, the checkpoint, behind the lines of the stream."""
    identity = session.score(clip).model
    flags = {
        "data": datasets.fingerprint(data, "train"),
        "clip": identity,
        "generated": generated,
        "name": name,
        **msgspec.to_builtins(settings),
    }

    def run(given: Iterator[Record]) -> Iterator[Record]:
        table = data_classes(data)
        drawn: list[Image] = []
        for group in records.by_class(given):
            table = agreed(table, group.cls)
            drawn += [row for row in group.rows if isinstance(row, Image) and row.origin == "generated"]
            yield from group.rows
        drawn = drawn if generated else []
        used = resolved(settings, generated=len(drawn), classes=len(table))
        content = [flags, [[image.label, image.sha256] for image in drawn], [msgspec.to_builtins(c) for c in table]]
        sha256 = hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()
        folder = session.store.folder / "checkpoints" / sha256
        trained = Checkpoint(
            sha256=sha256,
            method=name or method(used, len(drawn)),
            settings={"clip": identity, "images": len(drawn), **msgspec.to_builtins(used)},
        )
        if not (folder / "done.json").exists():
            from ltgc_cli.cli.training import fit

            fit(session, data, table, drawn, clip, settings, folder)
        yield identify(trained, sha256)

    return Plan("mix-train", flags, run, source=ALONE if alone else "", whole=True)


def method(settings: Settings, generated: int) -> str:
    """Returns what a table calls a run.

    >>> method(Settings(mix="balancemix"), 480), method(Settings(mix="none", loss="la"), 0)
    ('LTGC', 'fine-tune + la')
    """
    loss = "" if settings.loss == "ce" else f" + {settings.loss}"
    if not generated:
        sampler = "" if settings.sampler in (None, "instance") else f", {settings.sampler}"
        return f"fine-tune{sampler}{loss}"
    if settings.mix == "balancemix":
        return "LTGC" + loss
    mix = "" if settings.mix == "none" else f", {settings.mix}"
    sampler = "" if settings.sampler in (None, "instance") else f", {settings.sampler}"
    return f"real + generated{mix}{sampler}{loss}"
