"""Recorded exchanges: `replay:FILE` answers from them for any port, `--record FILE` writes them.

One exchange a line: {"request": {"type": "Question", …}, "answer": …, "data": base64 of the picture, where it is one}.
A request is found by everything that is in it except `model` and how that one is asked (`schema`, `image_size`), so
that what gpt-4o said is replayed without a key.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ltgc_cli.errors import InputError, ProviderError
from ltgc_cli.ports import (
    REQUESTS,
    Ask,
    Compare,
    Comparison,
    Generate,
    GeneratedImage,
    ImageRequest,
    Match,
    Question,
    Score,
    request_name,
)
from ltgc_cli.providers.identity import file_identity
from ltgc_cli.store import OnAnswer, key

_SHOWN = 200


class Exchange(NamedTuple):
    """A recorded answer, with a picture's bytes in base64."""

    answer: Any
    data: str = ""


class Tape(NamedTuple):
    """A file of exchanges, by the key of their request without its model."""

    path: Path
    exchanges: dict[str, Exchange]


def identity(path: Path) -> str:
    """Returns `replay@` and the hash of the recording. Raises InputError where there is none."""
    try:
        return file_identity("replay", path)
    except OSError as error:
        raise InputError(f"replay:{path}: {error.strerror}; make a recording with --record {path}") from None


def read(path: Path) -> Tape:
    """Returns the exchanges of a recording. Raises InputError with file and line for a line that is none."""
    exchanges: dict[str, Exchange] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # not splitlines(), which parts at U+2028 too
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text, so no recording; name a file that --record wrote") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                exchanges.setdefault(*_parsed(line))
            except (msgspec.MsgspecError, AttributeError, KeyError, TypeError, ValueError):
                raise InputError(f"{path}:{number}: not an exchange that --record wrote") from None
    return Tape(path, exchanges)


def ask_port(tape: Tape) -> Ask:
    """Returns the port that answers questions from a recording."""
    return lambda question: _found(tape, question).answer


def score_port(tape: Tape) -> Score:
    """Returns the port that scores from a recording."""
    return lambda matches: [_found(tape, match).answer for match in matches]


def compare_port(tape: Tape) -> Compare:
    """Returns the port that finds the nearest other text from a recording."""
    return lambda rivals: [_found(tape, rival).answer for rival in rivals]


def paint_port(tape: Tape, keep: Callable[[bytes], str]) -> Generate:
    """Returns the port that draws from a recording: the pictures' bytes go to `keep`."""

    def drawn(drawing: ImageRequest) -> GeneratedImage:
        picture, data = _found(tape, drawing)
        if keep(base64.b64decode(data)) != picture.sha256:
            raise ProviderError(f"{tape.path}: this is not the picture recorded for {_shown(drawing)}; record again")
        return picture

    def generate(drawings: Sequence[ImageRequest]) -> list[GeneratedImage | Exception]:
        return [drawn(drawing) for drawing in drawings]

    return generate


def recorder(path: Path, objects: Callable[[str], bytes]) -> OnAnswer:
    """Returns what writes each exchange to the file once, below what is there.

    Raises InputError for a file that holds anything but exchanges: it is a person's, and is left as it is.
    """
    try:
        path.open("a").close()  # what cannot be written to is said now, before anything is paid for
    except OSError as error:
        raise InputError(f"--record {path}: {error.strerror}") from None
    there = set(read(path).exchanges)
    lock = threading.Lock()

    def record(request: msgspec.Struct, answer: Any, *, hit: bool) -> None:
        k = _key(request)
        with lock:
            if k not in there:
                _append(path, _exchange(request, answer, objects))
                there.add(k)

    return record


def _exchange(request: msgspec.Struct, answer: Any, objects: Callable[[str], bytes]) -> dict[str, Any]:
    exchange = {
        "request": {"type": request_name(request), **msgspec.to_builtins(request)},
        "answer": msgspec.to_builtins(answer),
    }
    if isinstance(answer, GeneratedImage):
        exchange["data"] = base64.b64encode(objects(answer.sha256)).decode()
    return exchange


def _append(path: Path, exchange: dict[str, Any]) -> None:
    line = json.dumps(exchange, ensure_ascii=False, separators=(",", ":")) + "\n"
    with path.open("a+b") as file:  # appending, in one write: a second process may do the same
        file.seek(max(0, file.seek(0, 2) - 1))
        torn = file.read() not in (b"", b"\n")
        file.write(("\n" * torn + line).encode())


def _parsed(line: str) -> tuple[str, Exchange]:
    data = msgspec.json.decode(line)
    request = dict(data["request"])
    request_type, answer_type = REQUESTS[request.pop("type")]
    answer = msgspec.convert(data["answer"], answer_type)
    return _key(msgspec.convert(request, request_type)), Exchange(answer, data.get("data", ""))


def _key(request: msgspec.Struct) -> str:
    """Returns the key of a request without its model, and without how that model was asked."""
    how = {name: msgspec.UNSET for name in ("schema", "image_size") if hasattr(request, name)}
    return key(msgspec.structs.replace(request, model="", **how))


def _found(tape: Tape, request: Question | ImageRequest | Match | Comparison) -> Exchange:
    exchange = tape.exchanges.get(_key(request))
    if exchange is None:
        raise ProviderError(
            f"{tape.path} holds no answer to {_shown(request)}; record it: name a real model, with --record {tape.path}"
        )
    return exchange


def _shown(request: Question | ImageRequest | Match | Comparison) -> str:
    data = {name: value for name, value in msgspec.to_builtins(request).items() if name != "model" and value}
    text = json.dumps(data, ensure_ascii=False)
    return f"{request_name(request).lower()} {text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}"
