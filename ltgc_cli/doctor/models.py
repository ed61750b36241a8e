"""Which models are configured, whether they look as if they could be reached, and, when wanted, whether they answer."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from ltgc_cli import providers
from ltgc_cli.doctor.checks import Check
from ltgc_cli.errors import InputError, LtgcError, ProviderError, Refused
from ltgc_cli.files import read_regular, regular
from ltgc_cli.ports import Question, own_server
from ltgc_cli.providers import extras, prices, reach, secrets, torch_setup
from ltgc_cli.providers.api_errors import SPECS
from ltgc_cli.providers.clip import weights_file
from ltgc_cli.providers.llm import litellm as chat
from ltgc_cli.providers.llm import said
from ltgc_cli.providers.quiet import quiet
from ltgc_cli.providers.t2i import pipelines
from ltgc_cli.text import cents, counted, nearest, one_line

Kind = Literal["lmm", "llm", "t2i", "clip"]
KINDS: tuple[Kind, ...] = ("lmm", "llm", "t2i", "clip")
_HUB = 10.0  # seconds for the hub to say whether it has a model
_CONNECT, _ANSWER = 3.0, 30.0  # seconds: for a server to accept a connection, for a model to answer with one token
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD")
_TAGS = 8  # weights that are named where a name is wrong
# For opening a port: no image is read, and nothing is printed.
_NOTHING: dict[str, Any] = {"objects": lambda _: b"", "notice": lambda _: None}


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
    specs: Mapping[Kind, str], api_base: str | None, t2i_api_base: str | None, tables: Mapping[str, Any]
) -> list[Model]:
    """Returns the models, each once; `tables` is what ltgc.toml gives each command."""
    bases = {kind: t2i_api_base if kind == "t2i" else api_base for kind in KINDS}
    found = {(kind, spec): Model(kind, spec, bases[kind]) for kind, spec in specs.items()}
    for command, values in tables.items():
        for kind in KINDS:
            spec = values.get(kind)
            if isinstance(spec, str) and command != "doctor" and f"LTGC_{kind.upper()}" not in os.environ:
                base = values.get("t2i_api_base" if kind == "t2i" else "api_base", bases[kind])
                found.setdefault((kind, spec), Model(kind, spec, base, command))
    return list(found.values())


def ask(model: Model) -> Check:
    """Returns whether a language model answers: one token is asked of it, past the store."""
    name = f"ask {model.name}"
    once: dict[str, Any] = {"timeout": _ANSWER, "limit": _ANSWER, "repeat": lambda question: False}
    try:
        model_id, port = providers.open_ask(model.spec, kind="llm", api_base=model.api_base, **_NOTHING, **once)
        question = Question(model=model_id, task="recognize", subject="", text="Say ok.", max_tokens=1)
        usage = said.read(port(question)).usage
    except Refused as refused:  # it was reached, took the key, and knows the model
        return Check(name, "ok", f"{model.spec} answers, if not to this question of one token ({refused})")
    except LtgcError as error:
        return _problem(name, error)._replace(exit_code=ProviderError.exit_code)
    cost = "price unknown" if usage.dollars is None else f"${cents(usage.dollars)}"
    return Check(
        name, "ok", f"{model.spec} answers ({counted(usage.prompt_tokens + usage.completion_tokens, 'token')}, {cost})"
    )


def to_ask(models: Iterable[Model]) -> list[Model]:
    """Returns the language models that --ask asks, each once."""
    real = [model for model in models if model.kind in ("lmm", "llm") and providers.is_real(model.spec)]
    return list({(model.spec, model.api_base): model for model in reversed(real)}.values())[::-1]


def connected(flag: str, address: str) -> Check:
    """Returns whether something accepts a connection at the address of one's own server."""
    shown = secrets.shown(address)
    try:
        parts = urlsplit(address)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), _CONNECT).close()
    except (OSError, ValueError) as error:  # the text of a ValueError quotes the address
        why = getattr(error, "strerror", None) or "no address of a server"
        fix = f"start the server, or correct {flag}; mostly it ends in /v1"
        return Check(flag, "problem", f"{shown}: {why}", fix, ProviderError.exit_code)
    return Check(flag, "ok", f"{shown} accepts connections")


def look(model: Model) -> Iterator[Check]:
    """Returns what can be known of a model without asking it, and of its provider's keys."""
    name, spec = model.name, model.spec
    try:
        if spec == "embedded":
            real = f"--{model.kind} (LTGC_{model.kind.upper()}) names a real one"
            yield Check(name, "note", f"embedded: tiny, knows written digits and nothing else; {real}")
        elif spec == "blank" and model.kind == "t2i":
            yield Check(name, "note", "blank: its images are empty, for tests")
        elif spec.startswith("replay:"):
            providers.open_ask(spec, kind="llm", **_NOTHING)
            yield Check(name, "ok", f"{spec} is there")
        elif model.kind == "clip":
            yield _clip(model)
        elif model.kind == "t2i" and not spec.startswith("litellm:"):
            yield _diffusers(model)
        else:
            yield from _by_litellm(model)
    except (LtgcError, OSError) as error:
        yield _problem(name, error)


# ---- by litellm


def _by_litellm(model: Model) -> Iterator[Check]:
    """Returns whether litellm knows the model, what it costs, and whether its provider's keys are set."""
    spec = model.spec.removeprefix("litellm:")
    chat.identity(spec, model.api_base)
    if model.kind == "lmm":
        chat.check_sees(spec, model.api_base)
    price = _price(spec, model.kind)
    litellm = chat.imported()
    try:
        with quiet():
            provider = str(litellm.get_llm_provider(spec)[1])
            missing = litellm.validate_environment(spec)["missing_keys"]
    except Exception:  # litellm raises several kinds for "unknown"
        if not model.api_base:
            fix = f"write {SPECS}, or name a server of your own by --api-base"
            raise InputError(f"{spec}: litellm knows no such model; {fix}") from None
        provider, missing = "openai", litellm.validate_environment(f"openai/{spec}")["missing_keys"]
    server = f" at {secrets.shown(model.api_base)}" if model.api_base else ""
    unit = "0.04, for an image" if model.kind == "t2i" else "2.5,10, for a million tokens in and out"
    unknown = f"price not known, so --max-cost cannot hold; give it in US dollars: --price {unit}"
    yield Check(model.name, "ok" if price else "note", f"{model.spec}{server}: {price or unknown}")
    yield _keys(provider, missing, own_server=bool(model.api_base))


def _price(spec: str, kind: Kind) -> str:
    """Returns what a model costs in words, empty where its price is not known."""
    price = prices.find(spec)
    if price is None:
        return ""
    if own_server(spec):
        return "a server of your own costs nothing"
    if kind != "t2i":
        return f"US dollars for a million tokens: {price.input * 1e6:g} in, {price.output * 1e6:g} out"
    each = prices.per_image(price)
    return "paid for by the token" if each is None else f"US dollars for an image: {each:g}"


def _keys(provider: str, missing: list[str], *, own_server: bool) -> Check:
    """Returns whether a provider's keys are set: the names of the variables, and never any part of a value."""
    name, lacking = f"keys of {provider}", ", ".join(missing)
    found = secrets.names_of_keys(provider)
    odd = reach.odd_keys(provider) | {key: "is empty" for key in found if not os.environ[key]}
    if odd:
        why = ", ".join(f"{key} {what}" for key, what in odd.items())
        return Check(name, "problem", why, f"export {next(iter(odd))}=… again, without it")
    if missing and not any(map(_SECRET.search, missing)):
        return Check(name, "ok", f"none is wanted; {lacking} is not set, so the usual address holds")
    if missing and own_server:
        return Check(name, "ok", f"{lacking} is not set; a server of one's own mostly wants none")
    if missing:
        return Check(name, "problem", f"{lacking} is not set", "; ".join(f"export {key}=…" for key in missing))
    return Check(name, "ok", f"{', '.join(found)} is set" if found else "none is wanted")


# ---- models that run here


def _diffusers(model: Model) -> Check:
    spec = model.spec
    if os.path.isdir(spec):
        if not (Path(spec) / "model_index.json").is_file():
            fix = "name the folder with model_index.json by --t2i (LTGC_T2I)"
            raise InputError(f"{spec} is no folder of a diffusers model: it has no model_index.json; {fix}")
        return Check(model.name, "ok", f"{spec}: a folder of diffusers")
    if pipelines.is_single_file(spec):
        providers.open_generate(spec, keep=lambda _: "", notice=_NOTHING["notice"])
        return Check(model.name, "ok", f"{spec}: a model in a single file")
    providers.open_generate(spec, keep=lambda _: "", notice=_NOTHING["notice"])
    return _on_disk(model, _in_hub(spec, "model_index.json"))


def check_loadable(kind: Kind, spec: str) -> None:
    """Raises InputError or ProviderError for a model that runs here and could not be loaded when it is wanted.

    Its weights are not loaded: files are looked at, and of what is not on this disk whether the hub has it.
    """
    if spec == "blank" or spec.startswith("replay:"):
        return
    api = kind in ("llm", "lmm") or spec.startswith("litellm:")
    _check_library("litellm" if api and spec != "embedded" else "diffusers" if kind == "t2i" else "open_clip", spec)
    if api or spec == "embedded":
        return
    check = (_clip if kind == "clip" else _diffusers)(Model(kind, spec))
    if check.state == "note":
        _check_hub(kind, spec)
    path = Path(spec.removeprefix("local-dir:").rpartition("=")[2])
    if kind == "t2i" and path.is_dir():
        _check_parts(path)
    for file in sorted(path.rglob("*.safetensors")) if path.is_dir() else [path] * path.is_file():
        _check_weights(file)


def _check_library(name: str, spec: str) -> None:
    """Raises ProviderError for a library that a model needs and that is not installed."""
    if not extras.installed(name):
        raise ProviderError(f"{spec} needs {name}, which is not installed here; install ltgc anew")


def _check_parts(folder: Path) -> None:
    """Raises ProviderError for a part of a diffusers model that its folder lacks."""
    try:
        index = msgspec.json.decode(read_regular(folder / "model_index.json"), type=dict[str, Any])
    except (OSError, ValueError, RecursionError) as error:
        raise ProviderError(
            f"{folder / 'model_index.json'} cannot be read ({error}); download the model again"
        ) from None
    for name, kind in index.items():
        if not (isinstance(kind, list) and len(kind) == 2 and all(kind)):
            continue
        part = folder / name
        weights = [*part.glob("*.safetensors"), *part.glob("*.bin")]
        if not part.is_dir() or ((part / "config.json").is_file() and not weights):
            what = "has no weights" if part.is_dir() else "is not there"
            raise ProviderError(f"{folder}: {name}, a part of the model, {what}; download the model again")


def _check_weights(file: Path) -> None:
    """Raises ProviderError for a file of weights that is cut short, or none."""
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors" or not file.is_file():
        return
    try:
        with regular(file), safe_open(file, "numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise ProviderError(f"{file} is no whole file of weights ({one_line(error)}); download it again") from None


def _check_hub(kind: Kind, spec: str) -> None:
    """Raises ProviderError where the hub does not give a model that is not on this disk."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    repository, file = spec, "model_index.json"
    if spec.startswith("hf-hub:"):
        repository, file = spec.removeprefix("hf-hub:"), "open_clip_config.json"
    elif kind == "clip":
        import open_clip

        name, _, tag = spec.partition("/")
        owner, name, given, *_ = f"{open_clip.get_pretrained_cfg(name, tag).get('hf_hub') or ''}///".split("/")
        repository, file = f"{owner}/{name}", given or "open_clip_model.safetensors"
        if not name:  # from an address of its own
            return
    try:
        with quiet():
            get_hf_file_metadata(hf_hub_url(repository, file), timeout=_HUB)
    except Exception as error:  # of the hub's library and of what it is built on
        flag = f"name another by --{kind}, or run again where there is a network"
        raise ProviderError(
            f"{spec} is not on this disk, and the hub does not give it ({one_line(error)}); {flag}"
        ) from None


def on_disk(spec: str) -> bool:
    """Returns whether a CLIP model can be loaded without a download. Raises LtgcError for a spec that names none."""
    return spec == "embedded" or (
        spec != "" and not spec.startswith("replay:") and _clip(Model("clip", spec)).state == "ok"
    )


def _clip(model: Model) -> Check:
    spec = model.spec
    providers.open_score(spec, **_NOTHING)
    if spec.startswith("local-dir:"):
        return Check(model.name, "ok", f"{spec} is there")
    if spec.startswith("hf-hub:"):
        return _on_disk(model, _in_hub(spec.removeprefix("hf-hub:"), "open_clip_config.json"))
    with quiet():
        torch_setup.mend_torchvision()
        import open_clip
    in_file = weights_file.named_by(spec)
    name, tag = (in_file.name, "") if in_file else (spec.partition("/")[0], spec.partition("/")[2])
    if name not in open_clip.list_models():
        close = nearest(name, open_clip.list_models())
        raise InputError(f"{spec}: open_clip knows no model {name!r}; name another by --clip{close}")
    if in_file:
        return Check(model.name, "ok", f"{spec} is there")
    if not open_clip.is_pretrained_cfg(name, tag):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)[:_TAGS]) or "none"
        raise InputError(f"{spec}: open_clip has no such weights; name one of {name}'s: {tags}")
    return _on_disk(model, _weights_here(open_clip.get_pretrained_cfg(name, tag)))


def _weights_here(config: Mapping[str, Any]) -> bool:
    """Returns whether the weights that open_clip would load are on this disk: the hub's, or those from an address."""
    owner, name, file, *_ = f"{config.get('hf_hub') or ''}///".split("/")
    files = [file] if file else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    if name and any(_in_hub(f"{owner}/{name}", file) for file in files):
        return True
    url = config.get("url") or ""
    return bool(url) and (Path.home() / ".cache" / "clip" / url.rpartition("/")[2]).is_file()


def _in_hub(repository: str, file: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    try:
        return isinstance(try_to_load_from_cache(repository, file), str)
    except ValueError:  # no name of a repository
        return False


def _on_disk(model: Model, here: bool) -> Check:
    if here:
        return Check(model.name, "ok", f"{model.spec}: its files are on this disk")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        fix = "unset HF_HUB_OFFLINE, and run again where there is a network"
        raise InputError(f"{model.spec} is not on this disk, and HF_HUB_OFFLINE forbids to download it; {fix}")
    return Check(model.name, "note", f"{model.spec} is not on this disk: its first use downloads it")


def _problem(name: str, error: Exception) -> Check:
    """Returns an error as a problem: what stands behind its last semicolon is its fix."""
    found, _, fix = str(error).rpartition("; ")
    return Check(name, "problem", found or fix, fix if found else "check the key, the network and the model's name")
