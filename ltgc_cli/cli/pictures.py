"""The commands that draw and judge pictures: render, filter."""

from __future__ import annotations

from typing import Annotated

import typer

from ltgc_cli import console
from ltgc_cli.cli import app
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o
from ltgc_cli.errors import InputError
from ltgc_cli.stages.settings import HIGHEST, THRESHOLDS, Judging, Mode, NeverPass, Scale

_JUDGING = Judging()


@app.command()
def render(
    t2i: o.T2i = "embedded",
    plain: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help='Draw besides N images of each tail class from the bare "A photo of the class [y]", to look at beside '
            "the others; nothing else uses them.",
        ),
    ] = 0,
    width: o.Width = None,
    height: o.Height = None,
    steps: o.Steps = None,
    guidance: o.Guidance = None,
    negative: o.Negative = "",
    seed: o.Seed = 0,
    scheduler: o.Scheduler = None,
    from_original: o.FromOriginal = None,
    lora: o.Lora = None,
    format: o.Format = "png",
    device: o.Device = None,
    dtype: o.Dtype = None,
    compile: o.Compile = False,
    attention_slicing: o.Slicing = False,
    batch: o.Batch = 32,
    dry_run: o.DryRunDrawing = False,
    max_cost: o.MaxCost = None,
    max_calls: o.MaxCalls = None,
    price: o.Price = None,
    t2i_api_base: o.T2iApiBase = None,
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
    record: o.RecordTo = None,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> f.Ran:
    """Draw one image per description, with a text-to-image model.

    Reads description records. Writes an image record for each; the pictures themselves lie in the store. Models that
    diffusers loads draw on this machine and cost time; an image API (litellm:MODEL) costs money by the picture.

    What the stream has an image of already, accepted or rejected, is not drawn again.

    \b
    ltgc render -i reflected.jsonl -o rendered.jsonl --t2i stabilityai/sdxl-turbo
    ltgc render -i reflected.jsonl --t2i stabilityai/sd-turbo --dry-run    # how long it will take
    ltgc render -i reflected.jsonl -o rendered.jsonl --t2i litellm:gpt-image-1 --max-cost 20
    ltgc render -i filtered.jsonl --plain 4 -o shown.jsonl     # what the bare template gives, for the report
    """
    from ltgc_cli.pipeline import generate as plans

    session = f.session(cache_dir, record, quiet, f.limits(dry_run, max_cost, max_calls, price))
    style = f.style(width, height, steps, guidance, negative, seed, scheduler, from_original, format)
    options = f.drawing(lora, device, dtype, compile, attention_slicing, t2i_api_base)
    plan = plans.rendering(session, t2i=t2i, style=style, batch=batch, plain=plain, **options)
    return f.finish(plan, f.streams(input, output, json), session)


@app.command("filter")
def filter_(
    scale: Annotated[
        Scale,
        typer.Option(
            help="Scale of the score (ours: calibrated, the bar is what the class's original images reach; "
            "paper: cosine + 0.5; clipscore: 2.5 max(cosine, 0))."
        ),
    ] = "calibrated",
    threshold: Annotated[
        float | None,
        typer.Option(
            help="The bar μ on the scale; for calibrated the percentile of the originals [10; 0.3; 0.8; 0.75]."
        ),
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(help="refine: rewrite and redraw what fails; exclude: drop it; score: keep everything (Table 4)."),
    ] = "refine",
    rounds: Annotated[
        int, typer.Option(min=1, help="Drawings per description, the first one included.")
    ] = _JUDGING.rounds,
    never_pass: Annotated[
        NeverPass, typer.Option(help="What becomes of a description that no drawing passes for.")
    ] = "reject",
    margin: Annotated[
        float | None,
        typer.Option(
            help="Reject also what is not this much (raw cosine) closer to its own class than to any other (ours)."
        ),
    ] = None,
    verdicts: o.VerdictsFile = None,
    preview: Annotated[
        bool,
        typer.Option(
            "--preview", help="Show scores, real against drawn, and what each bar would pass; redraw nothing."
        ),
    ] = False,
    clip: o.Clip = "embedded",
    llm: o.Llm = "embedded",
    t2i: o.T2i = "embedded",
    width: o.Width = None,
    height: o.Height = None,
    steps: o.Steps = None,
    guidance: o.Guidance = None,
    negative: o.Negative = "",
    seed: o.Seed = 0,
    scheduler: o.Scheduler = None,
    from_original: o.FromOriginal = None,
    lora: o.Lora = None,
    format: o.Format = "png",
    device: o.Device = None,
    dtype: o.Dtype = None,
    compile: o.Compile = False,
    attention_slicing: o.Slicing = False,
    prompts: o.PromptsFile = None,
    batch: o.Batch = 32,
    dry_run: o.DryRunDrawing = False,
    max_cost: o.MaxCost = None,
    max_calls: o.MaxCalls = None,
    price: o.Price = None,
    concurrency: o.Concurrency = 16,
    max_tokens: o.MaxTokens = None,
    time_limit: o.TimeLimit = 600.0,
    api_base: o.ApiBase = None,
    t2i_api_base: o.T2iApiBase = None,
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
    record: o.RecordTo = None,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> f.Ran:
    """Reject drawings that do not look like their class, have them rewritten and redrawn (Prompts 4 and 5).

    Reads image and description records. Writes each drawing with its score and history, or a rejected record with the
    reason; and a template record per class. Asks one question per class for its most distinctive features, then one
    for each drawing that fails and is redrawn. CLIP runs on this machine.

    \b
    ltgc filter -i rendered.jsonl -o filtered.jsonl
    ltgc filter -i rendered.jsonl --preview                                # what each bar would pass
    ltgc filter -i rendered.jsonl -o filtered.jsonl --verdicts verdicts.jsonl     # after ltgc review
    ltgc filter --scale cosine --threshold 0.25 --mode exclude -i rendered.jsonl | jq -c 'select(.kind=="rejected")'
    """
    from ltgc_cli.pipeline import generate as plans

    session = f.session(cache_dir, record, quiet, f.limits(dry_run, max_cost, max_calls, price))
    bar = THRESHOLDS[scale] if threshold is None else threshold
    if scale == "calibrated" and not 0 <= bar <= 100:
        raise InputError(f"--threshold {bar}: on the calibrated scale it is a percentile, from 0 to 100")
    if scale != "calibrated" and bar > HIGHEST[scale]:
        raise InputError(f"--threshold {bar:g}: no score on the {scale} scale is above {HIGHEST[scale]:g}")
    if threshold is not None and scale == "calibrated" and 0 < bar < 1:
        console.notice(
            f"filter: --threshold {bar:g} is a percentile of the originals' scores here; "
            "for a bar on the raw cosine add --scale cosine"
        )
    judging = Judging(scale=scale, threshold=bar, mode=mode, rounds=rounds, never_pass=never_pass, margin=margin)
    asking = f.asking(concurrency, api_base, time_limit, max_tokens)
    if preview:
        from ltgc_cli.pipeline import preview as previewing

        if dry_run or output:
            raise InputError("--preview shows what filter would do; it goes with neither --dry-run nor -o")
        if verdicts:
            console.notice("filter: --preview shows what the scores say; --verdicts is left out")
        previewing.show(
            session,
            f.streams(input, None, json),
            llm=llm,
            clip=clip,
            settings=judging,
            prompts=f.prompts(prompts),
            asking=asking,
            batch=batch,
            device=device,
        )
        return f.Ran(None)
    plan = plans.filtering(
        session,
        llm=llm,
        t2i=t2i,
        clip=clip,
        settings=judging,
        style=f.style(width, height, steps, guidance, negative, seed, scheduler, from_original, format),
        prompts=f.prompts(prompts),
        asking=asking,
        batch=batch,
        verdicts=f.verdicts(verdicts),
        **f.drawing(lora, device, dtype, compile, attention_slicing, t2i_api_base),
    )
    return f.finish(plan, f.streams(input, output, json), session)
