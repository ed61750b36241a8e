"""Language and vision-language models of anyone, by litellm: gpt-4o, anthropic/…, ollama/llama3.1, and so on."""

from __future__ import annotations

import functools
import os
import threading
import time
import warnings
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ltgc_cli.errors import InputError
from ltgc_cli.ports import Answer, Ask, Question
from ltgc_cli.providers import heard, prices, secrets, servers
from ltgc_cli.providers.opened import AskOptions, Opened
from ltgc_cli.providers.quiet import quiet

if TYPE_CHECKING:
    from ltgc_cli.providers.llm.client import ModelClient

_importing = threading.Lock()
_AT_HOME = "--api-base http://localhost:8000/v1"
_NO_ADDRESS = ("hosted_vllm/", "lm_studio/")  # litellm has no usual address of these, and would ask OpenAI


def open_port(spec: str, options: AskOptions) -> Opened[Ask]:
    """Returns the model of a spec. Raises InputError for no name, or no address of a server."""
    return Opened(identity(spec, options.api_base, options.model_id), ask_port(spec, options))


def open_seeing_port(spec: str, options: AskOptions) -> Opened[Ask]:
    """Returns the model of a spec, which is to be shown images. Raises InputError as `open_port` and `check_sees`."""
    check_sees(spec, options.api_base)
    return open_port(spec, options)


def check_sees(spec: str, api_base: str | None) -> None:
    """Raises InputError for a model that the price list says takes no images; a server of one's own says it itself."""
    if api_base is None and prices.sees(spec) is False:
        raise InputError(f"--lmm {spec} takes no images, says litellm's list of models; name one that does, as gpt-4o")


def identity(spec: str, api_base: str | None = None, model_id: str | None = None) -> str:
    """Returns what the model is called in keys and records: its name, and the user's own for it where there is one.

    A server's address is not the model: on another port the same answers hold. Where two servers give one name to
    different weights, `model_id` tells them apart. Raises InputError for no name, or no address of a server.

    >>> identity("openai/llama", "http://localhost:8000/v1"), identity("openai/llama", model_id="awq")
    ('openai/llama', 'openai/llama#awq')
    """
    if model_id is not None and (not model_id.strip() or not model_id.isprintable() or model_id != model_id.strip()):
        raise InputError(f"--model-id {model_id!r}: a name in one line is wanted, as llama-awq")
    _address(spec, api_base)
    there = servers.server_of(spec, api_base)
    if there and ("/" not in spec or spec.partition("/")[0] in servers.OPENAI_PROTOCOL) and set(there) & set("?#"):
        raise InputError(
            f"--api-base {secrets.shown(there)}?…: what stands behind ? or # is not sent; a key goes into "
            "OPENAI_API_KEY, or before the host: http://user:password@localhost:8000/v1"
        )
    return f"{spec}#{model_id}" if model_id else spec


def old_identity(spec: str, api_base: str | None = None) -> str:
    """Returns what the model was called in keys up to version 0.3: with its server where it is not the usual one.

    >>> old_identity("openai/llama", "http://user:secret@localhost:8000/v1?key=secret")
    'openai/llama@localhost:8000/v1'
    """
    address = _address(spec, api_base)
    return f"{spec}@{address.partition('://')[2]}" if address else spec


def _address(spec: str, api_base: str | None) -> str:
    """Returns a model's own server without what is secret in its address, "" where it has none. Raises InputError."""
    if not spec.strip() or spec != spec.strip():
        from ltgc_cli.providers.api_errors import SPECS

        raise InputError(f"{spec!r} names no language model; write {SPECS}")
    if spec.startswith("vllm/"):
        rest = spec.removeprefix("vllm/")
        raise InputError(
            f"{spec} means vLLM inside this process; for a vLLM server write hosted_vllm/{rest} {_AT_HOME}"
        )
    there = servers.server_of(spec, api_base)
    if not there and spec.startswith(_NO_ADDRESS):
        raise InputError(f"{spec}: where its server is, is not known; add {_AT_HOME}")
    try:
        return secrets.address(there) if there else ""
    except ValueError:
        raise InputError(
            f"--api-base {secrets.shown(there or '')}: no address of a server; write http://localhost:8000/v1, "
            "and in a password %40 for @, %2F for /"
        ) from None


def ask_port(
    spec: str,
    options: AskOptions,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] | None = None,
) -> Ask:
    """Returns the port that asks this model; the first question imports litellm.

    Busy and broken servers are asked again until the options' limit; nobody else repeats a request. Tests pass a
    `clock` and a `sleep` of their own.
    """

    @functools.cache
    def opened() -> ModelClient:
        from ltgc_cli.providers.llm import background
        from ltgc_cli.providers.llm.client import ModelClient

        return ModelClient(imported(), spec, options, clock, sleep or background.pause)

    opening = threading.Lock()

    def ask(question: Question) -> Answer:
        shown = content(question, options.objects)
        with opening:
            client = opened()
        from ltgc_cli.providers.llm import background

        return background.run(client.answer(question, shown))

    return ask


def imported() -> Any:
    """Returns litellm, set to fetch nothing, read no .env and print nothing."""
    with _importing:
        return _imported()


@functools.cache
def _imported() -> Any:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    with quiet():
        import logging

        import litellm

        litellm.suppress_debug_info = True
        litellm.telemetry = False
        for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy", "litellm"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        heard.install()
        litellm.ModelResponse()  # pydantic builds its schema at the first use, with a warning
    # So it does for the classes of some providers, when they are first asked.
    warnings.filterwarnings("ignore", message=r"Items? '.*` qualifier", category=UserWarning)
    # An answer in an odd shape: it is read all the same.
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)
    return litellm


def check_known(model: str) -> None:
    """Raises ProviderError, as a question would, for a name of which litellm knows no provider."""
    from ltgc_cli.providers import api_errors

    if "@" in model:  # a server of one's own knows its names itself
        return
    litellm = imported()
    try:
        with quiet():
            litellm.get_llm_provider(model)
    except Exception as error:  # litellm raises several kinds for "unknown"
        raise api_errors.translated(litellm, error, model) from None


def content(question: Question, objects: Callable[[str], bytes]) -> str | list[dict[str, Any]]:
    """Returns the one message of a question: its text, below its images. Raises Refused for a broken image."""
    if not question.images:
        return question.text
    longest = None if question.image_size is msgspec.UNSET else question.image_size
    from ltgc_cli.providers.images import data_url

    urls = [data_url(objects(image), image, longest) for image in question.images]
    shown = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [*shown, {"type": "text", "text": question.text}]
