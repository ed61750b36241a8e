"""Recorded exchanges: `replay:FILE` answers from them for any port, `--record FILE` writes them.

One exchange a line: {"request": {"type": "Question", …}, "answer": …, "data": base64 of the image, where it is one}.
A request is found by everything that is in it except `model` and how that one is asked (`schema`, `image_size`), so
that what gpt-4o said is replayed without a key.
"""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ltgc_cli import schemas
from ltgc_cli.errors import InputError, ProviderError
from ltgc_cli.files import check_room, is_straight, named_errors, whole_lines
from ltgc_cli.ports import REQUESTS, Ask, Compare, Generate, GeneratedImage, ImageRequest, Score, request_name
from ltgc_cli.providers.opened import GenerateOptions, Opened, Port, file_identity
from ltgc_cli.store import OnAnswer, entry_for, key

_SHOWN = 200
_LONGEST = 512 << 20  # bytes of a line: the largest image of the store takes a third more in base64


class Exchange(NamedTuple):
    """A recorded answer, with an image's bytes in base64."""

    answer: Any
    data: str = ""


Find = Callable[[msgspec.Struct], Exchange]


def open_ask(path: str, _: object) -> Opened[Ask]:
    """Returns the port that answers questions from a recording."""
    return _opened(path, lambda find: lambda question: find(question).answer)


def open_score(path: str, _: object) -> Opened[Score]:
    """Returns the port that scores from a recording."""
    return _opened(path, lambda find: lambda matches: [find(match).answer for match in matches])


def open_compare(path: str, _: object) -> Opened[Compare]:
    """Returns the port that finds the nearest other text from a recording."""
    return _opened(path, lambda find: lambda comparisons: [find(one).answer for one in comparisons])


def open_generate(path: str, options: GenerateOptions) -> Opened[Generate]:
    """Returns the port that has recorded images: their bytes go to `keep`."""

    def port(find: Find) -> Generate:
        def generated(request: ImageRequest) -> GeneratedImage:
            image, data = find(request)
            if options.keep(base64.b64decode(data)) != image.sha256:
                raise ProviderError(f"{path}: this is not the image recorded for {_shown(request)}; record again")
            return image

        def generate(requests: Sequence[ImageRequest]) -> list[GeneratedImage | Exception]:
            return [generated(request) for request in requests]

        return generate

    return _opened(path, port)


def _opened(path: str, port: Callable[[Find], Port]) -> Opened[Port]:
    try:
        model = file_identity("replay", Path(path))
    except InputError as error:
        raise InputError(f"replay:{error}; make a recording with --record {path}") from None
    exchanges = read(Path(path))

    def find(request: msgspec.Struct) -> Exchange:
        exchange = exchanges.get(_key(request))
        if exchange is None:
            how = f"record it: name a real model, with --record {path}"
            raise ProviderError(f"{path} holds no answer to {_shown(request)}; {how}")
        return exchange

    return Opened(model, port(find))


def read(path: Path) -> dict[str, Exchange]:
    """Returns the exchanges of a recording by their key. Raises InputError with file and line for a line that is none.

    The key is the one of the request without its model.
    """
    exchanges: dict[str, Exchange] = {}
    try:
        with named_errors(path), path.open("rb") as file:
            for number, line in enumerate(whole_lines(file, path, _LONGEST), start=1):
                if line.strip():
                    exchanges.setdefault(*_exchange(path, number, line.decode()))
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text, so no recording; name a file that --record wrote") from None
    return exchanges


def _exchange(path: Path, number: int, line: str) -> tuple[str, Exchange]:
    schemas.check_json(f"{path}:{number}: the line", line)
    try:
        return _parsed(line)
    except (msgspec.MsgspecError, AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"{path}:{number}: not an exchange that --record wrote") from None


def recorder(path: Path, objects: Callable[[str], bytes]) -> OnAnswer:
    """Returns what writes each exchange to the file once, below what is there.

    A device or a pipe gets every one that the run has. Raises InputError for a file that holds anything but exchanges:
    it is a person's, and is left as it is.
    """
    with named_errors(f"--record {path}", writing=True):
        straight = path.open("wb", buffering=0) if is_straight(path) else None
        if not straight:
            path.open("a").close()  # what cannot be written to is found now, before anything is paid for
            check_room(Path(os.path.realpath(path)).parent, f"--record {path}")
    there = set() if straight else set(read(path))
    lock = threading.Lock()

    def record(request: msgspec.Struct, answer: Any, *, hit: bool) -> None:
        k = _key(request)
        with lock:
            if k not in there:
                exchange = entry_for(request, answer)
                if isinstance(answer, GeneratedImage):
                    exchange["data"] = base64.b64encode(objects(answer.sha256)).decode()
                line = (json.dumps(exchange, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
                with named_errors(f"--record {path}", writing=True):
                    straight.write(line) if straight else _append(path, line)
                there.add(k)

    return record


def _append(path: Path, line: bytes) -> None:
    with path.open("a+b") as file:  # appending, in one write: a second process may do the same
        file.seek(max(0, file.seek(0, 2) - 1))
        torn = file.read() not in (b"", b"\n")
        file.write(b"\n" * torn + line)


def _parsed(line: str) -> tuple[str, Exchange]:
    data = msgspec.json.decode(line)
    request = dict(data["request"])
    request_type, answer_type = REQUESTS[request.pop("type")]
    answer = msgspec.convert(data["answer"], answer_type)
    return _key(msgspec.convert(request, request_type)), Exchange(answer, data.get("data", ""))


def _key(request: msgspec.Struct) -> str:
    """Returns the key of a request without its model, and without how that model was asked."""
    how: dict[str, Any] = {name: msgspec.UNSET for name in ("schema", "image_size") if hasattr(request, name)}
    return key(msgspec.structs.replace(request, model="", **how))


def _shown(request: msgspec.Struct) -> str:
    data = {name: value for name, value in msgspec.to_builtins(request).items() if name != "model" and value}
    text = json.dumps(data, ensure_ascii=False)
    return f"{request_name(request).lower()} {text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}"
