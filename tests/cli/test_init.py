"""`ltgc init`: it looks at the data, says what it will cost, and writes settings that every command takes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import PIL.Image
import pytest

from ltgc_cli import settings_file
from ltgc_cli.learn.datasets import open_data
from ltgc_cli.pipeline.forecast import forecast
from ltgc_cli.settings_file import value

HOSTILE = 'rare "birds"\\of\x7f#[1]\t= é'


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """Photos that are none: init opens no image. Three classes; the test images lie beside them."""
    for name, count in {"crane": 3, "great tit": 30, "seal": 1}.items():
        for place, images in (("birds", count), ("birds-test", 2)):
            (tmp_path / place / name).mkdir(parents=True)
            for number in range(images):
                (tmp_path / place / name / f"{number}.jpg").write_bytes(b"no photo")
    return tmp_path


def paint(folder: Path) -> None:
    """Makes images of the photos, each another, for a run opens them."""
    for number, path in enumerate(sorted(folder.rglob("*.jpg"))):
        PIL.Image.new("RGB", (8, 8), (number, 255 - number, 7 * number % 256)).save(path, "PNG")


def flat(text: str) -> str:
    return " ".join(text.split())


def uncommented(text: str) -> str:
    """The settings file with every default and example as a setting."""
    return re.sub(r"^#(?=[a-z[])", "", text, flags=re.MULTILINE)


def test_it_says_what_is_rare_what_is_unclear_and_what_it_will_cost_and_writes_the_settings(inside, birds):
    models = ["--lmm", "gpt-4o", "--llm", "gpt-4o"]
    ran = inside("init", "--data", "birds/", "--test", "birds-test/", "--tail", "few", *models, "-k", 8)
    assert ran.code == 0, ran.err
    said = flat(ran.err)
    assert "3 classes, 34 training images; 2 tail classes, with fewer than 20 images: seal (1), crane (3)" in said
    assert "Names that may mean several things: crane, seal." in said
    assert "Test images: 6, in birds-test/." in said
    assert re.search(
        r"about: \$0\.\d+ for describe, extend and reflect; nothing for 16 generated images; \$0\.\d+ at the", said
    )
    assert "Embedded models cost nothing" in said and "--t2i, --clip name others" in said
    rows = {cells[0]: cells for cells in (re.split(r"\s{2,}", line.strip()) for line in ran.out.splitlines())}
    assert rows["few"] == ["few", "2", "4"]
    assert rows["describe"][1:3] == ["gpt-4o", "4"] and rows["extend"][1:3] == ["gpt-4o", "2"]
    assert rows["filter: refine"][2] == "32", "the two further rounds of each of 16 drawings, if none ever passes"

    text = (birds / "ltgc.toml").read_text()
    assert tomllib.loads(text) == {
        "data": "birds/",
        "llm": "gpt-4o",
        "run": {"test": "birds-test/"},
        "describe": {"tail": "few", "lmm": "gpt-4o"},
        "extend": {},
        "reflect": {"k": 8},
        "render": {},
        "filter": {},
        "mix-train": {},
        "eval": {"zero-shot": True},
    }
    assert "# birds/: 3 classes, 34 training images; 2 tail classes" in text
    for line in text.splitlines():
        assert len(line) <= 102 or line.startswith("#price")


def test_the_address_of_a_server_of_one_s_own_is_written_for_the_run(inside, birds):
    models = ["--lmm", "hosted_vllm/x", "--llm", "hosted_vllm/x", "--api-base", "http://127.0.0.1:1/v1"]
    ran = inside("init", "--data", "birds/", "--test", "birds-test/", "--tail", "few", *models)

    assert ran.code == 0, ran.err
    assert tomllib.loads((birds / "ltgc.toml").read_text())["api-base"] == "http://127.0.0.1:1/v1"
    paint(birds)
    assert inside("run", "--dry-run", "--until", "reflect").code == 0


def test_every_key_commented_ones_too_is_a_setting_of_a_command(inside, birds):
    assert inside("init", "--data", "birds").code == 0
    (birds / "all.toml").write_text(uncommented((birds / "ltgc.toml").read_text()))
    found = settings_file.load(birds / "all.toml")
    assert found is not None and found["describe"]["data"] == "birds"
    assert found["filter"]["threshold"] == 10.0 and found["mix-train"]["mix"] == "balancemix"


def test_a_run_takes_the_settings_as_they_are_written(inside, tmp_path):
    assert inside("init", "--data", "digits-lt", "--tail", "7", "-k", 3).code == 0
    ran = inside("run", "--dry-run", "--until", "extend")
    assert ran.code == 0 and "what the run would ask" in ran.out, ran.err
    assert inside("eval", "--zero-shot", "--help").code == 0


def test_a_file_that_is_there_is_never_overwritten(inside, birds):
    (birds / "ltgc.toml").write_text("# mine\n")
    ran = inside("init", "--data", "birds")
    assert (ran.code, (birds / "ltgc.toml").read_text()) == (2, "# mine\n")
    assert ran.err == (
        "ltgc: ltgc.toml is there already and ltgc did not write it (or it was changed since): "
        "edit it, write another with -o FILE, or --force\n"
    )
    assert inside("init", "--data", "birds", "-o", "other.toml").code == 0
    assert inside("init", "--data", "birds", "-o", "other.toml", "-k", 3).code == 0  # as init left it
    assert inside("init", "--data", "birds", "-o", "none/other.toml").code == 2


def test_names_with_quotes_and_backslashes_stand_in_the_file_as_they_are(inside, birds):
    (birds / "birds").rename(birds / HOSTILE)
    (birds / HOSTILE / "crane").rename(birds / HOSTILE / 'x"\n[run]\nout = "elsewhere')
    assert inside("init", "--data", HOSTILE).code == 0
    written = tomllib.loads((birds / "ltgc.toml").read_text())
    assert written["data"] == HOSTILE and written["run"] == {}
    paint(birds)
    ran = inside("run", "--dry-run", "--until", "describe")
    assert "no class has fewer" not in ran.err and HOSTILE not in ran.err and ran.code == 0, ran.err


def test_what_no_toml_file_can_hold_is_refused():
    with pytest.raises(Exception, match="is not UTF-8"):
        value("birds\udcff")


def test_data_without_test_images_and_an_unknown_price_are_said(inside, birds):
    ran = inside("init", "--data", "birds", "--llm", "openai/mine", "-k", 4)
    said = flat(ran.err)
    assert "birds has no test images of its own: ltgc run needs some for eval, --test birds-test/." in said
    assert "an unknown sum for describe, extend and reflect" in said
    assert "The price of openai/mine is unknown: give --price IN,OUT." in said
    known = inside("init", "--data", "birds", "--llm", "openai/mine", "-k", 4, "--price", "2.5,10", "-o", "b.toml")
    assert "unknown" not in known.err and tomllib.loads((birds / "b.toml").read_text())["price"] == "2.5,10"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data", "none/"], "none/: not a folder"),
        (["--data", "birds", "--tail", "rare"], "--tail rare: a number of training images is wanted"),
        (["--data", "birds", "--test", "fish-test"], "fish-test: 1 of its classes is not in birds: cod"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(inside, birds, flags, message):
    (birds / "fish-test" / "cod").mkdir(parents=True)
    (birds / "fish-test" / "cod" / "0.jpg").write_bytes(b"")
    ran = inside("init", *flags)
    assert ran.code == 2 and message in flat(ran.err) and not (birds / "ltgc.toml").exists(), ran.err


@pytest.mark.slow
def test_of_many_tail_classes_some_are_tried_and_counted_up(tmp_path):
    for number in range(60):
        for image in range(1 + number % 3):
            path = tmp_path / "birds" / f"bird {number:02}" / f"{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    data = open_data(str(tmp_path / "birds"), "train")
    models = {"lmm": "gpt-4o", "llm": "gpt-4o", "t2i": "blank", "clip": "embedded"}
    values = {**models, "k": 100, "n": 4, "cache_dir": tmp_path / "store"}
    asked = {(one.stage, one.purpose): one.usage.new for one in forecast(data, 100, values)}
    assert asked["describe", "describe"] == 120 and asked["extend", "extend"] == 60
    assert asked["render", "generate"] == 6000 and 11_500 < asked["filter", "refine"] <= 12_000
