"""The stages as commands: describe, extend, reflect, adapt, render, filter, mix-train, eval."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ltgc_cli import console
from ltgc_cli.cli.app import app
from ltgc_cli.cli.flags import command
from ltgc_cli.config import Config
from ltgc_cli.settings import Filter, Input, Judging, Output

if TYPE_CHECKING:
    from ltgc_cli.pipeline.stage import Ran


@command(app)
def describe(config: Config) -> Ran:
    """Describe the original images of the tail classes, with a vision-language model (Prompt 1).

    Reads a data set (--data), or the class and image records of a stream. Writes class, image and description
    records. Asks one question per image of a tail class, and one per doubtful name with --disambiguate.

    \b
    ltgc describe --data digits-lt
    ltgc describe --data birds/ --tail few --lmm gpt-4o --dry-run          # what it will cost
    ltgc describe --data birds/ --tail few --lmm gpt-4o -o described.jsonl
    ltgc describe --data ImageNet_LT_train.txt --root imagenet/ --classes classes.csv --tail few -o described.jsonl
    """
    return run(config)


@command(app)
def extend(config: Config) -> Ran:
    """List what the images of a class do not show, with a language model (Prompt 2).

    Reads class and description records, or takes names (--class). Writes more descriptions, and rejected records for
    lines of the answer that are none. Asks one question per tail class, and one more for each further 40 of -n.

    \b
    ltgc extend --class "Trogon rufus"
    ltgc extend --class "Trogon rufus" --class crane -n 20 | jq -r .text
    ltgc extend -i described.jsonl -o extended.jsonl --llm gpt-4o
    """
    return run(config)


@command(app)
def reflect(config: Config) -> Ran:
    """Drop repeated descriptions and ask again until each tail class has K_y of them (Prompt 3).

    Reads class and description records. Writes new descriptions, and rejected records in place of repeats. Asks,
    per tail class, for all that is missing at once, up to 40 descriptions a question, and then which of them repeat
    others, round by round until there are enough.

    \b
    ltgc reflect -k 300 -i extended.jsonl -o reflected.jsonl
    ltgc reflect -k 100 -i extended.jsonl --llm gpt-4o --dry-run           # what it will cost
    ltgc extend --class crane --llm gpt-4o | ltgc reflect -k 50 --llm gpt-4o --max-cost 1
    """
    return run(config)


@command(app)
def adapt(config: Config) -> Ran:
    """Train a LoRA of the text-to-image model on original images, so that it generates in their look.

    Reads class, image and description records, and with --data all training images. Writes the adapter's checkpoint
    record before them, which render and filter take from there. Asks nobody. A run that was stopped goes on where it
    was.

    The classes that have enough images teach the look (--from-classes); what a rare class is stays the model's.

    \b
    ltgc adapt --data birds/ -i reflected.jsonl -o adapted.jsonl --t2i stabilityai/stable-diffusion-xl-base-1.0
    ltgc adapt --data birds/ -i reflected.jsonl --dry-run         # on how many images, and how long it takes
    ltgc adapt --data birds/ --out birds-lora/                    # without a stream: for other programs, too
    """
    return run(config)


@command(app)
def render(config: Config) -> Ran:
    """Generate one image per description, with a text-to-image model.

    Reads description records. Writes an image record for each; the images themselves lie in the store. Models that
    diffusers loads run on this machine and cost time; an image API (litellm:MODEL) costs money by the image.

    What the stream has an image of already, accepted or rejected, is not generated again. The adapter that ltgc adapt
    left in the stream is used as if it were given by --lora.

    \b
    ltgc render -i reflected.jsonl -o rendered.jsonl --t2i stabilityai/sdxl-turbo
    ltgc render -i reflected.jsonl --t2i stabilityai/sd-turbo --dry-run    # how long it will take
    ltgc render -i reflected.jsonl -o rendered.jsonl --t2i litellm:gpt-image-1 --max-cost 20
    ltgc render -i filtered.jsonl --plain 4 -o shown.jsonl     # what the bare template gives, for the report
    """
    return run(config)


@command(app, "filter")
def filter_(config: Config) -> Ran:
    """Reject generated images that do not look like their class, have them rewritten and regenerated (Prompts 4 and 5).

    Reads image and description records. Writes each image with its score and history, or a rejected record with the
    reason; and a template record per class. Asks one question per class for its most distinctive features, then one
    for each image that fails and is regenerated. CLIP runs on this machine.

    \b
    ltgc filter -i rendered.jsonl -o filtered.jsonl
    ltgc filter -i rendered.jsonl --preview                                # what each threshold would pass
    ltgc filter -i rendered.jsonl -o filtered.jsonl --verdicts verdicts.jsonl     # after ltgc review
    ltgc filter --scale cosine --threshold 0.25 --mode exclude -i rendered.jsonl | jq -c 'select(.kind=="rejected")'
    """
    if not config[Filter].preview:
        return run(config)
    from ltgc_cli.cli import show
    from ltgc_cli.pipeline import preview
    from ltgc_cli.pipeline.stage import Ran

    streams = streams_of(config)
    show.preview(preview.measure(config, streams), config[Judging], as_table=streams.shown)
    return Ran()


@command(app)
def mix_train(config: Config) -> Ran:
    """Fine-tune CLIP's vision encoder on mixes of original and generated images (BalanceMix).

    Reads the original images (--data), and class, description and generated image records. Writes a checkpoint
    record; the weights lie in the store, and in --out. Asks nobody. A run that was stopped goes on where it was.

    \b
    ltgc mix-train --data birds/ -i filtered.jsonl -o trained.jsonl
    ltgc mix-train --data birds/ --no-generated --loss la          # the baseline: fine-tuning, logit adjustment
    accelerate launch -m ltgc_cli mix-train --data birds/ -i filtered.jsonl      # on several GPUs; torchrun does too
    """
    return run(config)


@command(app, "eval")
def eval_(config: Config) -> Ran:
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
    return run(config)


def run(config: Config) -> Ran:
    """Returns what a stage did on the command's streams; a person gets a table."""
    from ltgc_cli.pipeline import chain
    from ltgc_cli.pipeline.stage import Ran

    streams = streams_of(config)
    if config.get("dry_run"):
        return try_out(config)
    ran = chain.run(config, streams)
    # What eval measured is a result, as what `ltgc cost` sums up: it is said where nobody's terminal is, too.
    if ran.artifact and (streams.shown or (config.command == "eval" and not streams.json)):
        from ltgc_cli.cli import show

        show.show(ran.artifact, config.command, streams.table)
    if ran.artifact and streams.shown:
        console.notice(f"{config.command}: all of it is in {streams.output.path if streams.output else ran.artifact}")
    return Ran(ran.artifact, ran.exit_code, ran.dollars)


def try_out(config: Config) -> Ran:
    """Returns what a dry run would ask: its records go into a pipe, what it would cost to a person."""
    from ltgc_cli import records
    from ltgc_cli.pipeline import chain, dry_run
    from ltgc_cli.pipeline.stage import Ran
    from ltgc_cli.written import prompt_writer

    streams = streams_of(config)
    person = bool(streams.output) or streams.shown  # nothing is kept, not in -o FILE either
    write = len if person else prompt_writer(sys.stdout.buffer)
    session, stage, made = chain.try_out(config, streams)
    for record in made:
        write((records.dump(record) + "\n").encode())
    sys.stdout.flush()
    dry_run.summary(stage.name, session, stage.caveats, stream=None if person else sys.stderr)
    return Ran(would_ask=session.sums)


def streams_of(config: Config):  # type: ignore[no-untyped-def]  # streams imports records; loaded when wanted
    from ltgc_cli.pipeline.streams import Streams, output_of

    return Streams(config[Input].input, output_of(config), config[Output].json)
