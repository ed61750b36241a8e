"""An error that may well be gone when the same is asked again."""

from __future__ import annotations

from typing import Literal


class TransientError(Exception):
    """An error that may well be gone when the same is asked again."""

    def __init__(
        self,
        kind: Literal["busy", "broken", "empty", "declined"],
        why: str,
        wait: float | None = None,
        fix: str = "try again later",
    ):
        super().__init__(why)
        self.kind = kind
        self.why = why
        self.wait = wait  # seconds that the server asks for
        self.fix = fix  # what to do where it does not go
