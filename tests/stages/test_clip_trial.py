"""Before filter judges by CLIP, CLIP is tried on real images: by the names of all classes, without a question."""

from __future__ import annotations

import json

import pytest
from fakes import a_class, keeps, of, points, rates, sha
from judging import CRANE, SEAL, drawn, group, run

from ltgc_cli.errors import Refused
from ltgc_cli.ports import Comparison, Match, NearestClass
from ltgc_cli.records import Group, Metric, parse
from ltgc_cli.settings import Judging
from ltgc_cli.stages.clip_trial import try_clip

OWL = a_class("owl", 5, tail=False)
CLASSES = [CRANE, SEAL, OWL]
NAMES = {"crane": "A photo of crane.", "seal": "A photo of seal (marine mammal).", "owl": "A photo of owl."}


def a_judge(sees: dict[str, str]) -> dict:
    """The ports of a CLIP that takes each image, by its name, for the class that is said."""
    by_sha = {sha(name): NAMES[taken] for name, taken in sees.items()}
    keep = keeps()
    return {
        "score": rates(lambda match: 0.3 if by_sha[match.image] == match.text else 0.1),
        "compare": points(lambda one: NearestClass(text=by_sha[one.image], cosine=0.25)),
        "keep": keep,
        "model": "clip",
    }


def trial(images: dict[int, list[str]], sees: dict[str, str], classes=CLASSES) -> list[Metric]:
    ports = a_judge(sees)
    shas = {label: [sha(name) for name in names] for label, names in images.items()}
    return try_clip(classes, shas, **ports)


def test_an_image_is_taken_for_the_class_whose_name_it_is_most_like() -> None:
    *rows, whole = trial({3: ["c0", "c1"], 7: ["s0"]}, {"c0": "crane", "c1": "owl", "s0": "seal"})
    assert [(row.class_, row.group, row.value, row.predicted) for row in rows] == [
        ("crane", "class", 50.0, ""),
        ("crane", "pair", 50.0, "owl"),
        ("seal", "class", 100.0, ""),
    ]
    assert rows[0].rest == {"margins": [0.05, -0.15]}
    assert (whole.value, whole.images, whole.rest["classes"], whole.rest["chance"]) == (66.67, 3, 3, 33.33)


def test_classes_are_known_by_their_names_and_the_list_of_them_is_kept_once() -> None:
    ports = a_judge({"c0": "crane"})
    try_clip(CLASSES, {3: [sha("c0")]}, **ports)
    ((among, texts),) = ports["keep"].kept.items()
    assert json.loads(texts) == ["A photo of crane.", "A photo of owl.", "A photo of seal (marine mammal)."]
    assert ports["score"].seen == [[Match(model="clip", image=sha("c0"), text="A photo of crane.")]]
    assert ports["compare"].seen == [[Comparison(model="clip", image=sha("c0"), own="A photo of crane.", among=among)]]


def test_of_a_class_with_many_images_an_even_choice_is_tried() -> None:
    names = [f"c{number}" for number in range(100)]
    whole = trial({3: names}, dict.fromkeys(names, "crane"))[-1]
    assert whole.images == 32


def test_copies_of_an_image_say_nothing_new() -> None:
    whole = trial({3: ["c0"] * 8 + ["c1"]}, {"c0": "crane", "c1": "owl"})[-1]
    assert (whole.images, whole.value) == (2, 50.0)


def test_a_model_that_gives_every_text_one_score_is_never_right() -> None:
    keep = keeps()
    ports = {"score": rates(lambda _: 0.2), "compare": points(lambda _: NearestClass(text=NAMES["owl"], cosine=0.2))}
    whole = try_clip(CLASSES, {3: [sha("c0")]}, **ports, keep=keep, model="clip")[-1]
    assert whole.value == 0.0


def test_one_class_alone_and_images_that_cannot_be_read_are_no_trial() -> None:
    assert trial({3: ["c0"]}, {"c0": "crane"}, classes=[CRANE]) == []
    keep = keeps()
    ports = {"score": rates(lambda _: Refused("broken")), "compare": points(lambda _: Refused("broken"))}
    assert try_clip(CLASSES, {3: [sha("c0")]}, **ports, keep=keep, model="clip") == []


# ---- in filter


def judged(groups, **options) -> tuple[list, list]:
    sees = {f"{name} {number}": "crane" for name in ("crane", "seal") for number in range(12)}
    ports = a_judge(sees)
    told: list = []
    mine = {sha(drawn("x")): 0.5}
    own = ports["score"]

    def score(matches):
        return [mine[one.image] if one.image in mine else own([one])[0] for one in matches]

    rows = run(groups, {}, score=score, compare=ports["compare"], keep=ports["keep"], on_trial=told.append, **options)
    return rows, told


def test_filter_tries_clip_before_it_asks_or_generates_anything() -> None:
    def told_first(_):
        raise RuntimeError("a question before the trial was told")

    with pytest.raises(RuntimeError, match="a question"):
        judged([group("x", originals=2), Group(OWL, [OWL])], ask=told_first)
    rows, told = judged([group("x", originals=2), Group(OWL, [OWL])])
    ((_, whole),) = told
    assert whole.value == 100.0
    assert [(row.group, row.label) for row in of(Metric, rows)] == [("class", 3), ("all", -1)]
    assert rows[-1] == whole


def test_a_later_trial_takes_the_place_of_an_earlier_one() -> None:
    old = parse('{"kind":"metric","label":3,"class":"crane","name":"clip accuracy","group":"class","value":1.0}')
    crane = group("x", originals=2)
    rows, _ = judged([Group(crane.cls, [*crane.rows, old]), Group(OWL, [OWL])])
    assert old not in rows and len(of(Metric, rows)) == 2


def test_without_originals_or_without_the_ports_nothing_is_tried() -> None:
    rows, told = judged([group("x"), Group(OWL, [OWL])])
    assert (told, of(Metric, rows)) == ([], [])
    rows = run([group("x", originals=1)], {drawn("x"): 0.5}, settings=Judging(scale="cosine", threshold=0.3))
    assert of(Metric, rows) == []
