"""A tiny CLIP in a folder, as ltgc loads one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from ltgc_cli.providers.clip.open_clip import Loaded, load
from ltgc_cli.providers.quiet import quiet
from ltgc_cli.providers.torch_setup import mend_torchvision

CONFIG = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "layers": 2, "head_width": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random CLIP: ViT of 2 blocks, 32 wide, images of 32x32 in four patches."""
    mend_torchvision()
    folder = tmp_path_factory.mktemp("clip")
    with quiet():
        import open_clip

        torch.manual_seed(0)
        model = open_clip.CLIP(**CONFIG["model_cfg"])
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG))
    safetensors.torch.save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def clip(clip_folder: Path) -> Loaded:
    return load(f"local-dir:{clip_folder}")
