"""How long an answer may be at most where a server has less room than was asked for, by what its error says."""

from __future__ import annotations

import re

LEAST = 16
"""Tokens that an answer needs: with fewer left, the question is too long."""

_N = r"(\d[\d,]*)"
# As OpenAI, vLLM (old and new), SGLang, TGI, OpenRouter, Anthropic, llama.cpp and LM Studio say it.
_ABOUT = re.compile(
    r"max_(?:completion_|new_|output_)?tokens|n_predict|in the (?:completion|output)|for the completion"
    r"|output tokens|completion tokens|maximum tokens you requested|`max_new_tokens`",
    re.IGNORECASE,
)
_CONTEXT = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"exceeds? context limit: {_N} \+ {_N} > {_N}",
        rf"context (?:length|size|window|limit)(?: of| is|:|=)?(?: only| at most)? ?\(?{_N}",
        rf"maximum (?:model|sequence) length (?:of|is) {_N}",
        rf"`max_new_tokens` must be <= {_N}",
        rf"max_model_len\W{{1,3}}{_N}",
        rf"n_ctx\W{{1,4}}{_N}",
    )
]
_PROMPT = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_N} (?:tokens )?(?:in|from) (?:the|your) (?:messages|prompt|input)",
        rf"{_N} (?:input|prompt|`inputs`) tokens",
        rf"{_N} of text input",
        rf"input length and `max_tokens` exceed context limit: {_N} \+",
        rf"prompt contains (?:at least )?{_N}",
        rf"n_prompt_tokens\W{{1,4}}{_N}",
    )
]
# What the model writes in one answer, whatever the prompt.
_OUTPUT = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"at most {_N} (?:completion|output) tokens",
        rf"max_(?:completion_)?tokens: \d+ > {_N}",
        rf"less than or equal to `?{_N}",
        rf"valid range of max_tokens is \[\d+, ?{_N}\]",
        rf"model limit of {_N}",
        rf"max(?:imum)? (?:allowed )?(?:value )?(?:for|of) `?max_(?:completion_)?tokens`? (?:is|:) {_N}",
    )
]


def lowered(error: str, wanted: int, prompt: int) -> int | None:
    """Returns the tokens that an answer is to ask for instead of `wanted`, None where the error is not about them.

    prompt -- about how many tokens the question has, where the server does not say
    Where the server names no limit it is half as many: asked again and again, that ends.

    >>> lowered("This model's maximum context length is 1024 tokens. However, you requested 2100 tokens "
    ...         "(52 in the messages, 2048 in the completion).", 2048, 40)
    972
    """
    if not _ABOUT.search(error) and str(wanted) not in re.findall(r"\d+", error):
        return None
    output, context = _first(_OUTPUT, error), _first(_CONTEXT, error)
    if (
        output is None
        and context is None
        and not re.search(r"too (?:large|many|high|big)|exceed|greater|at most|maximum", error)
    ):
        return None
    said = _first(_PROMPT, error)
    room = output if output is not None else None if context is None else context - (prompt if said is None else said)
    if room is None or not room < wanted:
        room = wanted // 2
    return room if room >= LEAST else None


def _first(patterns: list[re.Pattern[str]], text: str) -> int | None:
    found = next((match for pattern in patterns if (match := pattern.search(text))), None)
    return int(found[found.lastindex or 1].replace(",", "")[:18]) if found else None  # Python refuses thousands
