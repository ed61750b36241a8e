"""Language and vision-language models of anyone, by litellm: gpt-4o, anthropic/…, ollama/llama3.1, and so on."""

from __future__ import annotations

import functools
import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ltgc_cli.errors import InputError, ProviderError, Refused
from ltgc_cli.ports import Answer, Ask, Question, Usage
from ltgc_cli.providers.images import data_url
from ltgc_cli.providers.quiet import one_line, quiet

if TYPE_CHECKING:
    import tenacity

SPECS = "embedded, replay:FILE, or a model as litellm names it (gpt-4o, anthropic/claude-sonnet-4-5, ollama/llama3.1)"
TIMEOUT = 120.0
_TRIES = 6
_LONGEST_WAIT = 60.0
_LONGEST_ASKED_WAIT = 300.0

_QUOTA = re.compile(r"insufficient_quota|billing_hard_limit|exceeded your current quota|credit balance is too low")
_NO_KEY = re.compile(r"missing credentials|missing .{0,40}api key|api_key.{0,40}must be set", re.IGNORECASE)
_NO_PROVIDER = "LLM Provider NOT provided"
# What looks like a key, whoever's: providers repeat it in "Incorrect API key provided: sk-…".
_SECRETS = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|ghp|AIza|AKIA)[-_]?[\w*.-]{8,}|(?<=Bearer )\S+|(?<=[?&]key=)[^&\s]+"
    r"|(?<=://)[^/@\s]+(?=@)|\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{32,}",
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
_importing = threading.Lock()


def identity(spec: str, api_base: str | None = None) -> str:
    """Returns what the model is called in keys and records: its name, and its server where it is not the usual one.

    Two servers may well call different models `llama`. Raises InputError for no name.

    >>> identity("openai/llama", "http://user:secret@localhost:8000/v1?key=secret")
    'openai/llama@localhost:8000/v1'
    """
    if not spec.strip() or spec != spec.strip():
        raise InputError(f"{spec!r} names no language model; write {SPECS}")
    if api_base is None:
        return spec
    address = urlsplit(api_base)
    return f"{spec}@{address.netloc.rpartition('@')[2]}{address.path.rstrip('/')}"


def ask_port(
    spec: str,
    *,
    objects: Callable[[str], bytes],
    api_base: str | None = None,
    timeout: float = TIMEOUT,
    tries: int = _TRIES,
    sleep: Callable[[float], None] = time.sleep,
) -> Ask:
    """Returns the port that asks this model; litellm is imported by the first question.

    Busy and broken servers are asked again, up to `tries` times in all; nobody else repeats a request.
    """

    def once(question: Question) -> Answer:
        litellm = imported()
        request = {
            "messages": [{"role": "user", "content": _content(question, objects)}],
            "temperature": question.temperature,
            "max_tokens": question.max_tokens,
            "timeout": timeout,
            "max_retries": 0,
            "num_retries": 0,
            **_whom(litellm, spec, api_base),
        }
        try:
            response = litellm.completion(**request)
        except litellm.UnsupportedParamsError:  # nothing was sent: a reasoning model, which takes no temperature
            # Not at first: with drop_params a refused request (422) is sent again behind our back.
            response = litellm.completion(**request, drop_params=True)
        return Answer(text=_text(response), usage=_usage(litellm, response, spec))

    def ask(question: Question) -> Answer:
        import tenacity

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_passes),
            stop=tenacity.stop_after_attempt(tries),
            wait=_wait,
            sleep=sleep,
            reraise=True,
        )
        try:
            return retrying(once, question)
        except (ProviderError, Refused, InputError):
            raise
        except Exception as error:  # litellm's own errors, and whatever a provider's library raises
            raise _said(error, spec, tries) from None

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
        import litellm

        litellm.suppress_debug_info = True
        litellm.telemetry = False
        for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        litellm.ModelResponse()  # pydantic builds its schema at the first use, with a warning
    return litellm


def scrubbed(text: str) -> str:
    """Returns a text without anything that is or looks like a key."""
    values = [value for name, value in os.environ.items() if _SECRET_NAME.search(name) and len(value) >= 8]
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "…")
    return _SECRETS.sub("…", text)


def _whom(litellm: Any, spec: str, api_base: str | None) -> dict[str, Any]:
    """Returns whom to ask. With an api_base, a name without a provider is an OpenAI-compatible server's."""
    if api_base is None:
        return {"model": spec}
    try:
        litellm.get_llm_provider(spec)
    except Exception:  # litellm raises several kinds for "unknown"
        spec = f"openai/{spec}"
    missing = litellm.validate_environment(spec)["missing_keys"]
    # A server of one's own mostly wants no key, but the client insists on one.
    return {"model": spec, "api_base": api_base, **({"api_key": "none"} if missing else {})}


def _content(question: Question, objects: Callable[[str], bytes]) -> str | list[dict[str, Any]]:
    if not question.images:
        return question.text
    shown = [{"type": "image_url", "image_url": {"url": data_url(objects(image), image)}} for image in question.images]
    return [*shown, {"type": "text", "text": question.text}]


def _text(response: Any) -> str:
    choices = getattr(response, "choices", None) or [None]
    message = getattr(choices[0], "message", None)
    refusal = (getattr(message, "provider_specific_fields", None) or {}).get("refusal")
    if refusal or getattr(choices[0], "finish_reason", None) == "content_filter":
        raise Refused(f"the model refused: {one_line(scrubbed(refusal or 'its content filter'))}")
    text = getattr(message, "content", None)
    if not isinstance(text, str) or not text.strip():
        raise Refused("the model's answer was empty")
    return text


def _usage(litellm: Any, response: Any, spec: str) -> Usage:
    used = getattr(response, "usage", None)
    return Usage(
        prompt_tokens=getattr(used, "prompt_tokens", 0) or 0,
        completion_tokens=getattr(used, "completion_tokens", 0) or 0,
        dollars=_dollars(litellm, response, spec),
    )


def _dollars(litellm: Any, response: Any, spec: str) -> float | None:
    """Returns the answer's price, None where litellm's list has none for the model: unknown is not 0."""
    if not any(name in litellm.model_cost for name in (spec, spec.partition("/")[2])):
        return None
    try:
        return round(float(litellm.completion_cost(completion_response=response, model=spec)), 10)
    except Exception:  # litellm raises a bare Exception
        return None


def _passes(error: BaseException) -> bool:
    """Returns whether it may well go by itself: a limit on the rate, a server's trouble, a connection lost."""
    litellm = _imported()
    if _NO_KEY.search(str(error)):  # comes as a server's error
        return False
    if isinstance(error, (litellm.Timeout, litellm.APIConnectionError)):
        return True
    status = getattr(error, "status_code", None)
    return isinstance(status, int) and (status in (408, 429) and not _QUOTA.search(_body(error)) or status >= 500)


def _wait(state: tenacity.RetryCallState) -> float:
    """Returns the seconds to wait: what the server asked for, else 1, 2, 4… with jitter."""
    error = state.outcome.exception() if state.outcome else None
    asked = _retry_after(getattr(error, "litellm_response_headers", None) or {})
    if asked is not None:
        return min(asked, _LONGEST_ASKED_WAIT) + random.random() / 4
    return min(_LONGEST_WAIT, 2.0 ** (state.attempt_number - 1)) * random.uniform(0.5, 1)


def _retry_after(headers: Any) -> float | None:
    value = {name.lower(): value for name, value in dict(headers).items()}.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _said(error: Exception, spec: str, tries: int) -> Exception:
    """Returns the error as ltgc's own: Refused for this one question, ProviderError for the model as a whole."""
    litellm = _imported()
    why = re.sub(r"^(?:[\w.]*(?:Error|Exception|Timeout)\s*[:-]\s*)+", "", scrubbed(one_line(error, 10_000)))
    why = one_line(why or type(error).__name__)
    status = getattr(error, "status_code", None)
    if status in (401, 403) or _NO_KEY.search(str(error)):
        return ProviderError(
            f"{spec}: the key is missing or was refused ({why}); set {_variable(litellm, error, spec)}"
        )
    if status == 402 or _QUOTA.search(_body(error)):
        return ProviderError(f"{spec}: the account's quota is used up ({why}); add credit, or name another model")
    if _NO_PROVIDER in str(error):
        return ProviderError(
            f"{spec}: litellm knows no such model; write {SPECS}; --api-base names a server of your own"
        )
    if status == 404:
        return ProviderError(f"{spec}: there is no such model ({why}); write {SPECS}")
    if _passes(error):
        return ProviderError(f"{spec} did not answer in {tries} tries ({why}); check the network, or try again later")
    if isinstance(status, int) and not isinstance(error, litellm.UnsupportedParamsError):
        return Refused(f"the request was refused: {why}")
    return ProviderError(f"{spec} cannot be asked: {why}")


def _variable(litellm: Any, error: Exception, spec: str) -> str:
    """Returns the environment variable that holds the provider's key, as well as litellm knows."""
    missing = litellm.validate_environment(spec)["missing_keys"]
    provider = getattr(error, "llm_provider", "") or spec.partition("/")[0]
    return " and ".join(missing) or f"{re.sub(r'[^A-Z0-9]', '_', provider.upper())}_API_KEY"


def _body(error: BaseException) -> str:
    return f"{error} {getattr(error, 'code', '')} {getattr(error, 'body', '')}"
