import re

import pytest
from fakes import sha
from small_run import HOSTILE, crane, head, run

from ltgc_cli.records import Failure, Image, Rejected, Step, Template, evolve
from ltgc_cli.report import page
from ltgc_cli.report.content import content_of

DOT = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
RUN = page.PageRun(
    stage="filter",
    settings={"clip": "ViT-B-32/openai", "threshold": "10.0"},
    answers={"Match": (7, 2, 1)},
    dollars=0.125,
    versions={"python": "3.11.7"},
    made="3 images",
)


def html(**more: object) -> str:
    return page.html(content_of(run()), images=lambda _: DOT, **more)  # type: ignore[arg-type]


def text(of: str) -> str:
    return " ".join(re.sub(r"<style.*?</style>|<script.*?</script>|<[^>]*>", " ", of, flags=re.DOTALL).split())


def test_every_generated_image_is_one_figure_that_tells_what_it_is() -> None:
    found = re.findall(
        r'<figure class="tile drawing" tabindex="-?[01]" data-label="(\d)" data-sha256="(\w{64})" data-state="(\w+)">',
        html(),
    )
    assert found == [
        ("0", sha("dawn"), "accepted"),
        ("0", sha("in flight"), "accepted"),
        ("0", sha("mud"), "rejected"),
        ("1", sha("x"), "accepted"),
        ("1", sha("y"), "rejected"),
    ]


def test_the_classes_stand_the_rarest_first() -> None:
    assert re.findall(r'<section class="class" id="class-\d" data-label="(\d)" data-count="(\d+)"', html()) == [
        ("0", "3"),
        ("1", "5"),
        ("2", "900"),
    ]


def test_nothing_of_a_hostile_name_or_text_is_markup() -> None:
    made = html(title=HOSTILE)
    assert "<img src=x" not in made
    assert "<script>alert" not in made
    assert made.count("<script>") == made.count("</script>") == 1
    assert made.count("<noscript>") == made.count("</noscript>") == 2
    assert "&lt;img src=x onerror=alert(1)&gt;" in made


def test_a_page_without_paid_records_has_no_cost() -> None:
    assert "Nothing was paid for" in text(page.html(content_of(head()), images=str))


def test_a_class_that_is_judged_by_its_bare_name_is_said_to_be_beside_its_sentence() -> None:
    rows = [evolve(row, marks=("bare name",)) if isinstance(row, Template) else row for row in run()]
    said = "(its bare name: the language model named no features)"

    assert said in text(page.html(content_of(rows), images=lambda _: DOT))
    assert said not in text(html())


def test_what_the_stream_has_nothing_for_is_left_out() -> None:
    made = page.html(content_of(head()), images=str)
    assert re.findall(r'<section id="(\w+)"', made) == ["classes", "provenance"]
    assert re.findall(r'<section id="(\w+)"', html(figures={"scores": "<svg></svg>"})) == [
        "accuracy",
        "gains",
        "scores",
        "classes",
        "provenance",
    ]


def test_headings_never_skip_a_level() -> None:
    levels = [int(level) for level in re.findall(r"<h(\d)", html(runs=[RUN]))]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(level - before <= 1 for before, level in zip(levels, levels[1:], strict=False))


def test_every_table_has_a_caption_and_every_image_a_text() -> None:
    made = html(runs=[RUN], costs=[("describe", "gpt-4o", "1", "100", "20", "0.25")])
    assert made.count("<table") == made.count("<caption") > 4
    assert made.count("<img ") == len(re.findall(r'<img src="[^"]*" alt="[^"]+"', made)) > 5
    assert not re.findall(r"<th(?! scope)[ >]", made)


def test_published_numbers_stand_apart_with_their_source() -> None:
    assert "Published, not measured here: LTGC, CVPR 2024 LTGC (published)" in text(html())


def test_a_run_shows_where_its_answers_came_from_and_what_it_paid() -> None:
    shown = text(html(runs=[RUN], gap="What filter read was written by no run."))
    assert "filter 3 images scores 7 2 1 $0.12" in shown
    assert "clip ViT-B-32/openai threshold 10.0" in shown
    assert "What filter read was written by no run." in shown
    assert "Versions python 3.11.7" in shown


def test_what_looks_like_a_key_is_never_shown() -> None:
    rows = [Failure(stage="render", reason="http://me:hunter22@host refused sk-abcdefghijklmnop")]
    shown = page.html(content_of(rows), images=str, runs=[RUN._replace(settings={"lmm": "Bearer sk-abcdefghijklmnop"})])
    assert "hunter22" not in shown and "sk-abcdefghijklmnop" not in shown


def test_the_policy_lets_nothing_in_but_the_pages_own_script() -> None:
    policy = page.policy(["1"], served=False)
    assert policy == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        "script-src 'sha256-a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s='; base-uri 'none'; form-action 'none'"
    )
    assert not re.findall(
        r"""(?:href|src|action)=["'](?!#|data:)""", page.html(content_of(crane()), images=lambda _: DOT)
    )


def test_review_adds_its_script_and_style_and_its_token() -> None:
    made = html(token='"abc')
    assert made.count("<script>") == made.count("<style>") == 2
    assert "// Keeping and rejecting generated images." in made and ".review-bar {" in made
    assert '<meta name="ltgc-token" content="&#34;abc">' in made
    assert "connect-src 'self'" in made.replace("&#39;", "'") and "loading=lazy" in made


def test_a_script_that_would_end_its_element_is_refused() -> None:
    with pytest.raises(ValueError, match="would end it"):
        page.embedded("'</script>'", "script")


def test_the_same_records_give_the_same_page() -> None:
    assert html(runs=[RUN]) == html(runs=[RUN])


def test_a_description_that_begins_as_all_do_is_not_said_in_full_again() -> None:
    made = page.html(content_of(crane()), images=str)
    assert "Accepted 2, each “A photo of the class crane, …”" in text(made)
    assert '<span class="stem">A photo of the class crane, </span>in flight.' in made


def test_what_a_person_decided_is_shown_on_the_image_and_in_its_rounds() -> None:
    of = {"label": 0, "class_": "crane", "score": 0.1, "threshold": 0.25}
    steps = (
        Step(text="In mud.", sha256=sha("one"), score=0.3, verdict="reject"),
        Step(text="At dawn.", sha256=sha("two"), score=0.1, verdict="keep"),
    )
    rows = [
        Image(id="g", sha256=sha("two"), origin="generated", text="At dawn.", history=steps, **of),
        Rejected(
            id="r", of="image", reason="rejected by hand", sha256=sha("one"), text="In mud.", history=steps[:1], **of
        ),
    ]
    shown = text(page.html(content_of(rows), images=lambda _: DOT))
    assert "score 0.100 , below its threshold kept by hand At dawn. 2 rounds" in shown
    assert "score 0.300 rejected by hand In mud." in shown and "below its threshold kept by hand At dawn." in shown
    assert shown.count("rejected by hand") == 2, "the reason says it already"


def test_versions_that_differ_between_runs_are_all_listed() -> None:
    runs = [RUN._replace(versions={"python": "3.11.7", "torch": version}) for version in ("2.13.0", "2.14.0", "2.13.0")]
    assert "Versions python 3.11.7 , torch 2.13.0 and 2.14.0" in text(html(runs=runs))
