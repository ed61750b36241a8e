"""Which models are configured, whether they look as if they could be reached, and, when wanted, whether they answer."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from ltgc_cli import providers
from ltgc_cli.doctor.checks import Check
from ltgc_cli.errors import LtgcError, ProviderError, Refused
from ltgc_cli.ports import Question
from ltgc_cli.providers import prices, secrets, torch_setup
from ltgc_cli.providers.api_errors import SPECS
from ltgc_cli.providers.llm import litellm as chat
from ltgc_cli.providers.quiet import quiet
from ltgc_cli.text import cents

Kind = Literal["lmm", "llm", "t2i", "clip"]
KINDS: tuple[Kind, ...] = ("lmm", "llm", "t2i", "clip")
TIMEOUT = 3.0
"""Seconds that a server may take to accept a connection."""
_ANSWER = 30.0
"""The same for an answer of one token."""
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD")
_TAGS = 8
"""Weights that are named where a name is wrong."""
_UNUSABLE = ProviderError.exit_code


class Model(NamedTuple):
    """A model that is configured: for all commands, or by a command's own table of ltgc.toml."""

    kind: Kind
    spec: str
    api_base: str | None = None
    command: str = ""

    @property
    def name(self) -> str:
        """What its line is called: "lmm", "llm of reflect"."""
        return f"{self.kind} of {self.command}" if self.command else self.kind


def configured(
    specs: Mapping[Kind, str], base: str | None, drawn: str | None, tables: Mapping[str, Any]
) -> list[Model]:
    """Returns the models, each once.

    base, drawn -- the addresses of one's own servers of language models, and of an image API
    tables -- what ltgc.toml gives each command
    """
    found = {(kind, spec): Model(kind, spec, drawn if kind == "t2i" else base) for kind, spec in specs.items()}
    for command, values in tables.items():
        for kind in KINDS:
            overruled = command == "doctor" or f"LTGC_{kind.upper()}" in os.environ
            spec = None if overruled else values.get(kind)
            own = values.get("t2i_api_base", drawn) if kind == "t2i" else values.get("api_base", base)
            if isinstance(spec, str):
                found.setdefault((kind, spec), Model(kind, spec, own, command))
    return list(found.values())


def look(model: Model) -> Iterator[Check]:
    """Returns what can be said of a model without asking it, and of its provider's keys."""
    spec = model.spec
    if spec == "embedded":
        named = f"--{model.kind} (LTGC_{model.kind.upper()}) names a real one"
        yield Check(model.name, "note", f"embedded: tiny, knows written digits and nothing else; {named}")
    elif spec == "blank" and model.kind == "t2i":
        yield Check(model.name, "note", "blank: draws nothing, for tests")
    elif spec.startswith("replay:"):
        yield _tried(model, lambda: providers.open_ask(spec, kind="llm", objects=_none, notice=_silent))
    elif model.kind == "clip":
        yield _clip(model)
    elif model.kind == "t2i" and not spec.startswith("litellm:"):
        yield _diffusers(model)
    else:
        yield from _by_litellm(model)


def ask(model: Model) -> Check:
    """Returns whether a language model answers: one token is asked of it, past the store."""
    name = f"ask {model.name}"
    try:
        opened = providers.open_ask(
            model.spec,
            kind="llm",
            objects=_none,
            notice=_silent,
            api_base=model.api_base,
            timeout=_ANSWER,
            limit=_ANSWER,
            concurrency=1,
            repeat=lambda question: False,
        )
        question = Question(model=opened.model, task="recognize", subject="", text="Say ok.", max_tokens=1)
        usage = opened.port(question).usage
    except Refused as refused:  # it was reached, took the key, and knows the model
        return Check(name, "ok", f"{model.spec} answers, if not to this question of one token ({refused})")
    except LtgcError as error:
        return _problem(name, error)._replace(exit_code=_UNUSABLE)
    cost = "price unknown" if usage.dollars is None else f"${cents(usage.dollars)}"
    return Check(name, "ok", f"{model.spec} answers ({usage.prompt_tokens + usage.completion_tokens} tokens, {cost})")


def is_asked(model: Model) -> bool:
    """Returns whether --ask asks this model."""
    return model.kind in ("lmm", "llm") and providers.is_real(model.spec)


def connected(flag: str, address: str) -> Check:
    """Returns whether something accepts a connection at the address of one's own server."""
    shown = secrets.shown(address)
    try:
        parts = urlsplit(address)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), TIMEOUT).close()
    except (OSError, ValueError) as error:  # the text of a ValueError quotes the address
        why = getattr(error, "strerror", None) or "no address of a server"
        mend = f"start the server, or correct {flag}; mostly it ends in /v1"
        return Check(flag, "problem", f"{shown}: {why}", mend, exit_code=_UNUSABLE)
    return Check(flag, "ok", f"{shown} accepts connections")


# ---- by litellm


def _by_litellm(model: Model) -> Iterator[Check]:
    """Returns whether litellm knows the model, what it costs, and whether its provider's keys are set."""
    spec = model.spec.removeprefix("litellm:")
    try:
        chat.identity(spec, model.api_base)
        price = prices.find(spec)
    except LtgcError as error:
        yield _problem(model.name, error)
        return
    litellm = chat.imported()
    try:
        with quiet():
            provider = str(litellm.get_llm_provider(spec)[1])
            missing = litellm.validate_environment(spec)["missing_keys"]
    except Exception:  # litellm raises several kinds for "unknown"
        if not model.api_base:
            said = f"{spec}: litellm knows no such model"
            yield Check(model.name, "problem", said, f"write {SPECS}; --api-base names a server of your own")
            return
        provider, missing = "openai", litellm.validate_environment(f"openai/{spec}")["missing_keys"]
    server = f" at {secrets.shown(model.api_base)}" if model.api_base else ""
    if price is None:
        unit = "0.04, for a picture" if model.kind == "t2i" else "2.5,10, for a million tokens in and out"
        said = f"price not known, so --max-cost cannot hold; give it in US dollars: --price {unit}"
    elif model.kind == "t2i":
        said = _per_picture(price)
    else:
        said = f"US dollars for a million tokens: {price.input * 1e6:g} in, {price.output * 1e6:g} out"
    yield Check(model.name, "note" if price is None else "ok", f"{model.spec}{server}: {said}")
    yield _keys(provider, missing, own_server=bool(model.api_base))


def _per_picture(price: prices.Price) -> str:
    each = prices.per_image(price)
    return "paid for by the token" if each is None else f"US dollars for a picture: {each:g}"


def _keys(provider: str, missing: list[str], *, own_server: bool) -> Check:
    """Returns whether a provider's keys are set: the names of the variables, and never any part of a value."""
    name = f"keys of {provider}"
    prefix = re.sub(r"[^A-Z0-9]", "_", provider.upper())
    found = {key: os.environ[key] for key in sorted(os.environ) if key.startswith(prefix) and _SECRET.search(key)}
    if odd := [key for key, value in found.items() if value != value.strip() or not value]:
        said = f"{', '.join(odd)} is empty, or has a space or a line end around it"
        return Check(name, "problem", said, f"export {odd[0]}=… without it")
    if missing and not any(map(_SECRET.search, missing)):
        return Check(name, "ok", f"none is wanted; {', '.join(missing)} is not set, so the usual address holds")
    if missing and own_server:
        return Check(name, "ok", f"{', '.join(missing)} is not set; a server of one's own mostly wants none")
    if missing:
        mend = "; ".join(f"export {key}=…" for key in missing)
        return Check(name, "problem", f"{', '.join(missing)} is not set", mend)
    return Check(name, "ok", f"{', '.join(found)} is set" if found else "none is wanted")


# ---- models that run here


def _diffusers(model: Model) -> Check:
    spec = model.spec
    if os.path.isdir(spec):
        there = (Path(spec) / "model_index.json").is_file()
        if there:
            return Check(model.name, "ok", f"{spec}: a folder of diffusers")
        said = f"{spec} is no folder of a diffusers model: it has no model_index.json"
        return Check(model.name, "problem", said, "name the folder with model_index.json by --t2i (LTGC_T2I)")
    wrong = _tried(model, lambda: providers.open_generate(spec, keep=lambda data: "", notice=_silent))
    return wrong if wrong.state == "problem" else _cached(model, _in_hub(spec, "model_index.json"))


def _clip(model: Model) -> Check:
    spec = model.spec
    found = _tried(model, lambda: providers.open_score(spec, objects=_none, notice=_silent))
    if found.state == "problem" or spec.startswith("local-dir:"):
        return found
    if spec.startswith("hf-hub:"):
        return _cached(model, _in_hub(spec.removeprefix("hf-hub:"), "open_clip_config.json"))
    with quiet():
        torch_setup.mend_torchvision()
        import open_clip
    name, _, tag = spec.partition("/")
    if name not in open_clip.list_models():
        return Check(model.name, "problem", f"{spec}: open_clip knows no model {name!r}", "name another by --clip")
    if not open_clip.is_pretrained_cfg(name, tag):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)[:_TAGS]) or "none"
        return Check(model.name, "problem", f"{spec}: open_clip has no such weights", f"name one of {name}'s: {tags}")
    return _cached(model, _weights_here(open_clip.get_pretrained_cfg(name, tag)))


def _weights_here(config: Mapping[str, Any]) -> bool:
    """Returns whether the weights that open_clip would load are on this disk: the hub's, or those from an address."""
    repository, file = re.fullmatch(r"([^/]*/[^/]*)/?(.*)", config.get("hf_hub") or "/").groups()  # type: ignore[union-attr]
    names = [file] if file else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    if repository != "/" and any(_in_hub(repository, name) for name in names):
        return True
    url = config.get("url") or ""
    return bool(url) and (Path.home() / ".cache" / "clip" / url.rpartition("/")[2]).is_file()


def _in_hub(repository: str, file: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    try:
        return isinstance(try_to_load_from_cache(repository, file), str)
    except ValueError:  # no name of a repository
        return False


def _cached(model: Model, here: bool) -> Check:
    if here:
        return Check(model.name, "ok", f"{model.spec}: its files are on this disk")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        said = f"{model.spec} is not on this disk, and HF_HUB_OFFLINE forbids to download it"
        return Check(model.name, "problem", said, "unset HF_HUB_OFFLINE, and run again where there is a network")
    return Check(model.name, "note", f"{model.spec} is not on this disk: its first use downloads it")


def _tried(model: Model, open: Any) -> Check:
    """Returns whether a spec names something that can be opened; nothing is loaded."""
    try:
        open()
    except (LtgcError, OSError) as error:
        return _problem(model.name, error)
    return Check(model.name, "ok", f"{model.spec} is there")


def _problem(name: str, error: Exception) -> Check:
    """Returns an error as a problem: what it says to do, behind its last semicolon, is what mends it."""
    said, _, mend = str(error).rpartition("; ")
    return Check(name, "problem", said or mend, mend if said else "check the key, the network and the model's name")


def _none(sha256: str) -> bytes:
    return b""


def _silent(text: str) -> None:
    pass
