"""Trains the embedded Stable Diffusion on digits drawn from typefaces, and writes a folder that diffusers loads.

The pictures are 8x8 counts of ink, enlarged; so the VAE is taught that its latent *is* that small picture (one channel,
mean 0, spread 1), and the UNet diffuses 8x8 latents of one channel. It is told what to draw twice: the pooled text
joins the time embedding (`addition_embed_type="text"`), and its middle attends to the words.
"""

import argparse
import copy
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from captions import NAMELESS, NAMES, caption
from glyphs import batches, enlarge, light
from words import teach_words

from ltgc_cli.providers.torch_setup import mend_torchvision

mend_torchvision()

import open_clip  # noqa: E402  (torchvision has to be mended first)
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel  # noqa: E402
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer  # noqa: E402

Tensor = torch.Tensor

MEAN, SPREAD = 0.33, 0.36  # about those of the small pictures: the latent is (light - MEAN) / SPREAD
WORDS = 56  # tokens of a prompt; what is longer is cut
WIDTH = 64  # of the text encoder
SURE = 0.7  # how sure the sieve has to be of a drawing
UNTOLD = 0.1  # of the captions are left empty, which is what guidance leads away from


def captions(data: dict[str, Tensor], rows: Tensor, form: random.Random) -> list[str]:
    return [caption(data, row, form)[0] for row in rows.tolist()]


def tokenizer(texts: list[str]) -> CLIPTokenizer:
    """CLIP's tokenizer with only the letters, and the merges that these texts need: other words fall into letters."""
    full = open_clip.SimpleTokenizer()
    letters = list(full.byte_encoder.values())
    merges: dict[tuple[str, str], int] = {}
    for word in {token for text in texts for token in full.pat.findall(text.lower())}:
        parts = [full.byte_encoder[byte] for byte in word.encode()]
        parts[-1] += "</w>"
        while pairs := [pair for pair in zip(parts, parts[1:], strict=False) if pair in full.bpe_ranks]:
            pair = min(pairs, key=full.bpe_ranks.__getitem__)
            merges[pair] = full.bpe_ranks[pair]
            at = next(k for k in range(len(parts)) if tuple(parts[k : k + 2]) == pair)
            parts[at : at + 2] = ["".join(pair)]
    ranked = sorted(merges, key=merges.__getitem__)
    tokens = [*letters, *(letter + "</w>" for letter in letters), *map("".join, ranked)]
    ends = ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: k for k, token in enumerate(dict.fromkeys([*tokens, *ends]))}
    return CLIPTokenizer(vocab=vocabulary, merges=ranked, pad_token=ends[1], model_max_length=WORDS)


class Reader:
    """Tokenises captions as the pipeline will: padded to the whole length. Each distinct one once."""

    def __init__(self, tokens: CLIPTokenizer) -> None:
        self.tokens = tokens
        self.seen: dict[str, Tensor] = {}

    def __call__(self, texts: list[str]) -> Tensor:
        new = list({text for text in texts if text not in self.seen})
        if new:
            made = self.tokens(new, padding="max_length", truncation=True, max_length=WORDS, return_tensors="pt")
            self.seen.update(zip(new, made.input_ids, strict=True))
        return torch.stack([self.seen[text] for text in texts])


def readable(data: dict[str, Tensor], steps: int, rng: torch.Generator) -> Tensor:
    """Rows of the drawings that a small network, taught on these drawings, reads as what they should be.

    Chance draws some digits that nobody could read. It sees each about twice: too little to learn those by heart.
    """
    net = torch.nn.Sequential(
        *(torch.nn.Conv2d(1, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(32, 48, 3, stride=2, padding=1)),
        *(torch.nn.ReLU(), torch.nn.Conv2d(48, 64, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten()),
        torch.nn.Linear(64 * 16, len(NAMES)),
    )
    every = torch.arange(len(data["digit"]))
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps)
    for _, rows in zip(range(steps), batches(every, 128, rng), strict=False):
        loss = F.cross_entropy(net(light(data, rows, rng)[:, None]), data["digit"][rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        sure = torch.cat([net(light(data, rows, rng)[:, None]).softmax(1) for rows in every.split(1000)])
    return every[sure[every, data["digit"]] > SURE]


def new_vae() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        block_out_channels=[16, 24, 32],
        layers_per_block=1,
        latent_channels=1,
        norm_num_groups=8,
        sample_size=32,
        scaling_factor=1.0,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def new_text_encoder(tokens: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokens),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=WORDS,
            bos_token_id=tokens.bos_token_id,
            eos_token_id=tokens.eos_token_id,
            pad_token_id=tokens.pad_token_id,
        )
    )


def new_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        down_block_types=["DownBlock2D"] * 2,
        up_block_types=["UpBlock2D"] * 2,
        block_out_channels=[64, 96],
        layers_per_block=2,
        norm_num_groups=16,
        attention_head_dim=4,
        cross_attention_dim=WIDTH,
        addition_embed_type="text",
        addition_embed_type_num_heads=8,
    )


def scheduler() -> DDIMScheduler:
    """Ends in pure noise, so that what is drawn does not inherit the brightness of the training pictures' noise."""
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
    )


def train_vae(data: dict[str, Tensor], rows: Iterator[Tensor], steps: int, rng: torch.Generator) -> AutoencoderKL:
    vae = new_vae()
    optimiser = torch.optim.AdamW(vae.parameters(), 2e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, steps)
    for step, batch in zip(range(steps), rows, strict=False):
        small = light(data, batch, rng)[:, None]
        pictures = enlarge(small[:, 0]) * 2 - 1
        want = (small - MEAN) / SPREAD
        coded = vae.encode(pictures).latent_dist
        # Decoded from slightly wrong latents, as the UNet's will be.
        shown = vae.decode(want + 0.05 * torch.randn(want.shape, generator=rng)).sample
        loss = (
            F.l1_loss(shown, pictures)
            + F.mse_loss(coded.mean, want)
            + 0.05 * F.mse_loss(coded.logvar, torch.full_like(want, -6.0))
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 99:
            error = (shown - pictures).abs().mean().item() / 2
            print(f"vae {step + 1} loss {loss.item():.4f} error of a pixel {error:.4f}", flush=True)
    return vae.eval()


def train_unet(
    unet: UNet2DConditionModel,
    encoder: CLIPTextModel,
    read: Reader,
    data: dict[str, Tensor],
    rows: Iterator[Tensor],
    steps: int,
    rate: float,
    rng: torch.Generator,
    form: random.Random,
) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """Learns to draw; returns the running means of both models, which draw better than the last step does."""
    noise_levels = scheduler()
    both = torch.nn.ModuleDict({"unet": unet, "text": encoder})
    mean = copy.deepcopy(both).eval()
    optimiser = torch.optim.AdamW(both.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.05)
    start, heard = time.time(), 0.0
    for step, batch in zip(range(steps), rows, strict=False):
        told = [text if form.random() > UNTOLD else "" for text in captions(data, batch, form)]
        latents = (light(data, batch, rng)[:, None] - MEAN) / SPREAD
        noise = torch.randn(latents.shape, generator=rng)
        when = torch.randint(1000, (len(batch),), generator=rng)
        noisy = noise_levels.add_noise(latents, noise, when)
        want = noise_levels.get_velocity(latents, noise, when)
        loss = F.mse_loss(unet(noisy, when, encoder(read(told)).last_hidden_state).sample, want)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        keep = min(0.999, step / (step + 20))
        with torch.no_grad():
            torch._foreach_lerp_(list(mean.parameters()), list(both.parameters()), 1 - keep)
        heard = 0.99 * heard + 0.01 * loss.item() if step else loss.item()
        if step % 200 == 199:
            print(f"unet {step + 1} {time.time() - start:.0f}s loss {heard:.4f}", flush=True)
    return mean["unet"], mean["text"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sieve-steps", type=int, default=1800)
    parser.add_argument("--vae-steps", type=int, default=400)
    parser.add_argument("--word-steps", type=int, default=400)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng, form = torch.Generator().manual_seed(args.seed), random.Random(args.seed)

    data = torch.load(args.data)["train"]
    kept = readable(data, args.sieve_steps, rng)
    print(f"{len(kept)} of {len(data['digit'])} drawings are readable", flush=True)
    rows = batches(kept, args.batch, rng)

    tokens = tokenizer([*captions(data, kept[:3000], form), f"A photo of {NAMELESS}."])
    read, encoder, unet = Reader(tokens), new_text_encoder(tokens), new_unet()
    print(f"{len(tokens)} tokens, {sum(p.numel() for p in unet.parameters()):,} weights in the UNet", flush=True)
    vae = train_vae(data, batches(kept, 32, rng), args.vae_steps, rng)

    def encode(texts: list[str]) -> Tensor:
        return encoder(read(texts)).last_hidden_state.mean(1)

    teach_words(encode, encoder.parameters(), WIDTH, data, rows, args.word_steps, form)
    unet, encoder = train_unet(unet, encoder, read, data, rows, args.steps, args.rate, rng, form)
    StableDiffusionPipeline(
        vae=vae.half(),
        text_encoder=encoder,
        tokenizer=tokens,
        unet=unet.half(),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(args.out)


if __name__ == "__main__":
    main()
