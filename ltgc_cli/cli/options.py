"""The flags that several commands share, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Input = Annotated[
    Path | None,
    typer.Option("--input", "-i", metavar="FILE", help="Read records from FILE instead of stdin.", exists=True),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write records to FILE, which appears when it is complete."),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON lines on a terminal too, not a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but errors.")]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir", envvar="LTGC_CACHE_DIR", metavar="DIR", help="Where answers and images are kept [~/.ltgc]."
    ),
]
RecordTo = Annotated[
    Path | None,
    typer.Option("--record", metavar="FILE", help="Add every answer to FILE, for `replay:FILE` to give again."),
]
Llm = Annotated[
    str,
    typer.Option(
        envvar="LTGC_LLM",
        metavar="MODEL",
        help="Language model: any litellm model (gpt-4o, ollama/llama3.1), replay:FILE, or embedded.",
    ),
]
Lmm = Annotated[
    str,
    typer.Option(
        envvar="LTGC_LMM",
        metavar="MODEL",
        help="Vision-language model: any litellm model, replay:FILE, or embedded.",
    ),
]
T2i = Annotated[
    str,
    typer.Option(
        envvar="LTGC_T2I",
        metavar="MODEL",
        help="Text-to-image model: a diffusers id or folder, blank (for tests), replay:FILE, or embedded.",
    ),
]
Clip = Annotated[
    str,
    typer.Option(
        envvar="LTGC_CLIP",
        metavar="MODEL",
        help="CLIP: an open_clip MODEL/PRETRAINED, hf-hub:ID, local-dir:PATH, or embedded.",
    ),
]
ApiBase = Annotated[
    str | None,
    typer.Option(envvar="LTGC_API_BASE", metavar="URL", help="Address of an OpenAI-compatible server (vLLM, …)."),
]
Concurrency = Annotated[int, typer.Option(envvar="LTGC_CONCURRENCY", min=1, max=1024, help="Questions asked at once.")]
PromptsFile = Annotated[
    Path | None,
    typer.Option("--prompts", metavar="FILE", help="TOML file whose texts replace any of the paper's seven prompts."),
]
Data = Annotated[
    str,
    typer.Option(
        "--data", "-d", metavar="DATA", help="A folder with one folder of images per class, or digits-lt[:SEED]."
    ),
]
Width = Annotated[int | None, typer.Option(min=8, help="Width of the drawings, in pixels [the model's own].")]
Height = Annotated[int | None, typer.Option(min=8, help="Height of the drawings, in pixels [the model's own].")]
Steps = Annotated[int | None, typer.Option(min=1, help="Denoising steps [the model's own].")]
Guidance = Annotated[float | None, typer.Option(min=0, help="Classifier-free guidance [the model's own].")]
Negative = Annotated[str, typer.Option(help="What the drawings should not show.")]
Seed = Annotated[int, typer.Option(min=0, help="Another seed gives other drawings of the same descriptions.")]
Batch = Annotated[int, typer.Option(min=1, help="Pictures drawn or scored at once.")]
