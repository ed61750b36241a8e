from __future__ import annotations

from types import SimpleNamespace

import pytest


@pytest.fixture(autouse=True)
def no_search_for_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ltgc run` makes room after each stage; in a process with all tests' objects in it that takes a second each."""
    monkeypatch.setattr("ltgc_cli.pipeline.run.gc", SimpleNamespace(collect=lambda: 0))
