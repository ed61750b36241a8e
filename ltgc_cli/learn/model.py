"""The classifier: CLIP's vision tower with LoRA, and a cosine head started from CLIP's text features.

open_clip's blocks hold an `nn.MultiheadAttention`, on which peft applies the update of the output projection twice.
So the vision tower's attention is taken apart into plain Linears (`unfuse`), peft works on those, and what is
exported is put together again (`fuse`), so that plain open_clip loads it. The text tower is never touched.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import ClassInfo
from ltgc_cli.learn.settings import Settings
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.clip.open_clip import Loaded, encode_texts
from ltgc_cli.providers.quiet import quiet
from ltgc_cli.store import write_atomically

if TYPE_CHECKING:
    pass

TARGETS = r"transformer\.resblocks\.\d+\.(attn\.(q|k|v|out)|mlp\.(c_fc|c_proj))"
"""What LoRA adapts: attention and MLP of every block of the vision tower."""


# ---- attention, taken apart and put together


class SplitAttention(nn.Module):
    """Self-attention with one Linear each for q, k, v and out; equal to the nn.MultiheadAttention it was made from.

    Called as open_clip's blocks call theirs: returns (output, None), output [batch, length, width].
    """

    def __init__(self, fused: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads = fused.num_heads
        self.batch_first = fused.batch_first
        self.dropout = fused.dropout
        weights = cast(Tensor, fused.in_proj_weight).chunk(3)
        biases = (None, None, None) if fused.in_proj_bias is None else fused.in_proj_bias.chunk(3)
        self.q, self.k, self.v = (_linear(weight, bias) for weight, bias in zip(weights, biases, strict=True))
        self.out = _linear(fused.out_proj.weight, fused.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool = False, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        if not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = self._heads(self.q(query)), self._heads(self.k(key)), self._heads(self.v(value))
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, _mask(attn_mask, self.heads), dropout)
        output = self.out(attended.transpose(1, 2).flatten(2))
        return (output if self.batch_first else output.transpose(0, 1)), None

    def _heads(self, x: Tensor) -> Tensor:
        """Returns [batch, heads, length, width / heads] from [batch, length, width]."""
        batch, length, _ = x.shape
        return x.view(batch, length, self.heads, -1).transpose(1, 2)

    def fused(self) -> nn.MultiheadAttention:
        """Returns the nn.MultiheadAttention with the same weights."""
        weight = self.q.weight
        whole = nn.MultiheadAttention(
            weight.shape[1],
            self.heads,
            dropout=self.dropout,
            bias=self.q.bias is not None,
            batch_first=self.batch_first,
            device=weight.device,
            dtype=weight.dtype,
        )
        with torch.no_grad():
            whole.in_proj_weight.copy_(torch.cat([self.q.weight, self.k.weight, self.v.weight]))
            whole.out_proj.load_state_dict(self.out.state_dict())
            if self.q.bias is not None:
                whole.in_proj_bias.copy_(torch.cat([self.q.bias, self.k.bias, self.v.bias]))
        return whole.requires_grad_(weight.requires_grad).train(self.training)


def unfuse(visual: nn.Module) -> nn.Module:
    """Returns a copy of a vision tower with its attention taken apart. Raises InputError where it has none such."""
    visual = copy.deepcopy(visual)
    for block in _blocks(visual):
        block.attn = SplitAttention(cast(nn.MultiheadAttention, block.attn)).train(block.training)
    return visual


def fuse(visual: nn.Module) -> nn.Module:
    """Returns a copy of a vision tower with its attention put together again: the inverse of unfuse."""
    visual = copy.deepcopy(visual)
    for block in visual.transformer.resblocks:  # type: ignore[union-attr]
        block.attn = block.attn.fused()
    return visual


def _blocks(visual: nn.Module) -> Sequence[nn.Module]:
    blocks = list(getattr(getattr(visual, "transformer", None), "resblocks", ()))
    plain = [isinstance(getattr(block, "attn", None), nn.MultiheadAttention) for block in blocks]
    if not blocks or not all(plain) or any(block.attn.in_proj_weight is None for block in blocks):
        raise InputError(
            f"the CLIP model's vision tower ({type(visual).__name__}) has no plain transformer blocks to put LoRA on; "
            "use a ViT model of open_clip, such as ViT-B-32"
        )
    return blocks


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    rows, columns = weight.shape
    linear = nn.Linear(columns, rows, bias=bias is not None, device="meta", dtype=weight.dtype)
    linear.weight = nn.Parameter(weight.detach().clone(), requires_grad=weight.requires_grad)
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone(), requires_grad=bias.requires_grad)
    return linear


def _mask(mask: Tensor | None, heads: int) -> Tensor | None:
    """Returns a mask as scaled_dot_product_attention takes it: there, True means "takes part"."""
    if mask is not None and mask.ndim == 3:
        mask = mask.view(-1, heads, *mask.shape[1:])
    return ~mask if mask is not None and mask.dtype == torch.bool else mask


# ---- LoRA


def adapt(visual: nn.Module, settings: Settings) -> nn.Module:
    """Returns a copy of a vision tower with LoRA (a peft.PeftModel): attention taken apart, LoRA alone trainable.

    Its output is the tower's own until it is trained: B is zero. A is drawn from the seed.
    """
    peft = _peft()
    config = peft.LoraConfig(
        r=settings.rank, lora_alpha=settings.lora_alpha, lora_dropout=settings.dropout, target_modules=TARGETS
    )
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        return peft.get_peft_model(unfuse(visual).requires_grad_(False), config)


def merged(adapted: nn.Module) -> nn.Module:
    """Returns a plain vision tower with LoRA's updates in its weights: W + (alpha / rank) B A, attention fused."""
    with quiet():
        return fuse(copy.deepcopy(adapted).merge_and_unload())  # type: ignore[operator]


def _peft() -> Any:
    torch_setup.mend_torchvision()  # peft imports transformers, and that torchvision
    with quiet():
        import peft
    return peft


# ---- the classifier


class CosineHead(nn.Module):
    """scale · cosine(feature, class weight): features [batch, width] to logits [batch, classes], float32."""

    def __init__(self, weight: Tensor, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().float().clone())
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * F.linear(F.normalize(features.float(), dim=-1), F.normalize(self.weight, dim=-1))


class Classifier(nn.Module):
    """A vision tower and a head: images [batch, 3, height, width], preprocessed, to logits [batch, classes]."""

    def __init__(self, visual: nn.Module, head: CosineHead) -> None:
        super().__init__()
        self.visual = visual
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        features = self.visual(images)
        return self.head(features[0] if isinstance(features, tuple) else features)


def class_text(info: ClassInfo) -> str:
    """Returns the text whose feature a class starts from.

    >>> class_text(ClassInfo(label=3, name="seal", sense="marine mammal"))
    'A photo of seal (marine mammal).'
    """
    return f"A photo of {info.subject}."


def zero_shot(clip: Loaded, classes: Sequence[ClassInfo], scale: float = Settings().scale) -> Classifier:
    """Returns CLIP itself as a classifier: nothing is trained, the head is the text features of the classes."""
    texts = encode_texts(clip, [class_text(info) for info in classes]).to(clip.device)
    return Classifier(clip.model.visual, CosineHead(texts, scale)).eval()


def start(clip: Loaded, classes: Sequence[ClassInfo], settings: Settings) -> Classifier:
    """Returns the classifier that training starts from: zero_shot's outputs, LoRA and head trainable."""
    untrained = zero_shot(clip, classes, settings.scale)
    return Classifier(adapt(untrained.visual, settings), untrained.head)


# ---- checkpoints


MERGED = "open_clip_merged.safetensors"


class Saved(NamedTuple):
    """A checkpoint, read: the classifier, its class table (a column of the logits each), how it was trained."""

    classifier: Classifier
    classes: tuple[ClassInfo, ...]
    settings: Settings
    clip: str
    curve: tuple[dict[str, float], ...]


class _Done(msgspec.Struct, frozen=True):
    """What marks a checkpoint as whole: which CLIP model it belongs to, and the sha256 of each of its files."""

    clip: str
    files: dict[str, str]


def save(
    folder: Path,
    classifier: Classifier,
    classes: Sequence[ClassInfo],
    settings: Settings,
    clip: Loaded,
    curve: Sequence[dict[str, float]] = (),
    *,
    merge: bool = False,
) -> None:
    """Writes a checkpoint: adapter/ (peft), head.safetensors, settings, class table, curve; last, done.json.

    merge -- also write the file MERGED, the whole CLIP model, which plain open_clip loads
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "done.json").unlink(missing_ok=True)
    with quiet():
        classifier.visual.save_pretrained(folder / "adapter", safe_serialization=True)  # type: ignore[operator]
    head = {"weight": classifier.head.weight.detach().cpu().contiguous()}
    write_atomically(folder / "head.safetensors", safetensors.torch.save(head))
    write_atomically(folder / "settings.json", _json(settings))
    write_atomically(folder / "classes.json", _json(list(classes)))
    write_atomically(folder / "metrics.jsonl", b"".join(json.dumps(row).encode() + b"\n" for row in curve))
    names = ["head.safetensors", "settings.json", "classes.json", "metrics.jsonl"]
    if merge:
        write_atomically(folder / MERGED, merged_clip(clip, classifier))
        names.append(MERGED)
    names += [path.relative_to(folder).as_posix() for path in (folder / "adapter").iterdir()]
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(names)}
    write_atomically(folder / "done.json", _json(_Done(clip.identity, files)))


def load(folder: Path, clip: Loaded) -> Saved:
    """Returns a checkpoint. Raises InputError where it is not whole or belongs to another CLIP model."""
    done = _read(folder / "done.json", _Done)
    if done.clip != clip.identity:
        raise InputError(f"{folder}: trained on the CLIP model {done.clip}, not {clip.identity}; pass that as --clip")
    for name, sha256 in done.files.items():
        if not (folder / name).is_file() or hashlib.sha256((folder / name).read_bytes()).hexdigest() != sha256:
            raise InputError(f"{folder}: {name} is missing or was changed since training; train again")
    settings = _read(folder / "settings.json", Settings)
    classes = _read(folder / "classes.json", tuple[ClassInfo, ...])
    peft = _peft()
    with quiet():
        visual = peft.PeftModel.from_pretrained(unfuse(clip.model.visual), folder / "adapter")
    head = CosineHead(safetensors.torch.load_file(folder / "head.safetensors")["weight"], settings.scale)
    curve = tuple(json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    classifier = Classifier(visual, head).to(clip.device).eval().requires_grad_(False)
    return Saved(classifier, classes, settings, done.clip, curve)


def merged_clip(clip: Loaded, classifier: Classifier) -> bytes:
    """Returns the safetensors of the whole CLIP model with the trained vision tower, as open_clip reads them."""
    state = dict(clip.model.state_dict())
    state |= {f"visual.{name}": value for name, value in merged(classifier.visual).state_dict().items()}
    return safetensors.torch.save({name: value.detach().cpu().contiguous().clone() for name, value in state.items()})


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1)


def _read(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError:
        raise InputError(f"{path.parent}: no whole checkpoint ({path.name} is missing); train it again") from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InputError(f"{path}: {error}") from None
