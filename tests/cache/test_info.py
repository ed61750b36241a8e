"""`ltgc cache info` and `dir`: what is in the store, and where it is."""

from __future__ import annotations

import subprocess
import sys

import pytest
from filled_store import (
    rows,
)


def test_info_sums_by_stage_and_model_and_an_unknown_price_is_no_price_of_0(filled, inside):
    found = {(row["kind"], row["stage"], row["model"]): row for row in rows(inside("cache", "info", "--json").out)}
    assert [(*group, row["entries"]) for group, row in found.items() if group[0] != "total"] == [
        ("answers", "extend", "gpt-4o", 1),
        ("answers", "filter", "clip", 2),
        ("answers", "filter", "embedded/grammar-1", 1),
        ("answers", "reflect", "gpt-4o@localhost:8000/v1", 1),
        ("answers", "render", "litellm:dall-e-3", 1),
        ("answers", "render", "sd-turbo", 1),
        ("artifacts", "render", "", 1),
        ("objects", "", "", 2),
    ]
    paid = {name[2]: (row["dollars"], row["unpriced"], row["tokens"]) for name, row in found.items() if name[2]}
    assert paid["gpt-4o"] == (0.25, 0, 100) and paid["sd-turbo"] == (0.0, 0, 0)
    assert paid["gpt-4o@localhost:8000/v1"] == (0.0, 1, 10) and paid["litellm:dall-e-3"] == (0.0, 1, 0)
    total = found["total", "", ""]
    assert (total["dollars"], total["unpriced"]) == (0.25, 2) and total["bytes"] > 20_000


def test_it_is_a_table_into_a_pipe_too(filled, inside):
    out = inside("cache", "info").out
    lines = {" ".join(line.split()[:3]): line for line in out.splitlines()}
    assert lines["answers extend gpt-4o"].split()[-1] == "0.25"
    assert lines["answers reflect gpt-4o@localhost:8000/v1"].split()[-1] == "unknown"
    assert "at least 0.25" in out.splitlines()[-1]


def test_dir_prints_the_folder_and_makes_none(store, inside):
    assert (inside("cache", "dir").out, store.exists()) == (f"{store}\n", False)


def test_dir_imports_neither_models_nor_the_store():
    code = (
        "import sys; sys.argv = ['ltgc', 'cache', 'dir']; from ltgc_cli.cli import main\n"
        "try: main()\nfinally: print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    assert "ltgc_cli.cli.cache" in loaded
    assert {"ltgc_cli.providers", "ltgc_cli.store", "ltgc_cli.pipeline.session"}.isdisjoint(loaded)


@pytest.mark.parametrize(
    "command", [["info"], ["show"], ["show", "abcd"], ["verify"], ["prune", "--unused"], ["export", "a"]]
)
def test_looking_at_a_store_that_is_not_there_makes_none(store, inside, command):
    ran = inside("cache", *command)
    assert (ran.code, "no store is here yet" in ran.err, store.exists()) == (2, True, False)


def test_the_settings_file_names_the_store_of_these_commands_as_well(tmp_path, ltgc, environment):
    del environment["LTGC_CACHE_DIR"]
    (tmp_path / "ltgc.toml").write_text('cache-dir = "here"\nllm = "gpt-4o"\n')
    assert ltgc("cache", "dir").out == "here\n"
    (tmp_path / "ltgc.toml").write_text('[cache]\ncache-dir = "there"\n')
    assert ltgc("cache", "dir").out == "there\n"
    (tmp_path / "ltgc.toml").write_text("[cache]\nyes = true\n")
    assert "ltgc cache has no flag --yes" in ltgc("cache", "dir").err
