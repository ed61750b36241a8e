"""Trains the embedded CLIP on digits drawn from typefaces, and writes a folder that open_clip loads with `local-dir:`.

Three things are asked of it in each step: to find the class of a picture among ten short captions, to find two of its
features among the phrases of their banks, and to match pictures with captions of class and features. A caption that is
true of several pictures in the batch counts as true of all of them.
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from captions import BANKS, NAMELESS, NAMES, caption, long, short
from glyphs import WRITTEN, batches, enlarge, light
from safetensors.torch import save_file
from words import teach_words

from ltgc_cli.providers.torch_setup import mend_torchvision

mend_torchvision()

import open_clip  # noqa: E402  (torchvision has to be mended first)

Tensor = torch.Tensor

MODEL = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 64, "layers": 3, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
MEAN, STD = 0.25, 0.3  # of a pixel, about
PREPROCESS = {"mean": [MEAN] * 3, "std": [STD] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}


def normalised(pictures: Tensor) -> Tensor:
    return (pictures - MEAN) / STD


def text_features(model: torch.nn.Module, tokens: Tensor) -> Tensor:
    """`model.encode_text`, normalised, without computing the empty end of the context."""
    end = int(tokens.argmax(1).max()) + 1  # the end-of-text token has the highest number
    tokens = tokens[:, :end]
    x = model.token_embedding(tokens) + model.positional_embedding[:end]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:end, :end]))
    pooled = x[torch.arange(len(x)), tokens.argmax(1)]
    return F.normalize(pooled @ model.text_projection, dim=-1)


class Reader:
    """Tokenises captions, each distinct one once."""

    def __init__(self) -> None:
        self.tokenise = open_clip.SimpleTokenizer(context_length=MODEL["text_cfg"]["context_length"])
        self.seen: dict[str, Tensor] = {}

    def __call__(self, texts: list[str]) -> Tensor:
        for text in texts:
            if text not in self.seen:
                self.seen[text] = self.tokenise([text])[0]
        return torch.stack([self.seen[text] for text in texts])


def truth(data: dict[str, Tensor], rows: Tensor, about: list[list[str]]) -> Tensor:
    """(images, captions): is caption j, written for image j about these banks, true of image i?"""
    said = rows[: len(about)]
    true = data["digit"][rows][:, None] == data["digit"][said][None]
    for bank in BANKS:
        silent = torch.tensor([bank not in banks for banks in about])
        true &= silent[None] | (data[bank][rows][:, None] == data[bank][said][None])
    return true


def spread(logits: Tensor, true: Tensor) -> Tensor:
    """Cross entropy against all that is true of a row, in equal shares; a row of which nothing is true is left out."""
    rows = true.any(1)
    share = true[rows].float() / true[rows].sum(1, keepdim=True)
    return -(share * logits[rows].log_softmax(1)).sum(1).mean()


def probe(bank: str, form: random.Random) -> list[str]:
    """One caption for each phrase of a bank, the class left unsaid."""
    if form.random() < 0.3:
        return list(WRITTEN[bank])
    state = form.getstate()
    captions = []
    for phrase in WRITTEN[bank]:
        form.setstate(state)  # the same form of words for each of them
        captions.append(long(NAMELESS, [phrase], form))
    return captions


@torch.no_grad()
def accuracy(model: torch.nn.Module, pictures: Tensor, captions: list[str], answers: Tensor, read: Reader) -> float:
    texts = text_features(model, read(captions))
    found = [(model.encode_image(part, normalize=True) @ texts.T).argmax(1) for part in pictures.split(500)]
    return (torch.cat(found) == answers).float().mean().item()


def report(model: torch.nn.Module, held: dict[str, Tensor], read: Reader, rng: torch.Generator) -> str:
    pictures = normalised(enlarge(light(held, torch.arange(len(held["digit"])), rng)))
    figures = {"class": (held["digit"], [f"A photo of {name} (written digit)." for name in NAMES])}
    for bank, phrases in WRITTEN.items():
        figures[bank] = held[bank], [f"A photo of a written digit, {phrase}." for phrase in phrases]
    return " ".join(f"{k} {accuracy(model, pictures, texts, true, read):.3f}" for k, (true, texts) in figures.items())


def save(model: torch.nn.Module, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items() if name != "attn_mask"}
    save_file(weights, folder / "open_clip_model.safetensors")
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--word-steps", type=int, default=300)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--captions", type=int, default=32, help="long captions a step")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng, form = torch.Generator().manual_seed(args.seed), random.Random(args.seed)

    data = torch.load(args.data)
    train, held = data["train"], data["held"]
    model = open_clip.CLIP(**MODEL, output_dict=False)
    read = Reader()
    rows_of = batches(torch.arange(len(train["digit"])), args.batch, rng)

    def encode(texts: list[str]) -> Tensor:
        return 8 * text_features(model, read(texts))

    tower = [*model.transformer.parameters(), *model.token_embedding.parameters(), *model.ln_final.parameters()]
    tower += [model.positional_embedding, model.text_projection]
    teach_words(encode, tower, MODEL["embed_dim"], train, rows_of, args.word_steps, form)

    flat = [p for p in model.parameters() if p.ndim < 2]
    deep = [p for p in model.parameters() if p.ndim >= 2]
    optimiser = torch.optim.AdamW(
        [{"params": deep, "weight_decay": 0.05}, {"params": flat, "weight_decay": 0.0}], args.rate
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, args.rate, args.steps, pct_start=0.08)
    start = time.time()

    for step in range(args.steps):
        rows = next(rows_of)
        dimmed = light(train, rows, rng) * (1 - 0.25 * torch.rand(args.batch, 1, 1, generator=rng))
        images = F.normalize(model.encode_image(normalised(enlarge(dimmed))), dim=-1)

        template, banks = short(form), form.sample(BANKS, 2)
        classes = [template.format(name) for name in NAMES]
        probes = [probe(bank, form) for bank in banks]
        told = [caption(train, row, form, counts=(1, 2, 3, 4, 5)) for row in rows[: args.captions].tolist()]
        texts = text_features(model, read([*classes, *probes[0], *probes[1], *(text for text, _ in told)]))
        logits = model.logit_scale.exp().clamp(max=100) * images @ texts.T
        of_class, *of_banks, of_long = logits.split([len(classes), *map(len, probes), len(told)], dim=1)
        true = truth(train, rows, [banks for _, banks in told])
        loss = F.cross_entropy(of_class, train["digit"][rows])
        for bank, of_bank in zip(banks, of_banks, strict=True):
            loss = loss + 0.4 * F.cross_entropy(of_bank, train[bank][rows])
        loss = loss + 0.25 * (spread(of_long, true) + spread(of_long.T, true.T))

        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 200 == 99:
            model.eval()
            print(
                f"{step + 1} {time.time() - start:.0f}s loss {loss.item():.3f} held: {report(model, held, read, rng)}",
                flush=True,
            )
            model.train()
    save(model, args.out)


if __name__ == "__main__":
    main()
