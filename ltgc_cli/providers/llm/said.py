"""What a chat model's response says, whoever serves it: its text, wherever that lies, a refusal, or nothing yet."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ltgc_cli.errors import Refused
from ltgc_cli.ports import Answer, Usage
from ltgc_cli.providers.secrets import scrubbed
from ltgc_cli.providers.transient import TransientError
from ltgc_cli.text import one_line
from ltgc_cli.thoughts import CLOSES, OPENS

Json = Mapping[str, Any]

_CUT_OFF = ("length", "max_tokens", "MAX_TOKENS")
_FINISH = ("finish_reason", "finishReason", "stop_reason", "done_reason")
_CONTENT = ("content", "text", "response", "output", "generated_text")  # OpenAI's names, and servers' own
_INNER = ("text", "content", "parts", "value", "input")  # of a part: what it says
_LABELS = ("role", "type", "id", "object", "model", "name", "index", "created_at", "status", "refusal", *_FINISH)
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_THINKING = re.compile(r"thinking|thought|reasoning", re.IGNORECASE)  # a part's type
_OPENED = re.compile(rf"\s*(?:<\|start\|>assistant)?(?:{OPENS})", re.IGNORECASE)
_CLOSES = re.compile(CLOSES, re.IGNORECASE)
_BREAK = re.compile(r"\n\s*\n|(?<!```json)(?<!```)\n(?=(?:```(?:json)?\n)?[{\[][^\n]*\S)")  # before JSON too
_MOST_TOKENS = 2_000_000  # in one question or answer: more than any model takes or gives here
_ENDS = (".", "!", "?", "\n", "}", "]")
# A line that is an answer, and no thought: Template 1, with any mark of a list before it, or nothing but numbers.
_ANSWER = re.compile(r"\W*(?:\d{1,4}\W{1,3})?A photo of .+|[\d\s,.\[\]]*\d[\d\s,.\[\]]*", re.IGNORECASE)


def answer(body: Json, usage: Usage) -> Answer:
    """Returns what the JSON of a response says, word for word, in the first of its choices that says anything.

    Where it says nothing that can be read, though tokens were paid for it, the answer has no text and the response in
    `raw`: see `read`. Raises TransientError for a refusal, and for a response with nothing in it.
    """
    choices = _choices(body)
    declined = ""
    for choice in choices:
        cut_off = _cut_off(choice)
        if refusal := _refusal(choice):
            declined = declined or refusal
        elif text := _text(choice, cut_off=cut_off):
            return Answer(text=text, usage=usage, cut_off=cut_off)
    if declined:
        raise TransientError("declined", one_line(scrubbed(declined)))
    for choice in choices:
        if why := trouble(choice):
            raise TransientError("broken", why)
    if not any(_cut_off(choice) or _holds_text(_message(choice)) for choice in choices):
        raise TransientError("empty", "the model's answer was empty")
    return Answer(text="", usage=usage, raw=json.dumps({"choices": choices}, ensure_ascii=False))


def is_one(body: Json) -> bool:
    """Returns whether the JSON is a model's response, of OpenAI's protocol or of a server's own, and no error."""
    if "choices" in body:
        return True
    return not trouble(body) and any(_text(choice, cut_off=False) for choice in _choices(body))


def trouble(body: Json) -> str:
    """Returns the error that a response, or one of its choices, has in the place of an answer, in one line.

    >>> trouble({"error": {"message": "Overloaded", "code": 502}}), trouble({"detail": "Not Found"}), trouble({})
    ('Overloaded', 'Not Found', '')
    """
    error = body.get("error") or body.get("detail")
    text = error.get("message") or json.dumps(error) if isinstance(error, dict) else error
    return one_line(scrubbed(str(text))) if text else ""


def read(kept: Answer) -> Answer:
    """Returns an answer out of the store with its text. Raises Refused for one that this version cannot read."""
    if not kept.raw:
        return kept
    body = json.loads(kept.raw)
    try:
        again = answer(body, kept.usage)
    except TransientError as error:
        raise Refused(f"its answer cannot be read: {error.why}", kept.usage) from None
    if not again.raw:
        return again
    if any(map(_cut_off, body["choices"])):
        raise Refused("it used its tokens up thinking: raise --max-tokens, or --reasoning-effort low", kept.usage)
    if any(any(_thoughts(choice)) for choice in body["choices"]):
        raise Refused("it thought aloud and gave no answer; try --reasoning-effort low", kept.usage)
    raise Refused("no text was found in its answer, which is kept as it came", kept.usage)


def of(response: Any) -> Json:
    """Returns the part of litellm's own response that `answer` reads."""
    choices = getattr(response, "choices", None) or []
    return {"choices": [{"finish_reason": one.finish_reason, "message": _dumped(one.message)} for one in choices]}


def tokens(used: Any) -> tuple[int, int] | None:
    """Returns the tokens of the prompt and of the answer, 0 for what a server did not count; None for what cannot be.

    >>> tokens({"prompt_tokens": 10}), tokens({"prompt_tokens": -10}), tokens({"output_tokens": 1.5}), tokens(None)
    ((10, 0), None, None, (0, 0))
    >>> tokens({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 11}})
    """
    found = [
        next((count for one in names if (count := _field(used, one)) is not None), None)
        for names in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
    ]
    counts = [count for count in found if type(count) is int and 0 <= count <= _MOST_TOKENS]
    if len(counts) < sum(count is not None for count in found):
        return None
    prompt, answer = found[0] or 0, found[1] or 0
    if _most_of(used, "prompt_tokens_details") > prompt or _most_of(used, "completion_tokens_details") > answer:
        return None  # a part is priced by itself, and is not more than the whole
    return prompt, answer


_PARTS = ("cached_tokens", "cache_creation_tokens", "audio_tokens", "image_tokens", "text_tokens")
"""Thoughts are none: some servers count them beside the answer."""


def _most_of(used: Any, details: str) -> float:
    """Returns the largest part of the tokens that a server names, 0 for none."""
    parts = [_field(_field(used, details), name) for name in _PARTS]
    return max((part for part in parts if isinstance(part, int | float)), default=0)


def _field(data: Any, name: str) -> Any:
    """Returns what a server's JSON, or litellm's object of it, has under a name, None for nothing."""
    return data.get(name) if isinstance(data, dict) else getattr(data, name, None)


def words(body: Json) -> str:
    """Returns all that a response says, its thoughts too, so that its tokens can be estimated."""
    return "\n".join("\n".join([_joined(_content(_message(one))), *_thoughts(one)]) for one in _choices(body))


def _dumped(message: Any) -> Json:
    names = ("content", "tool_calls", "function_call", "reasoning_content", "provider_specific_fields", "refusal")
    return {
        name: msgspec.to_builtins(getattr(message, name, None), enc_hook=lambda o: o.model_dump()) for name in names
    }


def _choices(body: Json) -> list[Json]:
    """Returns the choices of a response, by whatever name; the response itself where it has one and no list of them."""
    given = body.get("choices", body.get("candidates"))
    given = [given] if isinstance(given, dict) else given if isinstance(given, list) else []
    message = body.get("message")
    itself = isinstance(message, dict) or any(body.get(name) for name in _CONTENT)
    return [one for one in given if isinstance(one, dict)] or ([body] if itself else [])


def _cut_off(choice: Json) -> bool:
    return any(choice.get(name) in _CUT_OFF for name in _FINISH)


def _message(choice: Json) -> Json:
    message = choice.get("message") or choice.get("delta") or choice
    return message if isinstance(message, dict) else {"content": message}


def _content(message: Json) -> Any:
    return next((message[name] for name in _CONTENT if message.get(name)), None)


def _holds_text(value: Any, name: str = "") -> bool:
    """Returns whether a message says anything, wherever in it, beside what its parts are called."""
    if isinstance(value, dict):
        return any(_holds_text(inner, str(key)) for key, inner in value.items())
    if isinstance(value, list):
        return any(_holds_text(inner, name) for inner in value)
    return isinstance(value, str) and bool(value.strip()) and name not in _LABELS


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _own_fields(message: Json) -> Json:
    fields = message.get("provider_specific_fields")
    return fields if isinstance(fields, dict) else {}


def _refusal(choice: Json) -> str:
    message = _message(choice)
    parts = _content(message)
    refusals = [part.get("refusal") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    for refusal in (message.get("refusal"), _own_fields(message).get("refusal"), *refusals):
        if refusal:
            return str(refusal)
    return "its content filter" if choice.get("finish_reason") == "content_filter" else ""


def _text(choice: Json, *, cut_off: bool) -> str:
    """Returns the text of a choice: its content and what it calls tools with, else an answer among its thoughts."""
    message = _message(choice)
    said = _joined(_content(message))
    parts = ["" if _unclosed(said) else said, *_arguments(message)]
    text = "\n".join(part for part in parts if part.strip())
    return text or next(filter(None, (_concluded(thoughts, cut_off) for thoughts in _thoughts(choice))), "")


def _joined(content: Any) -> str:
    """Returns the text of a message's content: text, a list of parts without those that are thoughts, or JSON.

    >>> _joined([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "A photo."}])
    'A photo.'
    """
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):
        text = ""
        for part in content:
            said = _joined(part)
            text += "\n" * bool(text and said and text.endswith(_ENDS)) + said
        return text
    if not isinstance(content, dict):
        return str(content)
    kind = content.get("type")
    if content.get("thought") is True or (isinstance(kind, str) and (_THINKING.search(kind) or kind == "refusal")):
        return ""
    inner = next((content[name] for name in _INNER if name in content), None)
    return _joined(inner) if isinstance(inner, str | list | dict) else json.dumps(content, ensure_ascii=False)


def _arguments(message: Json) -> Iterator[str]:
    """Returns what a message calls tools with, which is the JSON that was asked for."""
    calls = [call.get("function") or call for call in _list(message.get("tool_calls")) if isinstance(call, dict)]
    for call in [*calls, message.get("function_call")]:
        given = call.get("arguments") if isinstance(call, dict) else None
        yield given if isinstance(given, str) else json.dumps(given, ensure_ascii=False) if given else ""


def _thoughts(choice: Json) -> Iterator[str]:
    message = _message(choice)
    if text := _unclosed(_joined(_content(message))):
        yield text
    for fields in (message, _own_fields(message)):
        for name in _THOUGHTS:
            thoughts = fields.get(name)
            parts = thoughts if isinstance(thoughts, list) else [thoughts]
            texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
            if text := "\n".join(text for text in texts if isinstance(text, str) and text.strip()):
                yield text


def _unclosed(text: str) -> str:
    """Returns the thoughts of a text that opens them and never ends them, else nothing."""
    opened = _OPENED.match(text)
    return text[opened.end() :] or " " if opened and not _CLOSES.search(text) else ""


def _concluded(thoughts: str, cut_off: bool) -> str:
    """Returns the answer that thoughts end in: JSON, or paragraphs of which every line is an answer, else nothing.

    Servers that take an answer for thoughts, and models that end in their thoughts, put it there. Of thoughts that were
    cut off a draft may be last: they are an answer only where all of them is.

    >>> _concluded("The user wants one.\\n\\nA photo of the class crane, at dusk.", False)
    'A photo of the class crane, at dusk.'
    """
    paragraphs = _BREAK.split(_CLOSES.split(thoughts)[-1].strip())
    said: list[str] = []
    while paragraphs and (_is_json(paragraphs[-1]) or _is_answer(paragraphs[-1])):
        said.insert(0, paragraphs.pop())
    return "" if cut_off and paragraphs else "\n\n".join(said).strip()


def _is_answer(paragraph: str) -> bool:
    """Returns whether every line is an answer, but for a first one that announces them.

    >>> _is_answer("Sure, here they are:\\n1. A photo of the class crane, at dusk.")
    True
    """
    first, *rest = paragraph.splitlines()
    lines = rest if rest and first.rstrip().endswith(":") else [first, *rest]
    return all(map(_ANSWER.fullmatch, lines))


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text.strip().removeprefix("```json").strip("`\n")), dict | list)
    except ValueError:
        return False
