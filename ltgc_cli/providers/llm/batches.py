"""Providers' batch APIs: many questions in one file, answered within a day, at half the price.

Nothing is bought twice, by two runs at once neither. Before a batch is made, a note lies in a folder with the keys of
its questions and the id of the uploaded file; after it, also with the batch's id. A later run finds the note by the
keys and waits on; of a note without a batch it looks the file up in the provider's list. Notes are never deleted but
for what was never made.
"""

from __future__ import annotations

import functools
import hashlib
import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ltgc_cli.errors import InputError, ProviderError, Refused
from ltgc_cli.files import write_atomically
from ltgc_cli.ports import Answer, Question
from ltgc_cli.providers import prices, retries
from ltgc_cli.providers.llm import batch_files, faults
from ltgc_cli.providers.llm import litellm as chat
from ltgc_cli.providers.llm.asking import whom as asked_of
from ltgc_cli.store import key
from ltgc_cli.text import one_line

_POLL, _LONGEST_POLL = 30.0, 600.0
_PATIENCE = 20
"""Tries of every request: with waits of up to a minute, a network that is gone for a quarter of an hour."""
_PROVIDERS = {"openai": True, "azure": True, "vertex_ai": True, "mistral": False}
"""Those whose batches litellm makes and that say they take half; whether litellm lists the batches that there are."""
_FINAL = ("completed", "failed", "expired", "cancelled")
_NO_ROOM = re.compile(r"token_limit_exceeded|enqueued token", re.IGNORECASE)
_MOST_SPLITS = 10
"""Batches in a row, each half of the last, that the account may have no room for."""


class Note(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a batch, in the folder of notes."""

    keys: list[str]
    """The store's keys of its questions."""
    file: str
    """The provider's id of the uploaded file."""
    sent: str
    batch: str = ""
    """The provider's id of the batch; empty where it was never learnt whether there is one."""
    read: bool = False
    """Its answers were fetched once: what it has no answer to may be asked again."""


class Service(NamedTuple):
    """A provider's batch API."""

    spec: str
    model: str
    provider: str
    call: Callable[..., Any]
    """Calls one of litellm's functions by its name."""
    patiently: Callable[..., Any]
    """Calls a function again while waiting may mend it."""


def answer(
    questions: Sequence[Question],
    spec: str,
    *,
    objects: Callable[[str], bytes],
    folder: Path,
    api_base: str | None = None,
    price: str | None = None,
    poll: float = _POLL,
    notice: Callable[[str], None] = lambda text: None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Answer | Refused]:
    """Returns the answers to questions, in order, from the provider's batch API; it may take a day.

    objects -- gives an image's bytes by its sha256
    folder  -- of the notes; a killed run goes on from there
    price   -- the user's own, as for prices.find; a batch takes half of it
    poll    -- seconds until the first look at what became of the batches; the wait grows to ten minutes
    Raises InputError where the provider has no batch API, ProviderError where it cannot be used: run again to go on.
    """
    import filelock

    service = _service(spec, api_base, sleep)
    costs = prices.find(spec, price)
    asked = {key(question): question for question in questions}
    one_at_a_time, splits, wait = False, 0, poll

    def line(k: str) -> bytes:
        kind = {"model": service.model, "provider": service.provider}
        return batch_files.line(k, asked[k], **kind, objects=objects)

    def send() -> None:
        while any(queue) and not (one_at_a_time and running):
            taken, payload, rest, refused = batch_files.part(queue.popleft(), line)
            answers.update(refused)
            queue.extendleft([rest] if rest else [])
            if taken:
                running.append(_sent(service, folder, taken, payload, notice))

    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / "sending.lock"):  # a second run waits, and finds what this one has sent
        answers, running = _earlier(service, folder, asked, costs, notice)
        waited_for = {k for note in running for k in note.keys}
        queue = deque([[k for k in asked if k not in answers and k not in waited_for]])
        send()
    while any(queue) or running:
        send()
        together = list(running)
        for note in together:
            batch = _retrieved(service, folder, note)
            if batch.status not in _FINAL or _unfinished(batch):
                continue
            running.remove(note)
            wait = poll
            if batch.status == "failed" and _NO_ROOM.search(_errors(batch)):
                again, alone = [k for k in note.keys if k in asked], len(together) == 1
                one_at_a_time, splits = True, splits + alone
                queue.extendleft(reversed(_split(service, again, batch, alone=alone, splits=splits)))
            else:
                splits = 0
                results = _results(service, note, batch, costs)
                answers |= {k: a for k, a in results.items() if isinstance(a, Answer) or k not in answers}
                notice(_told(note, batch, results))
            _write(folder, msgspec.structs.replace(note, read=True))
        if running:
            sleep(wait)
            wait = min(wait * 1.5, _LONGEST_POLL)
    return [answers[key(question)] for question in questions]


def _service(spec: str, api_base: str | None, sleep: Callable[[float], None]) -> Service:
    chat.identity(spec, api_base)
    litellm = chat.imported()
    whom = asked_of(litellm, spec, api_base)
    try:
        model, provider, *_ = litellm.get_llm_provider(whom["model"])
    except Exception:  # litellm raises several kinds for "unknown"
        hint = prices.nearest_model(spec)
        raise InputError(f"{spec}: litellm knows no such model; write {faults.SPECS}{hint}") from None
    if provider not in _PROVIDERS:
        raise InputError(f"{spec}: litellm has no batch API for {provider}; leave --batch out")
    if provider == "mistral":  # whose batches have one model each
        whom["model"] = model
    else:
        del whom["model"]

    def call(name: str, **arguments: Any) -> Any:
        return getattr(litellm, name)(
            custom_llm_provider=provider, timeout=600, max_retries=0, num_retries=0, **whom, **arguments
        )

    def patiently(ask: Callable[[], Any]) -> Any:
        try:
            return retries.patiently(ask, f"{provider}/{model}", specs=faults.SPECS, tries=_PATIENCE, sleep=sleep)
        except Refused as error:  # of the batch as a whole
            raise ProviderError(f"{spec}: the batch API refused: {error}") from None

    return Service(spec, model, provider, call, patiently)


def _earlier(
    service: Service,
    folder: Path,
    asked: Mapping[str, Question],
    price: prices.Price | None,
    notice: Callable[[str], None],
) -> tuple[dict[str, Answer | Refused], list[Note]]:
    """Returns what batches of earlier runs have answered of the questions, and the batches still to be waited for."""
    answers: dict[str, Answer | Refused] = {}
    running: list[Note] = []
    for note in _notes(folder):
        ours = [k for k in note.keys if k in asked]
        if not ours:
            continue
        if note.read:
            batch = _retrieved(service, folder, note)
            found = _results(service, note, batch, price) if batch is not None else {}
            answers |= {k: found[k] for k in ours if isinstance(found.get(k), Answer)}
        elif note.batch or (note := _looked_up(service, folder, note)).batch:
            running.append(note)
            notice(f"waiting for batch {note.batch} of {note.sent}, which holds {len(ours):,} of these questions")
    return answers, running


def _looked_up(service: Service, folder: Path, note: Note) -> Note:
    """Returns the note of a file of which a batch may have been made, with that batch where there is one."""
    if not _PROVIDERS[service.provider]:
        raise InputError(
            f"{service.spec}: a batch of {len(note.keys):,} questions may have been made on {note.sent}; "
            f"look for its file {note.file} at the provider's; {_path(folder, note.keys)} deleted, they are sent again"
        )
    note = msgspec.structs.replace(note, batch=service.patiently(lambda: _made_of(service, note.file)) or "")
    if note.batch:
        _write(folder, note)
    return note


def _made_of(service: Service, file: str) -> str | None:
    """Returns the id of the batch that was made of a file."""
    after: dict[str, str] = {}
    for _ in range(20):
        page = service.call("list_batches", limit=100, **after)
        batches = list(page["data"] if isinstance(page, dict) else page.data)
        for batch in batches:
            if _field(batch, "input_file_id") == file:
                return str(_field(batch, "id"))
        if not batches or not _field(page, "has_more"):
            break
        after = {"after": _field(batches[-1], "id")}
    return None


def _sent(service: Service, folder: Path, keys: list[str], payload: bytes, notice: Callable[[str], None]) -> Note:
    """Returns the note of a batch that was made of these questions."""
    name = _path(folder, keys).stem
    upload = (f"ltgc-{name[:12]}.jsonl", payload, "application/jsonl")
    try:
        file = service.patiently(lambda: service.call("create_file", file=upload, purpose="batch")).id
    except ProviderError as error:
        if "404" in str(error):
            raise ProviderError(f"{service.spec}: its server has no batch API; leave --batch out ({error})") from None
        raise
    note = Note(keys=keys, file=file, sent=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))
    note = msgspec.structs.replace(note, batch=_made(service, folder, note, name))
    _write(folder, note)
    notice(
        f"{len(keys):,} questions sent to {service.spec} as batch {note.batch}, at half the price; the answers come "
        "within 24 hours, mostly sooner; stopped, the same command waits on"
    )
    return note


def _made(service: Service, folder: Path, note: Note, name: str) -> str:
    """Returns the id of the batch that was made of the note's file: of one alone, though an answer be lost."""
    tried = False

    def ask() -> str:
        nonlocal tried
        if tried and _PROVIDERS[service.provider] and (made := _made_of(service, note.file)):
            return made
        tried = True
        _write(folder, note)
        try:
            made = service.call(
                "create_batch",
                completion_window="24h",
                endpoint=batch_files.ENDPOINT,
                input_file_id=note.file,
                metadata={"ltgc": name},
            )
        except Exception as error:  # litellm's own errors, and whatever a provider's library raises
            if 400 <= (getattr(error, "status_code", None) or 0) < 500:
                _path(folder, note.keys).unlink(missing_ok=True)  # none was made
            elif not _PROVIDERS[service.provider]:
                raise ProviderError(
                    f"{service.spec}: the answer to a batch's making was lost; run again to see what to do"
                ) from None
            raise
        return str(made.id)

    return str(service.patiently(ask))


def _retrieved(service: Service, folder: Path, note: Note) -> Any:
    """Returns the batch as it is now; None for one whose answers were fetched once, and that is gone since."""

    def ask() -> Any:
        try:
            return service.call("retrieve_batch", batch_id=note.batch)
        except Exception as error:  # litellm's own errors, and whatever a provider's library raises
            if getattr(error, "status_code", None) == 404:
                return None
            raise

    batch = service.patiently(ask)
    if batch is None and not note.read:
        raise ProviderError(
            f"{service.spec}: batch {note.batch} of {note.sent} is not there; is this another account's key? "
            f"Delete {_path(folder, note.keys)} to send its {len(note.keys):,} questions again"
        )
    return batch


def _unfinished(batch: Any) -> bool:
    """Returns whether a batch is called completed while its answers are still to come, as happens for a moment."""
    answered = getattr(batch.request_counts, "completed", 0) or 0
    return batch.status == "completed" and bool(answered) and not batch.output_file_id


def _split(service: Service, keys: list[str], batch: Any, *, alone: bool, splits: int) -> list[list[str]]:
    """Returns the questions of a batch that the account's limit had no room for, to be sent one after the other.

    They were too many beside others, or too many by themselves: then in halves.
    """
    if splits > _MOST_SPLITS or (alone and len(keys) == 1):
        raise ProviderError(
            f"{service.spec}: the account takes no more batches now ({_errors(batch)}); "
            "run again later to go on, or leave --batch out"
        )
    half = (len(keys) + 1) // 2 if alone else len(keys)
    return [keys[:half], keys[half:]]


def _results(service: Service, note: Note, batch: Any, price: prices.Price | None) -> dict[str, Answer | Refused]:
    """Returns the answers of a batch that has ended, and why there is none where there is none."""
    found: dict[str, Answer | Refused] = {}
    for file in (batch.error_file_id, batch.output_file_id):
        if file:
            content = service.patiently(functools.partial(service.call, "file_content", file_id=file)).content
            found |= dict(batch_files.read(content, price))
    why = _errors(batch) or "no reason is given"
    ended = "has no answer to this" if batch.status == "completed" else f"{batch.status} before this was answered"
    return {k: found.get(k) or Refused(f"batch {note.batch} {ended}: {why}") for k in note.keys}


def _errors(batch: Any) -> str:
    errors = getattr(batch.errors, "data", None) or []
    return (
        one_line(faults.scrubbed("; ".join(f"{e.code or ''} {e.message or ''}".strip() for e in errors)), 300)
        if errors
        else ""
    )


def _told(note: Note, batch: Any, results: Mapping[str, Answer | Refused]) -> str:
    answered = sum(isinstance(result, Answer) for result in results.values())
    why = "" if answered == len(note.keys) or not _errors(batch) else f" ({_errors(batch)})"
    return f"batch {note.batch} {batch.status}: {answered:,} of {len(note.keys):,} questions answered{why}"


def _notes(folder: Path) -> list[Note]:
    paths = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
    notes = []
    for path in paths:
        try:
            notes.append(msgspec.json.decode(path.read_bytes(), type=Note))
        except msgspec.DecodeError as error:
            raise InputError(f"{path} is no note of a batch ({error}); move it away") from None
    return notes


def _write(folder: Path, note: Note) -> None:
    write_atomically(_path(folder, note.keys), msgspec.json.encode(note))


def _path(folder: Path, keys: Sequence[str]) -> Path:
    return folder / f"{hashlib.sha256(chr(10).join(sorted(keys)).encode()).hexdigest()}.json"


def _field(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)
