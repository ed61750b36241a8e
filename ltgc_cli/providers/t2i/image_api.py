"""Text to image by anyone's API, through litellm: `litellm:gpt-image-1`, `litellm:azure/…`, `litellm:stability/sd3`.

No seed is sent, as most APIs take none: asked afresh the image differs, and only the store gives the same one again.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from msgspec import UNSET

from ltgc_cli.errors import InputError, ProviderError, Refused
from ltgc_cli.ports import Generate, GeneratedImage, ImageFormat, ImageRequest, Usage
from ltgc_cli.providers import api_errors, heard, prices, reach, retries, servers
from ltgc_cli.providers.images import decode, encoded, format_of
from ltgc_cli.providers.llm import litellm as chat
from ltgc_cli.providers.llm import said
from ltgc_cli.providers.opened import GenerateOptions, Opened
from ltgc_cli.providers.secrets import scrubbed
from ltgc_cli.text import one_line

SPECS = (
    "litellm:gpt-image-1, litellm:azure/DEPLOYMENT, litellm:vertex_ai/imagen-4.0-generate-001, litellm:stability/sd3"
)
TIMEOUT = 300.0
AT_ONCE = 8  # images asked for at once: small accounts get a handful a minute, and all more would only be told to wait
_BASE64 = ("b64_json", "b64", "base64", "image_base64", "result")
_ADDRESSES = ("image_url", "image", "images", "uri", "output")
_MOST_BYTES = 64 * 2**20
_SIZE_REFUSED = re.compile(r"'param': '(?:size|width|height)'|- 'size'")
_NOT_TAKEN = (
    "steps", "guidance", "negative", "scheduler", "original", "from_original",
    "device", "dtype", "t2i_config", "lora", "lora_scale", "compile", "attention_slicing",
)  # fmt: skip
"""What diffusers models are set by, in settings or a request, and image APIs do not take."""


def open_port(spec: str, options: GenerateOptions) -> Opened[Generate]:
    """Returns the API's model. Raises InputError for no name, and for options of models that diffusers loads."""
    model = identity(spec, options.api_base, options.model_id)
    check(spec, [options])
    return Opened(model, generate_port(spec, options))


def identity(spec: str, api_base: str | None = None, model_id: str | None = None) -> str:
    """Returns what the model is called in keys and records: see `litellm.identity`.

    >>> identity("gpt-image-1"), identity("my-sd", "http://localhost:8000/v1", "turbo")
    ('litellm:gpt-image-1', 'litellm:my-sd#turbo')
    """
    if not spec.strip() or spec != spec.strip():
        raise InputError(f"'litellm:{spec}' names no image API; write {SPECS}")
    return f"litellm:{chat.identity(spec, api_base, model_id)}"


def generate_port(
    spec: str,
    options: GenerateOptions,
    *,
    timeout: float = TIMEOUT,
    tries: int = retries.TRIES,
    sleep: Callable[[float], None] = time.sleep,
) -> Generate:
    """Returns the port that asks this model's API, for up to eight images at once.

    Raises InputError, before anything is asked, for a request with a setting that an API does not take. Where the API
    cannot be used any longer, the images that came are returned, the rest are Refused, and the next call raises the
    ProviderError: images paid for are not lost.
    """
    broken: list[ProviderError | InputError] = []
    server = servers.server_of(spec, options.api_base)
    retry = functools.partial(retries.retry, specs=SPECS, tries=tries, sleep=sleep)
    fetch = functools.partial(_fetch, timeout, tries, sleep, server)

    def one(request: ImageRequest, target: dict[str, Any]) -> GeneratedImage | Exception:
        if broken:
            return Refused(f"not asked: {broken[0]}")
        try:
            body = retry(lambda: _response(spec, request, timeout, target, server), spec, server=server)
            paid = _usage(body, request, prices.find(spec, options.price))
            format = format_of(request)
            raw = json.dumps(body, ensure_ascii=False).encode(errors="replace")
            try:
                raw = _bytes(body, fetch)
                return GeneratedImage(sha256=options.keep(_in_format(raw, format)), format=format, usage=paid)
            except Refused:  # it was generated, and is paid for
                return GeneratedImage(sha256=options.keep(raw), format=format, usage=paid, unread=True)
        except Refused as error:
            return error
        except (ProviderError, InputError) as error:
            broken.append(error)
            return Refused(f"not generated: {error}")

    def generate(requests: Sequence[ImageRequest]) -> list[GeneratedImage | Exception]:
        check(spec, requests)
        if broken:
            raise broken[0]
        target = retry(lambda: _target(spec, options.api_base, timeout), spec)
        try:
            with ThreadPoolExecutor(min(options.batch, AT_ONCE)) as pool:
                images = list(pool.map(lambda request: one(request, target), requests))
        finally:
            if "client" in target:
                target["client"].close()
        if broken and not any(isinstance(image, GeneratedImage) for image in images):
            raise broken[0]
        return images

    return generate


def check(spec: str, settings: Sequence[object]) -> None:
    """Raises InputError where settings, or requests, have one that image APIs do not take."""
    values = ((name, getattr(one, name, None)) for one in settings for name in _NOT_TAKEN)
    used = {name for name, value in values if not (value is None or value is UNSET or value is False or value == "")}
    flags = {f"--{name.replace('_', '-')}" if name != "original" else "--from-original" for name in used}
    if flags:
        raise InputError(f"litellm:{spec} is an image API, which takes no {', '.join(sorted(flags))}; leave it out")


def read(
    image: GeneratedImage,
    objects: Callable[[str], bytes],
    keep: Callable[[bytes], str],
    *,
    server: str | None = None,
    fetch: bool = True,
) -> GeneratedImage:
    """Returns an image that could not be read when it came, as this version reads it. Raises Refused where it cannot.

    server -- the user's own that it came from; fetch -- whether an address in the response is tried once more
    """
    raw = objects(image.sha256)
    try:
        data = raw
        if raw.startswith(b"{"):
            data = _bytes(json.loads(raw), functools.partial(_fetched_once, server) if fetch else _not_fetched)
        sha256 = keep(_in_format(data, "webp" if image.format == "webp" else "png"))
    except Refused as refused:
        raise Refused(f"{refused}; what came is kept as {image.sha256[:12]}", image.usage) from None
    return GeneratedImage(sha256=sha256, format=image.format, usage=image.usage)


def _fetch(timeout: float, tries: int, sleep: Callable[[float], None], server: str | None, url: str) -> bytes:
    return retries.retry(
        lambda: _fetched(url, timeout, server), "the image's address", specs=SPECS, tries=tries, sleep=sleep
    )


def _fetched_once(server: str | None, url: str) -> bytes:
    try:
        return _fetched(url, TIMEOUT, server)
    except Refused:
        raise
    except Exception:  # litellm's own errors: it is busy, or not there
        raise Refused(
            f"the image was generated and cannot be fetched: {urlsplit(url).hostname} does not answer"
        ) from None


def _not_fetched(url: str) -> bytes:
    raise Refused("its address is not tried in a dry run")


def _response(
    spec: str, request: ImageRequest, timeout: float, target: dict[str, Any], server: str | None
) -> dict[str, Any]:
    """Returns the JSON of a response: the server's own, which litellm may fail to read, or else litellm's reading."""
    with heard.hearing(heard.MOST_IMAGE, timeout) as responses:
        try:
            response = _asked(spec, request, timeout, target)
        except Exception:
            if (body := heard.said(responses)) is not None and not body.get("error"):
                return body
            if heard.web_page(responses):
                raise reach.page(server, "--t2i-api-base") from None
            raise
    return heard.said(responses) or response.model_dump()


def _asked(spec: str, request: ImageRequest, timeout: float, target: dict[str, Any]) -> Any:
    litellm = chat.imported()
    size = {}
    if request.width or request.height:
        size = {"size": f"{request.width or request.height}x{request.height or request.width}"}
    try:
        return litellm.image_generation(
            prompt=request.text, timeout=timeout, max_retries=0, num_retries=0, **size, **target
        )
    except litellm.BadRequestError as error:
        if size and _SIZE_REFUSED.search(str(error)):  # for every request, not for this one alone
            why = one_line(scrubbed(str(error)), 400)
            raise InputError(f"litellm:{spec} takes no size {size['size']} (--width, --height): {why}") from None
        raise


def _target(spec: str, api_base: str | None, timeout: float) -> dict[str, Any]:
    """Returns litellm's arguments for the model, and for OpenAI's protocol a client that repeats nothing.

    litellm loses `max_retries` on its way to OpenAI's client for images and sets it to two on any client it is given.
    """
    from ltgc_cli.providers.llm.client import target as chat_target

    litellm = chat.imported()
    target = chat_target(litellm, spec, api_base)
    reach.check_key(api_errors.provider(litellm, target["model"]))
    reach.go_direct(servers.server_of(spec, api_base))
    _, provider, key, base = litellm.get_llm_provider(target["model"], api_base=api_base)
    if provider != "openai" and provider not in litellm.openai_compatible_providers:
        return target
    import openai

    once = type("Once", (openai.OpenAI,), {"max_retries": property(lambda self: 0, lambda self, _: None)})
    listening = openai.DefaultHttpxClient(timeout=timeout)
    heard.listen_in(listening)
    client = once(api_key=target.get("api_key") or key, base_url=base, timeout=timeout, http_client=listening)
    return {**target, "client": client}


def _bytes(body: dict[str, Any], fetch: Callable[[str], bytes]) -> bytes:
    """Returns the first image that a response holds, wherever: in base64, or under an address that `fetch` reads."""
    urls: list[str] = []
    for name, text in _texts(body):
        data = text.partition(",")[2] if text.startswith("data:") else text
        if text.startswith("data:") or name in _BASE64:
            return _decoded(data)
        if name == "url" or (name in _ADDRESSES and "://" in text):
            urls.append(text)
    if not urls:
        raise Refused("the answer holds no image")
    if urlsplit(urls[0]).scheme not in ("http", "https"):
        raise Refused(f"the image's address is no http address: {one_line(urls[0], 40)}")
    try:
        return fetch(urls[0])
    except ProviderError as error:  # this image's address alone
        raise Refused(f"the image was generated and cannot be fetched: {error}") from None


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Returns the texts in JSON that are not empty, each with the name that it has, or that its list has."""
    if isinstance(value, str) and value.strip():
        yield name, value.strip()
    elif isinstance(value, dict):
        for inner in value:
            yield from _texts(value[inner], inner)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, name)


def _decoded(text: str) -> bytes:
    """Returns the bytes of base64, in the alphabet for URLs too, in lines, and without its padding."""
    plain = re.sub(r"\s+|=+\s*$", "", text).translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Refused("the answer's image is no base64") from None


def _fetched(url: str, timeout: float, server: str | None = None) -> bytes:
    """Returns the bytes under an http address, up to 64 MiB. Its query may hold a signature: it is in no error.

    server -- the user's own that answered; where that is in a network of one's own, so may the image be
    """
    import httpx

    litellm = chat.imported()
    host = urlsplit(url).hostname
    own = bool(server) and reach.is_private(urlsplit(server or "").hostname or "")

    def check(request: httpx.Request) -> None:  # that of each redirect too
        if not own and reach.is_private(request.url.host):
            raise Refused(f"the image's address leads into a network of one's own: {one_line(request.url.host, 100)}")

    def limit(response: httpx.Response) -> None:
        heard.limit(response, _MOST_BYTES, timeout)

    hooks: dict[str, list[Callable[..., Any]]] = {"request": [check], "response": [limit]}
    client = httpx.Client(timeout=timeout, follow_redirects=True, event_hooks=hooks)
    client.headers["Accept-Encoding"] = "identity"
    try:
        with client, client.stream("GET", url) as response:
            if response.status_code >= 500 or response.status_code == 429:
                raise litellm.APIConnectionError(f"{host} answered {response.status_code}", "", "")
            if response.status_code >= 400:
                raise Refused(f"the image was generated and cannot be fetched: {host} answered {response.status_code}")
            return response.read()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise litellm.APIConnectionError(f"{host}: {type(error).__name__}", "", "") from None


def _in_format(data: bytes, format: ImageFormat) -> bytes:
    """Returns the image's bytes as they are where they are of this format, else its pixels written in it.

    Raises Refused for what cannot be read: cut bytes are no image.
    """
    image = decode(data, "of the answer")
    if data.startswith(b"\x89PNG\r\n\x1a\n") if format == "png" else data[:4] + data[8:12] == b"RIFFWEBP":
        return data
    return encoded(image, format)


def _usage(body: dict[str, Any], request: ImageRequest, price: prices.Price | None) -> Usage:
    prompt_tokens, completion_tokens = said.tokens(body.get("usage")) or (0, 0)
    dollars = None
    if price and price.output and completion_tokens:
        dollars = prices.dollars(price, prompt_tokens, completion_tokens)
    elif price:
        dollars = prices.per_image(price, request.width, request.height)
    return Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, dollars=dollars)
