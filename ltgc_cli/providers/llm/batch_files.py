"""The files of batch APIs: questions to lines, packed under the providers' limits, and lines of results to answers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import UNSET

from ltgc_cli.errors import Refused, TooLong
from ltgc_cli.ports import Answer, Question, Usage
from ltgc_cli.providers import prices
from ltgc_cli.providers.api_errors import TOO_LONG
from ltgc_cli.providers.llm import litellm as chat
from ltgc_cli.providers.llm import said
from ltgc_cli.providers.llm.response_formats import RESPONSE_FORMATS
from ltgc_cli.providers.secrets import scrubbed
from ltgc_cli.providers.transient import TransientError
from ltgc_cli.text import one_line

ENDPOINT = "/v1/chat/completions"
MOST_QUESTIONS = 50_000
MOST_BYTES = 200_000_000  # what OpenAI and Azure take in one file; the others take more


def part(
    keys: Sequence[str], write: Callable[[str], bytes]
) -> tuple[list[str], bytes, list[str], dict[str, Answer | Refused]]:
    """Returns the first keys that fit a file, the file, the keys left over, and what cannot be asked at all."""
    taken: list[str] = []
    refused: dict[str, Answer | Refused] = {}
    payload = bytearray()
    for index, k in enumerate(keys):
        try:
            text = write(k)
        except Refused as error:  # a broken image
            refused[k] = error
            continue
        if taken and (len(taken) == MOST_QUESTIONS or len(payload) + len(text) > MOST_BYTES):
            return taken, bytes(payload), list(keys[index:]), refused
        payload += text
        taken.append(k)
    return taken, bytes(payload), [], refused


def line(
    name: str,
    question: Question,
    *,
    model: str,
    provider: str,
    objects: Callable[[str], bytes],
) -> bytes:
    """Returns a question as a line under a name. Raises Refused where its image is broken.

    model, provider -- as litellm parts the spec
    """
    from litellm.utils import get_optional_params

    options: dict[str, Any] = {"temperature": question.temperature, "max_tokens": question.max_tokens}
    if question.schema is not UNSET:
        options["response_format"] = RESPONSE_FORMATS[question.schema]
    if question.reasoning_effort is not UNSET:
        options["reasoning_effort"] = question.reasoning_effort
    if provider != "vertex_ai":  # of which litellm translates the whole file
        # A reasoning model takes no temperature, and calls the other max_completion_tokens.
        translated = get_optional_params(model=model, custom_llm_provider=provider, drop_params=True, **options)
        options = {name: value for name, value in translated.items() if name not in ("stream", "extra_body")}
    messages = [{"role": "user", "content": chat.content(question, objects)}]
    body = {"model": model, "messages": messages, **options}
    request = {"custom_id": name, "method": "POST", "url": ENDPOINT, "body": body}
    return json.dumps(request, ensure_ascii=False).encode(errors="replace") + b"\n"


def takes_effort(model: str, provider: str) -> bool:
    """Returns whether a line may say how long the model thinks; it is left out of one that does not take it."""
    known = chat.imported().get_supported_openai_params(model, custom_llm_provider=provider)
    return "reasoning_effort" in (known or ())


def read(content: bytes, price: prices.Price | None) -> Iterator[tuple[str, Answer | Refused]]:
    """Returns the lines of a file of results by their custom_id; what is no such line is left out."""
    for text in io.BytesIO(content):  # not all lines at once: a file may be large
        try:
            row = json.loads(text)
            response, error = row.get("response") or {}, row.get("error") or {}
            body = response.get("body") or {}
            error = error or body.get("error") or {}
            if error or response.get("status_code", 200) != 200:
                yield row["custom_id"], _refused(error)
            else:
                yield row["custom_id"], _answer(body, price)
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            continue


def _answer(body: Mapping[str, Any], price: prices.Price | None) -> Answer | Refused:
    try:
        return said.answer(body, _usage(body.get("usage"), price))
    except TransientError as error:
        why = f"the model refused: {error.why}" if error.kind == "declined" else error.why
        return Refused(why, _usage(body.get("usage"), price))


def _usage(used: Any, price: prices.Price | None) -> Usage:
    """Returns what an answer used, at the price of a batch; nothing known where a count cannot be."""
    prompt, completion = said.tokens(used) or (0, 0)
    dollars = None
    if price and prompt + completion:
        dollars = prices.dollars(prices.in_batch(price), prompt, completion)
    return Usage(prompt_tokens=prompt, completion_tokens=completion, dollars=dollars)


def _refused(error: Any) -> Refused:
    text = f"{error.get('code') or ''} {error.get('message') or ''}" if isinstance(error, dict) else str(error)
    why = one_line(scrubbed(text)) or "no reason is given"
    kind = TooLong if TOO_LONG.search(text) else Refused
    return kind(f"the request was refused: {why.strip()}")
