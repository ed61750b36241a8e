"""Stores for the tests of `ltgc cache`."""

from __future__ import annotations

import shutil

import pytest
from filled_store import fill

from ltgc_cli import console


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filled") / "store"
    fill(folder)
    return folder


@pytest.fixture
def filled(once, store):
    shutil.copytree(once, store)
    return store


@pytest.fixture
def person(monkeypatch):
    """stdout is a terminal."""
    monkeypatch.setattr(console, "is_terminal", lambda: True)
