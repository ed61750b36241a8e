"""eval as a plan: which checkpoints are measured, on what. Loads no torch until something is measured."""

from __future__ import annotations

from collections.abc import Iterator

from ltgc_cli import console
from ltgc_cli.cli.class_table import class_info, data_classes
from ltgc_cli.cli.runner import ALONE, Plan
from ltgc_cli.cli.session import Session
from ltgc_cli.errors import InputError
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import Source
from ltgc_cli.records import Checkpoint, Class, Record


def evaluating(
    session: Session, *, data: Source, split: datasets.Split, clip: str, zero_shot: bool, alone: bool = False
) -> Plan:
    """Returns eval: metric records for every checkpoint of the stream, and for CLIP itself with `zero_shot`."""
    identity = session.score(clip).model
    flags = {"data": datasets.fingerprint(data, split), "split": split, "clip": identity, "zero_shot": zero_shot}

    def run(given: Iterator[Record]) -> Iterator[Record]:
        from ltgc_cli.cli.measuring import measure, measure_zero_shot

        table: list[datasets.ClassInfo] = []
        checkpoints: list[Checkpoint] = []
        for record in given:
            if isinstance(record, Checkpoint):
                checkpoints.append(record)
            elif isinstance(record, Class):
                table.append(class_info(record))
            yield record
        if not checkpoints and not zero_shot:
            raise InputError("eval found no checkpoint in its input; pipe mix-train into it, or use --zero-shot")
        if zero_shot and not table:
            console.notice(f"eval: no class table in the input; many, medium and few go by the images of {data.spec}")
        if zero_shot:
            yield from measure_zero_shot(data, split, table or data_classes(data), clip)
        for checkpoint in checkpoints:
            yield from measure(session, data, split, checkpoint, clip)

    return Plan("eval", flags, run, source=ALONE if alone else "", whole=True)
