"""What eval measures, of what, and what it refuses to measure."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from trained import by_group, checkpoint, digits, hashes

from ltgc_cli import records
from ltgc_cli.cli import show as view
from ltgc_cli.config import configure
from ltgc_cli.errors import InputError
from ltgc_cli.pipeline.evaluation.methods import distinct_names
from ltgc_cli.pipeline.evaluation.stage import evaluate
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.stage import execute
from ltgc_cli.pipeline.streams import Streams
from ltgc_cli.providers.clip import open_clip
from ltgc_cli.records import Class, Metric, Record
from ltgc_cli.report.accuracy import GROUPS

TABLE = [
    Class(id=str(label), label=label, class_=name, count=count, tail=True)
    for label, (name, count) in enumerate([("one", 300), ("two", 50), ("zero", 5)])
]
"""Not the folder's own counts: so a test sees which of them are used."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits(tmp_path_factory.mktemp("digits") / "digits")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return Session(tmp_path_factory.mktemp("store"))


def measured(session: Session, data: Path | str, given: list[Record], tmp_path: Path, **options: Any) -> list[Record]:
    """The records that eval writes behind those that it reads."""
    stream = tmp_path / "stream.jsonl"
    stream.write_text("".join(records.dump(row) + "\n" for row in given))
    config = configure("eval", {"data": data, **options}, environment={})
    result = execute(evaluate(session, config), Streams(input=stream, called=True), session)
    with result.artifact.open() as lines:
        return list(records.read(lines))[len(given) :]


def test_every_measure_is_a_record_with_its_interval(session, data, tmp_path):
    rows = measured(session, data, [*TABLE, checkpoint(session, data)], tmp_path)
    metrics = {(row.name, row.group): row for row in rows if isinstance(row, Metric) and row.group != "class"}
    accuracy = metrics["accuracy", "all"]
    assert 0 < accuracy.value <= 100 and accuracy.images == 18
    assert accuracy.low <= accuracy.value <= accuracy.high
    assert metrics["class_mean", "few"].value == metrics["accuracy", "few"].value, "a balanced test set"
    names = {"harmonic_mean", "geometric_mean", "worst_class", "macro_f1", "calibration_error"}
    assert names <= {name for name, group in metrics if group == "all"}
    worst = metrics["worst_class", "all"]
    by_class = {row.class_: row.value for row in rows if row.name == "accuracy" and row.group == "class"}
    assert by_class.keys() == {"zero", "one", "two"} and worst.value == min(by_class.values()) == by_class[worst.class_]


def test_a_checkpoints_groups_go_by_its_own_training_counts(session, data, tmp_path):
    rows = measured(session, data, [*TABLE, checkpoint(session, data)], tmp_path)
    assert by_group(rows)["LTGC"]["many"] is None, "the folder has nine images of a class at most"


def test_zero_shot_goes_by_the_counts_of_the_stream(session, data, tmp_path):
    (found,) = by_group(measured(session, data, [*TABLE], tmp_path, zero_shot=True)).values()
    assert None not in found.values()


def test_the_confidences_of_zero_shot_are_clips_own(session, data, tmp_path):
    error = by_group(measured(session, data, [*TABLE], tmp_path, zero_shot=True), "calibration_error")
    assert error["zero-shot CLIP"]["all"] < 60  # with a scale of 25 for every CLIP it is another


def test_a_bare_test_folder_has_no_many_medium_and_few(session, data, tmp_path, capsys):
    (found,) = by_group(measured(session, data / "test", [], tmp_path, zero_shot=True)).values()
    assert (found["many"], found["medium"], found["few"]) == (None, None, None) and found["all"] is not None
    assert "has no training images beside these" in capsys.readouterr().err


def test_classes_without_counts_have_no_many_medium_and_few(session, data, tmp_path, capsys):
    uncounted = [records.evolve(cls, count=None) for cls in TABLE]
    (found,) = by_group(measured(session, data, uncounted, tmp_path, zero_shot=True)).values()
    assert found["few"] is None and found["all"] is not None
    assert "the input has no training counts" in capsys.readouterr().err


def test_classes_that_the_test_set_lacks_are_named_and_are_in_no_mean(session, data, tmp_path, capsys):
    shutil.copytree(data, tmp_path / "digits")
    shutil.rmtree(tmp_path / "digits" / "test" / "one")
    whole = measured(session, data, [checkpoint(session, data)], tmp_path)
    rows = measured(session, tmp_path / "digits", [checkpoint(session, data)], tmp_path)
    assert "1 of 3 classes has no test image: it is in no mean" in capsys.readouterr().err
    assert {row.class_ for row in rows if row.group == "class"} == {"zero", "two"}
    assert {row.class_: row.value for row in rows if row.group == "class"}.items() <= {
        row.class_: row.value for row in whole if row.group == "class"
    }.items()


def test_a_checkpoint_is_measured_with_the_clip_that_it_was_trained_on_wherever_that_lies(session, data, tmp_path):
    folder = shutil.copytree(open_clip.EMBEDDED, tmp_path / "clip")
    elsewhere = checkpoint(session, data, bias=[1, 0, 0], clip=f"local-dir:{folder}")
    here = checkpoint(session, data, "fine-tune", bias=[1, 0, 0])
    both = by_group(measured(session, data, [*TABLE, elsewhere, here], tmp_path))
    assert both["LTGC"] == both["fine-tune"]
    assert len(by_group(measured(session, data, [*TABLE, elsewhere], tmp_path, zero_shot=True))) == 2
    with pytest.raises(InputError, match=f"--zero-shot: .* of several CLIP models .local-dir:{folder}, embedded"):
        measured(session, data, [*TABLE, elsewhere, here], tmp_path, zero_shot=True)
    with pytest.raises(
        InputError, match="trained on the CLIP model clip@.*, not embedded/clip@.*; pass that as --clip"
    ):
        measured(session, data, [*TABLE, elsewhere], tmp_path, clip="embedded")
    folder.rename(tmp_path / "moved")
    with pytest.raises(InputError, match=f"its CLIP model is no longer at {folder} .*; pass it as --clip local-dir:"):
        measured(session, data, [elsewhere], tmp_path)
    moved = by_group(measured(session, data, [*TABLE, elsewhere], tmp_path, clip=f"local-dir:{tmp_path / 'moved'}"))
    assert moved["LTGC"] == both["LTGC"]


# ---- several checkpoints


def test_two_streams_one_after_the_other_are_compared(session, data, tmp_path):
    ours, base = checkpoint(session, data), checkpoint(session, data, "fine-tune", bias=[9, 0, 0])
    rows = measured(session, data, [*TABLE, ours, *TABLE, base, ours], tmp_path)
    assert list(by_group(rows)) == ["LTGC", "fine-tune"]
    assert [row.parents for row in rows if row.name == "accuracy" and row.group == "all"] == [(ours.id,), (base.id,)]


def test_streams_of_different_classes_are_no_comparison(session, data, tmp_path):
    other = records.evolve(TABLE[0], class_="crane")
    with pytest.raises(InputError, match="label 0 is 'one' in one line and 'crane' in another"):
        measured(session, data, [*TABLE, other, checkpoint(session, data)], tmp_path)


def test_runs_that_differ_by_their_seed_are_summed_up(session, data, tmp_path):
    biases = ([0, 0, 0], [3, 0, 0], [0, 3, 0])
    runs = [checkpoint(session, data, seed=seed, bias=bias) for seed, bias in enumerate(biases)]
    rows = measured(session, data, [*TABLE, *runs], tmp_path)
    found = by_group(rows)
    assert list(found) == ["LTGC (seed 0)", "LTGC (seed 1)", "LTGC (seed 2)", "LTGC"]
    values = [found[f"LTGC (seed {seed})"]["all"] for seed in range(3)]
    (mean,) = [row for row in rows if row.method == "LTGC" and (row.name, row.group) == ("accuracy", "all")]
    average = sum(values) / 3
    assert mean.value == pytest.approx(average, abs=1e-3)
    assert mean.spread == pytest.approx((sum((value - average) ** 2 for value in values) / 2) ** 0.5, abs=1e-3)
    assert (mean.runs, mean.low, mean.parents) == (3, None, tuple(run.id for run in runs))


def test_checkpoints_of_one_name_are_distinguished_by_what_differs(session, data, tmp_path):
    two = [checkpoint(session, data, lr=lr) for lr in (0.001, 0.01)]
    assert list(by_group(measured(session, data, two, tmp_path))) == ["LTGC (lr 0.001)", "LTGC (lr 0.01)"]
    same = [records.evolve(two[0], sha256=sha * 64, id=sha) for sha in "ab"]
    assert [one.method for one in distinct_names(same)] == ["LTGC (aaaaaaaa)", "LTGC (bbbbbbbb)"]


# ---- what must not be measured on


def test_training_images_are_no_test_set(session, data, tmp_path):
    trained = checkpoint(session, data, "trained", images=hashes(data / "train"))
    measured(session, data, [trained], tmp_path)
    with pytest.raises(InputError, match=r"14 of 14 images \(one/.*, …\) are training images of trained; leave them"):
        measured(session, data / "train", [trained], tmp_path)


def test_images_that_chose_a_checkpoint_flatter_it_and_a_notice_says_so(session, data, tmp_path, capsys):
    trained = checkpoint(session, data, "chosen", images=hashes(data / "train"), val_images=hashes(data / "test"))
    measured(session, data, [trained], tmp_path)
    assert "chose what was kept of chosen (--val-every)" in capsys.readouterr().err


def test_files_that_are_no_image_are_all_named_before_anything_is_measured(session, data, tmp_path):
    shutil.copytree(data / "test", tmp_path / "test")
    for name in ("one", "two"):
        (tmp_path / "test" / name / "broken.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(InputError, match=r"one/broken\.png.*; .*two/broken\.png") as raised:
        measured(session, tmp_path / "test", [checkpoint(session, data)], tmp_path)
    assert "\n" not in str(raised.value)


def test_a_stream_without_a_checkpoint_is_refused(session, data, tmp_path):
    with pytest.raises(InputError, match="no checkpoint in its input; pipe mix-train into it, or use --zero-shot"):
        measured(session, data, [*TABLE], tmp_path)


# ---- post-hoc logit adjustment, five crops, published numbers


def test_post_hoc_adjustment_takes_away_what_the_prior_had_put_in(session, data, tmp_path):
    # A classifier that says `one` to everything, as one trained on `one` almost alone does.
    skewed = checkpoint(session, data, "skewed", bias=[60, 0, 0], prior=[1 - 2e-13, 1e-13, 1e-13])
    found = by_group(measured(session, data, [skewed], tmp_path, posthoc=True))
    plain, adjusted = found.values()
    assert plain["all"] == pytest.approx(100 / 3, abs=0.1)
    assert adjusted["all"] > 60
    (name,) = [name for name in found if name != "skewed"]
    assert name == "skewed + post-hoc LA (τ=2.0)"


def test_tau_is_not_chosen_on_the_images_that_are_measured(session, data, tmp_path):
    given = [checkpoint(session, data)]
    with pytest.raises(
        InputError, match=r"18 of 18 images \(.*\) are validation images too, and τ must not be chosen on"
    ):
        measured(session, data / "test", given, tmp_path, posthoc=True)
    found = measured(session, data / "test", given, tmp_path, posthoc=True, val=data / "val")
    assert len(by_group(found)) == 2
    (tmp_path / "split").mkdir()
    shutil.copytree(data / "test", tmp_path / "split" / "test")
    shutil.copytree(data / "train", tmp_path / "split" / "train")
    with pytest.raises(InputError, match=r"--posthoc chooses τ on validation images: .*'val'.*; name them with --val"):
        measured(session, tmp_path / "split", given, tmp_path, posthoc=True)


def test_other_validation_images_are_another_measurement(session, data, tmp_path):
    shutil.copytree(data, tmp_path / "digits")

    def flags(**options):
        config = configure("eval", {"data": tmp_path / "digits", **options}, environment={})
        return evaluate(session, config).settings

    before, plain = flags(posthoc=True), flags()
    next((tmp_path / "digits" / "val").rglob("*.png")).unlink()
    assert flags(posthoc=True) != before and flags() == plain


def test_validation_images_that_nothing_looks_at_are_refused(session, data, tmp_path):
    with pytest.raises(InputError, match="--val is what --posthoc chooses τ on; add --posthoc, or leave it out"):
        measured(session, data, [checkpoint(session, data)], tmp_path, val=data / "val")


def test_test_time_ensembling_is_in_the_name_of_what_it_measured(session, data, tmp_path):
    assert list(by_group(measured(session, data, [checkpoint(session, data)], tmp_path, tte=True))) == ["LTGC + TTE"]
    runs = [checkpoint(session, data, seed=seed) for seed in range(2)]
    assert list(by_group(measured(session, data, runs, tmp_path, tte=True)))[2:] == ["LTGC + TTE"]


def test_published_numbers_are_marked_and_stand_under_a_rule(session, data, tmp_path, capsys):
    rows = measured(session, data, [checkpoint(session, data)], tmp_path, compare="imagenet-lt")
    published = [row for row in rows if row.source]
    assert {row.source for row in published} == {"LTGC, CVPR 2024 (slides of the paper)"}
    assert by_group(published)["LTGC (published)"] == {"few": 70.5, "all": 80.6}
    capsys.readouterr()
    view.accuracy(rows)
    view.measures(rows)
    shown = capsys.readouterr().out.splitlines()
    methods = [line.partition("  ")[0] for line in shown[: shown.index(next(s for s in shown if "over all" in s))]]
    assert methods[2:5] == ["LTGC", "–––––", "CLIP zero-shot (published)"]


def test_a_person_sees_how_sure_the_numbers_are(capsys):
    def metric(name, group, value, **more):
        return Metric(name=name, group=group, value=value, method="LTGC", **more)

    shared = [metric("class_mean", group, 80.0) for group in GROUPS]
    one = [metric("accuracy", group, 80.0, low=76.0, high=83.0) for group in GROUPS]
    rows = [*one, *shared, metric("macro_f1", "all", 79.25)]
    rows += [metric("confusion", "pair", 25.0, class_="seven", predicted="one", images=15)]
    rows += [metric("accuracy", "all", 81.0, spread=1.5, runs=3)]
    view.accuracy(rows)
    view.measures(rows)
    shown = capsys.readouterr().out
    assert "80.0 ± 3.5" in shown and "81.0 ± 1.5" in shown and "LTGC, 3 runs" in shown
    assert "balanced: accuracies are class means too" in " ".join(shown.split())
    assert "seven  one            15      25.0" in shown
    view.measures([*one, *[records.evolve(row, value=70.0) for row in shared]])
    assert "mean over classes, % (the test set is not balanced)" in " ".join(capsys.readouterr().out.split())


def test_the_command_reads_two_streams_from_a_pipe(forked, session, data):
    given = [*TABLE, checkpoint(session, data), *TABLE, checkpoint(session, data, "fine-tune", bias=[9, 0, 0])]
    stream = "".join(records.dump(row) + "\n" for row in given)
    done = forked("eval", "--data", data, "--cache-dir", session.store.folder, input=stream)
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["method"] for row in rows if row.get("name") == "accuracy" and row["group"] == "all"] == [
        "LTGC",
        "fine-tune",
    ]
