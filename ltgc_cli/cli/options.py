"""The flags that several commands share, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ltgc_cli.ports import ImageFormat

# What flags stand under in --help.
DATA = "The data"
MODEL = "The model"
DRAWINGS = "The drawings"
COST = "The cost"
STREAMS = "Input and output"

Input = Annotated[
    Path | None,
    typer.Option(
        "--input",
        "-i",
        metavar="FILE",
        help="Read records from FILE instead of stdin.",
        exists=True,
        rich_help_panel=STREAMS,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write records to FILE, which appears when it is complete.",
        rich_help_panel=STREAMS,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Write JSON lines on a terminal too, not a table.", rich_help_panel=STREAMS)
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but errors.", rich_help_panel=STREAMS)
]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir",
        envvar="LTGC_CACHE_DIR",
        metavar="DIR",
        help="Where answers and images are kept [~/.ltgc].",
        rich_help_panel=STREAMS,
    ),
]
RecordTo = Annotated[
    Path | None,
    typer.Option(
        "--record",
        metavar="FILE",
        help="Add every answer to FILE, for `replay:FILE` to give again.",
        rich_help_panel=STREAMS,
    ),
]
Llm = Annotated[
    str,
    typer.Option(
        envvar="LTGC_LLM",
        metavar="MODEL",
        help="Language model: any litellm model (gpt-4o, ollama/llama3.1), replay:FILE, or embedded.",
        rich_help_panel=MODEL,
    ),
]


def _lmm(*names: str) -> Any:
    return typer.Option(
        *names,
        envvar="LTGC_LMM",
        metavar="MODEL",
        help="Vision-language model: any litellm model, replay:FILE, or embedded.",
        rich_help_panel=MODEL,
    )


Lmm = Annotated[str, _lmm("--lmm")]
LmmAlone = Annotated[str, _lmm("--lmm", "--llm")]
"""Of a command that asks no other language model."""
T2i = Annotated[
    str,
    typer.Option(
        envvar="LTGC_T2I",
        metavar="MODEL",
        help="Text-to-image model: a diffusers id or folder, litellm:MODEL for an image API, blank (for tests), "
        "replay:FILE, or embedded.",
        rich_help_panel=MODEL,
    ),
]
Clip = Annotated[
    str,
    typer.Option(
        envvar="LTGC_CLIP",
        metavar="MODEL",
        help="CLIP: an open_clip MODEL/PRETRAINED, hf-hub:ID, local-dir:PATH, or embedded.",
        rich_help_panel=MODEL,
    ),
]
ApiBase = Annotated[
    str | None,
    typer.Option(
        envvar="LTGC_API_BASE",
        metavar="URL",
        help="Address of an OpenAI-compatible server (vLLM, …).",
        rich_help_panel=MODEL,
    ),
]
T2iApiBase = Annotated[
    str | None,
    typer.Option(
        "--t2i-api-base",
        envvar="LTGC_T2I_API_BASE",
        metavar="URL",
        help="Address of the server that an image API (litellm:MODEL) is reached at [the provider's own].",
        rich_help_panel=MODEL,
    ),
]
Concurrency = Annotated[
    int,
    typer.Option(envvar="LTGC_CONCURRENCY", min=1, max=1024, help="Questions asked at once.", rich_help_panel=MODEL),
]
PromptsFile = Annotated[
    Path | None,
    typer.Option(
        "--prompts",
        metavar="FILE",
        help="TOML file whose texts replace any of the prompts: the paper's seven, and `sense`.",
        rich_help_panel=MODEL,
    ),
]
TimeLimit = Annotated[
    float,
    typer.Option(
        "--time-limit",
        min=1,
        metavar="SECONDS",
        help="What one question may take, all tries together.",
        rich_help_panel=MODEL,
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(min=16, help="Longest answer, in tokens; models that reason need more [2048].", rich_help_panel=MODEL),
]
ImageSize = Annotated[
    int,
    typer.Option(
        min=64,
        metavar="PIXELS",
        help="Longest side that images are shown with (ours: one tile for models that charge by tiles).",
        rich_help_panel=MODEL,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Ask nothing and keep nothing; say what would be asked, and what it would cost.",
        rich_help_panel=COST,
    ),
]
DryRunDrawing = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Keep nothing; say what would be drawn and asked, at what cost, and "
        "how long it takes: one batch is drawn for the clock.",
        rich_help_panel=COST,
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        envvar="LTGC_MAX_COST",
        min=0,
        metavar="DOLLARS",
        help="Stop (exit 4) before this run has cost more than that.",
        rich_help_panel=COST,
    ),
]
MaxCalls = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Stop (exit 4) before this run has asked more: questions, and pictures of an image API.",
        rich_help_panel=COST,
    ),
]
Price = Annotated[
    str | None,
    typer.Option(
        metavar="IN,OUT",
        help="Price of a model that litellm does not know: US dollars per million tokens, in and out (or per picture).",
        rich_help_panel=COST,
    ),
]
HalfPrice = Annotated[
    bool,
    typer.Option(
        "--batch", help="Ask through the provider's batch API: half the price, within a day.", rich_help_panel=COST
    ),
]
Senses = Annotated[
    Path | None,
    typer.Option(
        "--senses", metavar="FILE", help='TOML file that says which meaning of a name is meant: seal = "marine mammal".'
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="Where models run: cuda, cuda:1, mps or cpu [the best there is].", rich_help_panel=MODEL),
]
Dtype = Annotated[
    Literal["float32", "float16", "bfloat16"] | None,
    typer.Option(
        help="Precision of the text-to-image model [bfloat16 on a GPU, float32 elsewhere].", rich_help_panel=MODEL
    ),
]
Lora = Annotated[
    str | None,
    typer.Option(
        metavar="LORA", help="LoRA to draw with: a file, a folder or an id of the hub.", rich_help_panel=DRAWINGS
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Scheduler by its name in diffusers (EulerDiscreteScheduler) [the model's own].", rich_help_panel=DRAWINGS
    ),
]
FromOriginal = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        max=1,
        metavar="STRENGTH",
        help="Draw over an original image of the class, changing so much of it.",
        rich_help_panel=DRAWINGS,
    ),
]
Format = Annotated[
    ImageFormat, typer.Option("--format", help="What pictures are written as.", rich_help_panel=DRAWINGS)
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile", help="Compile the model: slow to begin, faster over many pictures.", rich_help_panel=MODEL
    ),
]
Slicing = Annotated[
    bool,
    typer.Option(
        "--attention-slicing", help="Use less GPU memory, and more time, for each picture.", rich_help_panel=MODEL
    ),
]
DATA_HELP = (
    "Images: a folder with one folder per class; a list (.txt: `path label` on each line; .csv, .jsonl: path, label, "
    "and class, split if wanted); iNaturalist's .json; a folder of Hugging Face's save_to_disk; digits-lt[:SEED]."
)
Data = Annotated[
    str,
    typer.Option("--data", "-d", metavar="DATA", help=DATA_HELP, rich_help_panel=DATA),
]
Root = Annotated[
    Path | None,
    typer.Option(
        "--root",
        metavar="DIR",
        help="Where the paths of a list start [its folder].",
        exists=True,
        file_okay=False,
        rich_help_panel=DATA,
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(
        "--classes",
        metavar="FILE",
        help="Class table: CSV or JSONL with label, name, and synonyms and sense if wanted; iNaturalist's "
        "categories.json; or lines of `label name`. It wins over the names in the data.",
        exists=True,
        dir_okay=False,
        rich_help_panel=DATA,
    ),
]
Width = Annotated[
    int | None,
    typer.Option(min=8, help="Width of the drawings, in pixels [the model's own].", rich_help_panel=DRAWINGS),
]
Height = Annotated[
    int | None,
    typer.Option(min=8, help="Height of the drawings, in pixels [the model's own].", rich_help_panel=DRAWINGS),
]
Steps = Annotated[int | None, typer.Option(min=1, help="Denoising steps [the model's own].", rich_help_panel=DRAWINGS)]
Guidance = Annotated[
    float | None, typer.Option(min=0, help="Classifier-free guidance [the model's own].", rich_help_panel=DRAWINGS)
]
Negative = Annotated[str, typer.Option(help="What the drawings should not show.", rich_help_panel=DRAWINGS)]
Seed = Annotated[
    int,
    typer.Option(min=0, help="Another seed gives other drawings of the same descriptions.", rich_help_panel=DRAWINGS),
]
Batch = Annotated[int, typer.Option(min=1, help="Pictures drawn or scored at once.", rich_help_panel=MODEL)]
VerdictsFile = Annotated[
    Path | None,
    typer.Option(
        "--verdicts", metavar="FILE", help="What a person said of drawings (ltgc review): it goes before their scores."
    ),
]
