"""CPU time of one training step: ltgc's, a bare loop's, peft's own way, AdaptFormer's, and with frozen blocks.

    python benchmarks/train_step.py                             # ViT-B/32, random weights, one thread
    python benchmarks/train_step.py --turns 1 --only lora       # the rows whose name starts so
    python benchmarks/train_step.py --device cuda --arch ViT-B-16 --batch 128   # images a second, bf16

The weights and images are random: how long a step takes does not depend on what a model knows. All ways see the same
images and classes, and each turn does a step of each of them in an order that changes, so that all see the same
machine. What is printed is the median of the turns. A step is: forward, loss, backward, clipping, optimiser; ltgc's
own row with pixels crops, mixes and normalises its images too, as mix-train does.

The bare loop is written here with torch alone: the same layers adapted at the same rank, each low-rank update beside
its frozen layer. peft's own way is a LoraConfig put on open_clip's nn.MultiheadAttention. AdaptFormer is set as LIFT's
paper sets it: on every block, its width by the number of classes, SGD, logit adjustment.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltgc_cli.learn import images, model, tuning
from ltgc_cli.learn.losses import LOSSES
from ltgc_cli.learn.model import Classifier, CosineHead
from ltgc_cli.learn.settings import resolved
from ltgc_cli.providers.torch_setup import mend_torchvision
from ltgc_cli.settings import Training

OURS, PIXELS, BARE = "lora: ltgc", "lora: ltgc, crops and mixes too", "lora: bare loop"
PEFT = "lora: peft on nn.MultiheadAttention"
ADAPTFORMER = "adaptformer: ltgc, set as LIFT's paper sets it"
LAST, LAST_KEPT = "lora: ltgc, last 4 blocks", "lora: ltgc, last 4 blocks, features kept"
HEAD, HEAD_KEPT = "head alone: ltgc", "head alone: ltgc, features kept"
LAST_BLOCKS = 4

Step = Callable[[], object]


class Data(NamedTuple):
    """What a step sees."""

    first: Tensor
    """Frames, uint8 [batch, 3, height, width]."""
    second: Tensor
    inputs: Tensor
    """The same images, mixed and normalised [batch, 3, height, width]."""
    targets: Tensor
    """[batch, classes], each row a mix of two."""
    lam: Tensor
    """[batch]"""
    frame: images.Frame
    prior: Tensor


def random_data(batch: int, size: int, classes: int, device: str) -> Data:
    """Returns random frames and what balance mix makes of them."""
    generator = torch.Generator().manual_seed(0)
    first, second = (
        torch.randint(0, 256, (batch, 3, size, size), generator=generator, dtype=torch.uint8).to(device) for _ in "12"
    )
    lam = torch.rand(batch, generator=generator).to(device)
    one, two = (F.one_hot(torch.randint(0, classes, (batch,), generator=generator), classes).to(device) for _ in "12")
    targets = lam[:, None] * one + (1 - lam[:, None]) * two
    mean, std = torch.full((3, 1, 1), 0.45), torch.full((3, 1, 1), 0.27)
    frame = images.Frame(lambda image: image, mean, std)
    prior = torch.full((classes,), 1 / classes, device=device)
    return Data(first, second, images.normalized(mix(first, second, lam), frame), targets, lam, frame, prior)


def mix(first: Tensor, second: Tensor, lam: Tensor) -> Tensor:
    lam = lam[:, None, None, None]
    return lam * first + (1 - lam) * second


def random_head(visual: nn.Module, classes: int, scale: float) -> CosineHead:
    return CosineHead(torch.randn(classes, visual.output_dim, generator=torch.Generator().manual_seed(0)), scale)


def classifier(visual: nn.Module, classes: int, settings: Training) -> Classifier:
    """Returns what `model.start` gives, but for the texts: there is no text tower here."""
    adapted = tuning.adapt(visual, settings)
    head = random_head(visual, classes, settings.scale)
    return Classifier(adapted, head, tuning.frozen_parts(adapted, settings)).to(visual.proj.device).train()


def optimizer(groups: list[dict[str, Any]], settings: Training) -> torch.optim.Optimizer:
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
    return torch.optim.AdamW(groups, lr=settings.lr, fused=True)


# ---- the ways to do a step


def ours(trained: Classifier, data: Data, settings: Training, *, pixels: bool = False, kept: bool = False) -> Step:
    """Returns mix-train's step: the operations of `learn.train`'s loop, in its order."""
    sgd = optimizer(model.groups(trained, settings), settings)
    weights = [weight for weight in trained.parameters() if weight.requires_grad]
    hidden = trained.frozen(data.inputs) if kept else None
    rng = np.random.default_rng(0)

    def seen() -> Tensor:
        first, second = (
            images.seen(each, images.views(rng, len(each), crop=0.7, rotate=0.0, flip=True))
            for each in (data.first, data.second)
        )
        return images.normalized(mix(first, second, data.lam), data.frame)

    def step() -> None:
        logits = trained(seen() if pixels else data.inputs) if hidden is None else trained.tuned(hidden)
        loss = LOSSES[settings.loss](logits, data.targets, data.prior, settings)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights, settings.clip_norm)
        sgd.step()
        sgd.zero_grad()

    return step


def bare(network: nn.Module, data: Data, settings: Training) -> Step:
    """Returns a loop as one writes it by hand: no settings but the learning rate, no groups."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    adamw = torch.optim.AdamW(weights, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)

    def step() -> None:
        loss = F.cross_entropy(network(data.inputs), data.targets)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights, settings.clip_norm)
        adamw.step()
        adamw.zero_grad()

    return step


class Lora(nn.Module):
    """A frozen linear layer and its low-rank update."""

    def __init__(self, weight: Tensor, bias: Tensor, settings: Training) -> None:
        super().__init__()
        self.weight, self.bias = (nn.Parameter(each.detach().clone(), requires_grad=False) for each in (weight, bias))
        self.a = nn.Parameter(
            torch.randn(settings.rank, weight.shape[1], device=weight.device) / weight.shape[1] ** 0.5
        )
        self.b = nn.Parameter(torch.zeros(weight.shape[0], settings.rank, device=weight.device))
        self.scale = settings.lora_alpha / settings.rank

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias) + F.linear(F.linear(x, self.a) * self.scale, self.b)


class BareBlock(nn.Module):
    """A transformer block with LoRA on q, k, v, out and both layers of the MLP."""

    def __init__(self, block: nn.Module, settings: Training) -> None:
        super().__init__()
        self.heads = block.attn.num_heads
        weights, biases = block.attn.in_proj_weight.chunk(3), block.attn.in_proj_bias.chunk(3)
        self.q, self.k, self.v = (Lora(w, b, settings) for w, b in zip(weights, biases, strict=True))
        self.out, self.fc, self.proj = (
            Lora(layer.weight, layer.bias, settings)
            for layer in (block.attn.out_proj, block.mlp.c_fc, block.mlp.c_proj)
        )
        self.ln_1, self.ln_2, self.act = block.ln_1, block.ln_2, block.mlp.gelu

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        batch, length, width = y.shape
        q, k, v = (f(y).view(batch, length, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        x = x + self.out(y)
        return x + self.proj(self.act(self.fc(self.ln_2(x))))


class Bare(nn.Module):
    """A vision transformer and a cosine classifier."""

    def __init__(self, visual: nn.Module, head: CosineHead, settings: Training) -> None:
        super().__init__()
        self.conv, self.norm, self.scale = visual.conv1, visual.ln_pre, head.scale
        self.token, self.places, self.projection = visual.class_embedding, visual.positional_embedding, visual.proj
        self.blocks = nn.ModuleList(BareBlock(block, settings) for block in visual.transformer.resblocks)
        self.norm_out = visual.ln_post
        self.requires_grad_(False)
        for name, weight in self.named_parameters():
            weight.requires_grad_(name.endswith((".a", ".b")))
        self.classes = nn.Parameter(head.weight.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).flatten(2).transpose(1, 2)
        x = self.norm(torch.cat([self.token.expand(len(x), 1, -1), x], 1) + self.places)
        for block in self.blocks:
            x = block(x)
        features = self.norm_out(x[:, 0]) @ self.projection
        return self.scale * F.linear(F.normalize(features, dim=-1), F.normalize(self.classes, dim=-1))


def pefts(visual: nn.Module, head: CosineHead, settings: Training) -> nn.Module:
    """Returns open_clip's tower with peft put on its nn.MultiheadAttention and its MLP, and a head."""
    import peft

    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.lora_alpha,
        target_modules=r"transformer\.resblocks\.\d+\.(attn|mlp\.(c_fc|c_proj))",
    )
    return nn.Sequential(peft.get_peft_model(visual, config), head).train()


def ways(args: argparse.Namespace, visual: Callable[[], nn.Module], data: Data) -> dict[str, Callable[[], Step]]:
    """Returns what makes each way's step."""
    lora = resolved(Training(batch=args.batch), generated=1, classes=args.classes)
    last = Training(batch=args.batch, tune_blocks=LAST_BLOCKS)
    head = Training(batch=args.batch, tune="head")
    lift = Training(batch=args.batch, tune="adaptformer", rank=0, loss="la", optimizer="sgd", lr=0.01)
    lift = resolved(lift, generated=0, classes=args.classes, blocks=args.blocks)

    def own(settings: Training, **how: bool) -> Callable[[], Step]:
        return lambda: ours(classifier(visual(), args.classes, settings), data, settings, **how)

    def new_head() -> CosineHead:
        return random_head(visual(), args.classes, lora.scale).to(args.device)

    return {
        OURS: own(lora),
        PIXELS: own(lora, pixels=True),
        BARE: lambda: bare(Bare(visual(), new_head(), lora), data, lora),
        PEFT: lambda: bare(pefts(visual(), new_head(), lora), data, lora),
        ADAPTFORMER: own(lift),
        LAST: own(last),
        LAST_KEPT: own(last, kept=True),
        HEAD: own(head),
        HEAD_KEPT: own(head, kept=True),
    }


# ---- measuring


def cpu_ms_an_image(steps: dict[str, Step], turns: int, batch: int) -> dict[str, float]:
    """Returns the median CPU time of each step; they take turns."""
    for step in steps.values():
        step()  # and all are warm
    used: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for turn in range(turns):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.process_time()
            steps[name]()
            used[name].append(time.process_time() - start)
    return {name: 1000 * statistics.median(each) / batch for name, each in used.items()}


def table(found: dict[str, float]) -> str:
    """Returns the times as a Markdown table, each beside the bare loop's."""
    lines = ["| a step | CPU ms an image | bare loop's time / this |", "| --- | --- | --- |"]
    for name, each in found.items():
        ratio = f"{found[BARE] / each:.2f}" if BARE in found else ""
        lines.append(f"| {name} | {each:.1f} | {ratio} |")
    if OURS in found and PEFT in found:
        lines.append(f"\nltgc's step is {found[PEFT] / found[OURS]:.2f} times as fast as peft's own way")
    return "\n".join(lines)


def on_gpu(args: argparse.Namespace, visual: Callable[[], nn.Module], data: Data) -> str:
    """Returns images a second of ltgc's step in bfloat16 over float32 weights, compiled and not."""
    settings = Training(batch=args.batch)
    lines = ["| a step on the GPU, bf16 | images/s |", "| --- | --- |"]
    for compiled in (False, True):
        trained = classifier(visual(), args.classes, settings)
        if compiled:
            trained.compile()
        step = ours(trained, data, settings, pixels=True)
        with torch.autocast("cuda", torch.bfloat16):
            for _ in range(5):
                step()
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(args.turns * 10):
                step()
            torch.cuda.synchronize()
        rate = args.turns * 10 * args.batch / (time.perf_counter() - start)
        lines.append(f"| lora: ltgc, crops and mixes too, compile {'on' if compiled else 'off'} | {rate:.0f} |")
    return "\n".join(lines)


def check_alike(visual: Callable[[], nn.Module], data: Data, args: argparse.Namespace) -> None:
    """Raises AssertionError where the bare loop's network is not the same model."""
    settings = Training(batch=args.batch)
    one = classifier(visual(), args.classes, settings)
    two = Bare(visual(), random_head(visual(), args.classes, settings.scale).to(args.device), settings)
    with torch.no_grad():
        torch.testing.assert_close(one(data.inputs[:2]), two(data.inputs[:2]), atol=1e-3, rtol=1e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="ViT-B-32", help="a ViT that open_clip has a configuration of")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--classes", type=int, default=1000, help="as many as ImageNet-LT has")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="threads that torch computes with")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="the rows whose name starts so")
    args = parser.parse_args()
    mend_torchvision()
    import open_clip

    torch.set_num_threads(args.threads)
    config = open_clip.get_model_config(args.arch)
    args.blocks = config["vision_cfg"]["layers"]

    def visual() -> nn.Module:
        torch.manual_seed(0)
        tower = open_clip.model._build_vision_tower(config["embed_dim"], config["vision_cfg"])
        return tower.to(args.device).requires_grad_(False)

    data = random_data(args.batch, config["vision_cfg"].get("image_size", 224), args.classes, args.device)
    check_alike(visual, data, args)
    if args.device != "cpu":
        print(on_gpu(args, visual, data))
        return
    steps = {name: make() for name, make in ways(args, visual, data).items() if name.startswith(args.only)}
    found = cpu_ms_an_image(steps, args.turns, args.batch)
    print(f"{args.arch}, batch {args.batch}, {args.classes} classes, {args.threads} thread(s), {args.turns} turns\n")
    print(table(found))


if __name__ == "__main__":
    main()
