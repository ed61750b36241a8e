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
from ltgc_cli.providers import api_errors, heard, prices, reach, servers
from ltgc_cli.providers.llm import said
from ltgc_cli.providers.llm.rate import Rate
from ltgc_cli.providers.llm.response_formats import RESPONSE_FORMATS
from ltgc_cli.providers.llm.unlogged import unlogged
from ltgc_cli.providers.opened import AskOptions
from ltgc_cli.providers.secrets import without_keys
from ltgc_cli.providers.transient import TransientError
from ltgc_cli.text import counted, one_line

Content = str | list[dict[str, Any]]

_TRIES = 8  # requests for one question that may end with a server's trouble: with their waits, two minutes and more
_FIRST_TRIES = 4  # the same before anything was ever answered: the address may be wrong, and a person waits
_MOST_DOLLARS = 1000.0  # of one answer
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
    """Asks one model; knows how many at once it takes, what it rejects and has room for, and when it last answered."""

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
        self._server = servers.server_of(spec, options.api_base)
        self._target = target(litellm, spec, options.api_base)
        own = self._target["model"].partition("/")[0] in servers.OPENAI_PROTOCOL
        self._own_protocol = self._server is not None and own
        reach.check_key(api_errors.provider(litellm, self._target["model"]))
        reach.go_direct(self._server)
        self._clock = clock
        self._sleep = sleep
        self._rejected: set[str] = set()
        self._room: int | None = None  # the most tokens that its server was found to have room for in an answer
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
                    body, usage = await self._sent(question, content)
            except Exception as error:  # litellm's own errors, and whatever a provider's library raises
                raise self._translated(error, sent, question) from None
            self._answered_at = self._clock()
            self._rate.answered()
        tries.used.append(usage)
        heard_as = said.answer(body, usage)
        raw = heard_as.raw and without_keys(heard_as.raw)
        return msgspec.structs.replace(heard_as, text=without_keys(heard_as.text), raw=raw)

    async def _sent(self, question: Question, content: Content) -> tuple[said.Json, Usage]:
        """Returns the response's JSON and what it used, asked for without the parameters that the server rejects: this
        time and from now on.

        A schema is left out for good only where that helped: what went wrong may have been something else.
        """
        without_schema = False
        most = min(question.max_tokens, self._room or question.max_tokens)
        while True:
            request = self._request(question, content, most)
            if without_schema:
                request.pop("response_format", None)
            try:
                response = await self._responded(request, question)
            except self._litellm.UnsupportedParamsError as error:  # nothing was sent: some models take no temperature
                # Not at first: with drop_params a refused request (422) is sent again behind our back.
                if "reasoning_effort" in str(error) and "reasoning_effort" in request:
                    self._takes_no_effort()
                elif request.get("drop_params"):
                    raise
                else:
                    self._rejected.add("unsupported")
            except Exception as error:
                name = api_errors.rejected(error, request)
                if fewer := api_errors.lowered(error, most, question.text):
                    most = fewer
                elif name in ("reasoning_effort", "extra_body"):
                    self._takes_no_effort()
                elif name == "response_format" or (name is None and self._may_be_the_schema(error, request, question)):
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
                self._has_room(question, most)
                return response

    async def _responded(self, request: Mapping[str, Any], question: Question) -> tuple[said.Json, Usage]:
        """Returns what the server said, and what it used: its own JSON in OpenAI's protocol, else litellm's reading.

        litellm fails on answers in an odd shape, which are paid for all the same.
        """
        with heard.hearing() as responses, unlogged(self._litellm):
            try:
                response = await self._litellm.acompletion(**self._as_sent(request))
            except Exception:
                body = heard.said(responses)
                if body is not None and said.is_one(body):
                    return body, self._usage(body, body, question)
                if heard.web_page(responses):
                    raise reach.page(self._server) from None
                if body is not None and isinstance(body.get("error", body.get("detail")), str):  # litellm shows none
                    raise reach.no_answer(said.trouble(body), self._server) from None
                raise
        body = heard.said(responses)
        said_so = body if body is not None and "choices" in body else said.of(response)
        return said_so, self._usage(response, said_so, question)

    def _as_sent(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the request with its schema where OpenAI's client hands it on as it is.

        It takes every other parameter apart and checks it against types, which takes a millisecond for a schema.
        """
        if "response_format" not in request or not (self._server and self._target["model"].startswith("openai/")):
            return request
        schema = {"response_format": request["response_format"]}
        rest = {name: value for name, value in request.items() if name != "response_format"}
        return {**rest, "extra_body": {**request.get("extra_body", {}), **schema}}

    def _has_room(self, question: Question, most: int) -> None:
        if most < question.max_tokens and self._room is None:
            self._options.notice(
                f"{self._spec}: its server has no room for answers of {question.max_tokens:,} tokens (--max-tokens); "
                f"at most {most:,} are asked for"
            )
        if most < question.max_tokens:
            self._room = min(most, self._room or most)

    def _takes_no_effort(self) -> None:
        if "reasoning_effort" not in self._rejected:
            self._rejected |= {"reasoning_effort", "extra_body"}
            self._options.notice(f"{self._spec} takes no --reasoning-effort; it is asked without")

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

    def _request(self, question: Question, content: Content, most: int) -> dict[str, Any]:
        parameters: dict[str, Any] = {"temperature": question.temperature, "max_tokens": most}
        if question.reasoning_effort is not msgspec.UNSET:
            name = "extra_body" if self._own_protocol else "reasoning_effort"
            parameters[name] = effort(question.reasoning_effort) if self._own_protocol else question.reasoning_effort
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
        return api_errors.translated(self._litellm, error, self._spec, server=self._server, first_images=first_images)

    def _translated(self, error: Exception, sent: float, question: Question) -> Exception:
        if isinstance(error, TimeoutError):
            seconds = max(1, round(self._clock() - sent))
            fix = f"a slow server gets longer by --time-limit {max(1200, 10 * seconds)}"
            return TransientError("broken", f"no answer within {counted(seconds, 'second')}", fix=fix)
        ours = self._meant(error, question)
        if isinstance(ours, ProviderError) and self._may_pass(error, question):
            ours = TransientError("broken", one_line(str(ours).removeprefix(f"{self._spec}: ")))
        if isinstance(ours, TransientError) and ours.kind == "busy":
            self._rate.too_many(sent, None if api_errors.away(ours) else ours.wait)
        if isinstance(ours, Refused):
            self._answered_at = self._clock()
        if isinstance(ours, ProviderError):
            self._unusable = (self._clock(), ours)
        return ours

    def _may_pass(self, error: Exception, question: Question) -> bool:
        """Returns whether an error may be one odd answer of a server, or of what stands before it, that was there."""
        unseeing = bool(question.images) and not self._sees  # then it may be a model that takes none
        was_there = self._answered_at is not None and not unseeing
        return was_there and getattr(error, "status_code", None) in (404, 405, None)

    def _may_ask_again(self, error: TransientError, question: Question, tries: _Tries) -> bool:
        if self._unusable_since(tries):
            return False
        tries.counts[error.kind] += 1
        times = tries.counts[error.kind]
        if error.kind == "busy":
            tries.counts["away"] += bool(api_errors.away(error))
            return tries.counts["away"] < api_errors.AWAY
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
        text = f"{self._spec} did not answer in {counted(times, 'try')} ({error.why}{api_errors.away(error)})"
        if self._answered_at is not None and tries.began is not None and self._answered_at > tries.began:
            return Refused(f"{text}, though it answered others meanwhile")
        return ProviderError(f"{text}; {error.fix}")

    def _usage(self, response: Any, body: said.Json, question: Question) -> Usage:
        """Returns what a response used: litellm's, or a server's own JSON, or by the texts where that cannot be."""
        used = response.get("usage") if isinstance(response, dict) else getattr(response, "usage", None)
        counts = said.tokens(used)
        cost = getattr(response, "_hidden_params", {}).get("response_cost")
        if counts is None:
            self._options.notice(
                f"{self._spec}: its server's count of tokens cannot be; they are estimated by the text"
            )
            counts, cost = (prices.asked_tokens(question), prices.prompt_tokens(said.words(body))), None
        prompt, completion = counts
        return Usage(
            prompt_tokens=prompt, completion_tokens=completion, dollars=self._dollars(cost, prompt, completion)
        )

    def _dollars(self, cost: Any, prompt: int, completion: int) -> float | None:
        """Returns the answer's price, None where nobody knows it: unknown is not 0.

        cost -- as litellm has it; where that cannot be, the tokens' price counts
        """
        if not prompt + completion:
            return None  # the server did not count
        if self._options.price:
            return self._options.price(prompt, completion)
        if not any(name in self._litellm.model_cost for name in (self._spec, self._spec.partition("/")[2])):
            return None
        if not (isinstance(cost, int | float) and 0 <= cost <= _MOST_DOLLARS):
            listed = prices.find(self._spec)
            return None if listed is None else prices.dollars(listed, prompt, completion)
        return round(float(cost), 10)


def effort(wanted: str) -> dict[str, Any]:
    """Returns what a server of one's own is told of how long its model is to think.

    litellm would not hand `reasoning_effort` to a model that it does not know. Qwen's and others' chat templates have
    a switch of their own for no thoughts at all, which vLLM, SGLang and llama.cpp pass on.

    >>> effort("none")
    {'reasoning_effort': 'none', 'chat_template_kwargs': {'enable_thinking': False}}
    """
    silent = {"chat_template_kwargs": {"enable_thinking": False}} if wanted == "none" else {}
    return {"reasoning_effort": wanted, **silent}


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
    base, headers = reach.without_password(api_base)
    if headers and provider in servers.OPENAI_PROTOCOL:
        provider = "openai"  # litellm's way to the others puts a key of its own in the header's place
    spec = f"{provider}/{model}"  # without its provider's name litellm compares the base with 50 others, at each call
    missing = litellm.validate_environment(spec)["missing_keys"]
    found: dict[str, Any] = {"model": spec, "api_base": base}
    # A server of one's own mostly wants no key, but the client insists on one.
    return found | ({"api_key": "none"} if missing else {}) | ({"extra_headers": headers} if headers else {})


def _total(used: list[Usage]) -> Usage:
    """Returns what all requests for one question used together: an empty answer is paid for too."""
    dollars = [usage.dollars for usage in used]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in used),
        completion_tokens=sum(usage.completion_tokens for usage in used),
        dollars=None if None in dollars else round(sum(price or 0.0 for price in dollars), 10),
    )
