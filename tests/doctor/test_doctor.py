"""`ltgc doctor` says what is in place, what is not, how to fix it, and no part of anybody's key."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from contextlib import closing
from importlib import metadata
from types import SimpleNamespace
from unittest.mock import Mock

import psutil
import pytest
from ports.openai_chat import FAULTS, chat, in_turn
from ports.openai_chat import says as reply
from server import serving

from ltgc_cli.doctor import checks as here
from ltgc_cli.doctor import models as there
from ltgc_cli.doctor.models import Model
from ltgc_cli.providers import torch_setup
from ltgc_cli.store import Store

KEY = "sk-nobody-may-see-this-0123456789"


@pytest.fixture
def no_keys(monkeypatch):
    import os

    for name in [name for name in os.environ if there._SECRET.search(name)]:
        monkeypatch.delenv(name)


TORCH, TORCHVISION = here.torch, here.torchvision


@pytest.fixture(autouse=True)
def no_import_of_torch(monkeypatch):
    """torch takes seconds to import; one test does."""
    monkeypatch.setattr(here, "torch", lambda: here.Check("torch", "ok", "not looked at"))
    monkeypatch.setattr(here, "torchvision", lambda: here.Check("torchvision", "ok", "not looked at"))


def checks(out: str) -> dict[str, dict]:
    return {row["name"]: row for row in map(json.loads, out.splitlines())}


def looked(kind: str, spec: str, api_base: str | None = None) -> list[here.Check]:
    return list(there.look(Model(kind, spec, api_base)))


# --- the command


def test_with_nothing_configured_all_is_well_and_nothing_is_made(inside, store):
    ran = inside("doctor", "--json")
    found = checks(ran.out)
    assert (ran.code, ran.err, store.exists()) == (0, "doctor: no problems\n", False)
    machine, models = (
        ["python", "settings", "libraries", "extras", "torch", "torchvision"],
        ["lmm", "llm", "t2i", "clip"],
    )
    assert list(found) == [*machine, *models, "disk", "store"]
    assert found["llm"]["state"] == "note" and "LTGC_LLM" in found["llm"]["said"]
    assert found["settings"]["said"] == "LTGC_CACHE_DIR"
    assert "not there yet" in found["store"]["said"]


def test_torch_and_torchvision_are_really_looked_at():
    device, vision = TORCH(), TORCHVISION()
    assert (device.name, device.state) == ("torch", "ok") and "memory" in device.found
    assert vision.state == ("note" if torch_setup._held else "ok")
    assert metadata.version("torchvision") in vision.found and ("repair is in use" in vision.found) == bool(
        torch_setup._held
    )


def test_it_is_text_into_a_pipe_too_a_line_a_check_and_below_a_problem_its_fix(inside, no_keys):
    ran = inside("doctor", LTGC_LLM="gpt-4o")
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    problem = lines.index("problem keys of openai OPENAI_API_KEY is not set")
    assert lines[problem + 1] == "fix: export OPENAI_API_KEY=…"
    assert (ran.code, ran.err.splitlines()[-1]) == (1, "doctor: 1 problem")


def test_models_come_from_flags_variables_and_the_settings_file(inside, tmp_path, no_keys):
    (tmp_path / "ltgc.toml").write_text('llm = "ollama/llama3.1"\n[reflect]\nllm = "replay:none.jsonl"\n')
    found = checks(inside("doctor", "--json").out)
    assert found["llm"]["said"].startswith("ollama/llama3.1")
    assert found["llm of reflect"]["state"] == "problem" and "none.jsonl" in found["llm of reflect"]["said"]
    assert "ltgc.toml" in found["settings"]["said"]
    found = checks(inside("doctor", "--json", LTGC_LLM="embedded").out)  # a variable wins over every table
    assert found["llm"]["said"].startswith("embedded") and "llm of reflect" not in found
    assert checks(inside("doctor", "--json", "--llm", "embedded").out)["llm"]["said"].startswith("embedded")


# --- --ask, and keys


def test_ask_costs_one_tiny_answer_a_model_past_the_store_and_no_output_has_the_key(inside, store):
    routes = chat(lambda body: "ok")
    with serving(routes) as address:
        ran = inside(
            "doctor",
            "--json",
            "--ask",
            LTGC_LLM="gpt-4o",
            LTGC_LMM="gpt-4o",
            LTGC_API_BASE=f"{address}/v1",
            OPENAI_API_KEY=KEY,
        )
    found = checks(ran.out)
    assert ran.code == 0, ran.out
    assert found["ask lmm"]["said"].startswith("gpt-4o answers (15 tokens, $") and "ask llm" not in found
    assert found["--api-base"]["said"] == f"{address}/v1 accepts connections"
    assert found["keys of openai"]["said"] == "OPENAI_API_KEY is set"
    (seen,) = routes.seen
    assert (seen.body["max_tokens"], seen.key) == (1, f"Bearer {KEY}")
    assert not store.exists()
    assert KEY not in ran.out + ran.err and KEY[:8] not in ran.out + ran.err


def test_without_ask_nobody_is_asked(inside):
    routes = chat(lambda body: "ok")
    with serving(routes) as address:
        ran = inside("doctor", "--json", LTGC_LLM="gpt-4o", LTGC_API_BASE=f"{address}/v1", OPENAI_API_KEY=KEY)
    assert routes.seen == [] and not {"ask llm", "--api-base"} & set(checks(ran.out))


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        ("wrong key", 3, "the key is missing or was refused"),
        ("unknown model", 3, "there is no such model"),
        ("no credit", 3, "quota is used up"),
        ("all thought", 0, "answers, if not to this question of one token"),
        ("empty", 0, "answers, if not to this question of one token"),
    ],
)
def test_a_provider_that_cannot_be_used_ends_with_3_and_one_that_answers_oddly_is_reached(inside, fault, code, text):
    body = f"Incorrect API key provided: {KEY}."
    answer = reply("x")._replace(status=401, data={"error": {"message": body, "code": "invalid_api_key"}})
    routes = chat(lambda body: "ok", in_turn(answer if fault == "wrong key" else FAULTS[fault]))
    with serving(routes) as address:
        ran = inside("doctor", "--json", "--ask", LTGC_LLM="gpt-4o", LTGC_API_BASE=f"{address}/v1", OPENAI_API_KEY=KEY)
    asked = checks(ran.out)["ask llm"]
    assert (ran.code, text in asked["said"], len(routes.seen)) == (code, True, 1), ran.out
    assert asked["state"] == ("problem" if code else "ok") and bool(asked["mend"]) == bool(code)
    assert KEY not in ran.out + ran.err and KEY[:8] not in ran.out + ran.err


def test_a_server_that_is_not_there_is_named_without_the_password_in_its_address():
    with serving({}) as address:
        port = address.rpartition(":")[2]
    found = there.connected("--api-base", f"http://me:secret@127.0.0.1:{port}/v1")
    assert (found.state, found.exit_code, "secret" in found.found) == ("problem", 3, False)
    assert "refused" in found.found and "start the server" in found.fix
    assert there.connected("--api-base", "localhost:8000").state == "problem"
    assert there.connected("--api-base", "http://[::1").state == "problem"


@pytest.mark.parametrize(
    "server",
    [
        "https://me:p@ss/w:rd@127.0.0.1:9/v1",
        "https://me:p/ss@127.0.0.1:9/v1",
        "http://127.0.0.1:9/v1?token=p@ss&api-key=w:rd",
        "http://me:p@ss@127.0.0.1:9/v1",
    ],
)
def test_a_password_is_in_nothing_that_is_shown_of_a_server(inside, no_keys, server):
    for ask in ([], ["--ask"]):
        ran = inside("doctor", "--json", *ask, "--llm", "openai/m", "--api-base", server)
        assert not {part for part in ("p@ss", "w:rd", "/ss", "'p'", "@ss") if part in ran.out + ran.err}, ran.out


@pytest.mark.parametrize(
    ("value", "state", "text"),
    [
        (KEY, "ok", "OPENAI_API_KEY is set"),
        ("", "problem", "OPENAI_API_KEY is empty"),
        (f"{KEY}\n", "problem", "OPENAI_API_KEY ends with a line break"),
        (None, "problem", "OPENAI_API_KEY is not set"),
    ],
    ids=["set", "empty", "line end", "unset"],
)
def test_of_a_key_only_its_variable_is_shown(monkeypatch, no_keys, value, state, text):
    if value is not None:
        monkeypatch.setenv("OPENAI_API_KEY", value)
    model, key = looked("llm", "gpt-4o")
    assert (model.state, key.state, key.found) == ("ok", state, text)


def test_a_server_of_ones_own_and_a_model_on_this_machine_want_no_key(no_keys):
    assert looked("llm", "mine", "http://localhost:8000/v1")[1].state == "ok"
    assert looked("llm", "ollama/llama3.1")[1].state == "ok"


# --- models


@pytest.mark.parametrize(
    ("kind", "spec", "state", "text"),
    [
        ("llm", "gpt-4o", "ok", "US dollars for a million tokens: 2.5 in, 10 out"),
        ("llm", "no-such-model", "problem", "litellm knows no such model"),
        ("llm", "vllm/qwen", "problem", "means vLLM inside this process"),
        ("llm", "ollama/qwen", "ok", "a server of your own costs nothing"),
        ("llm", " gpt-4o", "problem", "names no language model"),
        ("lmm", "o3-mini", "problem", "takes no images"),
        ("llm", "groq/some-new-model", "note", "price not known"),
        ("t2i", "litellm:gpt-image-1", "ok", "US dollars"),
        ("t2i", "blank", "note", "its images are empty"),
        ("t2i", "owner/no-such-model", "note", "its first use downloads it"),
        ("t2i", "/no/such/folder", "problem", "names no text-to-image model"),
        ("t2i", "{folder}", "problem", "no model_index.json"),
        ("clip", "hf-hub:owner/no-such-model", "note", "its first use downloads it"),
        ("clip", "local-dir:{folder}", "problem", "no open_clip_config.json"),
        ("clip", "nonsense", "problem", "names no CLIP model"),
        ("clip", "embedded", "note", "--clip (LTGC_CLIP) names a real one"),
    ],
)
def test_a_model_is_looked_at_without_being_asked(tmp_path, monkeypatch, kind, spec, state, text):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    found = looked(kind, spec.format(folder=tmp_path))[0]
    assert (found.state, text in found.found) == (state, True), found
    assert bool(found.fix) == (state == "problem")


def test_a_folder_of_diffusers_is_found(tmp_path):
    (tmp_path / "model_index.json").write_text("{}")
    assert looked("t2i", str(tmp_path))[0].state == "ok"


def test_what_is_not_on_this_disk_is_a_problem_where_nothing_may_be_downloaded(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert looked("t2i", "owner/no-such-model")[0].state == "problem"


def test_weights_of_open_clip_are_looked_for_by_name_and_on_this_disk(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(there, "_in_hub", lambda repository, file: False)
    wrong, absent = looked("clip", "ViT-B-32/nope")[0], looked("clip", "ViT-B-32/openai")[0]
    assert (wrong.state, "openai" in wrong.fix) == ("problem", True)
    assert looked("clip", "ViT-Z-99/openai")[0].state == "problem"
    assert absent.state == "note"
    (tmp_path / ".cache" / "clip").mkdir(parents=True)
    (tmp_path / ".cache" / "clip" / "ViT-B-32.pt").write_bytes(b"weights")
    assert looked("clip", "ViT-B-32/openai")[0].state == "ok"


def test_a_model_of_two_commands_is_looked_at_once():
    specs = {"lmm": "gpt-4o", "llm": "embedded", "t2i": "embedded", "clip": "embedded"}
    tables = {"extend": {"llm": "embedded"}, "filter": {"llm": "gpt-4o-mini", "t2i": 3}, "cache": {"ls": {}}}
    found = there.configured(specs, None, None, tables)
    assert {model.name: model.spec for model in found} == {**specs, "llm of filter": "gpt-4o-mini"}


# --- this machine


def test_a_library_of_another_version_than_ltgc_wants_is_named_with_the_command_that_fixes_it(monkeypatch):
    installed = {"typer": "0.29.1", "litellm": "1.82.7"}
    monkeypatch.setattr(here, "_version", lambda name: installed.get(name, None if name == "rich" else "99"))
    monkeypatch.setattr(
        metadata,
        "requires",
        lambda name: ["typer<0.29,>=0.28", "litellm!=1.82.7", "rich>=14", 'wandb; extra == "wandb"'],
    )
    found = here.libraries()
    assert (found.state, found.found) == (
        "problem", "typer 0.29.1, not <0.29,>=0.28; litellm 1.82.7, not !=1.82.7; rich is missing"
    )  # fmt: skip
    assert found.fix == "pip install 'typer<0.29,>=0.28' 'litellm!=1.82.7' 'rich>=14'"


def test_libraries_for_a_single_flag_that_are_missing_are_a_note(monkeypatch):
    monkeypatch.setattr(here, "_version", lambda name: "1.0" if name == "pyarrow" else None)
    found = here.extras()
    assert (found.state, found.found) == (
        "note",
        "hf (pyarrow 1.0); not installed: heic,tensorboard,wandb,adam8bit (in the checkout: pip install "
        "'.[heic,tensorboard,wandb,adam8bit]')",
    )  # fmt: skip


@pytest.mark.parametrize(("free", "state"), [(10**9, "problem"), (10**10, "note"), (10**11, "ok")])
def test_a_full_disk_is_a_problem(monkeypatch, tmp_path, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("Usage", "total used free")(0, 0, free))
    found = here.disk(tmp_path / "not" / "there" / "yet")
    assert (found.state, str(tmp_path) in found.found, bool(found.fix)) == (state, True, state == "problem")


MOUNTS = [("/", "ext4"), ("{home}", "autofs"), ("{home}", "nfs4"), ("{home}/local", "tmpfs")]


@pytest.mark.parametrize(
    ("path", "kind"),
    [("", "nfs4"), ("a/b", "nfs4"), ("local/b", "tmpfs"), ("..", "ext4")],
)
def test_a_folder_s_filesystem_is_that_of_the_nearest_mount(monkeypatch, tmp_path, path, kind):
    home = tmp_path / "home"
    mounts = [SimpleNamespace(mountpoint=point.format(home=home), fstype=found) for point, found in MOUNTS]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    assert here.filesystem(home / path) == kind


def test_where_the_system_does_not_say_its_mounts_a_filesystem_has_no_name(monkeypatch, tmp_path):
    monkeypatch.setattr(psutil, "disk_partitions", Mock(side_effect=OSError))
    assert here.filesystem(tmp_path) == ""


def test_a_store_on_a_network_filesystem_is_a_problem_and_is_not_opened(monkeypatch, tmp_path):
    monkeypatch.setattr(here, "filesystem", lambda path: "nfs4")
    found = here.store(tmp_path / "store")
    assert (found.state, "nfs4" in found.found, "--cache-dir" in found.fix) == ("problem", True, True)
    assert not (tmp_path / "store").exists()


def test_a_store_that_is_sound_is_counted(tmp_path):
    with closing(Store(tmp_path)) as store:
        store.add("a", {"answer": 1})
    found = here.store(tmp_path)
    assert (found.state, "1 answer" in found.found) == ("ok", True)


def test_a_store_that_is_damaged_is_a_problem(tmp_path):
    with closing(Store(tmp_path)) as store:
        store.add_all({f"{number:064}": {"answer": "x" * 500} for number in range(100)})
    path = tmp_path / "answers" / "cache.db"
    data = path.read_bytes()
    path.write_bytes(data[: 6 * 4096] + b"\xff" * 4096 + data[7 * 4096 :])
    found = here.store(tmp_path)
    assert (found.state, found.fix) == ("problem", "ltgc cache verify")
    path.write_bytes(b"no database at all" * 100)
    found = here.store(tmp_path)
    assert found.state == "problem"
