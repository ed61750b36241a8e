"""The recipes of `ltgc run`: `best` adapts the image model and trains otherwise, `ltgc` is the paper's."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from trained import digits

from ltgc_cli.config import configure
from ltgc_cli.errors import InputError
from ltgc_cli.learn.settings import checked
from ltgc_cli.pipeline.adapt import cannot
from ltgc_cli.pipeline.recipes import RECIPES, STRONGEST, training
from ltgc_cli.pipeline.run import Job, steps_of
from ltgc_cli.settings import Run, Training


def files(recipe: str = "best", baselines: bool = False, data: str = "digits-lt:0:100", **settings: Any) -> list[str]:
    """Returns the files of a run's steps, by the settings of its stages."""
    by_command = {"run": {}, "adapt": {"data": data}} | {name.replace("_", "-"): own for name, own in settings.items()}
    job = Job(by_command, Run(recipe=recipe, baselines=baselines), {}, lambda *more, **_: "ltgc run")  # type: ignore[arg-type]
    return [step.file for step in steps_of(job)]


def test_the_best_recipe_adapts_the_image_model_and_the_papers_does_not() -> None:
    assert files("best")[2:5] == ["reflect.jsonl", "adapt.jsonl", "render.jsonl"]
    assert "adapt.jsonl" not in files("ltgc")


@pytest.mark.parametrize("t2i", ["litellm:dall-e-3", "blank", "replay:answers.jsonl"])
def test_what_has_no_weights_here_is_not_adapted(t2i: str) -> None:
    assert "adapt.jsonl" not in files("best", render={"t2i": t2i})
    assert cannot(t2i)


def test_where_no_class_is_large_enough_to_learn_from_the_recipe_does_not_adapt_and_says_so(inside, tmp_path) -> None:
    digits(tmp_path / "digits", test=2)
    for folder in {path.parent for path in (tmp_path / "digits").rglob("*.png")}:
        for image in sorted(folder.glob("*.png"))[7:]:
            image.unlink()
    (tmp_path / "ltgc.toml").write_text('data = "digits"\ntail = 3\nt2i = "embedded"\n')
    ran = inside("run", "--dry-run", "--until", "render")
    assert ran.code == 0 and "the image model is not adapted: no class has 8 images to learn from" in ran.err


def test_a_lora_of_a_persons_own_is_not_adapted_over() -> None:
    assert "adapt.jsonl" not in files("best", render={"lora": "mine.safetensors"})


@pytest.mark.parametrize("command", ["adapt", "filter"])
def test_adapt_teaches_and_filter_generates_with_the_model_that_render_has(command: str) -> None:
    job = Job({"run": {}, "adapt": {"data": "digits-lt:0:100"}, "render": {"t2i": "my/model"}}, Run(), {}, str)
    assert next(step.usual for step in steps_of(job) if step.command == command)["t2i"] == "my/model"


def test_a_model_of_a_family_that_cannot_be_adapted_is_generated_with_as_it_comes(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "PixArtAlphaPipeline"}')
    assert "adapt.jsonl" not in files("best", render={"t2i": str(tmp_path)})


def test_images_without_an_adapter_are_refused_before_anything_is_asked_where_there_is_none() -> None:
    with pytest.raises(InputError, match=r"\[render\] unadapted: no LoRA is in use"):
        files("ltgc", render={"unadapted": 4})
    assert "adapt.jsonl" in files("best", render={"unadapted": 4})


def test_a_classifier_is_called_the_best_recipe_only_where_it_is_that() -> None:
    def name(**own: Any) -> str:
        job = Job({"run": {}, "adapt": {"data": "digits-lt:0:100"}, "mix-train": own}, Run(), {}, str)
        return next(step.usual["name"] for step in steps_of(job) if step.file == "mix-train.jsonl")

    assert name(out="here") == "best recipe"
    assert name(generated=False) == name(tune="full") == name(steps=50) == name(loss="ldam") == ""


def test_the_strongest_training_on_real_images_alone_stands_beside_every_recipe() -> None:
    for recipe in ("best", "ltgc"):
        trained = [name for name in files(recipe, baselines=True) if name.startswith(("fine", "mix"))]
        assert trained == ["fine-tuning.jsonl", "fine-tuning-la.jsonl", "fine-tuning-cutmix.jsonl", "mix-train.jsonl"]


def test_a_recipe_trains_with_all_of_its_settings_or_with_none() -> None:
    best = RECIPES["best"]
    assert training(best, {"steps": 9, "batch": 4}) == best.training
    assert training(best, {"mix": "balancemix"}) == {}


def test_the_settings_of_the_recipes_are_such_as_can_be() -> None:
    for recipe in RECIPES.values():
        checked(configure("mix-train", dict(recipe.training), environment={})[Training])
    checked(configure("mix-train", dict(STRONGEST), environment={})[Training])


def test_the_page_shows_the_settings_of_the_best_recipe() -> None:
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    written = tomllib.loads(page.partition("### The recipe")[2].partition("```toml\n")[2].partition("```")[0])
    shown = {name.replace("-", "_"): value for name, value in written["mix-train"].items()}
    assert shown == RECIPES["best"].training


SETTINGS = """
data = "digits"
tail = 3
[extend]
n = 4
[reflect]
k = 4
[adapt]
steps = 2
batch = 4
from-classes = 1
[render]
steps = 2
[filter]
mode = "score"
[mix-train]
steps = 2
batch = 4
"""


@pytest.mark.slow
def test_a_run_by_the_best_recipe_is_a_chain_of_the_commands(inside, tmp_path: Path) -> None:
    digits(tmp_path / "digits", test=2)
    (tmp_path / "ltgc.toml").write_text(SETTINGS)
    ran = inside("run", "--until", "eval", "--no-baselines")
    assert ran.code == 0, ran.err
    assert "mix-train" in ran.err and "adapt" in ran.err
    # mix-train alone knows no recipe: its flags say it.
    flags = ["--loss", "la", "--mix", "cutmix", "--mix-prob", "0.5", "--sampler", "instance"]
    flags += ["--syn-prob", "0.8:0", "--syn-prior", "--syn-head"]
    done = inside("mix-train", *flags, "-i", "ltgc-run/filter.jsonl", "-o", "mix-train.jsonl")
    assert done.code == 0 and "answered by" in done.err, done.err
    assert (tmp_path / "mix-train.jsonl").read_bytes() == (tmp_path / "ltgc-run" / "mix-train.jsonl").read_bytes()
