"""The way to a server: what keeps a request from it, in words; and the models that it has."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from ltgc_cli.errors import InputError, ProviderError, Refused
from ltgc_cli.providers import heard, secrets
from ltgc_cli.providers.transient import TransientError
from ltgc_cli.text import one_line

_NO_TLS = re.compile(
    r"wrong.version.number|record.layer.failure|unknown.protocol|packet.length.too.long|http.request", re.I
)
_TLS_WANTED = re.compile(r"plain HTTP request was sent to HTTPS|client sent an HTTP request to an HTTPS", re.IGNORECASE)
_MODELS = 8  # that are named where another was asked for
_PATIENCE = 5.0  # seconds for the list of them


def without_password(server: str) -> tuple[str, dict[str, str]]:
    """Returns an address without its user and password, and the header that has them: HTTP clients take no others.

    >>> without_password("http://me:p%40ss@localhost:8000/v1")
    ('http://localhost:8000/v1', {'Authorization': 'Basic bWU6cEBzcw=='})
    """
    parts = urlsplit(server)
    userinfo, _, host = parts.netloc.rpartition("@")
    if not userinfo:
        return server, {}
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {secrets.remember(userinfo)}"}


def go_direct(server: str | None) -> None:
    """Makes requests to a server on this machine pass by the proxies that variables name: none leads back here."""
    host = urlsplit(server).hostname if server else None
    if not host or not _here(host) or not getproxies() or proxy_bypass(host):
        return
    name = f"[{host}]" if ":" in host else host
    for variable in ("NO_PROXY", "no_proxy"):
        os.environ[variable] = ",".join(filter(None, (os.environ.get(variable), name, host if name != host else "")))


def check_key(provider: str) -> None:
    """Raises InputError for a provider's key that no request can carry, in words that do not show it."""
    for name, why in odd_keys(provider).items():
        raise InputError(f"{name} {why}; export {name}=… again, without it")


def odd_keys(provider: str) -> dict[str, str]:
    """Returns the variables with a provider's keys that no request can carry, each with what is wrong with it."""
    found = {name: os.environ[name] for name in secrets.names_of_keys(provider)}
    return {name: why for name, value in found.items() if (why := _odd(value))}


def _odd(key: str) -> str:
    if key != key.strip():
        end = key[-1] if key != key.rstrip() else key[0]
        what = "a line break" if end in "\r\n" else "a space"
        return f"{'ends' if key != key.rstrip() else 'begins'} with {what}"
    if any(ord(letter) > 126 for letter in key):
        return "has a letter beyond ASCII in it"
    return "has a space or a line break in it" if any(ord(letter) < 33 for letter in key) else ""


def trouble(error: BaseException, spec: str, server: str | None, flag: str = "--api-base") -> Exception | None:
    """Returns why a request did not reach its server, or None where it did.

    A TransientError may go by itself, a ProviderError will not. `server` is the address of one's own.
    """
    chain = list(causes(error))
    shown = secrets.shown(server) if server else ""
    host = _host(chain, server)
    correct = f"correct {flag}" if server else "check the network"
    by_proxy = _by_proxy(chain, server)
    for cause in chain:
        if isinstance(cause, ssl.SSLError):
            return _no_tls(cause, spec, host, flag)
        if by_proxy and isinstance(cause, OSError):
            why = f"{by_proxy} is set, and the proxy that it names is not reached"
            return TransientError("broken", why, fix=f"correct it, unset it, or export NO_PROXY={host or 'HOST'}")
        if host and isinstance(cause, socket.gaierror):
            return TransientError("broken", f"no address is known of the host {host}", fix=correct)
        if host and isinstance(cause, ConnectionRefusedError):
            then = f"is the server started? Else {correct}" if server else correct
            return TransientError("broken", f"nothing listens at {host}", fix=then)
        if isinstance(cause, UnicodeEncodeError | ValueError) and "header" in str(cause).lower():
            return ProviderError(
                f"{spec}: its key, or a password in {flag}, is nothing that a request can carry; set it again"
            )
    if _TLS_WANTED.search(str(error)):
        return ProviderError(f"{spec}: {host or shown} speaks TLS; write {flag} https://{host or 'HOST'}…")
    return None


def page(server: str | None, flag: str = "--api-base") -> TransientError:
    """Returns the error for a web page in the place of an answer: it may be a gateway's, and gone the next time."""
    who = secrets.shown(server) if server else "the server"
    fix = f"correct {flag}: mostly it ends in /v1" if server else "check the network"
    return TransientError("broken", f"{who} answered with a web page, as a sign-in page is, and not with JSON", fix=fix)


def no_answer(why: str, server: str | None) -> TransientError:
    """Returns the error for one that a server calls a success, as some do for an address that they do not know."""
    fix = "correct --api-base: mostly it ends in /v1; or see the server's log" if server else "try again later"
    return TransientError("broken", why, fix=fix)


def models(server: str | None, provider: str) -> Sequence[str]:
    """Returns the names of the models that a server of one's own says that it has; none where it does not say."""
    import httpx

    if not server:
        return ()
    server, headers = without_password(server)
    keys = [os.environ[name] for name in secrets.names_of_keys(provider) if name.endswith("API_KEY")]
    headers = headers or ({"Authorization": f"Bearer {keys[0]}"} if keys else {})
    try:
        client = httpx.Client(headers=headers, timeout=_PATIENCE, follow_redirects=True)
        heard.listen_in(client)
        with client, heard.hearing(seconds=_PATIENCE):
            rows = client.get(f"{server.rstrip('/')}/models").json()["data"]
        return sorted(str(row["id"]) for row in rows)
    except (
        httpx.HTTPError,
        httpx.InvalidURL,
        Refused,
        RecursionError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ):
        return ()


def has(names: Sequence[str]) -> str:
    """Returns the models of a server in words.

    >>> has(["llama", "qwen"]), has([])
    ('; it has llama, qwen', '')
    """
    more = ", …" if len(names) > _MODELS else ""
    return f"; it has {one_line(secrets.scrubbed(', '.join(names[:_MODELS])), 300)}{more}" if names else ""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Returns an error and what it came from, to the first of all."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        inner = getattr(error, "os_error", None)
        error = inner if isinstance(inner, BaseException) else error.__cause__ or error.__context__


def _host(chain: Sequence[BaseException], server: str | None) -> str:
    """Returns host and port of a server: of one's own as its address says, else as the error does."""
    if server:
        parts = urlsplit(server)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return f"{_bracketed(parts.hostname or '')}:{port}"
    named = next((one for one in chain if getattr(one, "host", None) and getattr(one, "port", None)), None)
    return f"{_bracketed(named.host)}:{named.port}" if named is not None else ""  # type: ignore[attr-defined]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _by_proxy(chain: Sequence[BaseException], server: str | None) -> str:
    """Returns the variable with the proxy that a request went by, as far as the variables say; "" for none."""
    scheme = urlsplit(server).scheme if server else "https"
    host = urlsplit(server).hostname or "" if server else ""
    proxies = getproxies()
    name = next((one for one in (scheme, "all") if one in proxies), "")
    said = any(type(one).__name__ in ("ProxyError", "ClientProxyConnectionError") for one in chain)
    if not name or not (said or (host and not proxy_bypass(host))):
        return ""
    return next((one for one in (f"{name}_proxy", f"{name}_proxy".upper()) if os.environ.get(one)), f"{name}_proxy")


def _no_tls(error: ssl.SSLError, spec: str, host: str, flag: str) -> ProviderError:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"the certificate of {host or 'the server'} is not trusted ({_says(error)})"
        return ProviderError(f"{spec}: {why}; SSL_CERT_FILE=FILE names the one that signed it")
    if _NO_TLS.search(str(error)):
        return ProviderError(
            f"{spec}: {host or 'the server'} does not speak TLS; write {flag} http://{host or 'HOST'}…"
        )
    return ProviderError(
        f"{spec}: no TLS connection to {host or 'the server'} ({one_line(error.reason or str(error))})"
    )


def _says(error: ssl.SSLCertVerificationError) -> str:
    """Returns what is wrong with a certificate; aiohttp's own error has it in words alone."""
    text = getattr(error, "verify_message", "") or str(error).rpartition("verify failed: ")[2].partition(" (_ssl")[0]
    return one_line(text)


def is_private(host: str) -> bool:
    """Returns whether a host, or an address that its name leads to, is of this machine or of a network of one's own.

    A name that nobody here knows is none: a proxy may know it.

    >>> is_private("127.0.0.1"), is_private("169.254.169.254"), is_private("8.8.8.8")
    (True, True, False)
    """
    try:
        found = {str(one[4][0]).partition("%")[0] for one in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    addresses = [ipaddress.ip_address(address) for address in found]
    return any(not (getattr(one, "ipv4_mapped", None) or one).is_global for one in addresses)


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
