"""Models as small as they can be, with random weights, in folders as a person would have them."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from ltgc_cli.ports import Answer, Question
from ltgc_cli.providers.llm import litellm
from ltgc_cli.providers.quiet import quiet
from ltgc_cli.providers.torch_setup import mend_torchvision, one_thread

CLIP_CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mend_torchvision()
    one_thread()
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    save_file(open_clip.CLIP(**CLIP_CONFIG).state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CLIP_CONFIG, "preprocess_cfg": {}}))
    return folder


@pytest.fixture(scope="session")
def t2i_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random Stable Diffusion that draws 32x32 in four steps (after diffusers' own tests)."""
    mend_torchvision()
    one_thread()
    with quiet():
        import diffusers
        import torch
        from open_clip.tokenizer import SimpleTokenizer
        from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

        folder = tmp_path_factory.mktemp("t2i")
        torch.manual_seed(0)
        words = {word: number for number, word in enumerate(list(SimpleTokenizer().encoder)[:512])}
        words |= {"<|startoftext|>": 512, "<|endoftext|>": 513}
        (folder / "vocab.json").write_text(json.dumps(words))
        (folder / "merges.txt").write_text("#version: 0.2\n")
        pipeline = diffusers.StableDiffusionPipeline(
            unet=diffusers.UNet2DConditionModel(
                block_out_channels=(4, 8), layers_per_block=1, sample_size=16, in_channels=4, out_channels=4,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), norm_num_groups=2,
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=16, attention_head_dim=2,
            ),
            vae=diffusers.AutoencoderKL(
                block_out_channels=(4, 8), down_block_types=("DownEncoderBlock2D",) * 2, norm_num_groups=2,
                up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, sample_size=32,
            ),
            text_encoder=CLIPTextModel(
                CLIPTextConfig(
                    vocab_size=514, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                    bos_token_id=512, eos_token_id=513, pad_token_id=513,
                )
            ),
            tokenizer=CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77),
            scheduler=diffusers.DDIMScheduler(),
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        )  # fmt: skip
        pipeline.set_progress_bar_config(disable=True)
        pipeline.save_pretrained(folder)
    (folder / "ltgc_defaults.json").write_text(json.dumps({"steps": 4, "guidance": 2.0}))
    return folder


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """A function that returns a PNG whose colour changes from corner to corner."""

    def png(color: tuple[int, int, int], mode: str = "RGB", format: str = "PNG") -> bytes:
        from PIL import Image

        pixels = bytes((c + x * 5 + y * 3) % 256 for y in range(32) for x in range(32) for c in color)
        buffer = io.BytesIO()
        Image.frombytes("RGB", (32, 32), pixels).convert(mode).save(buffer, format)
        return buffer.getvalue()

    return png


@pytest.fixture
def kept() -> dict[str, bytes]:
    """Image bytes by their sha256: `kept.__getitem__` is `objects`, and `keep` puts them there."""
    return {}


@pytest.fixture
def keep(kept: dict[str, bytes]) -> Callable[[bytes], str]:
    def keep(data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        kept[sha256] = data
        return sha256

    return keep


class Time:
    """A clock that stands still but while somebody sleeps, which takes no time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def in_a_hurry() -> dict[str, Any]:
    """A clock and a sleep that are a hundred times as fast."""
    return {"clock": lambda: monotonic() * 100, "sleep": lambda seconds: asyncio.sleep(seconds / 100)}


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch, time: Time) -> Callable[[Question], Callable[..., Answer]]:
    """With a question, a function that asks it while a server gives these answers and faults in turn."""
    from ports.openai_chat import chat, in_turn
    from server import serving

    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-abcdefghijklmnopqrstuvwxyz123456")

    def asking(usual: Question) -> Callable[..., Answer]:
        def ask(*turns: Any, spec: str = "gpt-4o", question: Question = usual, **options: Any) -> Answer:
            routes = chat(lambda body: "hi", faults=in_turn(*turns or [None]))
            ask.seen = routes.seen
            with serving(routes) as address:
                given = {"api_base": f"{address}/v1", "clock": time.clock, "sleep": time.sleep, **options}
                return litellm.ask_port(spec, **{"objects": dict.__getitem__, **given})(question)

        return ask

    return asking
