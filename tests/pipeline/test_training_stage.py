"""mix-train as a stage: what tells checkpoints apart, and how much work a large class table is."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import msgspec
import pytest
from PIL import Image as Pil

from ltgc_cli import records
from ltgc_cli.config import configure
from ltgc_cli.errors import InputError
from ltgc_cli.learn.datasets import ClassInfo
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.training import check, fit
from ltgc_cli.pipeline.training.check import TrainingInputs
from ltgc_cli.pipeline.training.stage import method, mix_train
from ltgc_cli.records import Checkpoint, Class, Group, Image
from ltgc_cli.settings import Training

STREAM = (
    '{"kind":"class","label":3,"class":"three","tail":true,"sense":"drawn digit"}',
    '{"kind":"description","id":"d1","origin":"extended","label":3,"class":"three","text":"A photo of the class three '
    'with a red ring."}',
    '{"kind":"image","id":"i1","label":3,"class":"three","sha256":"' + "a" * 64 + '","origin":"generated",'
    '"score":0.25,"parents":["d1"]}',
    '{"kind":"class","label":7,"class":"seven","tail":true}',
    '{"kind":"image","id":"i2","label":7,"class":"seven","sha256":"' + "b" * 64 + '","origin":"generated"}',
)


@pytest.mark.parametrize(
    ("settings", "sha256"),
    [
        (Training(), "1b4e8a3ba960670f9b6f5488f2848908ee342c9fefb6871479e2ac4eb40846a0"),
        (
            Training(head_init="descriptions", loss="la"),
            "028affba22b420eb96bc8101b85388baff10207a38ef322c1b31f3f9415a97b6",
        ),
        (Training(val_every=5), "6650b65daadbfc27f307cc073093230201794a86d8fe556918539cbf6f50d7fe"),
    ],
)
def test_a_checkpoint_is_told_apart_by_the_hash_it_always_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Training, sha256: str
) -> None:
    """Another hash would train anew what people have trained already: say so in the CHANGELOG."""
    monkeypatch.setattr(check, "before_training", lambda *_: None)
    monkeypatch.setattr(fit, "fit", lambda *_, **__: settings)
    given = {"data": "digits-lt", **{name: getattr(settings, name) for name in settings.__struct_fields__}}
    stage = mix_train(Session(tmp_path), configure("mix-train", given, environment={}))
    *_, last = stage.run(records.read(STREAM))
    assert isinstance(last, Checkpoint) and last.sha256 == sha256


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (Training(mix="balancemix", sampler="balanced", steps=5, batch=8, lr=1.0, rank=2, seed=3), "LTGC"),
        (Training(mix="cutmix", sampler="sqrt", loss="la"), "real + generated, cutmix, sqrt + la"),
        (
            Training(mix="cutmix", sampler="instance", loss="la", syn_prob="0.5:0", syn_prior=True, syn_head=True),
            "real + generated, cutmix, syn-prob 0.5:0, syn-prior, syn-head + la",
        ),
        (
            Training(
                mix="balancemix",
                sampler="balanced",
                mix_prob=0.5,
                head="linear",
                head_init="means",
                tune_blocks=2,
                lora_on="mlp",
                ema=0.9,
                val_every=5,
                fixed_crops=3,
            ),
            "LTGC, mix-prob 0.5, head linear, head-init means, tune-blocks 2, lora-on mlp, ema 0.9, val-every 5, "
            "fixed-crops 3",
        ),
    ],
)
def test_a_run_is_called_by_what_it_does_otherwise_not_by_how_much(settings: Training, name: str) -> None:
    assert method(settings, 480) == name


class Counted(dict[int, ClassInfo]):
    """A class table that counts how often it is read, and how many rows whoever walks over it sees."""

    reads = 0

    def get(self, label: int, default: ClassInfo | None = None) -> ClassInfo | None:  # type: ignore[override]
        self.reads += 1
        return super().get(label, default)

    def __getitem__(self, label: int) -> ClassInfo:
        self.reads += 1
        return super().__getitem__(label)

    def __iter__(self):
        self.reads += len(self)
        return super().__iter__()

    def values(self):
        self.reads += len(self)
        return super().values()

    def items(self):
        self.reads += len(self)
        return super().items()


def of_class(label: int, **more: str) -> Group:
    cls = Class(label=label, class_=f"c{label}", tail=True, **more)
    image = Image(id=f"i{label}", label=label, class_=cls.class_, sha256=f"{label:064x}", origin="generated")
    return Group(cls, [cls, image])


def test_gathering_what_is_trained_on_takes_work_in_proportion_to_the_classes() -> None:
    reads = {}
    for count in (200, 2_000):
        table = Counted({label: ClassInfo(label=label, name=f"c{label}") for label in range(count)})
        inputs = TrainingInputs(table)
        kept = inputs.table, inputs.generated, inputs.stream, inputs.texts
        for label in range(count):
            inputs.add(of_class(label, sense="a sense"), {}, texts=True)
        after = inputs.table, inputs.generated, inputs.stream, inputs.texts
        assert all(one is other for one, other in zip(kept, after, strict=True)), "nothing is copied on the way"
        assert len(inputs.generated) == len(inputs.stream) == count
        assert {info.sense for info in inputs.classes} == {"a sense"}
        reads[count] = table.reads
    assert reads[2_000] == 10 * reads[200]


def test_of_a_generated_image_training_holds_a_few_hundred_bytes_whatever_its_record_says() -> None:
    cls = Class(label=0, class_="crane", tail=True)
    image = Image(id="i", label=0, class_="crane", sha256="0" * 64, origin="generated")

    def group(number: int) -> Group:
        text = f"A photo of the class crane, seen from afar, in the fog, for the {number}th time."
        one = msgspec.structs.replace(image, id=f"{number:016x}", sha256=f"{number:064x}", text=text * 10)
        return Group(cls, [cls, one])

    inputs = TrainingInputs({0: ClassInfo(label=0, name="crane")})
    tracemalloc.start()
    for number in range(2_000):
        inputs.add(group(number), {}, texts=False)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(inputs.generated) == 2_000
    assert held / 2_000 < 400


def test_a_label_that_is_another_class_in_the_data_is_refused() -> None:
    inputs = TrainingInputs({0: ClassInfo(label=0, name="cat", sense="pet")})
    with pytest.raises(InputError, match="^label 0 is 'c0' in the stream and is 'cat' in --data; train on the data"):
        inputs.add(of_class(0), {}, texts=False)
    with pytest.raises(InputError, match="^label 4 is 'c4' in the stream and does not exist in --data"):
        inputs.add(of_class(4), {}, texts=False)


def test_what_is_left_out_is_part_of_the_hash_and_without_it_nothing_is(tmp_path: Path) -> None:
    """A file that is mended is trained on: the checkpoint is another one then."""

    def flags(**more: bool) -> dict[str, object]:
        given = {"data": str(tmp_path / "x.csv"), **more}
        return mix_train(Session(tmp_path / "store"), configure("mix-train", given, environment={})).settings

    for number in range(2):
        Pil.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "x.csv").write_text("path,label\n0.png,cat\n1.png,dog\n2.png,dog\n")
    assert "left_out" not in flags() and flags(drop_broken=True)["left_out"] == ("train 2.png",)
    Pil.new("RGB", (4, 4)).save(tmp_path / "2.png")
    assert flags(drop_broken=True) == flags()
    assert flags(drop_duplicates=True)["left_out"] == ("train 0.png", "train 2.png")
