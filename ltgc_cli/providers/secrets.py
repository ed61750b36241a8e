"""Keys and passwords are in no message: what is one, or looks like one, is taken out of texts and addresses."""

from __future__ import annotations

import base64
import os
import re
import sys
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

# What looks like a key, whoever's: providers repeat it in "Incorrect API key provided: sk-…".
_SECRETS = re.compile(
    r"\b(?:(?:sk|pk|rk|gsk|xai|hf|ghp)[-_]|AIza|AKIA)[\w*.-]{8,}|(?<=Bearer )\S+"
    r"|(?<=[?&])(?:[\w.-]*(?:key|token|secret|password|signature)[\w.-]*|sig)=[^&\s]+"
    r"|(?<=://)(?:[^/@\s]*:\S{1,500}|[^/@\s]+)(?=@)|\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{32,}",
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)


def scrubbed(text: str, keys: Sequence[str] | None = None) -> str:
    """Returns a text without anything that is or looks like a key. `keys` are `keys_set()`, for many texts."""
    for value in sorted(keys_set() if keys is None else keys, key=len, reverse=True):
        text = text.replace(value, "…")
    return _SECRETS.sub("…", text)


def without_keys(text: str) -> str:
    """Returns a text as it is, but for the keys that are set: a server may repeat the one that it got."""
    for value in keys_set():
        text = text.replace(value, "…")
    return text


def keys_set() -> list[str]:
    """Returns the values of the environment variables that are named as those with keys are, and the passwords of
    servers' addresses. For comparing only.
    """
    named = (value for name, value in os.environ.items() if _SECRET_NAME.search(name))
    return [value for value in (*named, *_passwords) if len(value) >= 8]


_passwords: set[str] = set()
"""Users and passwords as addresses and headers have them: a server may send back what it got."""


def remember(userinfo: str) -> str:
    """Returns the user and the password of an address as a header has them (base64), which no message shows from now
    on, in none of the forms that a server may send them back in.

    userinfo -- what stands before the @, with its %40 for an @ in the password
    """
    told = unquote(userinfo)
    basic = base64.b64encode(told.encode()).decode()
    forms = (userinfo, told, basic, userinfo.partition(":")[2], told.partition(":")[2])
    _passwords.update(forms)
    return basic


_ALIASES = {
    "gemini": ("GOOGLE_API",),
    "vertex_ai": ("GOOGLE_",),
    "huggingface": ("HF_",),
    "bedrock": ("AWS_",),
    "together_ai": ("TOGETHERAI_",),
}
"""What the variables of a provider begin with besides its own name."""


def names_of_keys(provider: str) -> list[str]:
    """Returns the variables that are set and named as those with a provider's keys are: OPENAI_API_KEY for openai."""
    starts = (re.sub(r"[^A-Z0-9]", "_", provider.upper()) + "_", *_ALIASES.get(provider, ()))
    return sorted(name for name in os.environ if name.startswith(starts) and _SECRET_NAME.search(name))


def address(server: str) -> str:
    """Returns scheme, host, port and path of a server's address: without its password and its query.

    A password may hold any letter. Raises ValueError where it is not clear what is host and what is not.

    >>> address("http://user:p@ss@localhost:8000/v1/?token=secret")
    'http://localhost:8000/v1'
    """
    if re.search(r"[\s\x00-\x1f\x7f]", server):  # urlsplit drops some of these, and clients fail on the others
        raise ValueError("no address of a server")
    parts = urlsplit(server)
    _ = parts.port  # raises where it is no number
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme not in ("http", "https") or not host or "@" in parts.path + parts.query + parts.fragment:
        raise ValueError("no address of a server")
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


def without_passwords(text: str) -> str:
    """Returns a text without what stands before the @ of an address in it.

    >>> without_passwords("ltgc run --api-base http://me:pass@localhost:8000/v1")
    'ltgc run --api-base http://…@localhost:8000/v1'
    """
    return re.sub(r"(?<=://)[^/@\s]+(?=@)", "…", text)


def is_typed(server: str) -> bool:
    """Returns whether a server's address has a password, and stands in this process's arguments, which all can read."""
    return "@" in server and any(server in word for word in sys.argv)


def shown(server: str) -> str:
    """Returns a server's address as a person may see it; of what is not clearly one, nothing that may be secret."""
    try:
        return scrubbed(address(server))
    except ValueError:
        return "…" if set(server) & set("@?#") else scrubbed(server)
