"""Fakes of the three ports. Each is a plain function, as a port is; what it was given is in its `.seen`."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ltgc_cli.ports import (
    Answer,
    Ask,
    Compare,
    Comparison,
    Generate,
    GeneratedImage,
    ImageRequest,
    Match,
    NearestClass,
    Question,
    Score,
    Usage,
)
from ltgc_cli.records import Class, Description, Image, Record, identify

FREE = Usage()


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def says(*answers: str | Exception | Callable[[Question], str], usage: Usage = FREE) -> Ask:
    """An Ask that gives these answers in turn and then the last one again and again; an exception is raised."""
    queue = list(answers)
    turn = threading.Lock()

    def ask(question: Question) -> Answer:
        with turn:
            ask.seen.append(question)
            answer: Any = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, Exception):
            raise answer
        return Answer(text=answer(question) if callable(answer) else answer, usage=usage)

    ask.seen = []
    return ask


def by_task(**answers: Any) -> Ask:
    """An Ask with a fake of its own for each task: `by_task(template=says("…"), refine=says("…"))`."""

    def ask(question: Question) -> Answer:
        ask.seen.append(question)
        return answers[question.task](question)

    ask.seen = []
    return ask


def draws(failing: Callable[[ImageRequest], Exception | None] = lambda _: None) -> Generate:
    """A Paint whose picture of a request is named by the request's text and seed, in any batch."""

    def generate(drawings: Sequence[ImageRequest]) -> list[GeneratedImage | Exception]:
        generate.seen.append(list(drawings))
        return [failing(d) or GeneratedImage(sha256=picture_of(d)) for d in drawings]

    generate.seen = []
    return generate


def picture_of(drawing: ImageRequest) -> str:
    return sha(f"{drawing.text} {drawing.seed}")


def rates(cosine: Callable[[Match], float | Exception]) -> Score:
    """A Score that gives each match what `cosine` says of it."""

    def score(matches: Sequence[Match]) -> list[float | Exception]:
        score.seen.append(list(matches))
        return [cosine(match) for match in matches]

    score.seen = []
    return score


def points(nearest: Callable[[Comparison], NearestClass | Exception]) -> Compare:
    """A Compare that gives each rival what `nearest` says of it."""

    def compare(rivals: Sequence[Comparison]) -> list[NearestClass | Exception]:
        compare.seen.append(list(rivals))
        return [nearest(rival) for rival in rivals]

    compare.seen = []
    return compare


def keeps() -> Callable[[bytes], str]:
    """A function that keeps bytes and returns their sha256; they are in its `.kept`."""

    def keep(data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        keep.kept[sha256] = data
        return sha256

    keep.kept = {}
    return keep


def a_class(name: str = "crane", label: int = 3, tail: bool = True, **fields: Any) -> Class:
    return identify(Class(label=label, class_=name, tail=tail, **fields), name)


def a_description(cls: Class, features: str, origin: str = "extended", number: int = 0) -> Description:
    text = f"A photo of the class {cls.class_}, {features}."
    return identify(Description(label=cls.label, class_=cls.class_, text=text, origin=origin), number, text)


def an_image(cls: Class, name: str, origin: str = "original", **fields: Any) -> Image:
    image = Image(label=cls.label, class_=cls.class_, sha256=sha(name), origin=origin, name=name, **fields)
    return identify(image, name)


def of(kind: type, rows: Sequence[Record]) -> list[Any]:
    """The rows of one kind."""
    return [row for row in rows if isinstance(row, kind)]
