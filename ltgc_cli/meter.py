"""Counts what a run asked and found: apart from the engine, whose threads an artifact's answer does without."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import msgspec

from ltgc_cli.errors import Unreadable
from ltgc_cli.ports import Usage, own_server, request_name, unpriced
from ltgc_cli.text import cents, counted

_WORDS = {"Question": "question", "Drawing": "image", "Match": "score", "Rival": "comparison"}


class Meter:
    """Counts answers: asked and found in the store, tokens, US dollars. Safe to call from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()  # requests that were refused, or could not be answered, by their type
        self.refused = 0  # those of them that may be answered another time: a run with any is not whole
        self.tokens, self.dollars = 0, 0.0
        self.unpriced = 0  # answers that were paid for and whose price is not known
        self.own = 0  # those of a server of one's own

    def __call__(self, request: msgspec.Struct, answer: Any, *, hit: bool) -> None:
        """Counts one answer. What is found in the store cost nothing this time."""
        with self._lock:
            (self.found if hit else self.asked)[request_name(request)] += 1
            if not hit:
                self._pay(request, getattr(answer, "usage", None) or Usage())

    def fail(self, request: msgspec.Struct, error: Exception) -> None:
        """Counts a request that has no answer, and what it cost all the same."""
        usage: Usage | None = getattr(error, "usage", None)
        with self._lock:
            self.failed[request_name(request)] += 1
            self.refused += not isinstance(error, Unreadable)
            if usage is not None:
                self._pay(request, usage)

    def unread(self) -> None:
        """Counts an answer, or an image, that could not be read: a run with any is not whole, as a later one may."""
        with self._lock:
            self.refused += 1

    def _pay(self, request: msgspec.Struct, usage: Usage) -> None:
        self.tokens += usage.prompt_tokens + usage.completion_tokens
        self.dollars += usage.dollars or 0.0
        model = getattr(request, "model", "")
        self.unpriced += unpriced(model, usage)
        self.own += own_server(model)

    def summary(self) -> str:
        """Returns what was asked and found, in words: "12 questions asked, 480 images from the store, $0.31".

        Of what was asked in part it says how much of it all was there: "360 images asked, 640 of 1,000 images from the
        store".
        """
        with self._lock:
            parts = [f"{counted(n, _WORDS[name])} asked" for name, n in self.asked.items()]
            for name, n in self.found.items():
                of = f"{n:,} of " if self.asked[name] else ""
                parts.append(f"{of}{counted(n + self.asked[name], _WORDS[name])} from the store")
        if self.tokens:
            parts.append(counted(self.tokens, "token"))
        if self.dollars:
            parts.append(f"${cents(self.dollars)}")
        elif self.own:
            parts.append("$0 (a server of your own)")
        if self.unpriced:
            parts.append(f"{counted(self.unpriced, 'answer')} of unknown price")
        return ", ".join(parts)
