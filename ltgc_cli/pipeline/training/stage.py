"""mix-train as a plan: what is trained on, and the checkpoint's record. Loads no torch until something is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ltgc_cli import console, prompts, records
from ltgc_cli.errors import InputError
from ltgc_cli.learn import datasets
from ltgc_cli.learn.datasets import ClassInfo, Source
from ltgc_cli.learn.settings import Settings, checked, resolved
from ltgc_cli.pipeline.class_table import agreed, data_classes
from ltgc_cli.pipeline.session import Session
from ltgc_cli.pipeline.stage import ALONE, Plan
from ltgc_cli.records import Checkpoint, Class, Description, Group, Image, Record, identify
from ltgc_cli.stages import verdicts as by_hand
from ltgc_cli.stages.verdicts import Verdicts

if TYPE_CHECKING:
    from ltgc_cli.learn.logs import LogName
    from ltgc_cli.learn.train import Precision


VERSION = 1
"""Part of what a checkpoint is told apart by: raise it when the same settings train to other weights."""


class How(NamedTuple):
    """How one trains, besides the settings. The precision alone is part of what a checkpoint is told apart by."""

    device: str | None = None
    precision: Precision = "auto"
    compile: bool = False
    log: LogName | None = None


class _Given(NamedTuple):
    """What is trained on: the class table, the generated images, and where the head wants them texts by label."""

    classes: list[ClassInfo]
    drawn: list[Image]
    texts: dict[int, list[str]]
    stream: list[Class]
    """The class records of the stream."""


def training(
    session: Session,
    *,
    data: Source,
    clip: str,
    settings: Settings,
    generated: bool,
    name: str,
    alone: bool = False,
    val: Source | None = None,
    how: How | None = None,
    verdicts: Verdicts | None = None,
) -> Plan:
    """Returns mix-train: one more record, the checkpoint, behind the lines of the stream.

    val -- what val_every and gate look at; the data's own validation split where it is None
    verdicts -- what a person said of drawings: those rejected are not trained on, those kept are, whatever filter said
    Raises InputError for settings that cannot be, and where there is nothing to look at.
    """
    how = how or How()
    identity = session.score(clip).model
    looked_at = _looked_at(data, val, checked(settings))
    flags: dict[str, Any] = {
        "data": datasets.fingerprint(data, "train"),
        "clip": identity,
        "generated": generated,
        "name": name,
        **msgspec.to_builtins(settings),
    }
    flags |= {"val": datasets.fingerprint(looked_at, "val")} if looked_at else {}
    flags |= {"precision": how.precision} if how.precision != "auto" else {}
    flags |= {"verdicts": by_hand.fingerprint(verdicts)} if verdicts is not None else {}

    def run(lines: Iterator[Record]) -> Iterator[Record]:
        given = _Given(data_classes(data), [], {}, [])
        there: set[by_hand.ImageKey] = set()
        for group in records.by_class(lines):
            given = _with(given, group, settings, verdicts or {})
            there |= by_hand.drawings(group.rows) if verdicts else set()
            yield from group.rows
        if generated and verdicts is not None:
            console.notice(f"mix-train: {by_hand.summary(verdicts, there)}")
        if not generated:
            given = given._replace(drawn=[])
        elif not given.drawn:
            console.notice("mix-train: no generated images in the stream: a plain fine-tune")
        if settings.head_init == "descriptions" and not given.texts:
            console.notice("mix-train: no descriptions in the stream: the head starts from the classes' names")
        _tell_what_may_surprise(settings, given)
        sha256 = _identity(flags, given)
        folder = session.store.folder / "checkpoints" / sha256
        used = resolved(settings, generated=len(given.drawn), classes=len(given.classes))
        said = name or method(used, len(given.drawn))
        if (folder / "done.json").exists():
            kept = msgspec.json.decode((folder / "settings.json").read_bytes())
        else:
            from ltgc_cli.pipeline.training.check import before_training
            from ltgc_cli.pipeline.training.fit import fit

            other = looked_at if looked_at != data else None
            seen = before_training(session, data, given.stream, given.drawn, other)
            kept = msgspec.to_builtins(
                fit(
                    session,
                    data,
                    given.classes,
                    given.drawn,
                    clip,
                    settings,
                    folder,
                    texts=given.texts,
                    val=looked_at,
                    how=how,
                    name=said,
                    seen=seen if looked_at else seen._replace(val=()),
                )
            )
        trained = Checkpoint(
            sha256=sha256,
            method=said,
            settings={"clip": identity, "data": flags["data"][:12], "images": len(given.drawn), **kept},
        )
        yield identify(trained, sha256, name)

    return Plan("mix-train", flags, run, source=ALONE if alone else "", whole=True, optional=not generated)


def method(settings: Settings, generated: int) -> str:
    """Returns what a table calls a run: what it is, and in what it differs from the defaults of that.

    >>> method(Settings(mix="balancemix", sampler="balanced"), 480), method(Settings(mix="none", loss="la"), 0)
    ('LTGC', 'fine-tune + la')
    >>> method(Settings(mix="balancemix", sampler="sqrt", tune="adaptformer", ema=0.99), 480)
    'LTGC, sqrt, adaptformer, ema 0.99'
    """
    ltgc = bool(generated) and settings.mix == "balancemix"
    kind = "LTGC" if ltgc else "real + generated" if generated else "fine-tune"
    usual = {"mix": "balancemix", "sampler": "balanced"} if ltgc else {"mix": "none", "sampler": "instance"}
    usual |= {"tune": "lora"}
    other = [value for key in usual if (value := getattr(settings, key)) not in (None, usual[key])]
    other += [
        _said(name, getattr(settings, name)) for name in _TOLD if getattr(settings, name) != getattr(_USUAL, name)
    ]
    loss = "" if settings.loss == "ce" else f" + {settings.loss}"
    return ", ".join([kind, *other]) + loss


_USUAL = Settings()
_TOLD = (
    "mix_prob", "syn_prob", "syn_weight", "syn_ratio", "syn_by_score", "gate", "head", "head_init", "tune_blocks",
    "lora_on", "real_head_epochs", "ema", "val_every", "fixed_crops",
)  # fmt: skip
"""What else a run is called by where it is not as usual."""


def _said(name: str, value: object) -> str:
    flag = name.replace("_", "-")
    return flag if value is True else f"{flag} {value}"


def _tell_what_may_surprise(settings: Settings, given: _Given) -> None:
    """Says what trains, but worse than a person expects."""
    if settings.head_init == "name" and all(info.name == str(info.label) for info in given.classes):
        console.notice(
            "mix-train: the data has no class names, so the head starts from texts such as 'A photo of 7.'; "
            "--classes FILE gives the names, or start it with --head-init means"
        )
    if settings.tune == "full" and settings.lr > _MOST_FOR_ALL:
        console.notice(f"mix-train: --lr {settings.lr:g} is for few weights; with --tune full try --lr 1e-5 to 1e-4")


_MOST_FOR_ALL = 5e-4
"""A learning rate above which tuning the whole tower goes wrong, as it does at the default."""


def _looked_at(data: Source, val: Source | None, settings: Settings) -> Source | None:
    """Returns the data with the validation images, None where nothing looks at them."""
    if not (settings.val_every or settings.gate):
        if val:
            raise InputError("--val is looked at by --val-every N and --gate; add one of them, or leave it out")
        return None
    if not val and "val" not in datasets.splits(data):
        raise InputError(f"{data.spec} has no validation images of its own: --val-every and --gate need --val DATA")
    return val or data


def _with(given: _Given, group: Group, settings: Settings, verdicts: Verdicts) -> _Given:
    """Returns what is trained on, with what the lines of one more class say."""
    cls = group.cls
    drawn = by_hand.accepted(group, verdicts)
    texts = dict(given.texts)
    if settings.head_init == "descriptions" and cls.label >= 0:
        found = [row.text for row in group.rows if isinstance(row, Description)]
        # As they are drawn: CLIP, too, takes "the class" for a school class.
        texts |= {cls.label: [prompts.image_prompt(text, cls.class_, cls.subject) for text in found]} if found else {}
    stream = [*given.stream, *([cls] if cls.label >= 0 else [])]
    return _Given(agreed(given.classes, cls), [*given.drawn, *drawn], texts, stream)


def _identity(flags: dict[str, Any], given: _Given) -> str:
    """Returns the sha256 (hex) of all that a checkpoint is made from; what it is called is no part of it.

    Neither are verdicts themselves: what is trained on for their sake is.
    """
    made_from = {key: value for key, value in flags.items() if key not in ("name", "generated", "verdicts")}
    scored = flags["syn_by_score"]
    drawn = [[image.label, image.sha256, *([image.score] if scored else [])] for image in given.drawn]
    texts = [[label, given.texts[label]] for label in sorted(given.texts)]
    content = [VERSION, made_from, drawn, msgspec.to_builtins(given.classes), texts]
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()
