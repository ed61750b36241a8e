"""The command that trains: mix-train. Every field of learn.settings.Settings is a flag, in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ltgc_cli import console
from ltgc_cli.cli import app
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o
from ltgc_cli.errors import InputError
from ltgc_cli.learn import processes
from ltgc_cli.learn.settings import (
    Head,
    HeadInit,
    LossName,
    Mix,
    Optimizer,
    Sampler,
    Settings,
    Tune,
    Where,
    can_merge,
    without_effect,
)

_DEFAULTS = Settings()


def _flag(help: str, metavar: str | None = None) -> typer.models.OptionInfo:
    found: typer.models.OptionInfo = typer.Option(help=help, metavar=metavar)
    return found


@app.command()
def mix_train(
    data: o.Data,
    root: o.Root = None,
    classes: o.Classes = None,
    val: Annotated[
        str | None, typer.Option(metavar="DATA", help="Validation images, for --val-every [the data's own split].")
    ] = None,
    generated: Annotated[
        bool, typer.Option(help="Train on the generated images of the stream; without them it is a plain fine-tune.")
    ] = True,
    verdicts: o.VerdictsFile = None,
    # ---- the stream
    mix: Annotated[
        Mix | None,
        _flag("balancemix: a class-balanced original with a generated image; mixup, cutmix: any two; none (Table 5)."),
    ] = _DEFAULTS.mix,
    sampler: Annotated[
        Sampler | None,
        _flag("How classes are drawn: by their images, evenly, or by the square root [balanced under balancemix]."),
    ] = _DEFAULTS.sampler,
    mix_alpha: Annotated[float, _flag("λ ~ Beta(alpha, alpha), one per pair (ours).")] = _DEFAULTS.mix_alpha,
    mix_prob: Annotated[float, _flag("Chance that an image is mixed with another at all (ours).")] = _DEFAULTS.mix_prob,
    syn_prob: Annotated[
        float | None, _flag("Chance that an image is a generated one, but under balancemix [by their numbers] (ours).")
    ] = _DEFAULTS.syn_prob,
    # ---- the loss
    loss: Annotated[
        LossName,
        _flag("Cross-entropy, logit adjustment, balanced softmax, LDAM, focal or LADE, on soft labels (ours)."),
    ] = _DEFAULTS.loss,
    tau: Annotated[float, _flag("Strength of the logit adjustment.")] = _DEFAULTS.tau,
    gamma: Annotated[float, _flag("Focusing of the focal loss.")] = _DEFAULTS.gamma,
    margin: Annotated[float, _flag("Largest margin of LDAM.")] = _DEFAULTS.margin,
    lade_weight: Annotated[float, _flag("Weight of LADE's regulariser.")] = _DEFAULTS.lade_weight,
    # ---- the classifier
    head: Annotated[Head, _flag("Kind of the head (ours).")] = _DEFAULTS.head,
    head_init: Annotated[
        HeadInit,
        _flag("What the head starts from: text features of names or descriptions, class means, random (ours)."),
    ] = _DEFAULTS.head_init,
    scale: Annotated[float, _flag("What the cosine head multiplies cosines with (ours).")] = _DEFAULTS.scale,
    tune: Annotated[Tune, _flag("What is tuned of the vision encoder.")] = _DEFAULTS.tune,
    tune_blocks: Annotated[int, _flag("Tune the last so many blocks alone; 0: all (ours).")] = _DEFAULTS.tune_blocks,
    lora_on: Annotated[Where, _flag("What of a block LoRA adapts (ours).")] = _DEFAULTS.lora_on,
    rank: Annotated[
        int, _flag("Rank of LoRA, or width of AdaptFormer; 0: by the number of classes (ours).")
    ] = _DEFAULTS.rank,
    lora_alpha: Annotated[float, _flag("LoRA's update is scaled by lora-alpha / rank (ours).")] = _DEFAULTS.lora_alpha,
    dropout: Annotated[float, _flag("Dropout before LoRA, or inside AdaptFormer (ours).")] = _DEFAULTS.dropout,
    # ---- the loop
    epochs: Annotated[float, _flag("Passes over the images, original and generated (ours).")] = _DEFAULTS.epochs,
    min_steps: Annotated[int, _flag("Steps at the least, for small data (ours).")] = _DEFAULTS.min_steps,
    steps: Annotated[int, _flag("Steps, in place of epochs; 0: by epochs.")] = _DEFAULTS.steps,
    batch: Annotated[int, _flag("Images a step, of all processes together (ours).")] = _DEFAULTS.batch,
    accumulate: Annotated[
        int, _flag("Parts that a batch is cut into so that it fits the memory; trains the same.")
    ] = _DEFAULTS.accumulate,
    optimizer: Annotated[Optimizer, _flag("Optimiser (ours).")] = _DEFAULTS.optimizer,
    lr: Annotated[float, _flag("Learning rate: it rises, then falls as a cosine to 0 (ours).")] = _DEFAULTS.lr,
    warmup: Annotated[float, _flag("Share of the steps in which it rises (ours).")] = _DEFAULTS.warmup,
    weight_decay: Annotated[float, _flag("Weight decay of what is tuned (ours).")] = _DEFAULTS.weight_decay,
    momentum: Annotated[float, _flag("Momentum of SGD.")] = _DEFAULTS.momentum,
    clip_norm: Annotated[float, _flag("Largest norm of a gradient (ours).")] = _DEFAULTS.clip_norm,
    ema: Annotated[
        float, _flag("Keep a moving average of the weights with this decay, such as 0.99; 0: the weights (ours).")
    ] = _DEFAULTS.ema,
    val_every: Annotated[
        int, _flag("Keep the weights that do best on the validation images, looked at every so many steps.")
    ] = _DEFAULTS.val_every,
    # ---- the images
    crop: Annotated[float, _flag("Smallest share of an image that a crop keeps; 1: no crop (ours).")] = _DEFAULTS.crop,
    rotate: Annotated[float, _flag("Largest turn of an image, in degrees (ours).")] = _DEFAULTS.rotate,
    flip: Annotated[
        bool, typer.Option("--flip", help="Mirror half of the images; never for writing.")
    ] = _DEFAULTS.flip,
    fixed_crops: Annotated[
        int, _flag("So many crops of an image, whose features are kept: fast where few blocks are tuned; 0: new ones.")
    ] = _DEFAULTS.fixed_crops,
    seed: Annotated[int, _flag("Seed of batches, λ, crops, dropout and new weights.")] = _DEFAULTS.seed,
    # ---- the run
    name: Annotated[str, typer.Option(help="What tables call this run [named after its settings].")] = "",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Copy the checkpoint to DIR.")] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Write one file too that plain open_clip loads as a whole model.")
    ] = False,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        typer.Option(help="Precision of the computing, over float32 weights [bfloat16 on a GPU that has it]."),
    ] = "auto",
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the model: slow to begin, faster over many steps.")
    ] = False,
    log: Annotated[
        Literal["tensorboard", "wandb"] | None,
        typer.Option(help="Write the training curve there too; wandb stays offline unless WANDB_MODE says otherwise."),
    ] = None,
    device: o.Device = None,
    clip: o.Clip = "embedded",
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> f.Ran:
    """Fine-tune CLIP's vision encoder on mixes of original and generated images (BalanceMix).

    Reads the original images (--data), and class, description and generated image records. Writes a checkpoint
    record; the weights lie in the store, and in --out. Asks nobody. A run that was stopped goes on where it was.

    \b
    ltgc mix-train --data birds/ -i filtered.jsonl -o trained.jsonl
    ltgc mix-train --data birds/ --no-generated --loss la          # the baseline: fine-tuning, logit adjustment
    accelerate launch -m ltgc_cli mix-train --data birds/ -i filtered.jsonl      # on several GPUs; torchrun does too
    """
    given = locals()
    from ltgc_cli.pipeline.training.inputs import Runtime
    from ltgc_cli.pipeline.training.stage import training

    settings = Settings(**{field: given[field] for field in Settings.__struct_fields__})
    if merge and (reason := can_merge(settings)):
        raise InputError(f"--merge: {reason}")
    if out and out.exists() and not processes.rank():  # to the others it may be there because the first is done
        raise InputError(f"{out} is there already; name a new folder for --out")
    alone = not generated and not input and (processes.count() > 1 or f.nothing_piped())
    if processes.count() > 1:
        _check_processes(settings, input, alone)
    session = f.session(cache_dir, None, quiet or processes.rank() > 0)
    plan = training(
        session,
        data=f.source(data, root, classes),
        clip=clip,
        settings=settings,
        generated=generated,
        name=name,
        alone=alone,
        val=f.source(val, root, classes) if val else None,
        verdicts=f.verdicts(verdicts),
        runtime=Runtime(device, precision, compile, log),
    )

    for idle in without_effect(settings):
        console.notice(f"mix-train: {idle}")

    def finished(artifact: Path) -> None:
        from ltgc_cli.pipeline.training.fit import export

        export(session, artifact, out, clip, merge)

    return f.finish(plan, f.streams(input, output, json, own=alone), session, finished if out or merge else None)


def _check_processes(settings: Settings, input: Path | None, alone: bool) -> None:
    """Raises InputError for what several processes cannot share."""
    if not alone and not (input and input.is_file()):
        raise InputError(
            f"{processes.count()} processes cannot share one stdin; give the stream as -i FILE (or --no-generated)"
        )
    processes.check(settings.batch, settings.accumulate)
