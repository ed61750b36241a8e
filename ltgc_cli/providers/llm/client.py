"""One model that litellm reaches: a question is asked until it is answered or there is no more point in it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ltgc_cli.errors import ProviderError, Refused
from ltgc_cli.ports import Answer, Question, Usage
from ltgc_cli.providers import api_errors
from ltgc_cli.providers.api_errors import TransientError
from ltgc_cli.providers.llm.rate import Rate
from ltgc_cli.providers.llm.response_formats import RESPONSE_FORMATS
from ltgc_cli.providers.opened import AskOptions
from ltgc_cli.providers.secrets import scrubbed
from ltgc_cli.text import counted, one_line

Content = str | list[dict[str, Any]]

_TRIES = 8  # requests for one question that may end with a server's trouble: with their waits, two minutes and more
_FIRST_TRIES = 4  # the same before anything was ever answered: the address may be wrong, and a person waits
_AGAIN = {"empty": 2, "declined": 1}
"""How often more a question is asked that got an empty answer or a refusal: at a temperature, another may come."""


@dataclass
class _Tries:
    """What one question went through."""

    deadline: float
    began: float | None = None
    counts: Counter[str] = field(default_factory=Counter)
    used: list[Usage] = field(default_factory=list)


class ModelClient:
    """Asks one model; knows how many at once it takes, which parameters it rejects, and when it last answered."""

    def __init__(
        self,
        litellm: Any,
        spec: str,
        options: AskOptions,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._rate = Rate(options.concurrency, clock, sleep)
        self._litellm = litellm
        self._spec = spec
        self._options = options
        self._target = target(litellm, spec, options.api_base)
        self._clock = clock
        self._sleep = sleep
        self._rejected: set[str] = set()
        self._schema_works = False  # whether a question with a schema was ever answered
        self._sees = False  # whether one with images was
        self._answered_at: float | None = None
        self._unusable: tuple[float, ProviderError] | None = None
        """When the model proved unusable (key, credit), and why: no question from before that is asked again."""

    async def answer(self, question: Question, content: Content) -> Answer:
        """Returns the answer. Raises Refused (TooLong) or ProviderError, in one line without secrets."""
        tries = _Tries(deadline=self._clock() + self._options.limit)
        while True:
            try:
                answer = await self._once(question, content, tries)
                return msgspec.structs.replace(answer, usage=_total(tries.used))
            except Refused as refused:  # an answer that was all thought is paid for too
                refused.usage = refused.usage or (_total(tries.used) if tries.used else None)
                raise
            except TransientError as raised:
                error = raised
            again = self._may_ask_again(error, question, tries)
            wait = api_errors.pause(error, tries.counts[error.kind]) if again else 0.0
            if not again or self._clock() + wait >= tries.deadline:
                raise self._given_up(error, tries)
            await self._sleep(wait)

    async def _once(self, question: Question, content: Content, tries: _Tries) -> Answer:
        """Returns the answer to one request. A wait in line is no part of the question's own limit."""
        in_line = self._clock()
        async with self._rate.place():
            sent = self._clock()
            tries.deadline += sent - in_line
            tries.began = sent if tries.began is None else tries.began
            closed = self._rate.closed_for()
            if closed > tries.deadline - sent:
                raise TransientError("busy", "it asks to wait longer than the limit for a question", closed)
            await self._rate.opening()
            await self._rate.start()
            sent = self._clock()
            try:
                async with asyncio.timeout(min(self._options.timeout, tries.deadline - sent)):
                    response = await self._sent(question, content)
            except Exception as error:  # litellm's own errors, and whatever a provider's library raises
                raise self._translated(error, sent, question) from None
            self._answered_at = self._clock()
            self._rate.answered()
        tries.used.append(self._usage(response))
        return _said(response)

    async def _sent(self, question: Question, content: Content) -> Any:
        """Returns the response, asked for without the parameters that the server rejects: this time and from now on.

        A schema is left out for good only where that helped: what went wrong may have been something else.
        """
        without_schema = False
        while True:
            request = self._request(question, content)
            if without_schema:
                request.pop("response_format", None)
            try:
                response = await self._litellm.acompletion(**request)
            except self._litellm.UnsupportedParamsError:  # nothing was sent: a reasoning model takes no temperature
                # Not at first: with drop_params a refused request (422) is sent again behind our back.
                if request.get("drop_params"):
                    raise
                self._rejected.add("unsupported")
            except Exception as error:
                name = api_errors.rejected(error, request)
                if name == "response_format" or (name is None and self._may_be_the_schema(error, request, question)):
                    without_schema = True
                elif name:
                    self._rejected.add(name)
                else:
                    raise
            else:
                if without_schema:
                    self._takes_no_schema(question)
                self._schema_works = self._schema_works or "response_format" in request
                self._sees = self._sees or bool(question.images)
                return response

    def _may_be_the_schema(self, error: Exception, request: Mapping[str, Any], question: Question) -> bool:
        if "response_format" not in request or not api_errors.may_be_the_schema(error, self._meant(error, question)):
            return False
        # Of a model that takes a schema, by the list or as it showed, a 500 is a server's trouble like any other.
        doubtful = self._options.takes_no_schema is not None and not self._schema_works
        return doubtful or getattr(error, "status_code", 0) < 500

    def _takes_no_schema(self, question: Question) -> None:
        if "response_format" not in self._rejected:
            self._rejected.add("response_format")
            if self._options.takes_no_schema:
                self._options.takes_no_schema(question)

    def _request(self, question: Question, content: Content) -> dict[str, Any]:
        parameters: dict[str, Any] = {"temperature": question.temperature, "max_tokens": question.max_tokens}
        if question.schema is not msgspec.UNSET:
            parameters["response_format"] = RESPONSE_FORMATS[question.schema]
        if "max_tokens" in self._rejected:
            parameters["max_completion_tokens"] = parameters["max_tokens"]
        if "unsupported" in self._rejected:
            parameters["drop_params"] = True
        return {
            **self._target,
            "messages": [{"role": "user", "content": content}],
            "timeout": self._options.timeout,
            "max_retries": 0,
            "num_retries": 0,
            **{name: value for name, value in parameters.items() if name not in self._rejected},
        }

    def _meant(self, error: Exception, question: Question) -> Exception:
        first_images = bool(question.images) and not self._sees
        return api_errors.translated(self._litellm, error, self._spec, first_images=first_images)

    def _translated(self, error: Exception, sent: float, question: Question) -> Exception:
        if isinstance(error, TimeoutError):
            return TransientError("broken", f"no answer within {self._clock() - sent:.0f} seconds")
        ours = self._meant(error, question)
        if isinstance(ours, TransientError) and ours.kind == "busy":
            self._rate.too_many(sent, ours.wait)
        if isinstance(ours, Refused):
            self._answered_at = self._clock()
        if isinstance(ours, ProviderError):
            self._unusable = (self._clock(), ours)
        return ours

    def _may_ask_again(self, error: TransientError, question: Question, tries: _Tries) -> bool:
        if self._unusable_since(tries):
            return False
        tries.counts[error.kind] += 1
        times = tries.counts[error.kind]
        if error.kind == "busy":
            return True
        if error.kind == "broken":
            return times < (_FIRST_TRIES if self._answered_at is None else _TRIES)
        worth_it = times <= _AGAIN[error.kind] and (error.kind == "empty" or question.temperature > 0)
        return worth_it and self._options.repeat(question)

    def _unusable_since(self, tries: _Tries) -> ProviderError | None:
        at, error = self._unusable or (0.0, None)
        return error if tries.began is not None and tries.began <= at else None

    def _given_up(self, error: TransientError, tries: _Tries) -> Exception:
        """Returns the last error: about this question where the model answers others, else about the model."""
        unusable = self._unusable_since(tries)
        if unusable:
            return unusable
        if error.kind == "declined":
            return Refused(f"the model refused: {error.why}", _total(tries.used))
        if error.kind == "empty":
            return Refused(f"{error.why}, {counted(tries.counts['empty'], 'time')}", _total(tries.used))
        times = tries.counts["busy"] + tries.counts["broken"]
        text = f"{self._spec} did not answer in {counted(times, 'try')} ({error.why})"
        if self._answered_at is not None and tries.began is not None and self._answered_at > tries.began:
            return Refused(f"{text}, though it answered others meanwhile")
        return ProviderError(f"{text}; check the network, or try again later")

    def _usage(self, response: Any) -> Usage:
        used = getattr(response, "usage", None)
        prompt = getattr(used, "prompt_tokens", 0) or 0
        completion = getattr(used, "completion_tokens", 0) or 0
        dollars = self._dollars(response, prompt, completion)
        return Usage(prompt_tokens=prompt, completion_tokens=completion, dollars=dollars)

    def _dollars(self, response: Any, prompt: int, completion: int) -> float | None:
        """Returns the answer's price, None where nobody knows it: unknown is not 0."""
        if not prompt + completion:
            return None  # the server did not count
        if self._options.price:
            return self._options.price(prompt, completion)
        if not any(name in self._litellm.model_cost for name in (self._spec, self._spec.partition("/")[2])):
            return None
        cost = getattr(response, "_hidden_params", {}).get("response_cost")
        return None if cost is None else round(float(cost), 10)


def target(litellm: Any, spec: str, api_base: str | None) -> dict[str, Any]:
    """Returns litellm's arguments for a model and its server.

    With an api_base, a name without a provider is an OpenAI-compatible server's.
    """
    if api_base is None:
        return {"model": spec}
    try:
        model, provider, *_ = litellm.get_llm_provider(spec)
    except Exception:  # litellm raises several kinds for "unknown"
        model, provider = spec, "openai"
    spec = f"{provider}/{model}"  # without its provider's name litellm compares the base with 50 others, at each call
    missing = litellm.validate_environment(spec)["missing_keys"]
    # A server of one's own mostly wants no key, but the client insists on one.
    return {"model": spec, "api_base": api_base, **({"api_key": "none"} if missing else {})}


def _said(response: Any) -> Answer:
    """Returns what a response says, word for word. Raises TransientError or Refused where it says nothing."""
    choices = getattr(response, "choices", None) or [None]
    message, finish = getattr(choices[0], "message", None), getattr(choices[0], "finish_reason", None)
    refusal = (getattr(message, "provider_specific_fields", None) or {}).get("refusal")
    if refusal or finish == "content_filter":
        raise TransientError("declined", one_line(scrubbed(refusal or "its content filter")))
    text = getattr(message, "content", None)
    if isinstance(text, str) and text.strip():
        return Answer(text=text, cut_off=finish == "length")
    if finish == "length":
        raise Refused("the model used up its tokens before it said anything; raise --max-tokens")
    raise TransientError("empty", "the model's answer was empty")


def _total(used: list[Usage]) -> Usage:
    """Returns what all requests for one question used together: an empty answer is paid for too."""
    dollars = [usage.dollars for usage in used]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in used),
        completion_tokens=sum(usage.completion_tokens for usage in used),
        dollars=None if None in dollars else round(sum(price or 0.0 for price in dollars), 10),
    )
