"""What an API's error means: ask again, this one request is refused, or the model cannot be asked at all."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ltgc_cli.errors import InputError, ProviderError, Refused, TooLong, too_many_files
from ltgc_cli.providers import prices, reach
from ltgc_cli.providers.llm import room
from ltgc_cli.providers.secrets import scrubbed
from ltgc_cli.providers.transient import TransientError
from ltgc_cli.text import one_line

SPECS = "embedded, replay:FILE, or a model as litellm names it (gpt-4o, anthropic/claude-sonnet-4-5, ollama/llama3.1)"

_NO_CREDIT = re.compile(
    r"insufficient_quota|billing_hard_limit|credit balance is too low|insufficient (?:balance|funds)"
)
_NO_KEY = re.compile(r"missing credentials|missing .{0,40}api key|api_key.{0,40}must be set", re.IGNORECASE)
_NO_PROVIDER = "LLM Provider NOT provided"
# litellm reports these as a lost connection, which waiting would mend.
_NOT_SET_UP = re.compile(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+ is not set\b|\bSDK not found\b|\bNo module named\b")
_NO_MODEL = re.compile(r"model_not_found|model_decommissioned|not a valid model|model .{0,80}not found", re.IGNORECASE)
# Against a policy; some providers say so with 403, as if it were the key.
_POLICY = re.compile(r"content.?(?:policy|filter)|safety system|flagged|moderation", re.IGNORECASE)
_NO_JSON = re.compile(r"json_validate_failed")
_PAGE = re.compile(r"<html|<!doctype html", re.IGNORECASE)
# As OpenAI, Azure, vLLM, TGI, llama.cpp, Anthropic, Bedrock, Gemini, Mistral, Groq and xAI say it; litellm knows a few.
TOO_LONG = re.compile(
    r"(?:maximum|max|allowed) (?:context|model|input|prompt|sequence)[ _](?:length|size)|context_length_exceeded"
    r"|exceeds? (?:the )?(?:model'?s |available )?context|context (?:length|window|limit)"
    r"|(?:prompt|input|request) is too long|(?:prompt|request|input) too (?:long|large)|too many (?:input )?tokens"
    r"|input token count.{0,40}exceeds|`inputs`.{0,30}tokens|reduce the length of the (?:messages|prompt|input)",
    re.IGNORECASE,
)
_TOO_MANY_WANTED = re.compile(r"supports at most \d+ (?:completion|output) tokens|max_tokens.{0,60}maximum allowed")
# As OpenAI, vLLM, llama.cpp, Ollama, LM Studio, OpenRouter, Groq, DeepSeek, Bedrock and Gemini say it of a model. What
# they say of one image (its format, its size) must not be taken for it.
_SIGHT = r"(?:images?|image_url|vision|multi-?modal)"
_NO_IMAGES = re.compile(
    rf"(?:not|n['’]t) (?:currently |yet )?(?:support|accept|take|allow)(?: the| any)? {_SIGHT}\b"
    r"(?! (?:of|urls?|formats?|types?|sizes?|files?|larger|resolutions?|dimensions?|with)\b)"
    r"|(?:(?:^|[^\w\s])\s*images|image (?:inputs?|content|modality|input modality)|image_url|\bvision"
    r"|multi-?modal(?: \w+)?)['\"`]? (?:is|are) not (?:currently |yet )?(?:supported|enabled|allowed|available)"
    r"|image_url['\"`]? is only supported by|unknown variant ['\"`]?image_url|unsupported content\[\]\.type"
    r"|not (?:a )?(?:multi-?modal|vision)\b|(?:no|lacks?|without) (?:vision|multi-?modal)\b"
    r"|no endpoints found that support image|missing data required for image|at most 0 image|mmproj"
    r"|\bcontent\b.{0,60}(?:must be|should be|expected)(?: a)?(?: valid)? str(?:ing)?\b",
    re.IGNORECASE,
)
_DELAY = re.compile(r"retryDelay\W{1,8}([\d.]+)s")  # Gemini says it in the body alone
_PARAMETERS = {
    "response_format": re.compile(r"response.?format|json.?schema|structured.?output|guided_|grammar", re.IGNORECASE),
    "temperature": re.compile(r"temperature"),
    "max_tokens": re.compile(r"max_completion_tokens"),
    "reasoning_effort": re.compile(r"reasoning.?effort|thinking"),
    "extra_body": re.compile(r"reasoning.?effort|chat_template_kwargs|thinking"),
}
"""Parameters that a question does without where a server rejects them, and how the server names them."""
_LONGEST_WAIT = 60.0
_LEAST_WAIT = 1.0
"""Seconds that a server asks for at least, to be believed: many say 0, or a date that has passed, at each time."""
_DAY = 86_400.0
AWAY = 3
"""Times that a busy server may ask to wait for longer than a day, until that is believed."""
_TOLD = 20_000  # letters of an error that are looked at
_LETTERS = 3  # of a text are at most a token, mostly


def translated(
    litellm: Any,
    error: Exception,
    spec: str,
    specs: str = SPECS,
    *,
    server: str | None = None,
    first_images: bool = False,
) -> Exception:
    """Returns the error as ltgc's own, in one line and without secrets; `specs` is what can be written for `spec`.

    server -- the address of the user's own, which the model is reached at
    first_images -- whether images were shown to a model that has not been seen to take any

    A TransientError may go by itself; Refused (or TooLong) is about this one request; ProviderError about the model.
    """
    if isinstance(error, (ProviderError, Refused, InputError, TransientError)):
        return error
    if refused := next((cause for cause in reach.causes(error) if isinstance(cause, Refused)), None):
        return refused  # by us, of what a client of httpx read
    why, body, status = _why(error), _body(error), getattr(error, "status_code", None)
    flag = "--api-base" if specs == SPECS else "--t2i-api-base"
    if unreached := reach.trouble(error, spec, server, flag):
        return unreached
    if status == 401 or _NO_KEY.search(body) or (status == 403 and not _POLICY.search(body)):
        return ProviderError(
            f"{spec}: the key is missing or was refused ({why}); set {_variable(litellm, error, spec)}"
        )
    if status == 402 or _NO_CREDIT.search(body):
        return ProviderError(f"{spec}: the account's quota is used up ({why}); add credit, or name another model")
    if _NOT_SET_UP.search(body):
        return ProviderError(f"{spec} cannot be asked: {why}; set or install what is missing")
    if _NO_PROVIDER in body:
        return ProviderError(
            f"{spec}: litellm knows no such model; write {specs}; --api-base names a server of your own"
            f"{prices.nearest_model(spec, 'text' if specs == SPECS else 'image')}"
        )
    blind = first_images and status in (400, 404, 422, 500) and _NO_IMAGES.search(body)
    if blind and not TOO_LONG.search(body):
        return ProviderError(f"{spec} takes no images ({why}); name a model that does by --lmm, as gpt-4o")
    if status in (404, 405) and (_PAGE.search(body) or "model" not in why.lower()):
        return ProviderError(f"{spec}: nothing is at this address ({why}); check {flag}: mostly it ends in /v1")
    if status == 404 or _NO_MODEL.search(body):
        known = reach.has(reach.models(server, provider(litellm, spec))) or f"; write {specs}"
        return ProviderError(f"{spec}: there is no such model ({why}){known}")
    if _TOO_MANY_WANTED.search(body):
        return ProviderError(f"{spec} does not write that much in one answer ({why}); lower --max-tokens")
    if isinstance(error, litellm.ContextWindowExceededError) or status == 413 or TOO_LONG.search(body):
        return TooLong(f"the question is too long for the model: {why}")
    if _NO_JSON.search(body):
        return TransientError("empty", why)
    if status == 429:
        return TransientError("busy", why, _asked_wait(error, body))
    if _is_transient(litellm, error, status):
        return TransientError("broken", why, _asked_wait(error, body), _fix(error, status, server, flag))
    if isinstance(status, int) and not isinstance(error, litellm.UnsupportedParamsError):
        return Refused(f"the request was refused: {why}")
    ours = next((told for cause in reach.causes(error) if (told := too_many_files(cause))), None)
    return ours or ProviderError(f"{spec} cannot be asked: {why}")


def rejected(error: Exception, request: Mapping[str, Any]) -> str | None:
    """Returns the parameter of a request that the server does not take, if that is what its error says."""
    body = _body(error)
    if getattr(error, "status_code", None) not in (400, 422) or _NO_JSON.search(body):
        return None
    return next((name for name, named in _PARAMETERS.items() if name in request and named.search(body)), None)


def lowered(error: Exception, wanted: int, text: str) -> int | None:
    """Returns the tokens to ask for in place of `wanted`, where the error is that those are too many, else None."""
    if getattr(error, "status_code", None) not in (400, 413, 422):
        return None
    return room.lowered(_body(error), wanted, len(text) // _LETTERS)


def may_be_the_schema(error: Exception, meant: Exception) -> bool:
    """Returns whether a JSON schema may be what a request failed for: the server names nothing else clearly.

    Some do not know the parameter and say only that something is wrong (400, 422); others break on it (500, 501).

    meant -- the same error, translated
    """
    status = getattr(error, "status_code", None)
    if status in (400, 422):
        return type(meant) is Refused and not _POLICY.search(_body(error))
    answered = bool(getattr(error, "litellm_response_headers", None))  # litellm calls a lost connection a 500 too
    return status in (500, 501) and answered and isinstance(meant, TransientError) and meant.kind == "broken"


def pause(error: TransientError, times: int) -> float:
    """Returns the seconds to wait before the same is asked again, after it failed `times` times in this way.

    What the server asked for, if from a second to a day, else 1, 2, 4… up to a minute; with jitter, as many may wait.
    """
    if error.wait is not None and error.wait >= _LEAST_WAIT and not away(error):
        return error.wait + random.random() / 4
    return min(_LONGEST_WAIT, 2.0 ** min(times - 1, 10)) * random.uniform(0.5, 1)


def away(error: TransientError) -> str:
    """Returns that a server asks to wait for longer than a day, in words, "" where it does not.

    It may be a mistake, so the same is asked again after a pause of ours, AWAY times in all.

    >>> away(TransientError("busy", "too many", 31_536_000.0)), away(TransientError("busy", "too many", 7.0))
    ('; it asks to wait for 31,536,000 seconds', '')
    """
    seconds = error.wait or 0.0
    return f"; it asks to wait for {seconds:,.0f} seconds" if seconds > _DAY else ""


def _why(error: Exception) -> str:
    text = str(error)[:_TOLD].partition("Traceback (most recent call last)")[0]
    text = re.sub(r"\S*<\S+ object at 0x\w+> ?", "", text)
    text = scrubbed(one_line(text or type(error).__name__, 10_000))
    text = re.sub(r"^(?:[\w.]*(?:Error|Exception|Timeout)\s*[:-]\s*)+", "", text)
    return one_line(text or type(error).__name__)


def _body(error: BaseException) -> str:
    return f"{str(error)[:_TOLD]} {str(getattr(error, 'code', ''))[:99]} {str(getattr(error, 'body', ''))[:_TOLD]}"


def _is_transient(litellm: Any, error: Exception, status: Any) -> bool:
    """Returns whether it is a server's trouble or a lost connection."""
    if isinstance(error, (TimeoutError, litellm.Timeout, litellm.APIConnectionError)):
        return True
    return isinstance(status, int) and (status in (408, 409, 425) or status >= 500)


def _fix(error: Exception, status: Any, server: str | None, flag: str) -> str:
    """Returns what to do about a server's trouble that stays."""
    answered = bool(getattr(error, "litellm_response_headers", None))  # litellm calls a lost connection a 500 too
    if answered and isinstance(status, int):
        return "see the server's log, or try again later" if server else "try again later"
    return (
        f"check {flag} and the server's log, or try again later" if server else "check the network, or try again later"
    )


def provider(litellm: Any, spec: str) -> str:
    """Returns a model's provider as litellm names it: openai for a name that it does not know."""
    try:
        return str(litellm.get_llm_provider(spec)[1])
    except Exception:  # litellm raises several kinds for "unknown"
        return "openai"


def _asked_wait(error: Exception, body: str) -> float | None:
    """Returns the seconds that the server asks for, by Retry-After (seconds or a date), or as Gemini does."""
    # litellm leaves `error.response.headers` empty
    headers = dict(getattr(error, "litellm_response_headers", None) or {})
    named = {name.lower(): value for name, value in headers.items()}
    delay = _DELAY.search(body)
    given = named.get("retry-after") or (delay[1] if delay else "")
    try:
        seconds = float(given)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError, OverflowError):  # garbage, or a date without its zone
            return None
    return None if math.isnan(seconds) else seconds


def _variable(litellm: Any, error: Exception, spec: str) -> str:
    """Returns the environment variable that holds the provider's key, as well as litellm knows."""
    missing = litellm.validate_environment(spec)["missing_keys"]
    provider = getattr(error, "llm_provider", "") or spec.partition("/")[0]
    either = all(name.endswith("API_KEY") for name in missing)  # Gemini's key has two names
    return (" or " if either else " and ").join(missing) or f"{re.sub(r'[^A-Z0-9]', '_', provider.upper())}_API_KEY"
