"""The marks that models set around what they think aloud, each model by its own chat template."""

from __future__ import annotations

_TAGS = r"(?:\w+:)?(?:think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis|inner_monologue)"
# Those of Seed (seed:think) and most others, Kimi's, Cohere's, Bespoke's, Gemma's, MedGemma's, and
# gpt-oss's, of which some servers leave only the words.
OPENS = (
    rf"[<\[]{_TAGS}[>\]]|◁think▷|<\|(?:START_THINKING|begin_of_thought)\|>|<\|channel>thought|<unused94>thought"
    r"|<\|channel\|>analysis(?:<\|message\|>)?|\Aanalysis(?=(?-i:[A-Z][a-z' ]))"
)
CLOSES = (
    rf"[<\[]/{_TAGS}[>\]]|◁/think▷|<\|(?:END_THINKING|end_of_thought)\|>|<channel\|>|<unused95>"
    r"|<\|channel\|>(?:final|commentary)(?:[^<\n]*<\|message\|>)?|assistantfinal"
)
