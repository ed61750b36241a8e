"""benchmarks/lift.py: another program's logits are measured as eval measures ours, and no file runs anything here."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import ClassInfo

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import lift  # noqa: E402  # a program, not a package

LOGITS = np.array([[3.0, 1.0, 0.0], [0.5, 2.0, 0.0], [1.0, 0.0, 0.5], [0.0, 0.1, 4.0]])
LABELS = np.array([0, 1, 2, 2])
CLASSES = [ClassInfo(label=0, name="cat", count=120), ClassInfo(label=1, name="dog", count=30)]
CLASSES += [ClassInfo(label=2, name="eel", count=3)]


@pytest.mark.parametrize("ending", [".npz", ".pt", ".npy", ".csv"])
def test_logits_and_labels_come_out_of_every_format_as_they_went_in(tmp_path, ending):
    path = tmp_path / f"lift{ending}"
    whole = np.column_stack([LABELS, LOGITS])
    if ending == ".npz":
        np.savez(path, logits=LOGITS.astype(np.float32), labels=LABELS)
    elif ending == ".pt":
        torch.save({"logits": torch.from_numpy(LOGITS).half(), "labels": torch.from_numpy(LABELS)}, path)
    elif ending == ".npy":
        np.save(path, whole)
    else:
        np.savetxt(path, whole, delimiter=",", header="label,cat,dog,eel", comments="")
    logits, labels = lift.read(path)
    assert np.abs(logits - LOGITS).max() < 1e-3 and labels.tolist() == [0, 1, 2, 2]


def test_accuracies_are_by_the_training_images_of_the_classes():
    found = lift.measured(LOGITS, LABELS, CLASSES, "LIFT")
    values = {row.group: row.value for row in found if row.name == "accuracy" and row.group != "class"}
    assert values == {"many": 100.0, "medium": 100.0, "few": 50.0, "all": 75.0}
    naive = [np.exp(row).max() / np.exp(row).sum() for row in LOGITS]
    right = [1.0, 1.0, 0.0, 1.0]
    bins = [min(int(one * 15), 14) for one in naive]
    gap = sum(abs(sum(right[i] - naive[i] for i in range(4) if bins[i] == one)) for one in set(bins)) / 4
    assert next(row.value for row in found if row.name == "calibration_error") == pytest.approx(100 * gap, abs=1e-4)


class _Runs:
    def __reduce__(self):
        return print, ("it ran",)


@pytest.mark.parametrize("ending", [".npz", ".npy", ".pt"])
def test_a_pickle_in_a_file_is_refused_and_does_not_run(tmp_path, ending, capsys):
    path = tmp_path / f"lift{ending}"
    if ending == ".npz":
        np.savez(path, logits=np.array([_Runs()], dtype=object), labels=LABELS)
    elif ending == ".npy":
        np.save(path, np.array([_Runs()], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps({"logits": _Runs(), "labels": _Runs()}))
    with pytest.raises(InputError, match="cannot be read .*and no pickled objects"):
        lift.read(path)
    assert "it ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("logits", "labels", "said"),
    [
        (LOGITS[0], LABELS, r"logits \(3,\) and labels \(4,\) are not"),
        (LOGITS, LABELS[:3], r"logits \(4, 3\) and labels \(3,\) are not"),
        (LOGITS * np.nan, LABELS, "logits of 4 images are not finite, first those of image 0"),
        (LOGITS, LABELS + 0.5, "labels are whole numbers"),
    ],
)
def test_what_is_no_table_of_logits_is_told(tmp_path, logits, labels, said):
    np.savez(tmp_path / "lift.npz", logits=logits, labels=labels)
    with pytest.raises(InputError, match=said):
        lift.read(tmp_path / "lift.npz")


def test_another_data_set_than_that_of_the_logits_is_told():
    with pytest.raises(InputError, match="there are logits of 3 classes; --data has 2: 0, 1"):
        lift.measured(LOGITS, LABELS, CLASSES[:2], "LIFT")
    with pytest.raises(InputError, match="labels that --data has not: 3"):
        lift.measured(LOGITS, LABELS + 1, CLASSES, "LIFT")


def test_the_program_shows_the_table_and_writes_records_for_the_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("lift.npz", logits=np.eye(10)[np.arange(600) % 10], labels=np.arange(600) // 60)
    monkeypatch.setattr("sys.argv", ["lift.py", "lift.npz", "--data", "digits-lt:0:100"])
    lift.main()
    shown = capsys.readouterr()
    assert "≤5 images" in shown.err
    assert '"name":"accuracy","group":"at most 5","value":10.0,' in shown.out


def test_a_file_of_another_kind_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr("sys.argv", ["lift.py", "no.txt", "--data", "digits-lt:0:100"])
    with pytest.raises(SystemExit, match=r"^error: no.txt: logits are read from .npz, .pt, .npy, .csv$"):
        lift.main()
