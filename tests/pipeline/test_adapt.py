"""ltgc adapt: an adapter's record in the stream, its files in the store, and who uses it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from commands import Ltgc
from PIL import Image

from ltgc_cli import providers
from ltgc_cli.errors import ProviderError
from ltgc_cli.ports import GeneratedImage, Usage
from ltgc_cli.providers import Opened
from ltgc_cli.providers.t2i import adapting, blank, diffusers
from ltgc_cli.providers.t2i.examples import LORA

COUNTS = {"crane": 9, "seal": 8, "owl": 2}


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    for label, (name, count) in enumerate(COUNTS.items()):
        (tmp_path / "birds" / name).mkdir(parents=True)
        for photo in range(count):
            Image.new("RGB", (16, 16), (80 * label, 20 * photo, 30)).save(tmp_path / "birds" / name / f"{photo}.png")
    return tmp_path / "birds"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A trainer that writes its examples into the file, and what it was given each time."""
    calls: list[dict[str, Any]] = []

    def adapt(spec: str, examples: Any, settings: Any, folder: Path, **options: Any) -> Path:
        calls.append({"spec": spec, "examples": examples, "settings": settings, "folder": folder, **options})
        assert all(options["objects"](one.image) for one in examples)
        options["on_report"](settings.steps, settings.steps, 0.5)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LORA).write_text(str(examples))
        return folder / LORA

    monkeypatch.setattr(adapting, "adapt", adapt)
    monkeypatch.setattr(
        adapting, "seconds_a_step", lambda spec, examples, settings, objects, **_: _step(examples, objects)
    )
    return calls


def _step(examples: Any, objects: Any) -> float:
    assert objects(examples[0].image).startswith(b"\x89PNG")
    return 0.5


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The embedded image model's place is taken by colour fields; by which model each was wanted."""
    models: list[str] = []

    def opened(spec: str, keep: Any, **options: Any) -> Opened[Any]:
        if spec == "blank" or spec.startswith("litellm:"):
            return real(spec, keep=keep, **options)
        name = diffusers.identity(spec, options["lora"], options["dtype"], options["t2i_config"], options["lora_scale"])

        def generate(requests: Any) -> list[GeneratedImage]:
            models.extend(request.model for request in requests)
            return [GeneratedImage(sha256=keep(blank.painted(one)), usage=Usage(dollars=0.0)) for one in requests]

        return Opened(name, generate)

    real = providers.open_generate
    monkeypatch.setattr(providers, "open_generate", opened)
    return models


@pytest.fixture
def reflected(inside: Ltgc, birds: Path, tmp_path: Path) -> Path:
    done = inside("describe", "--data", birds, "--tail", 9, "-o", "reflected.jsonl")
    assert done.code == 0, done.err
    return tmp_path / "reflected.jsonl"


@pytest.fixture
def adapted(inside: Ltgc, reflected: Path, trained: Any, tmp_path: Path) -> Path:
    done = inside("adapt", "-i", reflected, "-o", "adapted.jsonl")
    assert done.code == 0, done.err
    return tmp_path / "adapted.jsonl"


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def one_line(text: str) -> str:
    return " ".join(text.split())


def folder_of(store: Path, path: Path) -> Path:
    return store / "checkpoints" / rows(path)[0]["sha256"]


# --- the record


def test_the_record_stands_first_and_the_stream_behind_it_is_untouched(inside, reflected, adapted):
    lines = adapted.read_text().splitlines()
    assert lines[1:] == reflected.read_text().splitlines()
    record = json.loads(lines[0])
    assert (record["kind"], record["of"], record["method"]) == ("checkpoint", "t2i", "adapt")
    about = record["settings"]
    assert about["t2i"].startswith("embedded/t2i@") and (about["images"], about["classes"]) == (8, 1)
    assert (about["steps"], about["lr"], about["batch"]) == (300, 1e-3, 32), "what was left open as it was used"


def test_without_data_it_learns_from_the_originals_of_the_stream_each_with_its_description(adapted, trained):
    (call,) = trained
    assert len(call["examples"]) == 8
    assert {one.bare for one in call["examples"]} == {"A photo of seal"}
    assert all(len(one.captions) == 1 and one.captions[0].startswith("A photo of seal") for one in call["examples"])


def test_with_data_all_training_images_of_large_enough_classes_teach(inside, birds, reflected, trained):
    done = inside("adapt", "-i", reflected, "--data", birds, "-o", "adapted.jsonl")
    assert done.code == 0, done.err
    bare = [one.bare for one in trained[0]["examples"]]
    assert [bare.count(f"A photo of {name}") for name in COUNTS] == [9, 8, 0]
    assert sum(bool(one.captions) for one in trained[0]["examples"]) == 8, "the head was not described"
    assert "17 images of 2 classes, 300 steps; the adapter is in" in done.err


def test_data_alone_is_enough_to_make_an_adapter_for_other_programs(inside, birds, trained, tmp_path):
    done = inside("adapt", "--data", birds, "--out", "lora", "--json")
    assert done.code == 0, done.err
    assert done.out.count("\n") == 1 and len(trained[0]["examples"]) == 17
    assert sorted(path.name for path in (tmp_path / "lora").iterdir()) == ["done.json", LORA, "settings.json"]
    again = inside("adapt", "--data", birds, "--out", "lora", "--json")
    assert (again.code, again.out, len(trained)) == (0, done.out, 1)
    other = inside("adapt", "--data", birds, "--out", "lora", "--steps", 5)
    assert other.code == 2 and "lora is there already, and no copy of this adapter" in one_line(other.err)
    (tmp_path / "mine").mkdir()
    full = inside("adapt", "--data", birds, "--out", "mine")
    assert full.code == 2 and "mine is there already, and no adapter; name a new folder" in one_line(full.err)


def test_the_class_s_sense_is_in_the_texts_of_images_that_the_stream_lacks(inside, birds, tmp_path, trained):
    (tmp_path / "given.jsonl").write_text(
        '{"kind":"class","id":"c","label":0,"class":"crane","tail":false,"sense":"bird"}\n'
    )
    assert inside("adapt", "-i", "given.jsonl", "--data", birds, "--from-classes", 9).code == 0
    assert {one.bare for one in trained[0]["examples"]} == {"A photo of crane (bird)"}


def test_labels_that_mean_another_class_in_the_data_stop_it(inside, birds, tmp_path, trained):
    (tmp_path / "given.jsonl").write_text('{"kind":"class","id":"c","label":0,"class":"gull","tail":true}\n')
    done = inside("adapt", "-i", "given.jsonl", "--data", birds)
    assert done.code == 2 and "label 0 is 'gull' in the stream and is 'crane' in --data" in one_line(done.err)
    assert not trained


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--from-classes", 20), "no class has 20 images to learn from, and the largest has 8: --from-classes 8; with "
         "--data DATA all training images count"),
        (("--from-classes", 20, "--data", "birds"), "and the largest has 9: --from-classes 9"),
        (("--t2i", "blank"), "--t2i blank cannot be adapted: name a model that diffusers loads, or embedded"),
        (("--t2i", "litellm:gpt-image-1"), "--t2i litellm:gpt-image-1 cannot be adapted"),
        (("--t2i", "replay:x.jsonl"), "--t2i replay:x.jsonl cannot be adapted"),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_is_one_line(inside, reflected, trained, flags, said):
    done = inside("adapt", "-i", reflected, *flags)
    assert done.code == 2 and said in one_line(done.err)
    assert not trained


def test_an_adapter_of_before_is_replaced(inside, adapted, trained):
    done = inside("adapt", "-i", adapted, "--steps", 5, "--json")
    first, *others = [json.loads(line) for line in done.out.splitlines()]
    assert first["settings"]["steps"] == 5
    assert not any(row["kind"] == "checkpoint" for row in others)


def test_what_is_no_image_is_left_out_and_named_and_the_rest_is_learnt_from(inside, birds, trained):
    (birds / "seal" / "3.png").write_bytes(b"no image")
    done = inside("adapt", "--data", birds)
    assert done.code == 0 and "adapt: 1 file left out, no image: seal/3.png" in done.err
    (call,) = trained
    assert len(call["examples"]) == COUNTS["crane"] + COUNTS["seal"] - 1
    again = inside("adapt", "--data", birds)
    assert "answered by" in again.err and "seal/3.png" in again.err


def test_a_model_that_cannot_be_adapted_is_refused_before_it_is_loaded(inside, birds, trained, tmp_path):
    (tmp_path / "pixart").mkdir()
    (tmp_path / "pixart" / "model_index.json").write_text('{"_class_name": "PixArtAlphaPipeline"}')
    done = inside("adapt", "--data", birds, "--t2i", tmp_path / "pixart")
    assert done.code == 2 and "is a PixArtAlphaPipeline, which cannot be adapted" in one_line(done.err) and not trained


def test_the_folder_of_a_classifier_is_no_place_for_an_adapter(inside, birds, trained, tmp_path):
    (tmp_path / "classifier").mkdir()
    (tmp_path / "classifier" / "done.json").write_text("{}")
    done = inside("adapt", "--data", birds, "--out", tmp_path / "classifier")
    assert done.code == 2 and "is there already, and no adapter" in one_line(done.err) and not trained


# --- the artifact and the files


def test_the_same_again_is_answered_by_the_artifact_and_what_changes_it_is_not(inside, reflected, adapted, trained):
    again = inside("adapt", "-i", reflected)
    assert "answered by" in again.err and len(trained) == 1
    inside("adapt", "-i", reflected, "--gradient-checkpointing")
    assert len(trained) == 1, "which changes no weight"
    for number, flags in enumerate([("--rank", 4), ("--seed", 1), ("--layers", "attention"), ("--bare", 0.5)], 2):
        assert inside("adapt", "-i", reflected, *flags).code == 0
        assert len(trained) == number
    assert len({str(call["folder"]) for call in trained}) == 5


def test_more_descriptions_that_no_image_shows_make_another_stream_and_the_same_adapter(
    inside, reflected, adapted, trained, tmp_path
):
    more = '{"kind":"description","id":"d","label":2,"class":"seal","text":"A seal.","origin":"extended"}\n'
    (tmp_path / "more.jsonl").write_text(reflected.read_text() + more)
    done = inside("adapt", "-i", "more.jsonl", "--json")
    assert done.out.splitlines()[0] == adapted.read_text().splitlines()[0] and len(trained) == 1


@pytest.mark.parametrize("harm", ["gone", "changed", "unfinished"])
def test_an_adapter_that_is_not_whole_is_made_again_by_the_same_command(
    inside, store, reflected, adapted, trained, painted, harm
):
    folder, whole = folder_of(store, adapted), adapted.read_bytes()
    if harm == "changed":
        (folder / LORA).write_text("other")
    elif harm == "unfinished":
        (folder / "done.json").unlink()
    else:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    used = inside("render", "-i", adapted)
    assert used.code == 2 and "Traceback" not in used.err
    assert "of the stream is not whole" in one_line(used.err) and "the same ltgc adapt makes it again" in used.err
    assert inside("adapt", "-i", reflected, "-o", "adapted.jsonl").code == 0
    assert len(trained) == 2 and adapted.read_bytes() == whole
    assert inside("render", "-i", adapted).code == 0


def test_a_killed_run_goes_on_in_its_folder(inside, store, reflected, monkeypatch, trained):
    whole = adapting.adapt

    def stopped(spec: str, examples: Any, settings: Any, folder: Path, **options: Any) -> None:
        folder.mkdir(parents=True)
        (folder / "state").write_text("half")
        raise ProviderError("the machine is switched off")

    monkeypatch.setattr(adapting, "adapt", stopped)
    assert inside("adapt", "-i", reflected).code == 3
    (folder,) = (store / "checkpoints").iterdir()
    assert inside("cache", "verify").code == 0, "what is unfinished is no damage"

    def goes_on(*given: Any, **options: Any) -> Path:
        assert (given[3] / "state").read_text() == "half"
        options["on_resume"](50, 300)
        return whole(*given, **options)

    monkeypatch.setattr(adapting, "adapt", goes_on)
    done = inside("adapt", "-i", reflected)
    assert done.code == 0 and "adapt: went on at step 50 of 300" in done.err
    assert (folder / "done.json").is_file()


def test_the_store_checks_shares_and_prunes_it_as_any_checkpoint(inside, store, reflected, adapted, trained, tmp_path):
    folder = folder_of(store, adapted)
    assert inside("cache", "verify").code == 0
    done = inside("cache", "import", store, "--cache-dir", tmp_path / "other")
    assert done.code == 0 and "1 checkpoint" in done.err, done.err
    assert (tmp_path / "other" / "checkpoints" / folder.name / LORA).read_bytes() == (folder / LORA).read_bytes()
    (folder / LORA).write_text("other")
    assert folder.name[:12] in inside("cache", "verify").out
    assert inside("cache", "prune", "--checkpoints", "--yes").code == 0
    assert not folder.exists()
    assert inside("adapt", "-i", reflected).code == 0
    assert len(trained) == 2, "its artifact is gone with it"


# --- who uses it


def test_render_and_filter_generate_with_the_adapter_of_the_stream_as_if_by_lora(
    inside, store, adapted, painted, reflected
):
    done = inside("render", "-i", adapted, "-o", "rendered.jsonl")
    assert done.code == 0, done.err
    name = diffusers.identity("embedded", str(folder_of(store, adapted) / LORA))
    assert set(painted) == {name} and " + lora@" in name

    by_hand = inside("render", "-i", reflected, "--lora", folder_of(store, adapted), "--json")
    assert by_hand.code == 0 and "asked" not in by_hand.err, "the same requests"
    del painted[:]
    flags = ("--scale", "cosine", "--threshold", 1, "--rounds", 2)
    filtered = inside("filter", "-i", "rendered.jsonl", *flags, "-o", "filtered.jsonl")
    assert filtered.code in (0, 1) and set(painted) == {name}, filtered.err


def test_a_piped_stream_has_it_too(inside, adapted, painted):
    assert inside("render", input=adapted.read_text()).code == 0
    assert painted and all(" + lora@" in model for model in painted)


def test_each_part_of_the_classes_has_it(inside, adapted, painted):
    whole = inside("render", "-i", adapted, "--json").out
    del painted[:]
    parts = [inside("render", "-i", adapted, "--json", "--shard", f"{number}/4").out for number in range(1, 5)]
    assert "".join(parts) == whole and not painted


def test_a_strength_is_part_of_the_name_and_none_is_no_part(inside, adapted, painted):
    assert inside("render", "-i", adapted, "--lora-scale", 0.5).code == 0
    assert all(re.search(r" \+ lora@\w+ at 0.5$", model) for model in painted)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--lora", "a/b"), "--lora a/b: the stream has an adapter of its own"),
        (("--t2i", "blank"), "--t2i blank is blank, and the adapter of the stream is one of embedded/t2i@"),
        (("--t2i", "a/b"), "--t2i a/b is a/b, and the adapter of the stream is one of embedded/t2i@"),
        (("--t2i", "litellm:gpt-image-1"), "--t2i litellm:gpt-image-1 is litellm:gpt-image-1, and the adapter"),
    ],
)
@pytest.mark.parametrize("command", ["render", "filter"])
def test_what_does_not_go_with_it_is_one_line(inside, adapted, painted, command, flags, said):
    done = inside(command, "-i", adapted, *flags)
    assert done.code == 2 and said in one_line(done.err), done.err
    assert not painted


def test_a_precision_is_no_other_model(inside, adapted, painted):
    assert inside("render", "-i", adapted, "--dtype", "float16").code == 0
    assert all(model.endswith(" (float16)") for model in painted)


def test_a_filter_that_generates_nothing_needs_no_adapter(inside, store, adapted, painted):
    inside("render", "-i", adapted, "-o", "rendered.jsonl")
    (folder_of(store, adapted) / "done.json").unlink()
    assert inside("filter", "-i", "rendered.jsonl", "--mode", "score").code == 0


def test_two_adapters_in_a_stream_are_an_error_and_one_twice_is_none(inside, adapted, painted, tmp_path):
    first, *others = adapted.read_text().splitlines(keepends=True)
    second = first.replace(json.loads(first)["sha256"], "f" * 64)
    (tmp_path / "two.jsonl").write_text("".join([first, second, *others]))
    done = inside("render", "-i", "two.jsonl")
    assert done.code == 2 and "the stream has two adapters" in one_line(done.err)
    (tmp_path / "twice.jsonl").write_text("".join([first, first, *others]))
    assert inside("render", "-i", "twice.jsonl").code == 0
    (tmp_path / "late.jsonl").write_text("".join([*others, first]))
    late = inside("render", "-i", "late.jsonl")
    assert late.code == 2 and "stands behind lines of classes" in one_line(late.err)


def test_unadapted_images_are_by_the_model_alone_and_filter_passes_them(inside, adapted, painted, tmp_path):
    done = inside("render", "-i", adapted, "--unadapted", 2, "-o", "rendered.jsonl")
    assert done.code == 0, done.err
    shown = [row for row in rows(tmp_path / "rendered.jsonl") if row.get("origin") == "unadapted"]
    assert len(shown) == 4 and {row["made"]["model"] for row in shown} == {diffusers.identity("embedded")}
    assert inside("filter", "-i", "rendered.jsonl", "--mode", "score", "-o", "filtered.jsonl").code == 0
    assert [row for row in rows(tmp_path / "filtered.jsonl") if row.get("origin") == "unadapted"] == shown


def test_unadapted_goes_with_lora_too_and_is_an_error_without_any(inside, reflected, adapted, store, painted):
    done = inside("render", "-i", reflected, "--unadapted", 1)
    assert done.code == 2 and "--unadapted: no LoRA is in use" in one_line(done.err)
    done = inside("render", "-i", reflected, "--lora", folder_of(store, adapted), "--unadapted", 1, "--json")
    assert done.code == 0 and done.out.count('"unadapted"') == 2
    scaled = inside("render", "-i", reflected, "--lora-scale", 0.5)
    assert scaled.code == 2 and "--lora-scale 0.5 is a LoRA's strength, and there is none" in one_line(scaled.err)


# --- who does not take it for a classifier


def test_eval_and_the_python_api_see_no_classifier_in_it(inside, birds, adapted, monkeypatch, store):
    import ltgc_cli as ltgc

    done = inside("eval", "-i", adapted, "--data", "digits-lt")
    assert done.code == 2 and "eval found no checkpoint in its input" in one_line(done.err)
    with pytest.raises(ltgc.InputError, match="no checkpoint among the records"):
        ltgc.checkpoint(adapted)
    assert ltgc.curves(adapted) == {}


def test_predict_says_that_it_is_no_classifier(inside, store, adapted, birds):
    done = inside("predict", "--checkpoint", folder_of(store, adapted), birds / "owl" / "0.png")
    assert done.code == 2 and "no whole checkpoint is in it; name what mix-train --out wrote" in one_line(done.err)


def test_it_is_in_python_as_the_other_stages_are(birds, reflected, adapted, trained, store, inside):
    import ltgc_cli as ltgc

    made = ltgc.adapt(reflected)
    assert made.of("checkpoint")[0].settings["images"] == 8 and len(trained) == 1
    assert ltgc.adapt(made, steps=7).of("checkpoint")[0].settings["steps"] == 7


def test_a_person_sees_a_table(inside, adapted, reflected, monkeypatch):
    from ltgc_cli import console

    monkeypatch.setattr(console, "is_terminal", lambda: True)
    done = inside("adapt", "-i", reflected)
    assert done.code == 0 and re.search(r"\bembedded/t2i@\w+ +8 +1 +300 +8\b", done.out), done.out


# --- dry runs


def test_a_dry_run_says_on_what_and_how_long_and_keeps_nothing(inside, store, birds, reflected, trained):
    before = sorted(store.rglob("*.jsonl")), sorted((store / "objects").rglob("*"))
    done = inside("adapt", "-i", reflected, "--data", birds, "--dry-run", "-o", "dry.jsonl")
    assert done.code == 0, done.err
    assert "would learn from 17 images of 2 classes, 300 steps; it takes about 2m30s here" in one_line(done.err)
    assert not trained and not (store / "checkpoints").exists() and not Path("dry.jsonl").exists()
    assert before == (sorted(store.rglob("*.jsonl")), sorted((store / "objects").rglob("*")))


def test_render_can_be_tried_on_what_an_adapter_would_make_and_all_its_images_are_new(
    inside, reflected, trained, painted
):
    assert inside("render", "-i", reflected).code == 0
    dry = inside("adapt", "-i", reflected, "--dry-run")
    assert '"imagined":true' in dry.out.splitlines()[0] and dry.out.count('"imagined"') == 1
    tried = inside("render", "--dry-run", input=dry.out)
    assert tried.code == 0, tried.err
    assert re.search(r"generate +embedded/t2i@\w+ \+ an adapter to come +0 +10\b", tried.err), tried.err
    real = inside("render", input=dry.out)
    assert real.code == 2 and "comes from a --dry-run" in real.err


def test_after_the_adapter_is_there_a_dry_run_imagines_nothing(inside, adapted, reflected, painted):
    dry = inside("adapt", "-i", reflected, "--dry-run")
    assert dry.out == adapted.read_text() and "would learn" not in dry.err


# --- ltgc run

SETTINGS = """
data = "birds"
tail = 9
steps = 3
[adapt]
from-classes = 2
steps = 7
out = "lora"
[extend]
n = 1
[reflect]
k = 2
[filter]
mode = "score"
"""


@pytest.fixture
def settings(birds: Path, tmp_path: Path) -> Path:
    (tmp_path / "ltgc.toml").write_text(SETTINGS)
    return tmp_path / "ltgc.toml"


def test_a_table_in_the_settings_turns_the_stage_on_in_a_run(inside, settings, trained, painted, tmp_path):
    done = inside("run", "--until", "render")
    assert done.code in (0, 1), done.err
    assert "run: 4/5 adapt (embedded)" in done.err and "run: 5/5 render (embedded)" in done.err
    assert (trained[0]["settings"].steps, trained[0]["settings"].from_classes) == (7, 2)
    assert rows(tmp_path / "ltgc-run" / "render.jsonl")[0]["of"] == "t2i"
    assert painted and all(" + lora@" in model for model in painted)
    again = inside("run", "--until", "render")
    assert again.code == done.code and len(trained) == 1 and (tmp_path / "lora" / LORA).is_file()
    assert inside("run", "--from", "adapt", "--until", "render").code == 0 and len(trained) == 1


def test_without_the_table_a_run_has_no_such_stage(inside, settings, trained, painted, tmp_path):
    plain = SETTINGS.replace("[adapt]", "[mix-train]").replace("from-classes = 2\n", "")
    settings.write_text(plain + '[run]\nrecipe = "ltgc"\n')
    done = inside("run", "--until", "render")
    assert done.code in (0, 1) and "run: 4/4 render (embedded)" in done.err and not trained
    for flag in ("--from", "--until"):
        stopped = inside("run", flag, "adapt")
        assert stopped.code == 2 and "or an [adapt] table in the settings, empty or not, turns it on" in stopped.err


def test_an_empty_table_is_enough(inside, settings, trained, painted):
    settings.write_text('data = "birds"\ntail = 9\n[adapt]\n')
    assert inside("run", "--until", "adapt").code in (0, 1)
    assert len(trained) == 1


def test_a_dry_run_of_a_run_says_how_long_adapting_takes(inside, settings, trained, painted):
    done = inside("run", "--dry-run", "--until", "filter")
    assert done.code == 0, done.err
    assert "adapt: would learn from 19 images of 3 classes, 7 steps; it takes about" in one_line(done.err)
    assert "an adapter to come" in done.out and not trained


def test_an_image_api_stops_a_run_that_is_to_adapt_it_before_anything_is_asked(inside, settings, trained, store):
    settings.write_text('t2i = "litellm:gpt-image-1"\n' + SETTINGS)
    done = inside("run", "--until", "render")
    assert done.code == 2 and "--t2i litellm:gpt-image-1 cannot be adapted" in done.err
    assert not (store / "artifacts").exists()


# --- with the embedded model


@pytest.mark.slow
def test_an_adapter_of_the_embedded_model_is_trained_and_its_images_differ(inside, store, tmp_path):
    assert inside("describe", "--data", "digits-lt:0:100", "-o", "d.jsonl").code == 0
    assert inside("reflect", "-k", 2, "-i", "d.jsonl", "-o", "r.jsonl").code in (0, 1)
    for steps, file in ((2, "a.jsonl"), (2, "b.jsonl")):
        done = inside("adapt", "-i", "r.jsonl", "--steps", steps, "--batch", 4, "--lr", 0.05, "-o", file)
        assert done.code == 0, done.err
    small = [row for row in rows(tmp_path / "a.jsonl") if row.get("label", 0) in (0, 1) or row["kind"] == "checkpoint"]
    rare = [row for row in small if row.get("origin") != "original"][:8]
    (tmp_path / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rare))
    done = inside("render", "-i", "few.jsonl", "--unadapted", 1, "--steps", 2, "-o", "g.jsonl")
    assert done.code == 0, done.err
    images = {row["origin"]: row["sha256"] for row in rows(tmp_path / "g.jsonl") if row["kind"] == "image"}
    assert len(set(images.values())) == 2
    done = inside("filter", "-i", "g.jsonl", "--steps", 2, "--scale", "cosine", "--threshold", 1, "--rounds", 2)
    assert done.code in (0, 1) and "1 generated image passes" not in done.err
    assert "Traceback" not in done.err and '"rejected"' in done.out
