"""The commands of the pipeline. Each turns its flags into a plan and runs it on its streams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ltgc_cli import console
from ltgc_cli.cli import app
from ltgc_cli.cli import options as o
from ltgc_cli.errors import InputError
from ltgc_cli.learn.settings import Settings
from ltgc_cli.stages.settings import THRESHOLDS, Judging, Mode, NeverPass, Scale, Style

if TYPE_CHECKING:
    from ltgc_cli.cli.runner import Plan, Streams
    from ltgc_cli.cli.session import Session

_DEFAULTS = Settings()
_JUDGING = Judging()


@app.command()
def describe(
    data: Annotated[
        str | None,
        typer.Option(
            "--data", "-d", metavar="DATA", help="A folder with one folder of images per class, or digits-lt[:SEED]."
        ),
    ] = None,
    tail: Annotated[
        str,
        typer.Option(help="Classes with fewer training images than this are tail classes (our default); or: few (20)."),
    ] = "100",
    lmm: o.Lmm = "embedded",
    prompts: o.PromptsFile = None,
    concurrency: o.Concurrency = 16,
    api_base: o.ApiBase = None,
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
    record: o.RecordTo = None,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Describe the original images of the tail classes, with a vision-language model (Prompt 1).

    \b
    ltgc describe --data digits-lt
    ltgc describe --data birds/ --tail few --lmm gpt-4o -o described.jsonl
    """
    from ltgc_cli.cli import plans

    session = _session(cache_dir, record, quiet)
    plan = plans.describing(
        session, data=data, tail=tail, lmm=lmm, prompts=_prompts(prompts), workers=concurrency, api_base=api_base
    )
    _finish(plan, _streams(input, output, json, own=bool(data)), session)


@app.command()
def extend(
    class_: Annotated[
        list[str] | None,
        typer.Option(
            "--class", "-c", metavar="NAME", help="Extend a class that is only named; stdin is not read. Repeatable."
        ),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="New descriptions asked for per class.")] = 20,
    llm: o.Llm = "embedded",
    prompts: o.PromptsFile = None,
    concurrency: o.Concurrency = 16,
    api_base: o.ApiBase = None,
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
    record: o.RecordTo = None,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """List what the images of a class do not show, with a language model (Prompt 2).

    \b
    ltgc extend --class "Trogon rufus"
    ltgc extend --class "Trogon rufus" --class crane -n 20 | jq -r .text
    ltgc extend -i described.jsonl -o extended.jsonl --llm gpt-4o
    """
    from ltgc_cli.cli import plans

    session = _session(cache_dir, record, quiet)
    plan = plans.extending(
        session,
        names=class_ or [],
        llm=llm,
        want=n,
        prompts=_prompts(prompts),
        workers=concurrency,
        api_base=api_base,
    )
    _finish(plan, _streams(input, output, json, own=bool(class_)), session)


@app.command()
def reflect(
    k: Annotated[
        int,
        typer.Option(
            "-k",
            min=1,
            help="Descriptions per tail class, K_y. The paper: 100 iNaturalist, 300 ImageNet-LT, 800 Places-LT.",
        ),
    ] = 100,
    rounds: Annotated[
        int, typer.Option(min=1, help="Give a class up after so many rounds that add nothing (ours).")
    ] = 3,
    near: Annotated[
        float,
        typer.Option(min=0, max=1, help="Jaccard similarity of words from which a description repeats another (ours)."),
    ] = 0.8,
    llm: o.Llm = "embedded",
    prompts: o.PromptsFile = None,
    concurrency: o.Concurrency = 16,
    api_base: o.ApiBase = None,
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
    record: o.RecordTo = None,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Drop repeated descriptions and ask again until each tail class has K_y of them (Prompt 3).

    \b
    ltgc reflect -k 300 -i extended.jsonl -o reflected.jsonl
    """
    from ltgc_cli.cli import plans

    session = _session(cache_dir, record, quiet)
    plan = plans.reflecting(
        session,
        llm=llm,
        k=k,
        rounds=rounds,
        near=near,
        prompts=_prompts(prompts),
        workers=concurrency,
        api_base=api_base,
    )
    _finish(plan, _streams(input, output, json), session)


@app.command()
def render(
    t2i: o.T2i = "embedded",
    width: o.Width = None,
    height: o.Height = None,
    steps: o.Steps = None,
    guidance: o.Guidance = None,
    negative: o.Negative = "",
    seed: o.Seed = 0,
    batch: o.Batch = 32,
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
    record: o.RecordTo = None,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Draw one image per description, with a text-to-image model.

    \b
    ltgc render -i reflected.jsonl -o rendered.jsonl --t2i stabilityai/sdxl-turbo
    """
    from ltgc_cli.cli import plans

    session = _session(cache_dir, record, quiet)
    style = Style(width=width, height=height, steps=steps, guidance=guidance, negative=negative, seed=seed)
    _finish(plans.rendering(session, t2i=t2i, style=style, batch=batch), _streams(input, output, json), session)


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
    clip: o.Clip = "embedded",
    llm: o.Llm = "embedded",
    t2i: o.T2i = "embedded",
    width: o.Width = None,
    height: o.Height = None,
    steps: o.Steps = None,
    guidance: o.Guidance = None,
    negative: o.Negative = "",
    seed: o.Seed = 0,
    prompts: o.PromptsFile = None,
    concurrency: o.Concurrency = 16,
    batch: o.Batch = 32,
    api_base: o.ApiBase = None,
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
    record: o.RecordTo = None,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Reject drawings that do not look like their class, have them rewritten and redrawn (Prompts 4 and 5).

    \b
    ltgc filter -i rendered.jsonl -o filtered.jsonl
    ltgc filter --scale cosine --threshold 0.25 --mode exclude -i rendered.jsonl | jq -c 'select(.kind=="rejected")'
    """
    from ltgc_cli.cli import plans

    session = _session(cache_dir, record, quiet)
    bar = THRESHOLDS[scale] if threshold is None else threshold
    if scale == "calibrated" and not 0 <= bar <= 100:
        raise InputError(f"--threshold {bar}: on the calibrated scale it is a percentile, from 0 to 100")
    plan = plans.filtering(
        session,
        llm=llm,
        t2i=t2i,
        clip=clip,
        settings=Judging(scale=scale, threshold=bar, mode=mode, rounds=rounds, never_pass=never_pass),
        style=Style(width=width, height=height, steps=steps, guidance=guidance, negative=negative, seed=seed),
        prompts=_prompts(prompts),
        workers=concurrency,
        batch=batch,
        api_base=api_base,
    )
    _finish(plan, _streams(input, output, json), session)


@app.command()
def mix_train(
    data: o.Data,
    mix: Annotated[
        Literal["balancemix", "mixup", "none"],
        typer.Option(
            help="balancemix: a class-balanced original with a generated image; mixup: any two; none (Table 5)."
        ),
    ] = _DEFAULTS.mix,
    sampler: Annotated[
        Literal["instance", "balanced"], typer.Option(help="How images are sampled under mixup and none.")
    ] = _DEFAULTS.sampler,
    mix_alpha: Annotated[
        float, typer.Option(help="λ ~ Beta(alpha, alpha), one per pair (ours).")
    ] = _DEFAULTS.mix_alpha,
    loss: Annotated[
        Literal["ce", "la", "balanced-softmax"],
        typer.Option(help="Cross-entropy on soft labels, logit adjustment, or balanced softmax."),
    ] = "ce",
    tau: Annotated[float, typer.Option(help="Strength of the logit adjustment.")] = _DEFAULTS.tau,
    generated: Annotated[
        bool, typer.Option(help="Train on the generated images of the stream; without them it is a plain fine-tune.")
    ] = True,
    epochs: Annotated[
        float, typer.Option(help="Passes over the images, original and generated (ours).")
    ] = _DEFAULTS.epochs,
    steps: Annotated[int, typer.Option(help="Steps, in place of epochs.")] = _DEFAULTS.steps,
    batch: Annotated[int, typer.Option(help="Images a step.")] = _DEFAULTS.batch,
    lr: Annotated[float, typer.Option(help="Learning rate of AdamW, with a cosine decay (ours).")] = _DEFAULTS.lr,
    rank: Annotated[int, typer.Option(help="Rank of LoRA (ours).")] = _DEFAULTS.rank,
    lora_alpha: Annotated[
        float, typer.Option(help="LoRA's update is scaled by lora-alpha / rank (ours).")
    ] = _DEFAULTS.lora_alpha,
    dropout: Annotated[float, typer.Option(help="Dropout before LoRA.")] = _DEFAULTS.dropout,
    flip: Annotated[
        bool, typer.Option("--flip", help="Mirror half of the images; never for writing.")
    ] = _DEFAULTS.flip,
    seed: Annotated[int, typer.Option(help="Seed of the batches, λ and crops.")] = _DEFAULTS.seed,
    name: Annotated[str, typer.Option(help="What tables call this run [named after its settings].")] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Copy the checkpoint to DIR, with one merged open_clip file.")
    ] = None,
    clip: o.Clip = "embedded",
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Fine-tune CLIP's vision encoder with LoRA on mixes of original and generated images (BalanceMix).

    \b
    ltgc mix-train --data birds/ -i filtered.jsonl -o trained.jsonl
    ltgc mix-train --data birds/ --no-generated --loss la          # the baseline: fine-tuning, logit adjustment
    """
    from ltgc_cli.cli import plans

    session = _session(cache_dir, None, quiet)
    settings = Settings(
        mix=mix,
        sampler=sampler,
        mix_alpha=mix_alpha,
        loss=loss,
        tau=tau,
        epochs=epochs,
        steps=steps,
        batch=batch,
        lr=lr,
        rank=rank,
        lora_alpha=lora_alpha,
        dropout=dropout,
        flip=flip,
        seed=seed,
    )
    alone = not generated and not input and _nothing_piped()
    plan = plans.training(session, data=data, clip=clip, settings=settings, generated=generated, name=name, alone=alone)
    _finish(plan, _streams(input, output, json, own=alone), session, out, clip)


@app.command("eval")
def eval_(
    data: o.Data,
    split: Annotated[Literal["test", "val"], typer.Option(help="Which part of a data set that has several.")] = "test",
    zero_shot: Annotated[bool, typer.Option("--zero-shot", help="Measure CLIP itself, untrained, too.")] = False,
    clip: o.Clip = "embedded",
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Measure accuracy over many-, medium- and few-shot classes on a balanced test set.

    \b
    ltgc eval --data birds-test/ -i trained.jsonl
    ltgc eval --data digits-lt --zero-shot
    """
    from ltgc_cli.cli import plans

    session = _session(cache_dir, None, quiet)
    alone = zero_shot and not input and _nothing_piped()
    plan = plans.evaluating(session, data=data, split=split, clip=clip, zero_shot=zero_shot, alone=alone)
    _finish(plan, _streams(input, output, json, own=alone), session)


def _session(cache_dir: Path | None, record: Path | None, quiet: bool) -> Session:
    from ltgc_cli.cli.session import Session, default_folder

    console.configure(quiet=quiet)
    return Session(cache_dir or default_folder(), record)


def _streams(input: Path | None, output: Path | None, json: bool, *, own: bool = False) -> Streams:
    """Returns where lines come from and go to. `own`: the command makes its first records itself."""
    from ltgc_cli.cli.runner import Streams

    if own and input:
        raise InputError("give either -i FILE or the flag that names the classes or the data, not both")
    return Streams(input, output, json)


def _prompts(path: Path | None):  # type: ignore[no-untyped-def]  # prompts imports msgspec; loaded when asked
    from ltgc_cli import prompts

    return prompts.load(path)


def _nothing_piped() -> bool:
    import sys

    return sys.stdin.isatty()


def _finish(plan: Plan, streams: Streams, session: Session, out: Path | None = None, clip: str = "embedded") -> None:
    """Runs the plan, shows a table where a person reads, and ends with the run's exit status."""
    from ltgc_cli.cli import runner, view

    result = runner.execute(plan, streams, session)
    if console.is_terminal() and not streams.output and not streams.json:
        view.show(result.artifact, plan.stage)
        console.notice(f"{plan.stage}: all of it is in {result.artifact}")
    if out:
        from ltgc_cli.cli.training import export

        export(session, result.artifact, out, clip)
    if code := result.done.exit_code:
        raise typer.Exit(code)
