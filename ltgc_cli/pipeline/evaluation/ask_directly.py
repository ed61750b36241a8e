"""eval --lmm: what a vision-language model, asked directly, takes the test images for. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ltgc_cli import console
from ltgc_cli.engine import in_order
from ltgc_cli.errors import Refused
from ltgc_cli.learn import datasets, metrics
from ltgc_cli.pipeline.evaluation import metric_records
from ltgc_cli.pipeline.session import Session
from ltgc_cli.ports import Ask, Usage
from ltgc_cli.providers import Opened
from ltgc_cli.records import Class, Failure, Made, Record, identify
from ltgc_cli.stages.accounts import accounted
from ltgc_cli.stages.recognize import Recognized, recognize, table

if TYPE_CHECKING:
    from ltgc_cli.pipeline.evaluation.stage import Table

PROMPT = "recognize"
_SHOWN = 3


class _Failed(NamedTuple):
    reason: str
    usage: Usage


def recognized(
    session: Session, data: datasets.Source, split: datasets.Split, known: Table, opened: Opened[Ask], workers: int
) -> Iterator[metric_records.Measured | Record]:
    """Returns a failure for each image without an answer, what the others were taken for, and what that cost by class.

    An answer that names no class of the table is wrong; an image that was not answered at all is left out.
    """
    dataset = datasets.align(datasets.open_data(data, split), known.classes)
    rows = [
        Class(label=info.label, class_=info.name, sense=info.sense, synonyms=info.synonyms, tail=False)
        for info in known.classes
    ]
    asked = table(rows)
    if len(asked.questions) == 1:
        console.notice(f"eval: {len(rows):,} names are too many to list; each image's name is asked for openly")
    session.expect(len(dataset.items))

    def one(item: datasets.Item) -> Recognized | _Failed:
        try:
            sha256 = session.keep(datasets.image_bytes(dataset, item))
            return recognize(sha256, asked, ask=opened.port, model=opened.model)
        except Refused as error:
            return _Failed(str(error), error.usage or Usage())

    found = list(in_order(one, dataset.items, workers))
    if session.rehearsal:
        return
    names = {cls.label: cls for cls in rows}
    for item, answer in zip(dataset.items, found, strict=True):
        if isinstance(answer, _Failed):
            yield _failure(names[item.label], item.name, answer, opened.model)
    answers = [
        (item.label, answer)
        for item, answer in zip(dataset.items, found, strict=True)
        if isinstance(answer, Recognized)
    ]
    _tell(answers, len(found))
    if answers:
        labels = [label for label, _ in answers]
        guesses = [metrics.NO_CLASS if answer.label is None else answer.label for _, answer in answers]
        method = f"{opened.model}, asked directly"
        named = {label: cls.class_ for label, cls in names.items()}
        yield metric_records.Measured(method, labels, np.array(guesses), named, known.counts)
    for label, cls in names.items():
        usages = [answer.usage for own, answer in answers if own == label]
        if cost := accounted(cls, "eval", PROMPT, opened.model, usages):
            yield cost


def _failure(cls: Class, name: str, failed: _Failed, model: str) -> Failure:
    made = Made(model=model, prompt=PROMPT, usage=failed.usage)
    failure = Failure(
        label=cls.label, class_=cls.class_, stage="eval", reason=f"{name}: {failed.reason}", made=made
    )  # fmt: skip
    return identify(failure, failure.reason)


def _tell(answers: list[tuple[int, Recognized]], images: int) -> None:
    lost = list(dict.fromkeys(" ".join(answer.answer.split())[:60] for _, answer in answers if answer.label is None))
    if lost:
        number = sum(answer.label is None for _, answer in answers)
        shown = ", ".join(repr(text) for text in lost[:_SHOWN])
        console.notice(f"eval: {number:,} answers name no class of the table, or several, and are wrong: {shown}")
    if len(answers) < images:
        console.notice(f"eval: {images - len(answers):,} images without an answer are in no accuracy")
