"""The command that trains: mix-train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ltgc_cli.cli import app
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o
from ltgc_cli.learn.settings import LossName, Mix, Sampler, Settings

_DEFAULTS = Settings()


@app.command()
def mix_train(
    data: o.Data,
    root: o.Root = None,
    classes: o.Classes = None,
    mix: Annotated[
        Mix | None,
        typer.Option(
            help="balancemix: a class-balanced original with a generated image; mixup: any two; none (Table 5)."
        ),
    ] = _DEFAULTS.mix,
    sampler: Annotated[
        Sampler | None, typer.Option(help="How images are sampled under mixup and none.")
    ] = _DEFAULTS.sampler,
    mix_alpha: Annotated[
        float, typer.Option(help="λ ~ Beta(alpha, alpha), one per pair (ours).")
    ] = _DEFAULTS.mix_alpha,
    loss: Annotated[
        LossName,
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
    from ltgc_cli.cli.training_plan import training

    session = f.session(cache_dir, None, quiet)
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
    alone = not generated and not input and f.nothing_piped()
    plan = training(
        session,
        data=f.source(data, root, classes),
        clip=clip,
        settings=settings,
        generated=generated,
        name=name,
        alone=alone,
    )
    f.finish(plan, f.streams(input, output, json, own=alone), session, out, clip)
