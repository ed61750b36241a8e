"""A small run's records, with something for every part of a report; and one class with a name that is an attack."""

from fakes import sha

from ltgc_cli.ports import Usage
from ltgc_cli.records import (
    Checkpoint,
    Class,
    Description,
    Failure,
    Image,
    Made,
    Metric,
    Record,
    Rejected,
    Step,
    Template,
    Verdict,
)

HOSTILE = "<img src=x onerror=alert(1)>"
PAID = Made(model="gpt-4o", prompt="describe", usage=Usage(prompt_tokens=100, completion_tokens=20, dollars=0.25))


def crane() -> list[Record]:
    """A tail class: three generated images, one after a refinement, one rejected; one from the bare name."""
    of = {"label": 0, "class_": "crane"}
    judged = {"threshold": 0.25, "scale": "cosine"}
    first = Step(text="A photo of the class crane, blurred.", sha256=sha("blurred"), score=0.2)
    second = Step(text="A photo of the class crane, in flight.", sha256=sha("in flight"), score=0.3)
    return [
        Class(id="c0", count=3, shot="few", tail=True, sense="wading bird", **of),
        Image(id="o1", sha256=sha("real"), origin="original", name="crane/1.jpg", **of),
        Description(id="d1", text="A photo of the class crane, at dawn.", origin="described", made=PAID, **of),
        Rejected(
            id="d2", of="description", reason="says the same as another", text="A photo of the class crane, dawn.", **of
        ),
        Image(id="p1", sha256=sha("plain"), origin="plain", text="A photo of the class crane.", **of),
        Image(
            id="g1",
            sha256=sha("dawn"),
            origin="generated",
            text="A photo of the class crane, at dawn.",
            score=0.28,
            **judged,
            **of,
        ),
        Image(
            id="g2",
            sha256=sha("in flight"),
            origin="generated",
            text=second.text,
            score=0.3,
            history=(first, second),
            **judged,
            **of,
        ),
        Rejected(
            id="r1",
            of="image",
            sha256=sha("mud"),
            text="A photo of the class crane, in mud.",
            score=0.19,
            reason="scored below the class's bar in its one drawing",
            **judged,
            **of,
        ),
        Failure(id="f1", stage="render", reason="the request was refused: unsafe", text="A crane.", **of),
        Template(id="t1", text="A photo of the class crane with long legs.", threshold=0.25, **of),
    ]


def hostile() -> list[Record]:
    """A tail class whose name, sense, texts and reasons are all an attack on the page."""
    of = {"label": 1, "class_": HOSTILE}
    end = "</noscript></script><script>alert(2)</script>"
    return [
        Class(id="c1", count=5, shot="few", tail=True, sense=f'"{end}', **of),
        Image(id="o2", sha256=sha("real 2"), origin="original", name=f'"{HOSTILE}', **of),
        Image(id="g3", sha256=sha("x"), origin="generated", text=f'" onload="alert(3)" {end}', **of),
        Rejected(
            id="r2", of="image", sha256=sha("y"), reason=f"{HOSTILE}{end}", text=end, score=0.1, threshold=0.2, **of
        ),
        Failure(id="f2", stage="render", reason=end, text=HOSTILE, **of),
    ]


def head() -> list[Record]:
    return [Class(id="c2", label=2, class_="pigeon", count=900, shot="many", tail=False)]


def measured() -> list[Record]:
    """Two checkpoints: without generated images, and with them; and what was published."""
    rows: list[Record] = [
        Checkpoint(id="k1", sha256="a" * 64, method="fine-tune", settings={"images": 0}),
        Checkpoint(id="k2", sha256="b" * 64, method="LTGC", settings={"images": 3}),
    ]
    for method, parent, few, all_ in (("fine-tune", "k1", 40.0, 70.0), ("LTGC", "k2", 55.0, 75.5)):
        of = {"method": method, "parents": (parent,)}
        rows += [
            Metric(id=f"{method} few", name="accuracy", group="few", value=few, low=few - 2, high=few + 2, **of),
            Metric(id=f"{method} all", name="accuracy", group="all", value=all_, low=all_ - 1, high=all_ + 1, **of),
            Metric(id=f"{method} f1", name="macro_f1", group="all", value=all_ - 5, **of),
        ]
    by_class = {"crane": (30.0, 50.0), HOSTILE: (50.0, 60.0), "pigeon": (95.0, 93.0)}
    for label, (name, values) in enumerate(by_class.items()):
        for (method, parent), value in zip((("fine-tune", "k1"), ("LTGC", "k2")), values, strict=True):
            of = {"label": label, "class_": name, "method": method, "parents": (parent,)}
            rows.append(Metric(id=f"{method} {label}", name="accuracy", group="class", value=value, **of))
    rows += [
        Metric(
            name="confusion", group="pair", value=12.0, label=0, class_="crane", predicted=HOSTILE, images=6,
            method="LTGC", parents=("k2",),
        ),
        Metric(name="accuracy", group="all", value=82.5, method="LTGC (published)", source="LTGC, CVPR 2024"),
    ]  # fmt: skip
    return rows


def run() -> list[Record]:
    """All of it, with a person's verdicts on two images."""
    said = [
        Verdict(label=0, class_="crane", sha256=sha("dawn"), verdict="reject"),
        Verdict(label=0, class_="crane", sha256=sha("mud"), verdict="keep"),
        Verdict(label=0, class_="crane", sha256=sha("dawn"), verdict="none"),
    ]
    return [*crane(), *hostile(), *head(), *measured(), *said]
