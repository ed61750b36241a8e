"""Where a model's own server is: apart from the way to it, whose libraries are wanted only where one is asked."""

from __future__ import annotations

import os

OPENAI_PROTOCOL = ("openai", "hosted_vllm", "lm_studio", "llamafile", "custom_openai")
"""Providers, as litellm names them, whose servers are asked by OpenAI's own client."""


def server_of(spec: str, api_base: str | None) -> str | None:
    """Returns the address of a model's own server: as it is given, or as the provider's variables have it, or None."""
    provider = spec.partition("/")[0].upper() if "/" in spec else "OPENAI"
    # litellm heeds these variables too.
    return api_base or os.environ.get(f"{provider}_API_BASE") or os.environ.get(f"{provider}_BASE_URL") or None
