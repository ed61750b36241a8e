"""One question to a model that litellm reaches, asked until it is answered or there is no more point in it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import tenacity

from ltgc_cli.errors import ProviderError, Refused
from ltgc_cli.ports import Answer, Question, Usage
from ltgc_cli.providers.llm import faults
from ltgc_cli.providers.llm.faults import Passing
from ltgc_cli.providers.llm.rate import Rate
from ltgc_cli.providers.llm.schemas import RESPONSE_FORMATS
from ltgc_cli.text import counted, one_line

Content = str | list[dict[str, Any]]

_TRIES = 8
"""Requests for one question that may end with a server's trouble: with their waits, two minutes and more."""
_FIRST_TRIES = 4
"""The same before anything was ever answered: the address may be wrong, and a person waits."""
_AGAIN = {"empty": 2, "declined": 1}
"""How often more a question is asked that got an empty answer or a refusal: at a temperature, another may come."""


@dataclass
class _Tries:
    """What one question went through."""

    deadline: float
    began: float | None = None
    counts: Counter[str] = field(default_factory=Counter)
    used: list[Usage] = field(default_factory=list)


class Asking:
    """Asks one model; knows how many at once it takes, which parameters it rejects, and when it last answered."""

    def __init__(
        self,
        litellm: Any,
        spec: str,
        api_base: str | None,
        *,
        timeout: float,
        limit: float,
        concurrency: int,
        price: Callable[[int, int], float] | None,
        repeat: Callable[[Question], bool] = lambda _: True,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.rate = Rate(concurrency, clock, sleep)
        self._litellm = litellm
        self._spec = spec
        self._whom = whom(litellm, spec, api_base)
        self._timeout = timeout
        self._limit = limit
        self._price = price
        self._repeat = repeat
        self._clock = clock
        self._sleep = sleep
        self._rejected: set[str] = set()
        self._answered_at: float | None = None
        self._unusable: tuple[float, ProviderError] | None = None
        """When the model proved unusable (key, credit), and why: no question from before that is asked again."""

    async def answer(self, question: Question, content: Content) -> Answer:
        """Returns the answer. Raises Refused (TooLong) or ProviderError, in one line without secrets."""
        tries = _Tries(deadline=self._clock() + self._limit)
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: self._again(error, question, tries)),
            wait=lambda state: _pause(state, tries),
            stop=lambda state: self._clock() + state.upcoming_sleep >= tries.deadline,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            text: str = await retrying(self._once, question, content, tries)
        except Passing as fault:
            raise self._given_up(fault, tries) from None
        except Refused as refused:  # an answer that was all thought is paid for too
            refused.usage = refused.usage or (_total(tries.used) if tries.used else None)
            raise
        return Answer(text=text, usage=_total(tries.used))

    async def _once(self, question: Question, content: Content, tries: _Tries) -> str:
        """Returns the answer's text, of one request. A wait in line is no part of the question's own limit."""
        in_line = self._clock()
        async with self.rate.place():
            sent = self._clock()
            tries.deadline += sent - in_line
            tries.began = sent if tries.began is None else tries.began
            if self.rate.closed_for() > tries.deadline - sent:
                raise Passing("busy", "it asks to wait longer than the limit for a question", self.rate.closed_for())
            await self.rate.opening()
            await self.rate.start()
            sent = self._clock()
            try:
                async with asyncio.timeout(min(self._timeout, tries.deadline - sent)):
                    response = await self._sent(question, content)
            except Exception as error:  # litellm's own errors, and whatever a provider's library raises
                raise self._told(error, sent) from None
            self._answered_at = self._clock()
            self.rate.answered()
        tries.used.append(self._usage(response))
        return _text(response)

    async def _sent(self, question: Question, content: Content) -> Any:
        """Returns the response, asked for without the parameters that the server rejects: this time and from now on."""
        while True:
            request = self._request(question, content)
            try:
                return await self._litellm.acompletion(**request)
            except self._litellm.UnsupportedParamsError:  # nothing was sent: a reasoning model takes no temperature
                # Not at first: with drop_params a refused request (422) is sent again behind our back.
                if request.get("drop_params"):
                    raise
                self._rejected.add("unsupported")
            except Exception as error:
                name = faults.rejected(error, request)
                if name is None:
                    raise
                self._rejected.add(name)

    def _request(self, question: Question, content: Content) -> dict[str, Any]:
        parameters: dict[str, Any] = {"temperature": question.temperature, "max_tokens": question.max_tokens}
        if question.schema is not msgspec.UNSET:
            parameters["response_format"] = RESPONSE_FORMATS[question.schema]
        if "max_tokens" in self._rejected:
            parameters["max_completion_tokens"] = parameters["max_tokens"]
        if "unsupported" in self._rejected:
            parameters["drop_params"] = True
        return {
            **self._whom,
            "messages": [{"role": "user", "content": content}],
            "timeout": self._timeout,
            "max_retries": 0,
            "num_retries": 0,
            **{name: value for name, value in parameters.items() if name not in self._rejected},
        }

    def _told(self, error: Exception, sent: float) -> Exception:
        if isinstance(error, TimeoutError):
            return Passing("broken", f"no answer within {self._clock() - sent:.0f} seconds")
        meant = faults.meaning(self._litellm, error, self._spec)
        if isinstance(meant, Passing) and meant.kind == "busy":
            self.rate.too_many(sent, meant.wait)
        if isinstance(meant, Refused):
            self._answered_at = self._clock()
        if isinstance(meant, ProviderError):
            self._unusable = (self._clock(), meant)
        return meant

    def _again(self, error: BaseException, question: Question, tries: _Tries) -> bool:
        if not isinstance(error, Passing) or self._unusable_since(tries):
            return False
        tries.counts[error.kind] += 1
        times = tries.counts[error.kind]
        if error.kind == "busy":
            return True
        if error.kind == "broken":
            return times < (_FIRST_TRIES if self._answered_at is None else _TRIES)
        worth_it = times <= _AGAIN[error.kind] and (error.kind == "empty" or question.temperature > 0)
        return worth_it and self._repeat(question)

    def _unusable_since(self, tries: _Tries) -> ProviderError | None:
        at, error = self._unusable or (0.0, None)
        return error if tries.began is not None and tries.began <= at else None

    def _given_up(self, fault: Passing, tries: _Tries) -> Exception:
        """Returns what is said in the end: about this question where the model answers others, else about the model."""
        unusable = self._unusable_since(tries)
        if unusable:
            return unusable
        if fault.kind == "declined":
            return Refused(f"the model refused: {fault.why}", _total(tries.used))
        if fault.kind == "empty":
            return Refused(f"{fault.why}, {tries.counts['empty']} times", _total(tries.used))
        times = tries.counts["busy"] + tries.counts["broken"]
        said = f"{self._spec} did not answer in {counted(times, 'try')} ({fault.why})"
        if self._answered_at is not None and tries.began is not None and self._answered_at > tries.began:
            return Refused(f"{said}, though it answered others meanwhile")
        return ProviderError(f"{said}; check the network, or try again later")

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
        if self._price:
            return self._price(prompt, completion)
        if not any(name in self._litellm.model_cost for name in (self._spec, self._spec.partition("/")[2])):
            return None
        cost = getattr(response, "_hidden_params", {}).get("response_cost")
        return None if cost is None else round(float(cost), 10)


def whom(litellm: Any, spec: str, api_base: str | None) -> dict[str, Any]:
    """Returns whom to ask. With an api_base, a name without a provider is an OpenAI-compatible server's."""
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


def _text(response: Any) -> str:
    """Returns what a response says, word for word. Raises Passing or Refused where it says nothing."""
    choices = getattr(response, "choices", None) or [None]
    message, finish = getattr(choices[0], "message", None), getattr(choices[0], "finish_reason", None)
    refusal = (getattr(message, "provider_specific_fields", None) or {}).get("refusal")
    if refusal or finish == "content_filter":
        raise Passing("declined", one_line(faults.scrubbed(refusal or "its content filter")))
    text = getattr(message, "content", None)
    if isinstance(text, str) and text.strip():
        return text
    if finish == "length":
        raise Refused("the model used up its tokens before it said anything; raise --max-tokens")
    raise Passing("empty", "the model's answer was empty")


def _pause(state: tenacity.RetryCallState, tries: _Tries) -> float:
    fault = state.outcome.exception() if state.outcome else None
    assert isinstance(fault, Passing)
    return faults.pause(fault, tries.counts[fault.kind])


def _total(used: list[Usage]) -> Usage:
    """Returns what all requests for one question used together: an empty answer is paid for too."""
    dollars = [usage.dollars for usage in used]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in used),
        completion_tokens=sum(usage.completion_tokens for usage in used),
        dollars=None if None in dollars else round(sum(price or 0.0 for price in dollars), 10),
    )
