"""Text to image by anyone's API, through litellm: `litellm:gpt-image-1`, `litellm:azure/…`, `litellm:stability/sd3`.

No seed is sent, as most APIs take none: drawn afresh a picture differs, and only the store gives the same one again.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from msgspec import UNSET

from ltgc_cli.errors import InputError, ProviderError, Refused
from ltgc_cli.ports import Generate, GeneratedImage, ImageFormat, ImageRequest, Usage
from ltgc_cli.providers import prices, retries
from ltgc_cli.providers.images import decode
from ltgc_cli.providers.llm import faults
from ltgc_cli.providers.llm import litellm as chat
from ltgc_cli.providers.t2i import writing
from ltgc_cli.text import one_line

SPECS = (
    "litellm:gpt-image-1, litellm:azure/DEPLOYMENT, litellm:vertex_ai/imagen-4.0-generate-001, litellm:stability/sd3"
)
TIMEOUT = 300.0
AT_ONCE = 8
"""Pictures asked for at once: small accounts get a handful a minute, and all more would only be told to wait."""
_MOST_BYTES = 64 * 2**20
_SIZE_REFUSED = re.compile(r"'param': '(?:size|width|height)'|- 'size'")
_FLAGS = {
    "steps": "--steps",
    "guidance": "--guidance",
    "negative": "--negative",
    "scheduler": "--scheduler",
    "original": "--from-original",
    "strength": "--from-original",
}
"""What diffusers models draw by and image APIs do not take."""


def identity(spec: str, api_base: str | None = None) -> str:
    """Returns what the model is called in keys and records, with its server where it is not the usual one.

    >>> identity("gpt-image-1"), identity("my-sd", "http://localhost:8000/v1")
    ('litellm:gpt-image-1', 'litellm:my-sd@localhost:8000/v1')
    """
    if not spec.strip() or spec != spec.strip():
        raise InputError(f"'litellm:{spec}' names no image API; write {SPECS}")
    return f"litellm:{chat.identity(spec, api_base)}"


def paint_port(
    spec: str,
    *,
    keep: Callable[[bytes], str],
    api_base: str | None = None,
    batch: int | None = None,
    price: str | None = None,
    timeout: float = TIMEOUT,
    tries: int = retries.TRIES,
    sleep: Callable[[float], None] = time.sleep,
) -> Generate:
    """Returns the port that has this model's API draw, up to `batch` pictures at once, and no more than eight.

    `keep` stores a picture's bytes and returns their sha256; `price` is the user's own, as for prices.find. Raises
    InputError, before anything is asked, for a drawing with a setting that an API does not take. Where the API cannot
    be used any longer, what was drawn is returned, the rest are Refused, and the next call raises the ProviderError:
    pictures paid for are not lost.
    """
    broken: list[ProviderError | InputError] = []
    patiently = functools.partial(retries.patiently, specs=SPECS, tries=tries, sleep=sleep)

    def one(drawing: ImageRequest, whom: dict[str, Any]) -> GeneratedImage | Exception:
        if broken:
            return Refused(f"not drawn: {broken[0]}")
        paid: Usage | None = None
        try:
            response = patiently(lambda: _drawn(spec, drawing, timeout, whom), spec)
            paid = _usage(response, drawing, prices.find(spec, price))
            data = _bytes(response, lambda url: patiently(lambda: _fetched(url, timeout), "the picture's address"))
            return _picture(data, drawing, paid, keep)
        except Refused as error:
            error.usage = paid  # one that was drawn and cannot be had is paid for too
            return error
        except (ProviderError, InputError) as error:
            broken.append(error)
            return Refused(f"not drawn: {error}")

    def generate(drawings: Sequence[ImageRequest]) -> list[GeneratedImage | Exception]:
        check(spec, drawings)
        if broken:
            raise broken[0]
        whom = patiently(lambda: _whom(spec, api_base, timeout), spec)
        try:
            with ThreadPoolExecutor(min(batch or AT_ONCE, AT_ONCE)) as pool:
                pictures = list(pool.map(lambda drawing: one(drawing, whom), drawings))
        finally:
            if "client" in whom:
                whom["client"].close()
        if broken and not any(isinstance(picture, GeneratedImage) for picture in pictures):
            raise broken[0]
        return pictures

    return generate


def check(spec: str, drawings: Sequence[ImageRequest]) -> None:
    """Returns nothing. Raises InputError where a drawing has a setting that image APIs do not take."""
    used = {
        flag for drawing in drawings for name, flag in _FLAGS.items() if getattr(drawing, name) not in (None, "", UNSET)
    }
    if used:
        raise InputError(f"litellm:{spec} is an image API, which takes no {', '.join(sorted(used))}; leave it out")


def _drawn(spec: str, drawing: ImageRequest, timeout: float, whom: dict[str, Any]) -> Any:
    litellm = chat.imported()
    size = {}
    if drawing.width or drawing.height:
        size = {"size": f"{drawing.width or drawing.height}x{drawing.height or drawing.width}"}
    try:
        return litellm.image_generation(
            prompt=drawing.text, timeout=timeout, max_retries=0, num_retries=0, **size, **whom
        )
    except litellm.BadRequestError as error:
        if size and _SIZE_REFUSED.search(str(error)):  # for every drawing, not for this one alone
            said = one_line(faults.scrubbed(str(error)), 400)
            raise InputError(f"litellm:{spec} draws no {size['size']} (--width, --height): {said}") from None
        raise


def _whom(spec: str, api_base: str | None, timeout: float) -> dict[str, Any]:
    """Returns whom to ask, and for OpenAI's protocol a client that repeats nothing.

    litellm loses `max_retries` on its way to OpenAI's client for images and sets it to two on any client it is given.
    """
    from ltgc_cli.providers.llm.asking import whom as asked_of

    litellm = chat.imported()
    whom = asked_of(litellm, spec, api_base)
    _, provider, key, base = litellm.get_llm_provider(whom["model"], api_base=api_base)
    if provider != "openai" and provider not in litellm.openai_compatible_providers:
        return whom
    import openai

    once = type("Once", (openai.OpenAI,), {"max_retries": property(lambda self: 0, lambda self, _: None)})
    return {**whom, "client": once(api_key=whom.get("api_key") or key, base_url=base, timeout=timeout)}


def _bytes(response: Any, fetch: Callable[[str], bytes]) -> bytes:
    """Returns the picture that an answer holds in base64, or under an address that `fetch` reads."""
    data = (getattr(response, "data", None) or [None])[0]
    inside, url = getattr(data, "b64_json", None), getattr(data, "url", None) or ""
    if not inside and url.startswith("data:"):
        inside = url.partition(",")[2]
    if inside:
        try:
            return base64.b64decode(inside)
        except (binascii.Error, ValueError):
            raise Refused("the answer's picture is no base64") from None
    if not url:
        raise Refused("the answer holds no picture")
    if urlsplit(url).scheme not in ("http", "https"):
        raise Refused(f"the picture's address is no http address: {one_line(url, 40)}")
    try:
        return fetch(url)
    except ProviderError as error:  # this picture's address alone
        raise Refused(f"the picture was drawn and cannot be fetched: {error}") from None


def _fetched(url: str, timeout: float) -> bytes:
    """Returns the bytes under an http address, up to 64 MiB. Its query may hold a signature: it is in no error."""
    import httpx

    litellm = chat.imported()
    where = urlsplit(url).hostname
    try:
        with httpx.stream("GET", url, timeout=timeout, follow_redirects=True) as response:
            if response.status_code >= 500 or response.status_code == 429:
                raise litellm.APIConnectionError(f"{where} answered {response.status_code}", "", "")
            if response.status_code >= 400:
                raise Refused(f"the picture was drawn and cannot be fetched: {where} answered {response.status_code}")
            data = b""
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > _MOST_BYTES:
                    raise Refused(f"the picture at {where} is larger than {_MOST_BYTES >> 20} MiB")
            return data
    except httpx.HTTPError as error:
        raise litellm.APIConnectionError(f"{where}: {type(error).__name__}", "", "") from None


def _picture(data: bytes, drawing: ImageRequest, usage: Usage, keep: Callable[[bytes], str]) -> GeneratedImage:
    format = writing.format_of(drawing)
    return GeneratedImage(sha256=keep(_encoded(data, format)), format=format, usage=usage)


def _encoded(data: bytes, format: ImageFormat) -> bytes:
    """Returns the picture's bytes as they are where they are of this format, else its pixels written in it.

    Raises Refused for what cannot be read: cut bytes are no picture.
    """
    image = decode(data, "of the answer")
    starts = data.startswith(b"\x89PNG\r\n\x1a\n") if format == "png" else data[:4] + data[8:12] == b"RIFFWEBP"
    if starts:
        return data
    return writing.encoded(image, format)


def _usage(response: Any, drawing: ImageRequest, price: prices.Price | None) -> Usage:
    used = getattr(response, "usage", None)
    prompt_tokens = getattr(used, "input_tokens", 0) or 0
    completion_tokens = getattr(used, "output_tokens", 0) or 0
    dollars = None
    if price and price.output and completion_tokens:
        dollars = prices.dollars(price, prompt_tokens, completion_tokens)
    elif price:
        dollars = prices.per_picture(price, drawing.width, drawing.height)
    return Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, dollars=dollars)
