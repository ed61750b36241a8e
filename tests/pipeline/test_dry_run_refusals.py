"""A dry run refuses what the real run would refuse at once, with the same exit status and the same message."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest
from fakes import a_class, a_description

from ltgc_cli.records import dump

CRANE = a_class("crane", 3)
TEXT = dump(a_description(CRANE, "at dusk", "described"))
OTHER = TEXT.replace("crane", "seal")

REFUSED = [
    "describe --data none",
    "describe --data digits-lt --tail rare",
    "describe --data digits-lt --lmm gpt4o",
    "extend --class crane --llm gpt4o --price 2,10",
    "describe --data digits-lt --lmm openai/mine --max-cost 1",
    "describe --data digits-lt --lmm gpt-4o --price 2",
    "describe --data digits-lt --senses none.toml",
    "describe --data digits-lt --prompts none.toml",
    "describe --data digits-lt --batch",
    "describe --data digits-lt -i in.jsonl",
    "describe --data digits-lt --classes in.jsonl",
    "describe --data gone.txt",
    "describe",
    "describe -i empty.jsonl",
    "extend -i empty.jsonl",
    "extend -i nonsense.jsonl",
    "extend -i two-names.jsonl",
    "extend -i .",
    "extend --class crane -i in.jsonl",
    "extend --class crane --class crane",
    "extend --class crane --llm replay:none.jsonl",
    "extend -i in.jsonl --senses none.toml",
    "reflect -i empty.jsonl",
    "reflect -i in.jsonl --near 2",
    "render -i empty.jsonl",
    "render -i in.jsonl --t2i nope",
    "render -i in.jsonl --t2i litellm:openai/mine --max-cost 1",
    "render -i in.jsonl --t2i litellm:gpt-image-1 --steps 3",
    "filter -i empty.jsonl",
    "filter -i in.jsonl --threshold 200",
    "filter -i in.jsonl --clip vit",
    "filter -i in.jsonl --verdicts none.jsonl",
    "eval --data none --zero-shot",
    "eval --zero-shot",
    "eval --data digits-lt -i in.jsonl",
    "eval --data digits-lt --zero-shot --val digits-lt",
    "eval --data train-only --zero-shot",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in.jsonl").write_text(f"{TEXT}\n")
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "nonsense.jsonl").write_text(f"{TEXT}\nnonsense\n")
    (tmp_path / "two-names.jsonl").write_text(f"{TEXT}\n{OTHER}\n")
    (tmp_path / "gone.txt").write_text("none/0.png 0\n")
    return tmp_path


@pytest.mark.parametrize("typed", REFUSED)
def test_a_stage_is_refused_in_a_dry_run_as_it_is_for_real(inside, folder, typed):
    real = inside(*typed.split(), "-o", "out.jsonl")
    dry = inside(*typed.split(), "--dry-run", "-o", "out.jsonl")

    assert real.code in (2, 3) and real.err.splitlines()[-1].startswith("ltgc: "), real.err
    assert (dry.code, dry.err.splitlines()[-1], dry.out) == (real.code, real.err.splitlines()[-1], "")
    assert not (folder / "out.jsonl").exists()


RUNS = {
    "no data": "",
    "data that is not there": 'data = "none"',
    "no test images": 'data = "birds"',
    "test images that are not there": 'data = "birds"\n[run]\ntest = "none"',
    "test images of a list that are not there": 'data = "birds"\n[run]\ntest = "gone.txt"',
    "a photo that is none": 'data = "broken"\n[run]\ntest = "birds-test"',
    "a test image that is a training image": 'data = "birds"\n[run]\ntest = "birds"',
    "a folder where the checkpoint is to go": 'data = "birds"\n[run]\ntest = "birds-test"\n[mix-train]\nout = "birds"',
    "a file of a person's in the way": 'data = "birds"\n[run]\ntest = "birds-test"\nout = "mine"',
    "an unknown CLIP": 'data = "birds"\nclip = "ViT-X/y"\n[run]\ntest = "birds-test"',
    "validation images for nothing": 'data = "birds"\n[run]\ntest = "birds-test"\n[eval]\nval = "birds"',
    "an unknown price under a limit": 'data = "birds"\nllm = "openai/mine"\n[run]\ntest = "birds-test"\nmax-cost = 5',
    "a setting that no command has": 'learning-rate = 1',
    "a loss that there is not": 'data = "birds"\n[run]\ntest = "birds-test"\n[mix-train]\nloss = "mse"',
    "a threshold above all scores": 'data = "birds"\n[run]\ntest = "birds-test"\n[filter]\nthreshold = 200',
    "validation images that are not there": 'data = "birds"\n[run]\ntest = "birds-test"\n[mix-train]\nval-every = 5',
}  # fmt: skip


@pytest.fixture
def photos(folder: Path) -> Path:
    for number, place in enumerate(("birds", "birds-test", "broken")):
        for label, name in enumerate(("crane", "seal")):
            (folder / place / name).mkdir(parents=True)
            image = PIL.Image.new("RGB", (16, 16), (40 * number, 90 * label, 7))
            image.save(folder / place / name / "0.png")
    (folder / "broken" / "crane" / "1.png").write_bytes(b"no photo")
    (folder / "mine").mkdir()
    (folder / "mine" / "describe.jsonl").write_text("my notes")
    return folder


@pytest.mark.parametrize("settings", RUNS.values(), ids=RUNS)
def test_a_run_is_refused_in_a_dry_run_as_it_is_for_real(inside, photos, store, settings):
    (photos / "ltgc.toml").write_text(settings)
    dry = inside("run", "--dry-run")
    kept = store.exists()
    real = inside("run")

    assert (real.code, real.out) == (2, "") and real.err.splitlines()[-1].startswith("ltgc: "), real.err
    assert (dry.code, dry.err, dry.out, kept) == (2, real.err, "", False)
