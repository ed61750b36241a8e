"""Image APIs: litellm as it is, over HTTP to a server on this machine."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec import UNSET
from ports.openai_images import Body, Images, Reply, drawn, fails, images, linked
from server import serving

from ltgc_cli.errors import InputError, LtgcError, ProviderError, Refused
from ltgc_cli.ports import GeneratedImage, ImageRequest, Usage
from ltgc_cli.providers import open_generate
from ltgc_cli.providers.opened import GenerateOptions
from ltgc_cli.providers.t2i import image_api

KEY = "sk-abcdefghijklmnopqrstuvwxyz123456"
DRAWING = ImageRequest(model="litellm:gpt-image-1", text="A photo of a crane.", seed=7)


class Server:
    """A server, its address, and what it answers next: the last reply again and again."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.lock = threading.Lock()
        self.routes: Images = images(self.answer)
        self.address = ""

    def answer(self, body: Body) -> Reply:
        with self.lock:
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    server = Server()
    with serving(server.routes) as server.address:
        yield server


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for seen in (running.routes.seen, running.routes.keys, running.routes.files, running.routes.fetched):
        seen.clear()
    return running


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def generate(
    server: Server, slept: list[float], kept: dict[str, bytes], keep: Callable[[bytes], str]
) -> Callable[..., Any]:
    """A function that draws while the server gives these replies, and returns the one picture (or all of them)."""

    def generate(*replies: Reply, spec: str = "gpt-image-1", drawing: ImageRequest = DRAWING, **options: Any) -> Any:
        server.replies[:] = replies
        how = {name: options.pop(name) for name in ("tries", "timeout") if name in options}
        options = GenerateOptions(**{"api_base": f"{server.address}/v1", "keep": keep, **options})
        (picture,) = image_api.generate_port(spec, options, sleep=slept.append, **how)([drawing])
        if not (isinstance(picture, GeneratedImage) and picture.unread is True):
            return picture
        try:  # as a session does, the first time and ever after
            return image_api.read(picture, kept.__getitem__, keep, server=server.address)
        except Refused as refused:
            return refused

    return generate


def test_an_image_in_base64_is_kept_as_it_came_with_what_it_cost(generate, server, kept, png):
    picture = generate(drawn(png((1, 2, 3)), tokens=(10, 4160)))

    assert kept[picture.sha256] == png((1, 2, 3)) and picture.format == "png"
    assert picture.usage == Usage(prompt_tokens=10, completion_tokens=4160, dollars=0.16645)
    (sent,) = server.routes.seen
    assert sent == {"path": "/v1/images/generations", "model": "gpt-image-1", "prompt": "A photo of a crane."}
    assert server.routes.keys == [f"Bearer {KEY}"]


def test_an_image_under_an_address_is_fetched(generate, server, kept, png):
    server.routes.files["a.png"] = [Reply(200, png((1, 2, 3)))]
    picture = generate(linked(f"{server.address}/files/a.png?sig=secret"), spec="dall-e-3")

    assert kept[picture.sha256] == png((1, 2, 3))


def test_an_address_that_is_busy_is_read_again_and_nothing_is_generated_twice(generate, server, png, slept):
    server.routes.files["a.png"] = [Reply(503, b""), Reply(429, b""), Reply(200, png((1, 2, 3)))]
    picture = generate(linked(f"{server.address}/files/a.png"), spec="dall-e-3")

    assert isinstance(picture, GeneratedImage)
    assert len(server.routes.fetched) == 3 and len(server.routes.seen) == 1 and len(slept) == 2


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "is no http address: file:///etc/passwd"),
        ("ftp://127.0.0.1/a.png", "is no http address"),
        ("{}/files/none.png?sig=secret", "127.0.0.1 answered 404"),
        ("{}/files/large", "larger than 0 MiB"),
        ("{}/files/text", "cannot be read"),
        ("http://127.0.0.1:9/a.png?sig=secret", "127.0.0.1 does not answer"),
    ],
)
def test_an_address_that_gives_no_image_is_refused(generate, server, monkeypatch, url, reason):
    monkeypatch.setattr(image_api, "_MOST_BYTES", 1000)
    server.routes.files |= {"large": [Reply(200, b"\0" * 2000)], "text": [Reply(200, b"<html>")]}
    refused = generate(linked(url.format(server.address)), tries=2)

    assert isinstance(refused, Refused) and reason in str(refused)
    assert "secret" not in str(refused)


@pytest.mark.parametrize("came", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(("wanted", "start"), [("png", b"\x89PNG"), ("webp", b"RIFF")])
def test_bytes_are_in_the_format_that_was_asked_for_and_untouched_where_they_were(
    generate, kept, png, came, wanted, start
):
    came_as = png((200, 100, 50), format=came)
    drawing = ImageRequest(model="m", text="A crane.", seed=1, format="webp" if wanted == "webp" else "png")
    picture = generate(drawn(came_as), drawing=drawing)

    assert picture.format == wanted and kept[picture.sha256].startswith(start)
    assert (kept[picture.sha256] == came_as) == (came.lower() == wanted)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(200, {"created": 1, "data": []}), "the answer holds no image"),
        (Reply(200, {"created": 1, "data": [{"b64_json": "%%%"}]}), "is no base64; what came is kept as [0-9a-f]{12}$"),
        (drawn(b"\x89PNG\r\n\x1a\n cut"), "cannot be read"),
        (fails(400, "Your request was rejected by the safety system", "moderation_blocked"), "rejected by the safety"),
        (fails(400, "blocked by our content filters", "content_policy_violation"), "content filters"),
    ],
)
def test_an_image_that_is_refused_or_broken_is_refused_alone_and_not_repeated(generate, server, kept, reply, reason):
    refused = generate(reply)

    assert isinstance(refused, Refused) and len(server.routes.seen) == 1
    with pytest.raises(Refused, match=reason):
        raise refused


def test_a_busy_or_broken_server_is_asked_again_by_us_alone(generate, server, slept, png):
    picture = generate(fails(429, Retry_After="7"), fails(500), fails(503), drawn(png((1, 2, 3))))

    assert isinstance(picture, GeneratedImage) and len(server.routes.seen) == 4
    assert 7 <= slept[0] <= 8 and len(slept) == 3


def test_an_account_of_a_few_images_a_minute_is_waited_for(generate, server, slept, png):
    picture = generate(*[fails(429, Retry_After="12")] * 20, fails(500), drawn(png((1, 2, 3))), tries=2)

    assert isinstance(picture, GeneratedImage) and len(slept) == 21
    with pytest.raises(ProviderError, match=r"did not answer in 7[0-9] tries .*429"):  # a quarter of an hour later
        generate(fails(429, Retry_After="12"))


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (fails(401, f"Incorrect API key provided: {KEY}", "invalid_api_key"), "; set OPENAI_API_KEY$"),
        (fails(404, "The model does not exist", "model_not_found"), "no such model .*; write litellm:gpt-image-1, "),
        (fails(400, "Billing hard limit has been reached", "billing_hard_limit_reached"), "quota is used up"),
    ],
)
def test_an_api_that_cannot_be_used_is_a_provider_error_at_once(generate, server, slept, reply, message):
    with pytest.raises(ProviderError, match=message) as raised:
        generate(reply)
    assert slept == [] and len(server.routes.seen) == 1 and KEY not in str(raised.value)


def test_a_size_that_the_api_does_not_take_ends_the_run_and_says_which_it_takes(generate, server):
    drawing = ImageRequest(model="m", text="A crane.", seed=1, width=512)
    sizes = "Invalid value: '512x512'. Supported values are: '1024x1024', '1024x1536', '1536x1024', and 'auto'."
    with pytest.raises(InputError, match="takes no size 512x512 .--width, --height.: .*'1024x1536'"):
        generate(fails(400, sizes, "invalid_value", param="size"), drawing=drawing)
    assert server.routes.seen[0]["size"] == "512x512"


def test_what_was_generated_before_the_api_failed_is_returned_and_the_next_call_raises(server, png, keep):
    server.replies[:] = [drawn(png((1, 2, 3))), fails(401, "no", "invalid_api_key")]
    port = image_api.generate_port("gpt-image-1", GenerateOptions(keep=keep, api_base=f"{server.address}/v1", batch=1))

    first, *rest = port([DRAWING] * 3)
    assert isinstance(first, GeneratedImage) and all("set OPENAI_API_KEY" in str(refused) for refused in rest)
    assert len(server.routes.seen) == 2
    with pytest.raises(ProviderError, match="set OPENAI_API_KEY"):
        port([DRAWING])


@pytest.mark.parametrize(
    ("setting", "flag"),
    [
        ({"steps": 4}, "--steps"),
        ({"guidance": 0.0}, "--guidance"),
        ({"negative": "blurry"}, "--negative"),
        ({"scheduler": "DDIMScheduler"}, "--scheduler"),
        ({"original": "0" * 64, "strength": 0.6}, "--from-original"),
    ],
)
def test_a_setting_that_an_api_does_not_take_is_an_input_error_before_anything_is_asked(
    generate, server, setting, flag
):
    drawing = ImageRequest(model="m", text="A crane.", seed=1, **setting)
    with pytest.raises(InputError, match=f"is an image API, which takes no {flag}; leave it out"):
        generate(drawn(b""), drawing=drawing)
    assert server.routes.seen == []


def test_images_are_generated_at_once_and_come_in_order(server, kept, keep, png):
    colours = {f"A crane {n}.": png((n, 0, 0)) for n in range(20)}
    with serving(images(lambda body: drawn(colours[body["prompt"]]))) as address:
        port = image_api.generate_port("gpt-image-1", GenerateOptions(keep=keep, api_base=f"{address}/v1"))
        pictures = port([ImageRequest(model="m", text=text, seed=1) for text in colours])

    assert [kept[picture.sha256] for picture in pictures] == list(colours.values())


def test_azure_is_asked_at_its_own_address(generate, server, monkeypatch, png):
    monkeypatch.setenv("AZURE_API_KEY", "azure-key-1234567890")
    monkeypatch.setenv("AZURE_API_VERSION", "2025-04-01-preview")
    picture = generate(fails(429), drawn(png((1, 2, 3))), spec="azure/gpt-image-1", api_base=server.address)

    assert isinstance(picture, GeneratedImage) and len(server.routes.seen) == 2
    assert server.routes.seen[0]["path"] == "/openai/deployments/gpt-image-1/images/generations"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gemini/imagen-3.0-generate-001", "cannot be asked: GEMINI_API_KEY is not set; set "),
        ("vertex_ai/imagen-3.0-generate-001", "Google Cloud SDK not found. Install it with"),
        ("gpt-image-1", "the key is missing .*; set OPENAI_API_KEY$"),
        ("paintbrush", "litellm knows no such model; write litellm:gpt-image-1"),
    ],
)
def test_what_is_missing_is_an_error_at_once(generate, slept, monkeypatch, spec, message):
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ProviderError, match=message) as raised:
        generate(drawn(b""), spec=spec, api_base=None)
    assert slept == [] and "Traceback" not in str(raised.value)


def test_a_price_that_nobody_lists_is_unknown_and_a_listed_one_is_per_image(generate, png):
    assert generate(drawn(png((1, 2, 3))), spec="openai/my-own").usage == Usage()
    listed = generate(drawn(png((1, 2, 3))), spec="xai/grok-imagine-image")
    assert listed.usage == Usage(dollars=0.02)


def test_a_price_that_the_user_gives_holds(generate, png):
    assert generate(drawn(png((1, 2, 3))), spec="openai/my-own", price="0.04").usage == Usage(dollars=0.04)


def test_an_image_that_was_generated_and_cannot_be_had_is_paid_for(generate):
    refused = generate(drawn(b"no picture"), spec="openai/my-own", price="0.04")
    assert isinstance(refused, Refused) and refused.usage == Usage(dollars=0.04)


def test_the_spec_opens_it_and_its_server_is_not_in_the_models_name(server, keep, png, kept):
    server.replies[:] = [drawn(png((1, 2, 3)))]
    model, port = open_generate("litellm:gpt-image-1", keep=keep, notice=print, api_base=f"{server.address}/v1")

    assert model == "litellm:gpt-image-1"
    assert open_generate("litellm:dall-e-3", keep=keep, notice=print).model == "litellm:dall-e-3"
    (picture,) = port([DRAWING])
    assert kept[picture.sha256] == png((1, 2, 3))


def test_no_name_is_an_input_error(keep):
    with pytest.raises(LtgcError, match="names no image API; write litellm:gpt-image-1"):
        open_generate("litellm:", keep=keep, notice=print)


def in_lines(text: str) -> str:
    return "\n".join(text[at : at + 60] for at in range(0, len(text), 60))


ODD = {
    "a data URL": lambda text: {"b64_json": f"data:image/png;base64,{text}"},
    "a data URL as its address": lambda text: {"url": f"data:image/png;base64,{text}"},
    "the alphabet of URLs, unpadded": lambda text: {"b64_json": text.translate(str.maketrans("+/", "-_")).rstrip("=")},
    "lines": lambda text: {"b64_json": in_lines(text)},
    "null beside its address": lambda text: {"b64_json": None, "url": f"data:image/png;base64,{text}"},
}


@pytest.mark.parametrize("shape", ODD)
def test_base64_is_read_however_it_is_written(generate, kept, png, shape):
    data = png((1, 2, 3))
    picture = generate(Reply(200, {"created": 1, "data": [ODD[shape](base64.b64encode(data).decode())]}))

    assert kept[picture.sha256] == data and picture.unread is UNSET


def test_an_image_in_a_chats_answer_is_found(generate, kept, png):
    url = f"data:image/png;base64,{base64.b64encode(png((1, 2, 3))).decode()}"
    parts = [{"type": "text", "text": "Here it is."}, {"type": "image_url", "image_url": {"url": url}}]
    picture = generate(Reply(200, {"choices": [{"message": {"role": "assistant", "content": parts}}]}))

    assert kept[picture.sha256] == png((1, 2, 3))


def test_what_could_not_be_read_is_kept_as_it_came_and_read_by_a_version_that_can(kept, keep, png):
    url = f"data:image/png;base64,{base64.b64encode(png((1, 2, 3))).decode()}"
    raw = keep(json.dumps({"created": 1, "data": [{"url": url}]}).encode())
    picture = image_api.read(
        GeneratedImage(sha256=raw, usage=Usage(dollars=0.04), unread=True), kept.__getitem__, keep, fetch=False
    )

    assert kept[picture.sha256] == png((1, 2, 3)) and picture.usage == Usage(dollars=0.04)


def test_an_image_of_somebody_elses_api_is_fetched_from_no_network_of_ones_own(server, kept, keep, png):
    server.routes.files |= {"a.png": [Reply(200, png((1, 2, 3)))]}
    inside = f"{server.address}/files/a.png"
    raw = keep(json.dumps({"data": [{"url": inside}]}).encode())
    image = GeneratedImage(sha256=raw, format="png", unread=True)

    with pytest.raises(Refused, match=r"leads into a network of one's own: 127\.0\.0\.1; what came is kept as"):
        image_api.read(image, kept.__getitem__, keep, server="https://8.8.8.8/v1")
    assert server.routes.fetched == []
    image_api.read(image, kept.__getitem__, keep, server=server.address)
