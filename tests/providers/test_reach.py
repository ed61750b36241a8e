"""What keeps a request from its server, each in a sentence of its own, for language models and image APIs alike."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports.openai_chat import Reply, chat, fails, says
from ports.openai_images import images
from server import serving

from ltgc_cli.errors import InputError, ProviderError
from ltgc_cli.ports import ImageRequest, Question
from ltgc_cli.providers import reach, secrets
from ltgc_cli.providers.llm import litellm as port
from ltgc_cli.providers.opened import AskOptions, GenerateOptions
from ltgc_cli.providers.t2i import image_api

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz123456"
QUESTION = Question(model="mine", task="extend", subject="crane", text="Besides these …")
PAGE = Reply(200, "<!DOCTYPE html><html>Sign in</html>")


@pytest.fixture
def ask(asking):
    return asking(QUESTION)


@pytest.fixture
def free() -> Iterator[int]:
    """A port that nothing listens at, held meanwhile: given back, the server of a test beside this one may get it."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]


@pytest.fixture
def no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (f"{KEY}\n", "OPENAI_API_KEY ends with a line break; export OPENAI_API_KEY=… again, without it"),
        (f"{KEY} ", "OPENAI_API_KEY ends with a space"),
        (f" {KEY}", "OPENAI_API_KEY begins with a space"),
        ("sk-proj-abcdé", "OPENAI_API_KEY has a letter beyond ASCII in it"),
        ("sk-proj abcd", "OPENAI_API_KEY has a space or a line break in it"),
    ],
)
def test_a_key_that_no_request_can_carry_is_found_before_anything_is_sent(ask, monkeypatch, key, why):
    monkeypatch.setenv("OPENAI_API_KEY", key)

    with pytest.raises(InputError, match=f"^{why}") as raised:
        ask(says())
    assert ask.seen == [] and "sk-proj" not in str(raised.value)


def test_nothing_listens_and_the_address_is_named(asking, time, free):
    with pytest.raises(
        ProviderError, match=f"nothing listens at 127.0.0.1:{free}.; is the server started. Else correct --api"
    ):
        asking(QUESTION)(spec="openai/mine", api_base=f"http://127.0.0.1:{free}/v1")


def test_a_host_that_nobody_knows_is_named(asking, time):
    with pytest.raises(
        ProviderError, match="no address is known of the host no-such.invalid:8000.; correct --api-base"
    ):
        asking(QUESTION)(spec="openai/mine", api_base="http://no-such.invalid:8000/v1")


def test_a_server_that_speaks_no_tls_is_an_error_at_once_that_says_what_to_write(asking, time):
    with serving(chat(lambda body: "hi")) as address:
        host = address.removeprefix("http://")
        with pytest.raises(ProviderError, match=f"{host} does not speak TLS; write --api-base http://{host}"):
            asking(QUESTION)(spec="openai/mine", api_base=f"https://{host}/v1")
    assert time.slept == []


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_a_certificate_that_nobody_signed_is_named_and_http_to_its_server_too(tmp_path, time, asking):
    with serving(chat(lambda body: "hi"), tls=signed_by_itself(tmp_path)) as address:
        with pytest.raises(ProviderError, match="the certificate of 127.0.0.1:.* is not trusted .*SSL_CERT_FILE=FILE"):
            asking(QUESTION)(spec="openai/mine", api_base=f"{address}/v1")
        assert time.slept == []
        with pytest.raises(ProviderError, match="openai/mine .*--api-base"):
            asking(QUESTION)(spec="openai/mine", api_base=f"{address.replace('https', 'http')}/v1")


def signed_by_itself(folder: Path) -> ssl.SSLContext:
    key, certificate = str(folder / "key.pem"), str(folder / "certificate.pem")
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run([*made, "-keyout", key, "-out", certificate, *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def test_a_web_page_in_the_place_of_an_answer_is_called_one(ask, time):
    with pytest.raises(ProviderError, match="answered with a web page, as a sign-in page is.*mostly it ends in /v1"):
        ask(PAGE, spec="openai/mine")
    with pytest.raises(ProviderError, match="answered with a web page"):
        ask(PAGE._replace(status=403), spec="openai/mine")
    with pytest.raises(ProviderError, match="nothing is at this address .*mostly it ends in /v1"):
        ask(PAGE._replace(status=404), spec="openai/mine")


def test_a_model_that_a_server_has_not_is_an_error_with_those_that_it_has(asking, time):
    from aiohttp import web

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "qwen3"}, {"id": "llama-3.1-8b"}]})

    routes = chat(lambda body: fails(404, "The model `mine` does not exist.", "model_not_found"))
    routes["GET /v1/models"] = models
    with (
        serving(routes) as address,
        pytest.raises(ProviderError, match="no such model .*; it has llama-3.1-8b, qwen3$"),
    ):
        asking(QUESTION)(spec="openai/mine", api_base=f"{address}/v1")


def test_a_server_on_this_machine_is_reached_whatever_proxy_is_set(ask, no_proxies, monkeypatch, free):
    monkeypatch.setenv("NO_PROXY", "intranet")  # so that what is added to it is gone after the test
    monkeypatch.setenv("no_proxy", "intranet")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free}")

    assert ask(says(), spec="hosted_vllm/mine").text == "hi"


def test_a_proxy_that_is_not_there_is_named_by_its_variable(asking, time, no_proxies, monkeypatch, free):
    monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@127.0.0.1:{free}")

    with pytest.raises(ProviderError, match=r"HTTP_PROXY is set, and the proxy .* NO_PROXY=gpu-7.invalid:80") as raised:
        asking(QUESTION)(spec="openai/mine", api_base="http://gpu-7.invalid/v1")
    assert "secret" not in str(raised.value)


def test_a_slow_server_is_told_from_a_lost_one(ask, time):
    with pytest.raises(
        ProviderError, match="no answer within 1 second.*; a slow server gets longer by --time-limit 1200"
    ):
        ask("hang", spec="openai/mine", timeout=0.3)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("http://127.0.0.1:{free}/v1", "nothing listens at 127.0.0.1:{free}.; is the server started"),
        ("http://no-such.invalid:8000/v1", "known of the host no-such.invalid:8000.; correct --t2i-api-base"),
        ("https://{host}/v1", "{host} does not speak TLS; write --t2i-api-base http://{host}"),
        ("http://{host}/v1", "answered with a web page, as a sign-in page is.*; correct --t2i-api-base"),
    ],
)  # fmt: skip
def test_an_image_api_that_is_not_reached_is_diagnosed_alike(free, base, message):
    page = PAGE._replace(data=PAGE.data.encode())
    with serving(images(lambda body: page)) as address:
        names = {"free": free, "host": address.removeprefix("http://")}
        options = GenerateOptions(keep=str, api_base=base.format(**names))
        with pytest.raises(ProviderError, match=message.format(**names)):
            image_api.generate_port("openai/mine", options, tries=2, sleep=lambda _: None)(
                [ImageRequest(model="m", text="A crane.", seed=1)]
            )


def test_an_image_api_wants_a_key_that_can_be_sent(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\r\n")
    with pytest.raises(InputError, match="^OPENAI_API_KEY ends with a line break"):
        image_api.generate_port("gpt-image-1", GenerateOptions(keep=str))([ImageRequest(model="m", text="…", seed=1)])


def test_a_password_in_an_address_is_sent_and_never_shown(ask, monkeypatch):
    routes = chat(lambda body: "hi")
    with serving(routes) as address:
        base = address.replace("http://", "http://me:p%40ss@") + "/v1"
        for spec in ("openai/mine", "hosted_vllm/mine"):
            assert port.ask_port(spec, AskOptions(objects=dict.__getitem__, api_base=base))(QUESTION).text == "hi"
    assert {seen.key for seen in routes.seen} == {"Basic bWU6cEBzcw=="}


def test_a_password_that_a_server_sends_back_in_any_form_is_in_no_message(monkeypatch):
    monkeypatch.setattr(secrets, "_passwords", set())
    reach.without_password("http://hugo:S3cret%40Pw9@localhost:8000/v1")
    for form in ("aHVnbzpTM2NyZXRAUHc5", "hugo:S3cret@Pw9", "hugo:S3cret%40Pw9", "S3cret@Pw9", "S3cret%40Pw9"):
        assert secrets.scrubbed(f"no entry for Basic {form} here") == "no entry for Basic … here"


def test_another_providers_key_is_not_looked_at(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    assert reach.odd_keys("anthropic") == {} and list(reach.odd_keys("openai")) == ["OPENAI_API_KEY"]


@pytest.mark.parametrize(
    "address",
    [
        "localhost:8000/v1", "file:///etc/hostname", "unix:///run/model.sock", "ftp://host/", "http://", " ",
        "http://a b/v1", "http://host\n/v1", "http://host:99999/v1", "http://[::1/v1", "http://host/v1?key=abcdef12",
        "http://host/v1#x",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_server_is_said_before_anything_is_asked(address):
    with pytest.raises(InputError, match="^--api-base ") as raised:
        port.identity("openai/mine", address)
    assert "abcdef12" not in str(raised.value)


def test_a_password_that_was_typed_is_in_the_list_of_processes_and_that_is_said(inside, monkeypatch):
    server = "http://me:s3cr3t99@127.0.0.1:9/v1"
    flags = ("extend", "--class", "crane", "--llm", "openai/mine", "--api-base", server, "--dry-run")
    monkeypatch.setattr("sys.argv", ["ltgc", *flags])
    said = inside(*flags).err
    assert "was typed, and so is in this machine's list of processes; LTGC_API_BASE=… in the" in " ".join(said.split())
    assert "s3cr3t99" not in said
    monkeypatch.setattr("sys.argv", ["ltgc", "extend"])
    assert "list of processes" not in inside(*flags[:-3], "--dry-run", LTGC_API_BASE=server).err


def test_what_is_typed_to_go_on_shows_no_password():
    from ltgc_cli.cli.interruption import typed

    shown = typed("ltgc", ["run", "--api-base", "http://me:s3cr3t99@host/v1"])
    assert shown == "ltgc run --api-base http://…@host/v1"
