"""Adapts a text-to-image model to the look of images: a LoRA on its UNet or transformer, trained by its own objective.

What a step sees is a function of the seed and the step, so that a run that was killed goes on exactly.
"""

from __future__ import annotations

import gc
import hashlib
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from ltgc_cli import tensor_files
from ltgc_cli.errors import InputError
from ltgc_cli.ports import ImageRequest
from ltgc_cli.providers import extras, torch_setup
from ltgc_cli.providers.images import decode
from ltgc_cli.providers.opened import Dtype, Notice, Objects
from ltgc_cli.providers.quiet import quiet
from ltgc_cli.providers.t2i import adapting_state, model_settings
from ltgc_cli.providers.t2i.diffusers import identity, load, out_of_memory
from ltgc_cli.providers.t2i.examples import LORA, Example
from ltgc_cli.providers.t2i.families import Family, Fitted, Read, family
from ltgc_cli.providers.t2i.objectives import Objective, objective
from ltgc_cli.providers.t2i.pipelines import LoadedPipeline
from ltgc_cli.settings import Adapt

REPORT_EVERY, SAVE_EVERY = 10, 50  # steps
_VERSION = 1
"""Part of what a run is told apart by: raise it when a change here changes the weights that it comes to."""
_UNTOLD = 0.1  # of the texts are left out, which is what guidance leads away from (Ho and Salimans 2022)
_CLIP_NORM, _WEIGHT_DECAY = 1.0, 0.01  # as in diffusers' own training scripts
_ROOM = 4 << 30  # bytes of latents, and as many of texts, that are kept and not computed again
_ATTENTION = re.compile(r"\.(to_[qkv]|to_out\.0|add_[qkv]_proj|to_add_out)$")


class Plan(NamedTuple):
    """What a step learns from."""

    examples: tuple[int, ...]
    texts: tuple[str | None, ...]  # None: without a text
    noise: int  # the seed of its noise


def adapt(
    spec: str,
    examples: Sequence[Example],
    settings: Adapt,
    folder: Path,
    *,
    objects: Objects,
    device: str | None = None,
    dtype: Dtype | None = None,
    config: str | None = None,
    notice: Notice = lambda text: None,
    on_report: Callable[[int, int, float], object] = lambda step, steps, loss: None,
    on_resume: Callable[[int, int], object] = lambda step, steps: None,
) -> Path:
    """Returns the file of the LoRA, `folder`/LORA, which `load_lora_weights` reads at the strength it was trained at.

    A run that was killed goes on from the state it left in the folder, and comes to the same bytes on a CPU.

    spec -- embedded, a diffusers model id, a folder, or a .safetensors file
    device, dtype, config -- see pipelines.load
    examples -- each image is as likely as any other at each step
    objects -- gives an image's bytes by its sha256
    on_report -- called each REPORT_EVERY steps, and after the last, with the steps done, all steps, and the mean loss
    on_resume -- called with the steps done and all steps where a killed run goes on
    Raises InputError for a model that cannot be adapted, for no examples, a loss that is no number, too little memory;
    Unreadable for an image that is none, ProviderError for a model that cannot be loaded.
    """
    settings = resolved(spec, settings)
    run, path = _run_id(identity(spec, None, dtype, config), examples, settings), folder / tensor_files.STATE
    with _memory_errors(settings):
        training = _start(spec, examples, settings, objects, device=device, dtype=dtype, config=config, notice=notice)
        done, loss = adapting_state.load(path, run, settings.steps, training.weights, training.optimizer, notice)
        if done:
            on_resume(done, settings.steps)
        training.prepare(range(done, settings.steps))
        for step in range(done, settings.steps):
            loss += training.step(step)
            last, keeps = step + 1 == settings.steps, (step + 1) % SAVE_EVERY == 0
            # The loss is that of the weights before the step, which may have made them NaN.
            if not math.isfinite(loss) or ((last or keeps) and not tensor_files.finite(training.weights)):
                raise InputError(
                    f"the loss is no number at step {step + 1} of {settings.steps}; "
                    f"set --lr lower than {settings.lr:g}, or --dtype float32"
                )
            if (step + 1) % REPORT_EVERY == 0 or last:
                on_report(step + 1, settings.steps, loss / (step % REPORT_EVERY + 1))
                loss = 0.0
            if keeps and not last:
                adapting_state.save(path, run, step + 1, loss, training.weights, training.optimizer)
    lora = _write(training, folder)
    path.unlink(missing_ok=True)
    return lora


def seconds_a_step(
    spec: str,
    examples: Sequence[Example],
    settings: Adapt,
    *,
    objects: Objects,
    device: str | None = None,
    dtype: Dtype | None = None,
    config: str | None = None,
) -> float:
    """Returns how long a step takes on this machine, in seconds: the shorter of two real ones, after a first.

    Nothing of that training is kept. Raises what `adapt` raises.
    """
    settings = resolved(spec, settings)
    with _memory_errors(settings):
        training = _start(spec, examples, settings, objects, device=device, dtype=dtype, config=config)
        training.prepare(range(3))
        took = []
        for step in range(3):  # the first one also makes what is made once
            start = time.perf_counter()
            training.step(step)
            took.append(time.perf_counter() - start)
        return min(took[1:])


def resolved(spec: str, settings: Adapt) -> Adapt:
    """Returns the settings with those that were left open as they are used."""
    lr, batch = (1e-3, 32) if spec == "embedded" else (1e-4, 4)
    return msgspec.structs.replace(settings, lr=settings.lr or lr, batch=settings.batch or batch)


def plan(examples: Sequence[Example], settings: Adapt, step: int) -> Plan:
    """Returns what a step learns from: any image as likely as any other, a text of it, now and then none.

    settings -- with the batch set
    """
    rng = np.random.default_rng([settings.seed, step])
    assert settings.batch is not None, "resolved() says it"
    chosen = rng.integers(len(examples), size=settings.batch)
    untold, bare, which = (rng.random(settings.batch) for _ in range(3))
    texts: list[str | None] = []
    for place, index in enumerate(chosen):
        captions = examples[index].captions
        if untold[place] < _UNTOLD:
            texts.append(None)
        elif not captions or bare[place] < settings.bare:
            texts.append(examples[index].bare)
        else:
            texts.append(captions[int(which[place] * len(captions))])
    return Plan(tuple(chosen.tolist()), tuple(texts), int(rng.integers(2**63)))


def targets(network: nn.Module, layers: str) -> list[str]:
    """Returns the names of the layers that get a LoRA: every linear one and convolution, or those of attention."""
    fit = (name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d) and name)
    return [name for name in fit if layers == "all" or _ATTENTION.search(name)]


# ---- the training


class _Latents(NamedTuple):
    """What the VAE makes of an image, and how the image came to its size."""

    mean: Tensor  # [1, channels, height, width], scaled as the network sees latents; on the CPU, as all that is kept
    std: Tensor
    frame: Fitted


Key = TypeVar("Key")
Value = TypeVar("Value")


class _Kept(Generic[Key, Value]):
    """Computes what is asked for, and keeps it as long as there is room; after that it is computed each time."""

    def __init__(self, compute: Callable[[Key], Value], room: int) -> None:
        self.compute, self.room = compute, room
        self.kept: dict[Key, Value] = {}

    def __call__(self, key: Key) -> Value:
        if key in self.kept:
            return self.kept[key]
        value = self.compute(key)
        if self.room > 0:
            self.kept[key] = value
            self.room -= sum(one.nbytes for one in _tensors(value))
        return value

    def fill(self, keys: Iterable[Key]) -> None:
        """Computes and keeps as many of these as there is room for."""
        for key in dict.fromkeys(keys):
            if self.room > 0:
                self(key)


@dataclass
class _Training:
    """A pipeline whose network has a LoRA, and all that a step needs."""

    loaded: LoadedPipeline
    family: Family
    objective: Objective
    examples: Sequence[Example]
    settings: Adapt
    objects: Objects
    dtype: torch.dtype  # of the frozen parts
    weights: dict[str, nn.Parameter]  # of the LoRA
    optimizer: torch.optim.Optimizer

    @cached_property
    def texts(self) -> _Kept[str | None, Read]:
        return _Kept(self._read, _ROOM)

    @cached_property
    def latents(self) -> _Kept[str, _Latents]:
        return _Kept(self._encode, _ROOM)

    @property
    def device(self) -> torch.device:
        return next(iter(self.weights.values())).device

    def prepare(self, steps: range) -> None:
        """Reads the texts and images of all these steps, as far as they can be kept.

        Where all can, a GPU then has its whole memory for the network: T5 alone takes 10 GB.
        """
        plans = [plan(self.examples, self.settings, step) for step in steps]
        images = (self.examples[index].image for one in plans for index in one.examples)
        texts = (text for one in plans for text in one.texts)
        self.latents.fill(images)
        self.texts.fill(texts)
        if self.device.type != "cpu" and min(self.latents.room, self.texts.room) > 0:
            network = model_settings.denoiser(self.loaded.pipeline)
            for part in self.loaded.pipeline.components.values():
                if isinstance(part, nn.Module) and part is not network:
                    part.to("cpu")
            _free()

    def step(self, step: int) -> float:
        """Returns the loss of a step, after it is taken."""
        planned = plan(self.examples, self.settings, step)
        generator = torch.Generator().manual_seed(planned.noise)  # on the CPU: the same on every device
        latents = [self.latents(self.examples[index].image) for index in planned.examples]
        mean, std = torch.cat([one.mean for one in latents]), torch.cat([one.std for one in latents])
        sample = mean + std * torch.randn(mean.shape, generator=generator)
        noise = torch.randn(mean.shape, generator=generator)
        places = self.objective.draw(len(mean), generator)
        noised = self.objective.noised(*(one.to(self.device) for one in (sample, noise, places)))
        read = [self.texts(text) for text in planned.texts]
        told = {name: torch.cat([one[name] for one in read]).to(self.device, self.dtype) for name in read[0]}
        seen = noised._replace(sample=noised.sample.to(self.dtype))
        half = self.dtype != torch.float32
        with quiet(), torch.autocast(self.device.type, self.dtype) if half else nullcontext():
            answer = self.family.predict(self.loaded.pipeline, seen, told, [one.frame for one in latents])
        loss = nn.functional.mse_loss(answer.float(), noised.target.float())
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.weights.values(), _CLIP_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    @torch.no_grad()
    def _read(self, text: str | None) -> Read:
        with quiet():
            return {name: one.cpu() for name, one in self.family.read(self.loaded.pipeline, text).items()}

    @torch.no_grad()
    def _encode(self, image: str) -> _Latents:
        """One image at a time, so that what others are beside it changes no bit."""
        pipeline = self.loaded.pipeline
        pixels, frame = _fitted(self.loaded, self.objects(image), image)
        vae, own = pipeline.vae, pipeline.vae.config
        found = getattr(vae.encode(pixels.to(vae.device, vae.dtype)), "latent_dist", None)
        if found is None:  # TAESD and its like
            raise InputError(f"the model's {type(vae).__name__} is for looking alone; adapt wants the model's own VAE")
        mean = (found.mean - (own.get("shift_factor") or 0.0)) * own.scaling_factor
        return _Latents(mean.cpu(), (found.std * own.scaling_factor).cpu(), frame)


def _start(
    spec: str,
    examples: Sequence[Example],
    settings: Adapt,
    objects: Objects,
    *,
    device: str | None,
    dtype: Dtype | None,
    config: str | None,
    notice: Notice = lambda text: None,
) -> _Training:
    """Returns the training before its first step. Raises InputError for what cannot be adapted."""
    if not examples:
        raise InputError("there is no image to learn from")
    # In float16 gradients vanish; the LoRA fits the model in every precision.
    loaded = load(spec, device=device, dtype="bfloat16" if dtype == "float16" else dtype, config=config, notice=notice)
    pipeline, found = loaded.pipeline, family(loaded.pipeline, spec)
    network = getattr(pipeline, found.part)
    trained = objective(loaded.scheduler, logit_normal=found.logit_normal)
    frozen_dtype = network.dtype
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            part.requires_grad_(False)
    pipeline.vae.float()  # each image goes through it once, and some VAEs overflow in less
    _add_lora(network, settings)
    if settings.gradient_checkpointing:
        network.enable_gradient_checkpointing()
    weights = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    return _Training(
        loaded, found, trained, examples, settings, objects, frozen_dtype, weights, _optimizer(weights, settings)
    )


def _add_lora(network: Any, settings: Adapt) -> None:
    """Adds a LoRA to a network, its weights in float32: in bfloat16 most steps would round away."""
    with quiet(), torch_setup.loading, torch.random.fork_rng():
        from peft import LoraConfig

        torch.manual_seed(settings.seed)
        # alpha = rank: a file without alphas is read at strength 1 by everyone.
        rank, layers = settings.rank, targets(network, settings.layers)
        network.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=layers))
    for weight in network.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def _optimizer(weights: dict[str, nn.Parameter], settings: Adapt) -> torch.optim.Optimizer:
    assert settings.lr is not None, "resolved() says it"
    if not settings.adam_8bit:
        return torch.optim.AdamW(weights.values(), settings.lr, weight_decay=_WEIGHT_DECAY)
    try:
        with quiet():
            optim = import_module("bitsandbytes").optim
    except ImportError:
        raise extras.missing("--adam-8bit", "adam8bit") from None
    adam: torch.optim.Optimizer = optim.AdamW8bit(weights.values(), lr=settings.lr, weight_decay=_WEIGHT_DECAY)
    return adam


def _fitted(loaded: LoadedPipeline, data: bytes, name: str) -> tuple[Tensor, Fitted]:
    """Returns an image in the model's own size, its middle: [1, 3, height, width] in -1..1; and how it came to it."""
    from PIL import ImageOps

    open_size = ImageRequest(model="", text="", seed=0)
    size = model_settings.size(loaded.pipeline, open_size, loaded.defaults)
    if size is None:
        raise InputError(f"{model_settings.kind(loaded.pipeline)} does not say how large its images are")
    image = decode(data, name)
    (width, height), (own_width, own_height) = size, image.size
    scale = max(width / own_width, height / own_height)
    crop = round((own_height * scale - height) / 2), round((own_width * scale - width) / 2)
    pixels = torch.from_numpy(np.array(ImageOps.fit(image, size))).permute(2, 0, 1)[None]
    return pixels / 127.5 - 1, Fitted((own_height, own_width), crop, (height, width))


def _write(training: _Training, folder: Path) -> Path:
    """Returns the file that the LoRA is in, whole and on the disk, in diffusers' format."""
    from peft import get_peft_model_state_dict

    network, part = model_settings.denoiser(training.loaded.pipeline), training.family.part
    weights = {
        f"{part}.{name}": weight.detach().float().cpu().contiguous()
        for name, weight in get_peft_model_state_dict(network).items()
    }
    tensor_files.save(folder / LORA, weights, {"format": "pt"})
    return folder / LORA


def _run_id(model: str, examples: Sequence[Example], settings: Adapt) -> str:
    """Returns the sha256 (hex) of what a run is told apart by: another run's state is never gone on from."""
    own = msgspec.to_builtins(settings)
    for name in ("from_classes", "gradient_checkpointing"):  # said by the examples; changes no weight
        own.pop(name)
    return hashlib.sha256(msgspec.json.encode([_VERSION, model, examples, own])).hexdigest()


@contextmanager
def _memory_errors(settings: Adapt) -> Iterator[None]:
    """A context in which too little memory is an InputError that names what helps."""
    short = False
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        short = True
    if short:  # here, where the error is gone and with it every reference to its tensors
        _free()
        helps = [] if settings.gradient_checkpointing else ["--gradient-checkpointing"]
        helps += [f"a --batch below {settings.batch}"] if settings.batch != 1 else []
        helps += [] if settings.adam_8bit else ["--adam-8bit"]
        helps += [] if settings.layers == "attention" else ["--layers attention"]
        raise InputError(f"out of memory while adapting; these need less: {', '.join([*helps, '--dtype bfloat16'])}")


def _free() -> None:
    gc.collect()
    for backend in (torch.cuda, torch.mps):
        with suppress(RuntimeError):  # where there is no such device
            backend.empty_cache()


def _tensors(value: Any) -> Iterator[Tensor]:
    for one in value.values() if isinstance(value, dict) else value:
        if isinstance(one, Tensor):
            yield one
