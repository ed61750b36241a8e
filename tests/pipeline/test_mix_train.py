"""mix-train at the command line, with the embedded CLIP: what reaches the training, what is refused before it."""

import json
import re
import signal
import subprocess
import sys

import pytest

from ltgc_cli.settings import Training

FEW = ("--steps", 4, "--batch", 8)


@pytest.fixture
def rendered(inside, tmp_path):
    """A file with what render leaves: descriptions and generated images (colour fields) of two tail classes."""
    classes = "".join(
        f'{{"kind":"class","label":{label},"class":"{name}","tail":true,"sense":"written digit"}}\n'
        for label, name in ((3, "three"), (7, "seven"))
    )
    stream = inside("render", "--t2i", "blank", input=inside("extend", "-n", 3, input=classes).out)
    assert stream.out.count('"kind":"image"') == 6, stream.err
    (tmp_path / "rendered.jsonl").write_text(stream.out)
    return tmp_path / "rendered.jsonl"


def checkpoint(ran):
    assert ran.code == 0, ran.err
    return json.loads(ran.out.splitlines()[-1])


def folder(store, record):
    return store / "checkpoints" / record["sha256"]


def test_every_setting_is_a_flag():
    from typer.main import get_command

    from ltgc_cli.cli.app import app

    flags = {param.name for param in get_command(app).get_command(None, "mix-train").params}
    assert set(Training.__struct_fields__) <= flags


def test_the_record_says_what_was_really_set(inside, store):
    record = checkpoint(
        inside("mix-train", "--data", "digits-lt", "--no-generated", *FEW, "--rank", 0, "--tune-blocks", 1)
    )
    assert record["method"] == "fine-tune, tune-blocks 1"
    assert (record["settings"]["mix"], record["settings"]["sampler"], record["settings"]["rank"]) == (
        "none",
        "instance",
        4,
    )
    kept = json.loads((folder(store, record) / "settings.json").read_text())
    assert kept.items() <= record["settings"].items()
    curve = [json.loads(line) for line in (folder(store, record) / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in curve] == [4]
    assert not (folder(store, record) / "state.safetensors").exists()


def test_another_name_is_another_record_of_the_same_checkpoint(inside, store):
    one = checkpoint(inside("mix-train", "--data", "digits-lt", "--no-generated", *FEW))
    written = (folder(store, one) / "done.json").stat().st_mtime_ns
    other = checkpoint(inside("mix-train", "--data", "digits-lt", "--no-generated", *FEW, "--name", "mine"))
    assert other["method"] == "mine" and other["sha256"] == one["sha256"] and other["id"] != one["id"]
    assert (folder(store, one) / "done.json").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--lr", -1, "--gamma", -2), "--gamma -2.0: from 0 to 10000 is wanted; --lr -1.0: above 0 is wanted"),
        (("--fixed-crops", 2, "--mix", "mixup"), "fixed-crops keeps features of whole images"),
        (("--tune", "adaptformer", "--merge"), "--merge: AdaptFormer is a branch that open_clip has no place for"),
        (("--val", "digits-lt"), "--val is what --val-every N measures on"),
        (("--out", "."), ". is there already; name a new folder"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_read(inside, flags, said):
    ran = inside("mix-train", "--data", "digits-lt", *flags, input="no record\n")
    assert ran.code == 2 and said in ran.err and ran.err.count("\n") == 1


def test_a_stream_without_generated_images_is_said_to_give_a_plain_fine_tune(inside):
    line = '{"kind":"class","label":3,"class":"three","tail":true}\n'
    ran = inside("mix-train", "--data", "digits-lt", *FEW, input=line)
    assert "no generated images in the stream: a plain fine-tune" in ran.err
    assert checkpoint(ran)["method"] == "fine-tune"


def test_validation_images_come_from_the_data_or_from_val(inside, store, tmp_path):
    from ltgc_cli.learn.datasets import image_bytes, open_data

    flags = ("mix-train", "--no-generated", *FEW, "--val-every", 2)
    record = checkpoint(inside(*flags, "--data", "digits-lt"))
    curve = [json.loads(line) for line in (folder(store, record) / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in curve] == [2, 4] and all(0 <= row["val"] <= 100 for row in curve)

    for split, places in (("train", range(6)), ("val", range(6, 10))):
        data = open_data("digits-lt", "train")
        for info in data.classes[:2]:
            own = [item for item in data.items if item.label == info.label]
            (tmp_path / split / info.name).mkdir(parents=True)
            for place in places:
                (tmp_path / split / info.name / f"{place}.png").write_bytes(image_bytes(data, own[place % len(own)]))
    alone = inside(*flags, "--data", "train")
    assert alone.code == 2 and "train has no validation images of its own: --val-every needs --val" in alone.err
    assert checkpoint(inside(*flags, "--data", "train", "--val", "val"))["settings"]["val_every"] == 2


def test_generated_images_and_descriptions_reach_the_training(inside, rendered, store, monkeypatch):
    """Descriptions as an image generator gets them: without "the class", which CLIP takes for a school class."""
    from ltgc_cli import records
    from ltgc_cli.config import configure
    from ltgc_cli.pipeline.session import Session
    from ltgc_cli.pipeline.training import fit as training
    from ltgc_cli.pipeline.training.stage import mix_train

    lines = [json.loads(line) for line in rendered.read_text().splitlines()]
    given = []

    def fit(session, data, inputs, settings, folder, **_):
        given.append(inputs)
        return settings

    monkeypatch.setattr(training, "fit", fit)
    for init in ("name", "descriptions"):
        config = configure("mix-train", {"data": "digits-lt", "head_init": init}, environment={})
        made = mix_train(Session(store), config)
        list(made.run(records.read([json.dumps(row) for row in lines])))
    by_name, by_text = given
    texts = by_text.texts
    assert by_name.texts == {}
    assert [image.sha256 for image in by_name.generated] == [row["sha256"] for row in lines if row["kind"] == "image"]
    labels = {row["label"] for row in lines if row["kind"] == "description"}
    assert set(texts) == labels
    assert not any("the class" in text for own in texts.values() for text in own)
    assert all("written digit" in text for own in texts.values() for text in own), "with the class's sense"


def test_a_mix_with_generated_images_is_trained(inside, rendered):
    record = checkpoint(inside("mix-train", "--data", "digits-lt", *FEW, "--mix-prob", 0.5, "-i", rendered))
    assert record["method"] == "LTGC, mix-prob 0.5"
    assert record["settings"]["mix"] == "balancemix" and record["settings"]["mix_prob"] == 0.5


def test_merge_adds_the_file_for_open_clip_and_out_is_a_copy(inside, store, tmp_path):
    flags = ("mix-train", "--data", "digits-lt", "--no-generated", *FEW)
    record = checkpoint(inside(*flags, "--out", "plain"))
    assert not (tmp_path / "plain" / "open_clip_merged.safetensors").exists()
    ran = inside(*flags, "--out", "merged", "--merge")
    assert ran.code == 0 and "is one file for open_clip" in ran.err
    assert (tmp_path / "merged" / "open_clip_merged.safetensors").exists()
    assert inside(*flags, "--merge").code == 0
    assert (folder(store, record) / "open_clip_merged.safetensors").exists()
    assert inside("eval", "--data", "digits-lt", input=json.dumps(record)).code == 0


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(forked, store, tmp_path):
    command = ("mix-train", "--data", "digits-lt", "--no-generated", "--steps", 120, "--batch", 8, "--dropout", 0.2)
    killed = forked(*command, KILLED_AFTER_WRITES="5")
    assert killed.code == 128 + signal.SIGKILL and list(store.glob("checkpoints/*/state.safetensors"))
    ran, undisturbed = forked(*command), forked(*command, LTGC_CACHE_DIR=str(tmp_path / "fresh"))
    assert re.search(r"^mix-train: went on at step \d+ of 120$", ran.err, re.MULTILINE), ran.err
    assert "went on" not in undisturbed.err
    assert checkpoint(ran) == checkpoint(undisturbed)
    one, other = (next(place.glob("checkpoints/*")) for place in (store, tmp_path / "fresh"))
    for name in ("head.safetensors", "adapter/adapter_model.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_what_mix_train_trains_with_stands_in_its_own_table(inside, tmp_path):
    """At the top, steps and batch are those of render."""
    flags = ("mix-train", "--data", "digits-lt", "--no-generated")
    (tmp_path / "ltgc.toml").write_text("steps = 30\nbatch = 3\nseed = 5\n[mix-train]\nsteps = 2\nbatch = 8\n")
    settings = checkpoint(inside(*flags))["settings"]
    assert (settings["steps"], settings["batch"], settings["seed"]) == (2, 8, 0)

    (tmp_path / "ltgc.toml").write_text("weight-decay = 0.1\n")
    ran = inside(*flags)
    assert (ran.code, ran.err) == (
        2,
        "ltgc: ltgc.toml: weight_decay is how mix-train trains; put it under [mix-train]\n",
    )


# ---- where the curve goes


def test_tensorboard_has_the_curve(inside, store):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    record = checkpoint(inside("mix-train", "--data", "digits-lt", "--no-generated", *FEW, "--log", "tensorboard"))
    events = EventAccumulator(str(folder(store, record) / "tensorboard"))
    events.Reload()
    curve = json.loads((folder(store, record) / "metrics.jsonl").read_text())
    (loss,) = events.Scalars("loss")
    assert (loss.step, loss.value) == (4, pytest.approx(curve["loss"]))


def test_wandb_stays_offline_and_gets_the_curve_and_the_settings_alone(inside, store, tmp_path):
    pytest.importorskip("wandb")
    flags = ("mix-train", "--data", "digits-lt", "--no-generated", *FEW, "--log", "wandb", "--name", "mine")
    record = checkpoint(inside(*flags, OPENAI_API_KEY="sk-secret-1"))
    (run,) = (folder(store, record) / "wandb").glob("offline-run-*/*.wandb")
    said = run.read_bytes()
    assert b"images_per_second" in said and b"mix_alpha" in said
    assert b"sk-secret-1" not in said and str(tmp_path).encode() not in said


@pytest.mark.parametrize(("kind", "module"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")])
def test_a_missing_package_is_said_with_its_command(inside, monkeypatch, kind, module):
    monkeypatch.setitem(sys.modules, module, None)
    ran = inside("mix-train", "--data", "digits-lt", "--no-generated", *FEW, "--log", kind)
    assert ran.code == 2
    said = f"ltgc: --log {kind} needs a package that is not here: in the checkout: pip install '.[{kind}]'"
    assert ran.err.splitlines()[-1] == said


@pytest.mark.slow
def test_on_a_terminal_there_is_a_live_table(environment, tmp_path):
    command = "-m ltgc_cli mix-train --data digits-lt --no-generated --steps 40 --batch 8 --val-every 20 --json"
    shown = subprocess.run(
        ["script", "-qec", f"{sys.executable} {command}", "/dev/null"],
        capture_output=True,
        text=True,
        env=environment | {"TERM": "xterm"},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
    ).stdout
    for word in ("step", "loss", "lr", "images/s", "val", "left"):
        assert word in shown


def test_what_trains_worse_than_a_person_expects_is_said(inside, tmp_path):
    from ltgc_cli.learn.datasets import image_bytes, open_data

    data = open_data("digits-lt", "train")
    lines = []
    for item in data.items[::20]:
        path = tmp_path / f"{item.name.replace('/', '-')}.png"
        path.write_bytes(image_bytes(data, item))
        lines.append(f"{path.name} {item.label}\n")
    (tmp_path / "all.txt").write_text("".join(lines))
    done = inside("mix-train", "--data", tmp_path / "all.txt", "--no-generated", *FEW, "--tune", "full")
    assert "the data has no class names" in done.err
    assert "--lr 0.003 is for few weights" in done.err
    assert "it is in" in done.err


# ---- averaged with others


class Killed(BaseException):
    pass


PLAIN = ("mix-train", "--data", "digits-lt", "--no-generated", *FEW)


@pytest.fixture
def baseline(inside, tmp_path):
    """A file with a checkpoint called "real only", whose folder is `real`."""
    ran = inside(*PLAIN, "--loss", "la", "--name", "real only", "--out", "real", "-o", "real.jsonl")
    assert ran.code == 0, ran.err
    return json.loads((tmp_path / "real.jsonl").read_text().splitlines()[-1])


def test_an_average_is_a_checkpoint_as_any_other(inside, store, tmp_path, baseline):
    flags = (*PLAIN, "--seed", 1, "-i", "real.jsonl", "--average", "real only")
    ran = inside(*flags, "--out", "both", "--merge")
    record = checkpoint(ran)
    assert record["method"] == "fine-tune, averaged with real only"
    assert record["settings"]["averaged"] == ["real only"] and record["parents"] == [baseline["id"]]
    assert json.loads((folder(store, record) / "done.json").read_text())["averaged"][0].startswith("real only@")
    assert (tmp_path / "both" / "open_clip_merged.safetensors").is_file()
    assert "its weights, averaged with those of real only, are in" in ran.err

    measured = inside("eval", "--data", "digits-lt", "--posthoc", "-i", "real.jsonl", input="")
    assert measured.code == 0, measured.err
    measured = inside("eval", "--data", "digits-lt", "--posthoc", input=json.dumps(record))
    assert measured.code == 0, measured.err
    (tmp_path / "one.png").write_bytes(_image())
    assert inside("predict", "--checkpoint", "both", "one.png").code == 0


def test_an_average_goes_on_from_its_own_training_which_a_run_without_it_shares(inside, store, baseline, monkeypatch):
    from ltgc_cli.pipeline.training import fit

    flags = (*PLAIN, "--seed", 1)
    average = fit.average

    def killed(*_):
        raise Killed

    monkeypatch.setattr(fit, "average", killed)
    with pytest.raises(Killed):
        inside(*flags, "--average", "real")
    monkeypatch.setattr(fit, "average", average)
    monkeypatch.setattr(fit, "fit", lambda *_, **__: pytest.fail("trained again"))
    alone, both = checkpoint(inside(*flags)), checkpoint(inside(*flags, "--average", "real"))
    assert alone["sha256"] != both["sha256"] and alone["settings"].items() <= both["settings"].items()
    monkeypatch.setattr(fit, "average", lambda *_: pytest.fail("averaged again"))
    again = checkpoint(inside(*flags, "--average", store / "checkpoints" / baseline["sha256"], "--name", "other"))
    assert again["sha256"] == both["sha256"], "the same content, wherever it lies and whatever it is called"


def test_what_cannot_be_averaged_is_said_before_anything_is_trained(inside, store, tmp_path, baseline):
    def said(*flags):
        ran = inside(*PLAIN, "--seed", 1, *flags)
        assert ran.code == 2 and len(list((store / "checkpoints").iterdir())) == 1, ran.err
        return ran.err.splitlines()[-1].removeprefix("ltgc: ")

    assert said("--average", "real", "--head", "linear") == (
        "--average real: its head is cosine with scale 25, and this one is linear with scale 25"
    )
    assert said("--average", "real", "--scale", 20).endswith("and this one is cosine with scale 20")
    assert said("--average", "real", "--tune", "adaptformer").startswith("--average: AdaptFormer is a branch that")
    assert said("--average", "LTGC", "-i", "real.jsonl") == (
        "--average LTGC: no folder with a checkpoint, and none of the stream is called so (it has 'real only')"
    )
    assert said("--average", "LTGC").endswith("(it has none)")
    two = {**baseline, "sha256": "0" * 64, "id": "another"}
    (tmp_path / "two.jsonl").write_text(f"{json.dumps(baseline)}\n{json.dumps(two)}\n")
    assert said("--average", "real only", "-i", "two.jsonl") == (
        "--average real only: 2 checkpoints of the stream are called so; give each a --name, or name its folder"
    )
    (tmp_path / "lost.jsonl").write_text(json.dumps(two))
    assert said("--average", "real only", "-i", "lost.jsonl").startswith("--average real only: its weights are not in")

    for name, changed, reason in (
        ("classes.json", ("zero", "nought"), "its class table is another one"),
        ("done.json", ("embedded/clip", "ViT-B-32/openai"), "it was trained on the CLIP model ViT-B-32/openai@"),
        ("settings.json", ('"lora"', '"adaptformer"'), "AdaptFormer is a branch that open_clip has no place for"),
    ):
        path = tmp_path / "real" / name
        before = path.read_text()
        path.write_text(before.replace(*changed))
        assert said("--average", "real").startswith(f"--average real: {reason}"), name
        path.write_text(before)
    (tmp_path / "real" / "head.safetensors").write_bytes(b"")
    assert "head.safetensors is missing or was changed since training" in said("--average", "real")


def _image():
    from ltgc_cli.learn.datasets import image_bytes, open_data

    data = open_data("digits-lt", "test")
    return image_bytes(data, data.items[0])


def test_harmonise_trains_another_checkpoint_that_says_so_and_does_nothing_without_generated_images(inside, rendered):
    flags = ("mix-train", "--data", "digits-lt", *FEW)
    plain, other = checkpoint(inside(*flags, "-i", rendered)), checkpoint(inside(*flags, "-i", rendered, "--harmonise"))
    assert other["settings"]["harmonise"] is True and "harmonise" not in plain["settings"]
    assert (plain["method"], other["method"]) == ("LTGC", "LTGC, harmonise")
    assert plain["sha256"] != other["sha256"]
    alone = checkpoint(inside(*flags, "--no-generated", "--harmonise"))
    assert alone["method"] == "fine-tune" and "harmonise" not in alone["settings"]
