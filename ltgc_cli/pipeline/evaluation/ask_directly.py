"""eval --lmm: what a vision-language model, asked directly, takes the test images for. Loads no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ltgc_cli import console
from ltgc_cli.engine import in_order
from ltgc_cli.errors import Refused, Unreadable
from ltgc_cli.learn import datasets, metrics
from ltgc_cli.pipeline.class_table import class_record
from ltgc_cli.pipeline.evaluation.methods import ClassTable
from ltgc_cli.pipeline.evaluation.metric_records import Predictions
from ltgc_cli.pipeline.session import Asked, Session
from ltgc_cli.ports import Usage
from ltgc_cli.records import Class, Failure, Made, Record, failed
from ltgc_cli.stages.recognize import Recognized, recognize, table
from ltgc_cli.stages.usage_metric import usage_metric
from ltgc_cli.text import agreeing, counted

PROMPT = "recognize"
_SHOWN = 3


class Reply(NamedTuple):
    """What a model takes a test image for."""

    item: datasets.Item
    answer: Recognized


def ask(
    session: Session, images: datasets.Dataset, known: ClassTable, opened: Asked, workers: int
) -> list[Reply | Failure]:
    """Returns what the model says of each test image, or why it says nothing, in their order."""
    dataset = datasets.align(images, known.classes)
    classes = _by_label(known)
    asked = table(list(classes.values()))
    if len(asked.questions) == 1:
        console.notice(
            f"eval: {len(known.classes):,} names are too many to list; each image's name is asked for openly"
        )
    session.expect(len(dataset.items))

    def one(item: datasets.Item) -> Reply | Failure:
        try:
            sha256 = datasets.kept_image(dataset, item, session.keep)
        except Refused as error:
            if not isinstance(error, Unreadable):  # it went since the run began
                session.meter.unread()
            return failed(classes[item.label], "eval", f"{item.name}: {error}")
        try:
            return Reply(item, recognize(sha256, asked, ask=opened.port, model=opened.model, tries=opened.tries))
        except Refused as error:
            made = Made(model=opened.model, prompt=PROMPT, usage=error.usage or Usage())
            return failed(classes[item.label], "eval", f"{item.name}: {error}", made=made)

    return list(in_order(one, dataset.items, workers))


def measured(replies: Sequence[Reply | Failure], known: ClassTable, model: str) -> Iterator[Predictions | Record]:
    """Returns the failures of images without an answer, the predictions for the others, and the usage by class.

    An answer that names no class of the table is wrong; an image that was not answered at all is left out.
    """
    classes = _by_label(known)
    yield from (reply for reply in replies if isinstance(reply, Failure))
    answers = [(reply.item.label, reply.answer) for reply in replies if isinstance(reply, Reply)]
    _warn([answer for _, answer in answers], len(replies))
    if answers:
        labels = [label for label, _ in answers]
        guesses = [metrics.NO_CLASS if answer.label is None else answer.label for _, answer in answers]
        names = {label: cls.class_ for label, cls in classes.items()}
        yield Predictions(f"{model}, asked directly", labels, np.array(guesses), names, known.counts)
    usages = defaultdict[int, list[Usage]](list)
    for label, answer in answers:
        usages[label].append(answer.usage)
    for label, cls in classes.items():
        if cost := usage_metric(cls, "eval", PROMPT, model, usages[label]):
            yield cost


def _by_label(known: ClassTable) -> dict[int, Class]:
    return {info.label: class_record(info, below=0) for info in known.classes}


def _warn(answers: Sequence[Recognized], images: int) -> None:
    """Notes on stderr how many answers are wrong because they name no class, and how many images have none."""
    unknown = [" ".join(answer.answer.split())[:60] for answer in answers if answer.label is None]
    if unknown:
        shown = ", ".join(repr(text) for text in list(dict.fromkeys(unknown))[:_SHOWN])
        what = f"{counted(len(unknown), 'answer')} {agreeing(len(unknown), 'names', 'name')} no class of the table"
        console.notice(f"eval: {what}, or several, and {agreeing(len(unknown), 'is', 'are')} wrong: {shown}")
    if lost := images - len(answers):
        are = agreeing(lost, "is", "are")
        console.notice(f"eval: {counted(lost, 'image')} without an answer {are} in no accuracy")
