"""filter --preview: how real and drawn images score, and what each threshold would pass; nothing is redrawn."""

from __future__ import annotations

import numpy
import pytest
from fakes import a_class, by_task, keeps, points, rates, says, sha
from judging import CRANE, SEAL, drawn, group

from ltgc_cli.errors import InputError, Refused
from ltgc_cli.ports import NearestClass
from ltgc_cli.records import Group, dump
from ltgc_cli.settings import Judging
from ltgc_cli.stages.overview import overview
from ltgc_cli.stages.preview import Spread, histogram, metrics, preview, table, thresholds

CALIBRATED = Judging()
COSINE = Judging(scale="cosine", threshold=0.3)
REAL = {"crane": [0.31, 0.22, 0.27, 0.25, 0.24], "seal": [0.1, 0.2]}
DRAWN = {"crane": [0.3, 0.24, 0.1], "seal": [0.15, 0.4]}
GROUPS = [
    group("c0", "c1", "c2", originals=5),
    Group(a_class("sparrow", 0, tail=False), []),
    group("s0", "s1", cls=SEAL, originals=2),
]
COSINES = {f"{name} {n}": value for name, own in REAL.items() for n, value in enumerate(own)}
COSINES |= {drawn(f"c{n}"): value for n, value in enumerate(DRAWN["crane"])}
COSINES |= {drawn(f"s{n}", SEAL): value for n, value in enumerate(DRAWN["seal"])}


def seen(settings=CALIBRATED, groups=GROUPS, cosines=COSINES, **options) -> list[Spread]:
    by_sha = {sha(name): cosine for name, cosine in cosines.items()}
    ports = {"ask": by_task(template=says(lambda q: f"A photo of the class {q.subject} with legs.")), "llm": "m"}
    ports |= {"score": rates(lambda match: by_sha[match.image]), "clip": "clip", "settings": settings}
    return preview(overview(groups), lambda: groups, **ports | options)


def test_each_tail_class_s_scores_are_shown_and_last_of_all_those_of_all_together():
    assert [(one.label, one.class_, one.real, one.generated) for one in seen()] == [
        (3, "crane", tuple(REAL["crane"]), tuple(DRAWN["crane"])),
        (7, "seal", tuple(REAL["seal"]), tuple(DRAWN["seal"])),
        (-1, "", tuple(REAL["crane"] + REAL["seal"]), tuple(DRAWN["crane"] + DRAWN["seal"])),
    ]


def test_a_class_that_is_judged_by_its_bare_name_is_said_to_be():
    ask = by_task(
        template=says(lambda q: "I do not know." if q.subject == "crane" else "A photo of the class seal with fur.")
    )
    crane, seal, _ = seen(ask=ask)

    assert crane.trouble.startswith("its images are judged by its bare name: the answer to Prompt 4 names no features")
    assert seal.trouble == ""


def test_scores_are_on_the_scale_of_the_settings():
    crane, *_ = seen(Judging(scale="clipscore", threshold=0.75))

    assert crane.real == pytest.approx([2.5 * value for value in REAL["crane"]])


def test_on_the_calibrated_scale_the_thresholds_are_percentiles_and_a_class_of_few_images_has_the_common_threshold():
    crane, seal, everything = seen()

    assert [passing.threshold for passing in crane.passing] == [0, 5, 10, 25, 50]
    common = REAL["crane"] + REAL["seal"]
    for number, q in enumerate([0, 5, 10, 25, 50]):
        own, theirs = (round(float(numpy.percentile(values, q)), 6) for values in (REAL["crane"], common))
        assert (crane.passing[number].least, seal.passing[number].least) == (own, theirs)
        passed = [sum(score >= bar for score in DRAWN[name]) for name, bar in (("crane", own), ("seal", theirs))]
        assert [one.passing[number].passed for one in (crane, seal, everything)] == [*passed, sum(passed)]
        assert everything.passing[number].least is None


def test_on_another_scale_they_are_round_numbers_over_the_scores_and_the_one_in_use():
    _, _, everything = seen(COSINE)

    assert [(passing.threshold, passing.least) for passing in everything.passing] == [
        (bar, bar) for bar in (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
    ]
    assert [passing.passed for passing in everything.passing] == [5, 4, 3, 2, 2, 1, 1]


@pytest.mark.parametrize(
    ("settings", "scores", "expected"),
    [
        (Judging(threshold=15.0), [0.2], [0, 5, 10, 15, 25, 50]),
        (COSINE, [], [0.3]),
        (COSINE, [0.25], [0.25, 0.3]),
        (COSINE, [0.2512, 0.2541], [0.252, 0.253, 0.254, 0.3]),
        (Judging(scale="paper", threshold=0.8), [-0.5, 1.5], [-0.5, 0, 0.5, 0.8, 1, 1.5]),
    ],
)
def test_there_are_few_thresholds_and_that_of_the_settings_is_among_them(settings, scores, expected):
    assert thresholds(settings, scores) == expected


def test_what_is_asked_is_one_template_a_class_and_one_score_an_image():
    template = says(lambda q: f"A photo of the class {q.subject} with legs.")
    scores = rates(lambda match: 0.2)
    seen(ask=by_task(template=template), score=scores)

    assert [question.task for question in template.seen] == ["template"] * 2
    assert sum(map(len, scores.seen)) == 12


def test_with_a_margin_what_is_closer_to_another_class_passes_no_threshold():
    close = {sha(drawn("c0")): 0.29, sha(drawn("s1", SEAL)): 0.41}
    nearest = points(lambda rival: NearestClass(text="A photo of sparrow.", cosine=close.get(rival.image, -1.0)))
    settings = Judging(scale="cosine", threshold=0.3, margin=0.02)
    *_, everything = seen(settings, compare=nearest, keep=keeps())

    assert [passing.passed for passing in everything.passing] == [3, 2, 1, 0, 0, 0, 0]


def test_with_a_novelty_a_copy_passes_no_threshold():
    copy = {sha(drawn("c0")): 0.95}
    nearest = points(lambda one: NearestClass(text="ab" * 32, cosine=copy.get(one.image, 0.8)))
    settings = Judging(scale="cosine", threshold=0.3, novelty=0.0)
    *_, everything = seen(settings, compare=nearest, keep=keeps())
    *_, without = seen(COSINE)

    assert [one.passed for one in without.passing][:3] == [5, 4, 3]
    assert [one.passed for one in everything.passing][:3] == [4, 3, 2]


def test_what_cannot_be_scored_or_compared_is_left_out_or_does_not_pass():
    broken = COSINES | {"crane 0": Refused("broken"), drawn("c0"): Refused("broken")}
    crane, *_ = seen(COSINE, cosines=broken)
    assert (len(crane.real), crane.generated) == (4, (0.24, 0.1))

    settings = Judging(scale="cosine", threshold=0.3, margin=0.0)
    *_, everything = seen(settings, compare=points(lambda rival: Refused("broken")), keep=keeps())
    assert {passing.passed for passing in everything.passing} == {0}


def test_without_an_original_image_there_is_nothing_to_calibrate_by():
    with pytest.raises(InputError, match="filter has no original image"):
        seen(groups=[group("c0")])


def test_where_nothing_is_to_be_judged_nothing_is_shown():
    spreads = seen(groups=[Group(CRANE, [CRANE])])

    assert (spreads, metrics(spreads, CALIBRATED)) == ([], [])
    assert table(spreads, CALIBRATED)[1] == []


def test_as_records_they_are_quantiles_and_pass_shares():
    found = metrics(seen(), CALIBRATED)

    assert len({metric.id for metric in found}) == len(found) == 3 * (5 + 5 + 5)
    lines = [dump(metric).replace(f'"id":"{metric.id}",', "") for metric in found]
    assert lines[2] == (
        '{"kind":"metric","label":3,"class":"crane","name":"score quantile","group":"class","value":0.25,"images":5,'
        '"of":"originals","quantile":50,"scale":"calibrated"}'
    )
    assert lines[12] == (
        '{"kind":"metric","label":3,"class":"crane","name":"pass share","group":"class","value":66.67,"images":3,'
        '"threshold":10.0,"bar":0.228,"scale":"calibrated"}'
    )
    assert lines[-1].startswith('{"kind":"metric","name":"pass share","group":"all","value":40.0,"images":5,')


@pytest.mark.parametrize("q", [0, 10, 50, 90, 100])
def test_quantiles_are_those_of_numpy(q):
    everything = [metric for metric in metrics(seen(), CALIBRATED) if metric.group == "all"]
    found = {metric.rest["of"]: metric.value for metric in everything if metric.rest.get("quantile") == q}

    assert found["originals"] == pytest.approx(numpy.percentile(REAL["crane"] + REAL["seal"], q), abs=1e-6)
    assert found["drawings"] == pytest.approx(numpy.percentile(DRAWN["crane"] + DRAWN["seal"], q), abs=1e-6)


def test_for_a_person_they_are_a_table_with_histograms():
    columns, rows = table(seen(), CALIBRATED)

    assert columns == ["class", "real", "0.10…0.40", "10/50/90", "generated", "0.10…0.40", "10/50/90"] + [
        "0%", "5%", "10%*", "25%", "50%",
    ]  # fmt: skip
    assert rows[0][:2] + rows[0][3:5] + rows[0][6:] == [
        "crane", "5", "0.23/0.25/0.29", "3", "0.13/0.24/0.29", "67%", "67%", "67%", "67%", "33%",
    ]  # fmt: skip
    assert [row[0] for row in rows] == ["crane", "seal", "all"]
    assert {len(row[place]) for row in rows for place in (2, 5)} == {12}


@pytest.mark.parametrize(
    ("values", "shape"),
    [([], "    "), ([0.0], "█   "), ([0.0, 1.0], "█  █"), ([0.0] * 1000 + [0.6], "█ ▁ "), ([0.3, 0.6, 0.6], " ▄█ ")],
)
def test_a_histogram_shows_what_there_is_and_even_the_rarest(values, shape):
    assert histogram(values, 0.0, 1.0, bins=4) == shape


def test_a_histogram_of_equal_scores_is_one_block():
    assert histogram([0.2, 0.2], 0.2, 0.2, bins=3) == "█  "
