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
from ltgc_cli.providers.opened import AskOptions
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
    """A folder with a random Stable Diffusion that draws 32x32 in four steps."""
    folder = saved("stable_diffusion", tmp_path_factory.mktemp("t2i"))
    (folder / "ltgc_defaults.json").write_text(json.dumps({"steps": 4, "guidance": 2.0}))
    return folder


@pytest.fixture(scope="session")
def sdxl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random SDXL that draws 32x32."""
    return saved("sdxl", tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="session")
def flux_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random FLUX.1-schnell, whose own size is 256x256."""
    return saved("flux", tmp_path_factory.mktemp("flux"))


def saved(family: str, folder: Path) -> Path:
    """Returns the folder, with a tiny pipeline of the family in it."""
    mend_torchvision()
    one_thread()
    with quiet():
        import tiny_pipelines
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        getattr(tiny_pipelines, family)().save_pretrained(folder)
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
                options = {"objects": dict.__getitem__, "api_base": f"{address}/v1", **options}
                return litellm.ask_port(spec, AskOptions(**options), clock=time.clock, sleep=time.sleep)(question)

        return ask

    return asking
