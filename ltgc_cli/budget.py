"""What a run may spend: questions and US dollars are set aside before they are asked, so that no limit is passed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any, TypeVar

import msgspec

from ltgc_cli.errors import BudgetError
from ltgc_cli.ports import Usage

Req = TypeVar("Req", bound=msgspec.Struct)
Ans = TypeVar("Ans")


_HAIR = 1e-9  # US dollars that a sum of floats may end above what it should be
_AGAIN = "run the same command again and it goes on"


class Budget:
    """Counts what was spent and what is set aside for questions under way. Safe to call from many threads."""

    def __init__(self, dollars: float | None = None, calls: int | None = None) -> None:
        self.dollars, self.calls = dollars, calls
        self.spent, self.asked = 0.0, 0
        self._aside, self._under_way = 0.0, 0
        self._repeats: dict[Any, float] = {}  # set aside for questions asked once more, as their answer was empty
        self._over: Callable[[], BudgetError] | None = None  # makes what is raised once a limit is reached
        self._changed = threading.Condition()

    def reserve(self, *most: float) -> int:
        """Returns how many questions, of those that cost at most so many US dollars each, may be asked now: at least 1.

        Near the limit it waits for the questions under way, which mostly cost less than was set aside for them, and
        whose answers are not to be lost. Raises BudgetError where the limit could be passed even so.
        """
        with self._changed:
            while not self._over and self._passes(most[0]):
                if self._under_way == 0:
                    self._over = self._reached(most[0])
                    self._changed.notify_all()
                else:
                    self._changed.wait()
            if self._over:
                raise self._over()
            for room, bound in enumerate(most):
                if self._passes(bound):
                    return room
                self._aside += bound
                self._under_way += 1
                self.asked += 1
            return len(most)

    def repeat(self, request: Any, most: float) -> bool:
        """Returns whether a question under way may be asked once more; what it can cost is then set aside."""
        with self._changed:
            if self._passes(most):
                return False
            self._aside += most
            self._repeats[request] = self._repeats.get(request, 0.0) + most
            self.asked += 1
            return True

    def settle(self, most: float, spent: float, request: Any = None) -> None:
        """Puts what a question cost in the place of what was set aside for it."""
        with self._changed:
            self._aside -= most + self._repeats.pop(request, 0.0)
            self._under_way -= 1
            self.spent += spent
            self._changed.notify_all()

    def _passes(self, most: float) -> bool:
        over = self.dollars is not None and self.spent + self._aside + most > self.dollars + _HAIR
        return over or self._calls_used_up()

    def _calls_used_up(self) -> bool:
        return self.calls is not None and self.asked >= self.calls

    def _reached(self, most: float) -> Callable[[], BudgetError]:
        if self._calls_used_up():
            then = _AGAIN if self.calls else "raise it"
            return partial(BudgetError, f"--max-calls {self.calls} is reached", then, again=bool(self.calls))
        text = f"--max-cost {self.dollars:g} is reached: ${self.spent:.4g} spent"
        text += f", and one more can cost up to ${most:.2g}"
        again = self.dollars is not None and most <= self.dollars + _HAIR
        then = _AGAIN if again else "raise it, or lower --max-tokens"
        return partial(BudgetError, text, then, again=again, most=most)


def guarded(port: Callable[[Req], Ans], budget: Budget, most: Callable[[Req], float]) -> Callable[[Req], Ans]:
    """Returns the port, which asks only what the budget has room for; `most`: US dollars that a request can cost."""

    def ask(request: Req) -> Ans:
        bound = most(request)
        budget.reserve(bound)
        spent = 0.0
        try:
            answer = port(request)
            spent = dollars(answer, bound)
        except Exception as error:
            spent = dollars(error, bound)  # a refusal may have been an answer that was paid for
            raise
        finally:
            budget.settle(bound, spent, request)
        return answer

    return ask


def guarded_batch(
    port: Callable[[Sequence[Req]], Sequence[Ans | Exception]], budget: Budget, most: Callable[[Req], float]
) -> Callable[[Sequence[Req]], list[Ans | Exception]]:
    """Returns a port of many requests, which asks only those that the budget has room for.

    The others get the BudgetError in their place, so that the answers to those before them are not lost.
    """

    def ask(requests: Sequence[Req]) -> list[Ans | Exception]:
        answers: list[Ans | Exception] = []
        while rest := requests[len(answers) :]:
            bounds = [most(request) for request in rest]
            try:
                room = budget.reserve(*bounds)
            except BudgetError as over:
                return [*answers, *([over] * len(rest))]
            asked: Sequence[Ans | Exception] = ()
            try:
                asked = port(rest[:room])
            finally:
                for bound, answer in zip_longest(bounds[:room], asked):
                    budget.settle(bound, dollars(answer, bound))
            answers += asked
        return answers

    return ask


def dollars(answer: Any, most: float) -> float:
    """Returns what an answer (or a refusal) cost, in US dollars: the most that it can where it does not say.

    An error that says nothing of tokens was no answer, and cost nothing.

    >>> from ltgc_cli.ports import Answer
    >>> told = Answer(text="1. …", usage=Usage(dollars=0.25))
    >>> [dollars(answer, 0.5) for answer in (told, Answer(text="1. …"), KeyError())]
    [0.25, 0.5, 0.0]
    """
    usage: Usage = getattr(answer, "usage", None) or Usage(dollars=0.0)
    return most if usage.dollars is None else usage.dollars
