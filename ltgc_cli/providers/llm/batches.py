"""Providers' batch APIs: many questions in one file, answered within a day, at half the price.

Nothing is bought twice, by two runs at once neither. Before a batch is made, a file lies in a folder with the keys of
its questions and the id of the uploaded file; after it, also with the batch's id. A later run finds it by the keys and
waits on; where it names no batch, the uploaded file is looked up in the provider's list. These files are never deleted
but for what was never made.
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
from typing import Any

import msgspec

from ltgc_cli import schemas
from ltgc_cli.errors import InputError, ProviderError, Refused
from ltgc_cli.files import named_errors, read_regular, write_atomically
from ltgc_cli.keys import key
from ltgc_cli.ports import Answer, Question
from ltgc_cli.providers import prices, reach, servers
from ltgc_cli.providers.api_errors import SPECS
from ltgc_cli.providers.llm import batch_files
from ltgc_cli.providers.llm import litellm as chat
from ltgc_cli.providers.llm.client import target
from ltgc_cli.providers.retries import T, retry
from ltgc_cli.providers.secrets import scrubbed
from ltgc_cli.text import counted, one_line

_POLL, _LONGEST_POLL = 30.0, 600.0
_PATIENCE = 20  # tries of every request: with waits of up to a minute, a network that is gone for a quarter of an hour
_PROVIDERS = {"openai": True, "azure": True, "vertex_ai": True, "mistral": False}
"""Those whose batches litellm makes and that say they take half; whether litellm lists the batches that there are."""
_FINAL = ("completed", "failed", "expired", "cancelled")
_NO_ROOM = re.compile(r"token_limit_exceeded|enqueued token", re.IGNORECASE)
_MOST_SPLITS = 10  # batches in a row, each half of the last, that the account may have no room for


class SentBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a batch, as its file in the folder has it."""

    keys: list[str]  # the store's keys of its questions
    file: str  # the provider's id of the uploaded file
    sent: str
    batch: str = ""  # the provider's id of the batch; empty where it was never learnt whether there is one
    read: bool = False  # its answers were fetched once: what it has no answer to may be asked again


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
    folder  -- of the files of batches; a killed run goes on from there
    price   -- the user's own, as for prices.find; a batch takes half of it
    poll    -- seconds until the first look at what became of the batches; the wait grows to ten minutes
    Raises InputError where the provider has no batch API, ProviderError where it cannot be used: run again to go on.
    """
    import filelock

    service = _Service(spec, api_base, folder, notice, prices.find(spec, price), sleep)
    asked = {key(question): question for question in questions}
    efforts = any(question.reasoning_effort is not msgspec.UNSET for question in questions)
    if efforts and not batch_files.takes_effort(service.model, service.provider):
        notice(f"{spec} takes no --reasoning-effort; it is asked without")
    one_at_a_time, splits, wait = False, 0, poll

    def line(k: str) -> bytes:
        return batch_files.line(k, asked[k], model=service.model, provider=service.provider, objects=objects)

    def send() -> None:
        while any(queue) and not (one_at_a_time and running):
            taken, payload, rest, refused = batch_files.part(queue.popleft(), line)
            answers.update(refused)
            queue.extendleft([rest] if rest else [])
            if taken:
                running.append(service.sent(taken, payload))

    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / "sending.lock"):  # a second run waits, and finds what this one has sent
        answers, running = service.earlier(asked)
        waited_for = {k for batch in running for k in batch.keys}
        queue = deque([[k for k in asked if k not in answers and k not in waited_for]])
        send()
    while any(queue) or running:
        send()
        together = list(running)
        for sent in together:
            batch = service.retrieved(sent)
            if batch.status not in _FINAL or _unfinished(batch):
                continue
            running.remove(sent)
            wait = poll
            if batch.status == "failed" and _NO_ROOM.search(_errors(batch)):
                again, alone = [k for k in sent.keys if k in asked], len(together) == 1
                one_at_a_time, splits = True, splits + alone
                queue.extendleft(reversed(_split(spec, again, batch, alone=alone, splits=splits)))
            else:
                splits = 0
                results = service.results(sent, batch)
                answers |= {k: a for k, a in results.items() if isinstance(a, Answer) or k not in answers}
                notice(_summary(sent, batch, results))
            service.write(msgspec.structs.replace(sent, read=True))
        if running:
            sleep(wait)
            wait = min(wait * 1.5, _LONGEST_POLL)
    return [answers[key(question)] for question in questions]


class _Service:
    """A provider's batch API, and the folder of what was sent to it."""

    def __init__(
        self,
        spec: str,
        api_base: str | None,
        folder: Path,
        notice: Callable[[str], None],
        price: prices.Price | None,
        sleep: Callable[[float], None],
    ) -> None:
        chat.identity(spec, api_base)
        self._litellm = chat.imported()
        self._server = servers.server_of(spec, api_base)
        reach.go_direct(self._server)
        self._target = target(self._litellm, spec, api_base)
        self._spec, self._folder, self._notice, self._price, self._sleep = spec, folder, notice, price, sleep
        try:
            self.model, self.provider, *_ = self._litellm.get_llm_provider(self._target["model"])
        except Exception:  # litellm raises several kinds for "unknown"
            hint = prices.nearest_model(spec)
            raise InputError(f"{spec}: litellm knows no such model; write {SPECS}{hint}") from None
        if self.provider not in _PROVIDERS:
            raise InputError(f"{spec}: litellm has no batch API for {self.provider}; leave --batch out")
        reach.check_key(self.provider)
        self._lists = _PROVIDERS[self.provider]
        if self.provider == "mistral":  # whose batches have one model each
            self._target["model"] = self.model
        else:
            del self._target["model"]

    def earlier(self, asked: Mapping[str, Question]) -> tuple[dict[str, Answer | Refused], list[SentBatch]]:
        """Returns what batches of earlier runs have answered of the questions, and the batches to be waited for."""
        answers: dict[str, Answer | Refused] = {}
        running: list[SentBatch] = []
        for sent in _batches(self._folder):
            ours = [k for k in sent.keys if k in asked]
            if not ours:
                continue
            if sent.read:
                batch = self.retrieved(sent)
                found = self.results(sent, batch) if batch is not None else {}
                answers |= {k: found[k] for k in ours if isinstance(found.get(k), Answer)}
            elif sent.batch or (sent := self._looked_up(sent)).batch:
                running.append(sent)
                self._notice(
                    f"waiting for batch {sent.batch} of {sent.sent}, which holds {len(ours):,} of these questions"
                )
        return answers, running

    def sent(self, keys: list[str], payload: bytes) -> SentBatch:
        """Returns the batch that was made of these questions."""
        upload = (f"ltgc-{_name(keys)[:12]}.jsonl", payload, "application/jsonl")
        try:
            file = self._retried(lambda: self._call("create_file", file=upload, purpose="batch")).id
        except ProviderError as error:
            if "404" in str(error):
                raise ProviderError(f"{self._spec}: its server has no batch API; leave --batch out ({error})") from None
            raise
        sent = SentBatch(keys=keys, file=file, sent=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))
        sent = msgspec.structs.replace(sent, batch=self.made(sent))
        self.write(sent)
        self._notice(
            f"{counted(len(keys), 'question')} sent to {self._spec} as batch {sent.batch}, at half the price; the "
            "answers come within 24 hours, mostly sooner; stopped, the same command waits on"
        )
        return sent

    def made(self, sent: SentBatch) -> str:
        """Returns the id of the batch that was made of the uploaded file: of one alone, though an answer be lost."""
        tried = False

        def ask() -> str:
            nonlocal tried
            if tried and self._lists and (made := self._made_of(sent.file)):
                return made
            tried = True
            self.write(sent)
            try:
                made = self._call(
                    "create_batch",
                    completion_window="24h",
                    endpoint=batch_files.ENDPOINT,
                    input_file_id=sent.file,
                    metadata={"ltgc": _name(sent.keys)},
                )
            except Exception as error:  # litellm's own errors, and whatever a provider's library raises
                if 400 <= (getattr(error, "status_code", None) or 0) < 500:
                    self._path(sent).unlink(missing_ok=True)  # none was made
                elif not self._lists:
                    raise ProviderError(
                        f"{self._spec}: the answer to a batch's making was lost; run again to see what to do"
                    ) from None
                raise
            return str(made.id)

        return self._retried(ask)

    def retrieved(self, sent: SentBatch) -> Any:
        """Returns the batch as it is now; None for one whose answers were fetched once, and that is gone since."""

        def ask() -> Any:
            try:
                return self._call("retrieve_batch", batch_id=sent.batch)
            except Exception as error:  # litellm's own errors, and whatever a provider's library raises
                if getattr(error, "status_code", None) == 404:
                    return None
                raise

        batch = self._retried(ask)
        if batch is None and not sent.read:
            raise ProviderError(
                f"{self._spec}: batch {sent.batch} of {sent.sent} is not there; is this another account's key? "
                f"Delete {self._path(sent)} to send its {counted(len(sent.keys), 'question')} again"
            )
        return batch

    def results(self, sent: SentBatch, batch: Any) -> dict[str, Answer | Refused]:
        """Returns the answers of a batch that has ended, and why there is none where there is none."""
        found: dict[str, Answer | Refused] = {}
        for file in (batch.error_file_id, batch.output_file_id):
            if file:
                content = self._retried(functools.partial(self._call, "file_content", file_id=file)).content
                found |= dict(batch_files.read(content, self._price))
        why = _errors(batch) or "no reason is given"
        ended = "has no answer to this" if batch.status == "completed" else f"{batch.status} before this was answered"
        return {k: found.get(k) or Refused(f"batch {sent.batch} {ended}: {why}") for k in sent.keys}

    def write(self, sent: SentBatch) -> None:
        write_atomically(self._path(sent), msgspec.json.encode(sent))

    def _looked_up(self, sent: SentBatch) -> SentBatch:
        """Returns what was sent where a batch may have been made of it, with that batch where there is one."""
        if not self._lists:
            raise InputError(
                f"{self._spec}: a batch of {counted(len(sent.keys), 'question')} may have been made on {sent.sent}; "
                f"look for its file {sent.file} at the provider's; {self._path(sent)} deleted, they are sent again"
            )
        sent = msgspec.structs.replace(sent, batch=self._retried(lambda: self._made_of(sent.file)) or "")
        if sent.batch:
            self.write(sent)
        return sent

    def _made_of(self, file: str) -> str | None:
        """Returns the id of the batch that was made of an uploaded file."""
        after: dict[str, str] = {}
        for _ in range(20):
            page = self._call("list_batches", limit=100, **after)
            batches = list(_field(page, "data"))
            for batch in batches:
                if _field(batch, "input_file_id") == file:
                    return str(_field(batch, "id"))
            if not batches or not _field(page, "has_more"):
                break
            after = {"after": _field(batches[-1], "id")}
        return None

    def _call(self, name: str, **arguments: Any) -> Any:
        """Calls one of litellm's functions by its name."""
        usual = {"custom_llm_provider": self.provider, "timeout": 600, "max_retries": 0, "num_retries": 0}
        return getattr(self._litellm, name)(**usual, **self._target, **arguments)

    def _retried(self, ask: Callable[[], T]) -> T:
        model = f"{self.provider}/{self.model}"
        try:
            return retry(ask, model, specs=SPECS, server=self._server, tries=_PATIENCE, sleep=self._sleep)
        except Refused as error:  # of the batch as a whole
            raise ProviderError(f"{self._spec}: the batch API refused: {error}") from None

    def _path(self, sent: SentBatch) -> Path:
        return self._folder / f"{_name(sent.keys)}.json"


def _unfinished(batch: Any) -> bool:
    """Returns whether a batch is called completed while its answers are still to come, as happens for a moment."""
    answered = getattr(batch.request_counts, "completed", 0) or 0
    return batch.status == "completed" and bool(answered) and not batch.output_file_id


def _split(spec: str, keys: list[str], batch: Any, *, alone: bool, splits: int) -> list[list[str]]:
    """Returns the questions of a batch that the account's limit had no room for, to be sent one after the other.

    They were too many beside others, or too many by themselves: then in halves.
    """
    if splits > _MOST_SPLITS or (alone and len(keys) == 1):
        raise ProviderError(
            f"{spec}: the account takes no more batches now ({_errors(batch)}); "
            "run again later to go on, or leave --batch out"
        )
    half = (len(keys) + 1) // 2 if alone else len(keys)
    return [keys[:half], keys[half:]]


def _errors(batch: Any) -> str:
    errors = getattr(batch.errors, "data", None) or []
    texts = [f"{error.code or ''} {error.message or ''}".strip() for error in errors]
    return one_line(scrubbed("; ".join(texts)), 300) if texts else ""


def _summary(sent: SentBatch, batch: Any, results: Mapping[str, Answer | Refused]) -> str:
    answered = sum(isinstance(result, Answer) for result in results.values())
    why = "" if answered == len(sent.keys) or not _errors(batch) else f" ({_errors(batch)})"
    return f"batch {sent.batch} {batch.status}: {answered:,} of {counted(len(sent.keys), 'question')} answered{why}"


def _batches(folder: Path) -> list[SentBatch]:
    found = []
    for path in sorted(path for path in folder.glob("*.json") if not path.name.startswith(".")):
        try:
            with named_errors(path):
                data = read_regular(path)
            schemas.check_json(path, data)
            found.append(msgspec.json.decode(data, type=SentBatch))
        except msgspec.DecodeError as error:
            raise InputError(f"{path} is no file of a batch ({error}); move it away") from None
    return found


def waited_for(folder: Path) -> set[str]:
    """Returns the keys of the questions that batches were sent with, answered or not."""
    return {k for sent in _batches(folder) for k in sent.keys}


def _name(keys: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()


def _field(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)
