"""The command that measures: eval."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ltgc_cli.cli import app
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o


@app.command("eval")
def eval_(
    data: o.Data,
    root: o.Root = None,
    classes: o.Classes = None,
    split: Annotated[Literal["test", "val"], typer.Option(help="Which part of a data set that has several.")] = "test",
    zero_shot: Annotated[bool, typer.Option("--zero-shot", help="Measure CLIP itself, untrained, too.")] = False,
    tte: Annotated[
        bool, typer.Option("--tte", help="Test-time ensembling, as LIFT does it: the mean logits of five crops.")
    ] = False,
    posthoc: Annotated[
        bool,
        typer.Option(
            "--posthoc",
            help="Measure each checkpoint once more with its logits adjusted by τ·log(prior), τ chosen on validation.",
        ),
    ] = False,
    val: Annotated[
        str | None, typer.Option(metavar="DATA", help="Validation images for --posthoc [those of --data].")
    ] = None,
    compare: Annotated[
        Literal["imagenet-lt", "places-lt", "inaturalist-2018"] | None,
        typer.Option(help="Set the published numbers of a benchmark beside these."),
    ] = None,
    # Not named as the flag: `lmm` at the top of ltgc.toml is describe's model, and nobody pays here unasked.
    direct: Annotated[
        str | None,
        typer.Option(
            "--lmm",
            metavar="MODEL",
            help="Ask a vision-language model which class each test image shows (Table 3): any litellm model, "
            "replay:FILE, or embedded. All names are listed where they fit (40,000 characters: ImageNet's do); "
            "of more classes the name is asked for openly. Names and synonyms count however they are written.",
        ),
    ] = None,
    image_size: o.ImageSize = 512,
    dry_run: o.DryRun = False,
    max_cost: o.MaxCost = None,
    price: o.Price = None,
    concurrency: o.Concurrency = 16,
    api_base: o.ApiBase = None,
    clip: o.Clip = "embedded",
    device: o.Device = None,
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> f.Ran:
    """Measure accuracy over many-, medium- and few-shot classes on a balanced test set.

    Reads a test set (--data), and checkpoint records. Writes metric records; on a terminal a table. Asks nobody, but
    with --lmm one question per test image.

    Many, medium and few go by real training images. Besides: means over classes, the worst class, macro-F1,
    calibration, confusions; 95% intervals by a bootstrap over test images, within each class. Checkpoints that differ
    by their seed alone are summed up as well: mean and standard deviation. Streams may follow one another.

    \b
    ltgc eval --data birds-test/ -i trained.jsonl
    cat trained.jsonl baseline.jsonl | ltgc eval --data birds-test/          # two runs beside each other
    ltgc eval --data digits-lt --zero-shot
    ltgc eval --data birds-test/ --lmm gpt-4o --dry-run                      # what asking directly would cost
    """
    from ltgc_cli.pipeline.evaluation.methods import DirectModel
    from ltgc_cli.pipeline.evaluation.stage import evaluating

    session = f.session(cache_dir, None, quiet, f.limits(dry_run, max_cost, None, price))
    alone = bool(zero_shot or direct) and not input and f.nothing_piped()
    plan = evaluating(
        session,
        data=f.source(data, root, classes),
        split=split,
        clip=clip,
        zero_shot=zero_shot,
        alone=alone,
        val=f.source(val, root, classes) if val else None,
        tte=tte,
        posthoc=posthoc,
        compare=compare,
        direct=DirectModel(direct, f.asking(concurrency, api_base, 600.0, None, image_size)) if direct else None,
        device=device,
    )
    return f.finish(plan, f.streams(input, output, json, own=alone), session)
