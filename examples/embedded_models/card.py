"""The model card of the embedded models: what they are in words, and every measured figure."""

from pathlib import Path
from typing import Any

CARD = """\
# The embedded models

Two toy models, so that `ltgc` works with no key, no network and no GPU. They know ten classes, the written digits
*zero* to *nine*, and the phrases of `WRITTEN` in `banks.py`; asked for anything else they answer without meaning.
Made by `examples/embedded_models` (`make`), which says how; licensed as ltgc is.

- `clip/`: loads in open_clip as `local-dir:PATH`. 32x32 pictures; vision tower of {vision} weights (3 layers of 64,
  patches of 8), text tower of 2 layers of 64, OpenAI's tokenizer, context of 77; half precision; {clip_mb} MB.
- `t2i/`: loads in diffusers as a Stable Diffusion pipeline. 32x32 pictures, latents of 8x8 in one channel, UNet of
  {unet} weights told the text through its time embedding and its middle layer; DDIM with v-prediction;
  its tokenizer cuts prompts after {words} tokens and spells words that it does not know; {t2i_mb} MB. Use {steps} steps
  and guidance {guidance} (the pipeline's own defaults, 50 and 7.5, are for other models).

## What they learned from
The Stable Diffusion: {drawings} drawings of digits: the middle lines of the digits of {faces} typefaces (npm's
`@fontsource` packages and the single-stroke Hershey fonts), and strokes of our own (`strokes.py`), warped, fitted to a frame of 32x32, inked with a
round pen and counted in blocks of 4x4, as the public description of scikit-learn's digits says theirs were.
Many of the typefaces are in a handwriting style, some made by their designers after their own hand. No data set of
handwritten digits (UCI's, MNIST, NIST) and nothing derived from one was trained on. {held_faces} of the typefaces were
held out to measure with; what the Stable Diffusion learned from was also sifted by a small network that read it.

CLIP: {printed} drawings of *printed* digits only (sans-serif, serif and monospaced typefaces, none of our own strokes,
a steady hand). That is on purpose: handwriting shall be to it what a rare bird is to a large CLIP. One that had seen
handwriting-like shapes read 92% of handwriting untaught, plain fine-tuning then got 96% of digits-lt right, and no
method had anything left to gain. What the generator knows and the classifier does not is what LTGC brings over.

Steps, rates and sizes were chosen by time, by held-out typefaces, by eye and, for CLIP, on digits-lt's validation sets.

How often handwriting was looked at:
{looks}

## Measured
By `measure.py`; times are seconds of one core of an AMD EPYC. "Reader" is a small convolutional network trained on all
1,797 handwritten digits alone, with small changes of place, shape and light; "machine" is a support vector machine on
the same at 8x8.

| CLIP, zero-shot among ten classes | handwriting (1,797) | held-out printed typefaces ({from_plain}) | held-out typefaces of all kinds ({from_held}) |
| --- | --- | --- | --- |
{zero_shot}

By digit, zero to nine, on handwriting ("{form}"): {by_digit}.

| CLIP, the right phrase of a bank | chance | held-out printed typefaces, class said | class unsaid | on what t2i draws |
| --- | --- | --- | --- | --- |
{banks}

| drawings read as what was asked | reader | machine | embedded CLIP |
| --- | --- | --- | --- |
| t2i, {asked} of random features, {steps} steps, guidance {guidance} | {drawn_net} | {drawn_svc} | {drawn_clip} |
| what it learned from, before sifting (2,000) | {taught_net} | {taught_svc} | |
| held-out typefaces ({from_held}) | {fonts_net} | | |

By digit, zero to nine, what the reader reads of t2i's drawings: {drawn_by_digit}.

| | |
| --- | --- |
| mean distance between two pictures of a class: t2i, its training drawings, handwriting | {variety} |
| drawing 100 pictures (batches of 50) | {paint:.1f} s |
| CLIP, encoding 500 pictures | {encode:.2f} s |
| CLIP, forward and backward through the whole vision tower, 64 pictures | {step:.3f} s |

What falls short: of handwriting CLIP knows 1 and 7 the least; of the phrases, those of style are seen and drawn the
least surely, then those of weight (an uneven stroke is like a medium one); the support vector machine, which never saw
a ground that is not black, reads far fewer of the drawings than the network does.
"""

Figures = dict[str, Any]


def table(rows: list[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def write_card(path: Path, figures: Figures, banks: dict[str, tuple[str, ...]], facts: Figures) -> None:
    forms = [
        (f'"{form}"', figures["hand"][form], figures["plain"][form], figures["fonts"][form]) for form in figures["hand"]
    ]
    columns = ("bank_named", "bank_nameless", "bank_drawn")
    named = [(b, f"{100 / len(p):.0f}%", *(figures[c][b] for c in columns)) for b, p in banks.items()]
    text = CARD.format(
        zero_shot=table(forms),
        form=next(iter(figures["hand"])),
        by_digit=", ".join(figures["hand_by_digit"]),
        banks=table(named),
        drawn_by_digit=", ".join(figures["drawn_net_by_digit"]),
        variety=", ".join(f"{distance:.1f}" for distance in figures["variety"]),
        clip_mb=f"{figures['megabytes']['clip']:.1f}",
        t2i_mb=f"{figures['megabytes']['t2i']:.1f}",
        generate=figures["paint_seconds"],
        encode=figures["encode_seconds"],
        step=figures["step_seconds"],
        **{name: figures[name] for name in CARD_FIGURES},
        **facts,
    )
    path.write_text(text)


CARD_FIGURES = ("drawn_net", "drawn_svc", "drawn_clip", "taught_net", "taught_svc", "fonts_net")
