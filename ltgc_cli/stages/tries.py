"""An answer of no use, and the answers to the same question when it was asked again: the first of use counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

from ltgc_cli.answers.read import Parsed, read
from ltgc_cli.errors import Refused, TooLong
from ltgc_cli.ports import Answer, Ask, Question, Tries, Usage
from ltgc_cli.providers.unforeseen import foreseen
from ltgc_cli.records import Class, Image
from ltgc_cli.stages.usage_metric import summed

T = TypeVar("T")


class Heard(NamedTuple, Generic[T]):
    """An answer, what was read in it, and what it used, with all those before it that were of no use."""

    answer: Answer
    found: T
    usage: Usage


def once(question: Question) -> Iterable[Question]:
    """Returns the question alone: it is not asked again."""
    return (question,)


def first_useful(
    question: Question, *, ask: Ask, tries: Tries, read: Callable[[Answer], T], useful: Callable[[T], object]
) -> Heard[T]:
    """Returns the first answer of use to a question, the last one where none is.

    Raises Refused where the last try was refused, with what all of them used; TooLong at once.
    """
    paid: list[Usage] = []
    last: Heard[T] | Refused | None = None
    for one in tries(question):
        try:
            answer = ask(one)
        except TooLong:
            raise
        except Refused as error:
            paid.append(error.usage or Usage())
            last = error
            continue
        paid.append(answer.usage)
        try:
            found = foreseen(read, "what reads the answer")(answer)
        except Refused as error:
            last = error
            continue
        last = Heard(answer, found, summed(paid))
        if useful(found):
            break
    if isinstance(last, Refused):
        last.usage = summed(paid)
        raise last
    assert last is not None, "a question is tried"
    return last


def sentences(cls: Class, question: Question, *, ask: Ask, tries: Tries, one: bool = False) -> Heard[Parsed]:
    """Returns the first answer that has a sentence about a class in it, as `first_useful` does.

    one -- one sentence was asked for
    """

    def read_answer(answer: Answer) -> Parsed:
        return read(answer.text, cls.class_, cls.subject, cls.synonyms, cut_off=answer.cut_off, one=one)

    return first_useful(question, ask=ask, tries=tries, read=read_answer, useful=lambda found: found.texts)


def photo(image: Image) -> str:
    """Returns what a person knows an original image by: its file, else the beginning of its hash."""
    return image.name or f"image {image.sha256[:12]}"
