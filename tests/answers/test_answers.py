"""Answers in the shapes that real models give them: which lines are descriptions, and why the others are none."""

from __future__ import annotations

import json

import pytest

from ltgc_cli.answers.blocks import plain_text
from ltgc_cli.answers.names import features
from ltgc_cli.answers.numbers import numbers as numbers_of
from ltgc_cli.answers.read import BEYOND, read

FORM = "is not in the form of Template 1"
OTHER = "names another class"
ECHO = "echoes the template's placeholders"
EMPTY = "says nothing of the class"
TALK = "is talk around the list"
HEADING = "is a heading"
UNNAMED = "does not name the class"

TALL = "A photo of the class crane, tall."
SMALL = "A photo of the class crane, small."
GREY = "A photo of the class crane, grey."


@pytest.mark.parametrize(
    ("answer", "texts", "reasons"),
    [
        pytest.param(TALL, [TALL], [], id="one sentence"),
        pytest.param(f"{TALL}\n{SMALL}", [TALL, SMALL], [], id="a line each"),
        pytest.param(f"\r\n{TALL}\r\n\r\n{SMALL}\r\n", [TALL, SMALL], [], id="blank lines, the line ends of Windows"),
        pytest.param(f"1. {TALL}\n2. {SMALL}", [TALL, SMALL], [], id="numbered"),
        pytest.param(f"1) {TALL}\n(2) {SMALL}\n3: {GREY}", [TALL, SMALL, GREY], [], id="numbered otherwise"),
        pytest.param(f"100. {TALL}", [TALL], [], id="a long list"),
        pytest.param(f"- {TALL}\n* {SMALL}\n• {GREY}", [TALL, SMALL, GREY], [], id="bulleted"),
        pytest.param(f"  - 1. {TALL}", [TALL], [], id="bulleted and numbered"),
        pytest.param(f"1. **{TALL}**\n2. __{SMALL}__", [TALL, SMALL], [], id="bold lines"),
        pytest.param("1. **A photo of the class crane**, tall.", [TALL], [], id="a bold beginning"),
        pytest.param("A photo of the class **crane**, **tall**.", [TALL], [], id="bold words"),
        pytest.param(f'"{TALL}"\n“{SMALL}”\n‘{GREY}’', [TALL, SMALL, GREY], [], id="quotes"),
        pytest.param(f'1. "{TALL}"', [TALL], [], id="numbered quotes"),
        pytest.param(f"`{TALL}`\n```\n{SMALL}\n```", [TALL, SMALL], [], id="code"),
        pytest.param('A photo of the class "crane", tall.', [TALL], [], id="a quoted name"),
        pytest.param("A photo of the class [crane], tall.", [TALL], [], id="a name in the template's brackets"),
        pytest.param("A photo of the class {crane}, tall.", [TALL], [], id="a name in braces"),
        pytest.param(
            "A photo of the class crane, {with long legs}{in a marsh}.",
            ["A photo of the class crane, with long legs in a marsh."],
            [],
            id="literal braces",
        ),
        pytest.param(
            "A photo of the class crane, {with long legs}, {in a marsh}.",
            ["A photo of the class crane, with long legs, in a marsh."],
            [],
            id="literal braces and commas",
        ),
        pytest.param(
            "A photo of the class crane with {red cap}, {long neck}.",
            ["A photo of the class crane with red cap, long neck."],
            [],
            id="Template 2 with its braces",
        ),
        pytest.param(f"Sure! Here are 2 descriptions:\n\n{TALL}", [TALL], [TALK], id="a preamble"),
        pytest.param(f"{TALL}\n\nLet me know if you want more!", [TALL], [TALK], id="an afterword"),
        pytest.param(f"### Descriptions\n{TALL}", [TALL], [HEADING], id="a heading"),
        pytest.param(f"{TALL} {SMALL}", [TALL, SMALL], [], id="two in one paragraph"),
        pytest.param(
            f"{TALL} And more. {SMALL}", ["A photo of the class crane, tall. And more.", SMALL], [], id="three"
        ),
        pytest.param(
            "A photo of the class crane, photographed like a photo of a king.",
            ["A photo of the class crane, photographed like a photo of a king."],
            [],
            id="a photo within a sentence",
        ),
        pytest.param(f"<think>{SMALL}\nIs it?</think>\n{TALL}", [TALL], [], id="thoughts"),
        pytest.param(f"<THINKING>\n{SMALL}\n</THINKING>{TALL}", [TALL], [], id="thoughts of another model"),
        pytest.param(f"<think>{SMALL}\n{TALL}", [], [], id="thoughts that never end"),
        pytest.param(TALL.replace("t", "t\x00\x1b", 1), [TALL], [], id="control characters within a word"),
        pytest.param(json.dumps(json.dumps([SMALL, TALL])), [SMALL, TALL], [], id="JSON in a string of JSON"),
        pytest.param("A photo of the classy crane, tall.", [], [FORM], id="a name swallowed: classy"),
        pytest.param("A photo of the classical crane, tall.", [], [FORM], id="a name swallowed: classical"),
        pytest.param(
            "A photo of the class crane, with distinctive features, in a specific scene.", [], [ECHO], id="an echo"
        ),
        pytest.param("A photo of the class crane, tall, in specific scenes.", [TALL], [ECHO], id="half an echo"),
        pytest.param("A photo of the class [y], tall.", [TALL], [ECHO], id="the placeholder of the name"),
        pytest.param("A photo of the class crane with {feature 1}{feature 2}.", [], [ECHO], id="an echo of Template 2"),
        pytest.param("A photo of the class heron, tall.", [], [OTHER], id="another class"),
        pytest.param("A photo of the class cranefly, tall.", [], [OTHER], id="a class that begins like it"),
        pytest.param(f"A photo of the class heron, tall.\n{SMALL}", [SMALL], [OTHER], id="another class and this one"),
        pytest.param("A photo of a heron, tall.", [], [UNNAMED], id="another thing"),
        pytest.param("The image shows a crane that is tall.", [TALL], [], id="free prose"),
        pytest.param("I'm sorry, I can't help with that.", [], ["is a refusal"], id="a refusal in words"),
        pytest.param("", [], [], id="empty"),
        pytest.param(" \n\t\n", [], [], id="blank"),
        pytest.param("1.\n2.\n", [], [], id="numbers and nothing behind them"),
        pytest.param("A photo of the class crane.", [], [EMPTY], id="no features"),
        pytest.param("A photo of the class crane, ...", [], [EMPTY], id="dots for features"),
        pytest.param("A photo of the class crane, tall", [TALL], [], id="no full stop"),
        pytest.param(
            "A photo of the class crane, tall!", ["A photo of the class crane, tall!"], [], id="an exclamation"
        ),
        pytest.param("a photo of the class Crane, tall.", [TALL], [], id="other capitals"),
        pytest.param("A photo of crane, tall.\nA photo of a crane, small.", [TALL, SMALL], [], id="without the class"),
        pytest.param(
            "An image of the crane, tall.\nPhotograph of the class crane, small.", [TALL, SMALL], [], id="image"
        ),
        pytest.param("A photo of the class crane tall and grey.", [f"{TALL[:-1]} and grey."], [], id="no comma"),
        pytest.param("A photo of  the class\tcrane ,  tall .", [TALL], [], id="odd spaces"),
        pytest.param(
            "A photo of the class crane, which appears to be tall.",
            [TALL],
            [],
            id="hedging that is only a phrase is taken out",
        ),
        pytest.param("A photo of the class *crane*, tall.", [TALL], [], id="an italic name"),
        pytest.param(f"Here is one: {TALL}", [TALL], [], id="a preamble on the line"),
        pytest.param(f"Template 1: {TALL}", [TALL], [], id="the template's name"),
        pytest.param(f"1. **Wading**: {TALL}", [TALL], [], id="a title before it"),
        pytest.param(
            f"1. {TALL} 2. {SMALL}",
            [TALL, SMALL],
            [],
            id="a list on one line",
        ),
        pytest.param(f"Hm.\n{SMALL}\n</think>\n{TALL}", [TALL], [], id="thoughts without a beginning"),
        pytest.param(f'[\n  "{TALL}",\n  "{SMALL}"\n]', [TALL, SMALL], [], id="a JSON list"),
        pytest.param("A photo of the class crane, tall,", [TALL], [], id="a comma at the end"),
        pytest.param("A photo of the class crane, tall;", [TALL], [], id="a semicolon at the end"),
        pytest.param("A photo of the class crane: tall.", [TALL], [], id="a colon"),
        pytest.param("A photo of the class crane – tall.", [TALL], [], id="a dash"),
        pytest.param(
            "A photo of the class crane's nest, tall.",
            ["A photo of the class crane, its nest, tall."],
            [],
            id="a thing of it",
        ),
        pytest.param(
            f"1. {TALL}\n2. {SMALL}\n3. A photo of the class crane, standing in the mid",
            [TALL, SMALL],
            ["is cut off"],
            id="a cut-off last sentence",
        ),
    ],
)
def test_an_answer_about_the_crane_is_read(answer, texts, reasons):
    found = read(answer, "crane", "crane")

    assert (found.texts, [reason for _, reason in found.dropped]) == (texts, reasons)


@pytest.mark.parametrize(
    ("name", "subject", "answer", "text"),
    [
        ("Trogon_rufus", "Trogon_rufus", "A photo of the class Trogon rufus, perched.", "Trogon_rufus, perched."),
        ("Trogon rufus", "Trogon rufus", "A photo of the class Trogon_rufus, perched.", "Trogon rufus, perched."),
        ("great grey owl", "great grey owl", "A photo of the class Great-Grey Owl, asleep.", "great grey owl, asleep."),
        ("seal", "seal (marine mammal)", "A photo of the class seal (marine mammal), wet.", "seal, wet."),
        ("seal", "seal (marine mammal)", "A photo of the class seal, wet.", "seal, wet."),
        ("crane (bird)", "crane (bird)", "A photo of the class crane (bird), wet.", "crane (bird), wet."),
        ("C++ (a*)", "C++ (a*)", "A photo of the class C++ (a*), in bold.", "C++ (a*), in bold."),
        ("{odd}", "{odd}", "A photo of the class {odd}, in bold.", "{odd}, in bold."),
        ("\\1", "\\1", "A photo of the class \\1, in bold.", "\\1, in bold."),
        ("3", "3 (digit)", "3. A photo of the class 3 (digit), upright.", "3, upright."),
        (
            "St. John's wort",
            "St. John's wort",
            "A photo of the class St. John’s wort, yellow.",
            "St. John's wort, yellow.",
        ),
        ("עגור", "עגור", "A photo of the class עגור, גבוה.", "עגור, גבוה."),
        (
            "\N{GRINNING FACE}",
            "\N{GRINNING FACE}",
            "1. A photo of the class \N{GRINNING FACE}, round.",
            "\N{GRINNING FACE}, round.",
        ),
        ("../../etc", "../../etc", "A photo of the class ../../etc, dark.", "../../etc, dark."),
        ("<b>", "<b>", "A photo of the class <b>, dark.", "<b>, dark."),
        ("n" * 300, "n" * 300, f"A photo of the class {'n' * 300}, long.", f"{'n' * 300}, long."),
        pytest.param("鶴", "鶴", "A photo of the class 鶴, 湿地に立つ。", "鶴, 湿地に立つ。"),
    ],
)
def test_a_name_comes_back_as_the_class_table_spells_it(name, subject, answer, text):
    assert read(answer, name, subject)[:2] == ([f"A photo of the class {text}"], [])


def test_every_dropped_line_is_kept_word_for_word_with_its_reason():
    answer = "Sure!\n1. A photo of the class crane.\n2. **A photo of the class heron**, tall."

    assert read(answer, "crane", "crane").dropped == [
        ("Sure!", TALK),
        ("A photo of the class crane.", EMPTY),
        ("A photo of the class heron, tall.", OTHER),
    ]


def test_reading_what_was_read_changes_nothing():
    (once,) = read("2) **A photo of a Crane** {with a red cap}{in a marsh}", "crane", "crane").texts

    assert once == "A photo of the class crane with a red cap in a marsh."
    assert read(once, "crane", "crane").texts == [once]


def test_a_very_long_answer_is_read_in_no_time():
    assert len(read(f"1. {TALL}\n" * 2_000 + "a " * 50_000, "crane", "crane").texts) == 2_000


def test_of_an_answer_that_goes_round_in_a_loop_two_thousand_lines_are_read():
    found = read(f"1. {TALL}\n" * 2_000 + "2. A photo of the class crane, red.\n" * 1_000, "crane", "crane")

    assert (set(found.texts), len(found.texts)) == ({TALL}, 2_000)
    assert found.dropped == [("A photo of the class crane, red.", BEYOND)]


@pytest.mark.parametrize(
    "text",
    [
        f"- Features: red {'-' * 15_000}\n  Scene: a marsh",
        f"- painting {'-' * 1_900}\n" * 50,
        json.dumps([f"A photo of the class crane, red {' ' * 1_900} a"] * 50),
        json.dumps([f"the crane{' ' * 1_900}is a bird."] * 50),
    ],
)
def test_a_long_run_of_one_sign_is_passed_over_at_once(text):
    assert "fault" not in read(text, "crane", "crane").trouble


@pytest.mark.parametrize(
    "line", ["|---|---|\n", "- a\n\n  b\n\n  c\n", "* * *\n", "> - ", "A crane. ", "- talk? ", "#"]
)
def test_of_an_answer_of_a_million_characters_the_first_two_hundred_thousand_are_read(line):
    found = read(f"- {TALL}\n\n" + line * (1_000_000 // len(line)), "crane", "crane")

    assert TALL in found.texts
    assert found.dropped[-1][1] == BEYOND


@pytest.mark.parametrize("answer", ['"' * 30_000, "“" * 30_000, "*" * 30_000, "&#" + "1" * 5_000, "&#x" + "f" * 5_000])
def test_a_long_answer_of_signs_alone_is_none_and_no_fault(answer):
    assert read(answer, "crane", "crane").texts == []
    assert "fault" not in read(answer, "crane", "crane").trouble


# --- features


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("A photo of the class crane, standing in a marsh.", "crane", "standing in a marsh"),
        ("A photo of the class crane with a red cap, tall.", "crane", "with a red cap, tall"),
        ("A photo of the class C++ (a*), in bold.", "C++ (a*)", "in bold"),
        ("something else", "crane", "something else"),
    ],
)
def test_the_features_are_all_that_follows_the_name(text, name, said):
    assert features(text, name) == said


# --- the numbers of Prompt 3


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        ("2, 5", {2, 5}),
        ("2,5,", {2, 5}),
        ("2 and 5.", {2, 5}),
        ("2, 5, and 7", {2, 5, 7}),
        ("2\n5\n", {2, 5}),
        ("- 2\n- 5", {2, 5}),
        ("#2; #5", {2, 5}),
        ("**2, 5**", {2, 5}),
        ("[2, 5]", {2, 5}),
        ("Exclude: 2, 5", {2, 5}),
        ("Numbers to exclude: 2, 5", {2, 5}),
        ("2, 2", {2}),
        ("10", {10}),
        ("none", set()),
        ("None.", set()),
        ("", set()),
        ("0, 11, 99999999999999999999", set()),
        ("None of the 10 repeats another.", set()),
        ("The 3rd one is nice, I keep all 10.", set()),
        ("1. A photo of the class crane, tall.\n2. A photo of the class crane, small.", set()),
        ("<think>1, 2, 3?</think>5", {5}),
        pytest.param("2-4", {2, 3, 4}),
        pytest.param("2–4, 9", {2, 3, 4, 9}),
        pytest.param("Descriptions 2 and 5", {2, 5}),
        ('{"numbers": [2, 5]}', {2, 5}),
        ('{"numbers": []}', set()),
        ('```json\n{"numbers": [2, 5]}\n```', {2, 5}),
        ('{"numbers": ["2", "#5"]}', {2, 5}),
        ('Here is the answer:\n{"numbers": [2]}\nThese repeat others.', {2}),
        ('{"numbers": [2, 5, 1', {2, 5}),
        ('{"numbers": [2, 99, -1, 0]}', {2}),
        ('{"numbers": [2.5, true, null]}', set()),
        ("[2, 5]", {2, 5}),
        ("2 (same as 1), 5 (same as 3)", {2, 5}),
        ("The repetitive descriptions are 2, 5 and 7.", {2, 5, 7}),
        ("I would exclude: 3", {3}),
        ("The 10 descriptions are all different.", set()),
        ("2 is a duplicate of 1.", {2}),
        ("Descriptions 2 and 5 repeat others.", {2, 5}),
        ("Numbers 2-4 should be excluded.", {2, 3, 4}),
        ("The following descriptions are repetitive:\n- 2 (same as 1)\n\nSo the answer is: 2", {2}),
        ("4 repeats 3, 7 repeats 1", {4, 7}),
        ("I'm sorry, I can't help with that.", set()),
        ("9" * 5000, set()),
    ],
)
def test_the_numbers_to_exclude_are_read_and_prose_excludes_nothing(answer, numbers):
    assert numbers_of(answer, 10) == numbers


# --- what no answer may do


@pytest.mark.parametrize(
    "junk",
    [
        "!" * 1_000_000,
        " " * 1_000_000,
        "\n" * 1_000_000,
        "a" * 1_000_000,
        "a " * 500_000,
        "[" * 1_000_000,
        "{" * 1_000_000,
        '["' * 500_000,
        '{"a":' * 200_000,
        "**" * 500_000,
        "*a" * 500_000,
        "_a" * 500_000,
        "1. " * 300_000,
        "(1) " * 250_000,
        "- " * 500_000,
        "|-" * 500_000,
        "<think>" * 150_000,
        "<b>" * 300_000,
        ": " * 500_000,
        "A photo of " * 90_000,
        pytest.param("A photo of the class crane, " * 35_000, marks=pytest.mark.slow),
        "A photo of the class crane, " + "and " * 250_000,
        pytest.param("crane " * 160_000, marks=pytest.mark.slow),
        "with " * 200_000,
        "&amp;" * 200_000,
        '"' * 1_000_000,
        "\\" * 1_000_000,
        "\ue000" * 500_000,
        "appears to be " * 70_000,
    ],
    ids=lambda junk: repr(junk[:12]),
)
def test_a_megabyte_of_junk_is_read_to_its_end(junk):
    found = read(junk, "crane", "crane")

    assert all(len(text) < 2_100 for text in found.texts)
    assert numbers_of(junk, 10) <= set(range(1, 11))


@pytest.mark.parametrize(
    "name", ["(a+)+$", "[", "\\", "a|b", "^", ".*", "%s", "{0}", "\\d", "crane (bird", "*" * 50, "é" * 40, "a" * 300]
)
def test_a_name_is_never_taken_for_a_pattern(name):
    (text,) = read(f"A photo of the class {name}, tall.", name, name).texts

    assert text == f"A photo of the class {name}, tall."


# --- shapes that were once lost


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        pytest.param(f"> {TALL}\n>\n> {SMALL}", [TALL, SMALL], id="an empty quoted line"),
        pytest.param(">", [], id="nothing but a quoted line"),
        pytest.param(f"{TALL[:-1]}; and {SMALL[0].lower()}{SMALL[1:]}", [TALL, SMALL], id="joined by and"),
        pytest.param(
            f'<description id="1">{TALL}</description><description id="2">{SMALL}</description>',
            [TALL, SMALL],
            id="tags in one line",
        ),
        pytest.param(f"★ {TALL}\n⁃ {SMALL}\n🦩 {GREY}", [TALL, SMALL, GREY], id="any sign before it"),
        pytest.param(f"١. {TALL}\n２） {SMALL}", [TALL, SMALL], id="numbers of other scripts"),
        pytest.param(f"No. 1: {TALL}\n\\item {SMALL}\n3,{GREY}", [TALL, SMALL, GREY], id="No., \\item, CSV"),
        pytest.param(
            "1. long grey legs\n2. a red crown\n3. Wading in a marsh at dawn",
            [
                "A photo of the class crane with long grey legs.",
                "A photo of the class crane, a red crown.",
                "A photo of the class crane, wading in a marsh at dawn.",
            ],
            id="bare features",
        ),
        pytest.param(
            "1. **Dawn**\n   - Distinctive features: long grey legs\n   - Scene: wading in a marsh",
            ["A photo of the class crane with long grey legs, wading in a marsh."],
            id="sub-bullets of one item are one description",
        ),
        pytest.param(
            '[{"features": "long grey legs", "scene": "in a marsh"}]',
            ["A photo of the class crane with long grey legs, in a marsh."],
            id="features and scene of one object",
        ),
        pytest.param(
            '{"descriptions": ["A photo of the class crane, tall.", "A photo of the class crane, sm',
            [TALL],
            id="JSON that was cut off",
        ),
        pytest.param(f"{{descriptions: ['{TALL}', '{SMALL}',]}}", [TALL, SMALL], id="sloppy JSON"),
        pytest.param(
            "a crane in a marsh; two cranes in flight; a crane on a nest",
            [
                "A photo of the class crane, in a marsh.",
                "A photo of the class crane, two cranes in flight.",
                "A photo of the class crane, on a nest.",
            ],
            id="captions between semicolons",
        ),
        pytest.param(
            "One could imagine a photo of the class crane, in a marsh. There is also the crane with a red crown. "
            "One could further picture a crane on a nest. Finally, a crane in fog might be shown.",
            [
                "A photo of the class crane, in a marsh.",
                "A photo of the class crane with a red crown.",
                "A photo of the class crane, on a nest.",
                "A photo of the class crane, in fog might be shown.",
            ],
            id="prose, a sentence each",
        ),
        pytest.param(f"j. {TALL}\nk. {SMALL}", [TALL, SMALL], id="letters"),
        pytest.param(
            "A crane in a marsh. A crane in flight.",
            ["A photo of the class crane, in a marsh.", "A photo of the class crane, in flight."],
            id="captions",
        ),
    ],
)
def test_a_shape_is_read(answer, texts):
    texts = (
        texts
        if texts is not None
        else ["A photo of the class crane, in a marsh.", "A photo of the class crane, in flight."]
    )

    assert read(answer, "crane", "crane").texts == texts


@pytest.mark.parametrize(
    ("name", "answer", "rest"),
    [
        ("café terrace", "A photo of two Cafe Terraces, at night.", ", two Cafe Terraces, at night."),
        ("goldfish", "A photo of the class gold-fish, in a bowl.", ", in a bowl."),
        ("crane", "A photo of the class crane's red crown, in the sun.", ", its red crown, in the sun."),
        ("great grey owl", "A photo of the owl, on a snowy branch.", ", on a snowy branch."),
        ("Trogon rufus", "A photo of the trogon, on a branch.", ", on a branch."),
        ("Trogon rufus", "A photo of the Black-throated Trogon (Trogon rufus), on a branch.", ", on a branch."),
        ("tench", "A photo of a tench (Tinca tinca), in a net.", ", in a net."),
        ("crane", "A photo of the bird, on one leg.", ", on one leg."),
        ("lynx", "A photo of the class, asleep on a log.", ", asleep on a log."),
        ("letter Q", "A photo of the class letter “Q”, on a flag.", ", on a flag."),
    ],
)
def test_a_name_in_any_usual_form_is_the_class(name, answer, rest):
    assert read(answer, name, name)[:2] == ([f"A photo of the class {name}{rest}"], [])


@pytest.mark.parametrize(
    ("name", "answer", "rest"),
    [
        (
            "Haliaeetus leucocephalus",
            "A pair of bald eagles locking talons.",
            ", a pair of bald eagles locking talons.",
        ),
        ("Sialia mexicana", "Three male western bluebirds on a wire.", ", three male western bluebirds on a wire."),
        ("Ardea herodias", "Great blue heron wading in a pond.", ", great blue heron wading in a pond."),
        ("Bison bison", "American bison bull rolling in dust.", ", American bison bull rolling in dust."),
        ("Acer saccharum", "Sugar maple with furrowed bark.", ", sugar maple with furrowed bark."),
        ("mask", "A diver's mask, half-filled with water.", ", a diver's mask, half-filled with water."),
        ("rose", "A dozen roses wrapped in brown paper.", ", a dozen roses wrapped in brown paper."),
        ("volcano", "Mount Fuji at sunrise.", " with Mount Fuji at sunrise."),
        ("tiger", "The tiger in the image has orange fur.", ", with orange fur."),
        ("seal", "**Lounging on a shore**: A photo of the class seal, wet.", ", wet, lounging on a shore."),
    ],
)
def test_nothing_that_is_said_of_it_is_lost(name, answer, rest):
    assert read(f"- {answer}", name, name)[:2] == ([f"A photo of the class {name}{rest}"], [])


@pytest.mark.parametrize(
    "answer",
    [
        "squirrel on a tree branch eating a nut",
        "two squirrels that are on a bird feeder",
        "The main subject of this image is a gray squirrel perched on a branch.",
        "The eastern gray squirrel has a bushy tail.",
    ],
)
def test_a_caption_with_a_common_name_is_read_for_a_latin_one(answer):
    (text,) = read(answer, "Sciurus carolinensis", "Sciurus carolinensis", one=True).texts

    assert answer.removeprefix("The main subject of this image is ").rstrip(".")[4:] in text


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("Quercus robur", "A photo of the class Quercus rubra, with pointed lobes."),
        ("African elephant", "A photo of the class Asian elephant, with small ears."),
        ("crane", "A photo of the class heron, next to a crane."),
        ("ant", "A photo of the class antelope, in the savanna."),
    ],
)
def test_another_class_is_not_taken_for_it(name, answer):
    assert read(answer, name, name)[:2] == ([], [(answer, OTHER)])


def test_an_unfinished_end_is_cut_back_to_the_last_whole_sentence():
    answer = "A photo of the class crane, tall. It stands in a"

    assert read(answer, "crane", "crane")[:2] == ([TALL], [("It stands in a", "is cut off")])
    assert read("A photo of the class crane, tall and gre", "crane", "crane").texts == [
        "A photo of the class crane, tall and gre."
    ]
    found = read("A photo of the class crane, tall and gre", "crane", "crane", cut_off=True)
    assert found[:2] == ([], [("A photo of the class crane, tall and gre", "is cut off")])


def test_where_one_sentence_was_asked_for_features_of_several_lines_are_one_description():
    answer = "- a red crown\n- long grey legs\n- a black neck"

    assert read(answer, "crane", "crane", one=True).texts == [
        "A photo of the class crane, a red crown, long grey legs, a black neck."
    ]
    assert len(read(answer, "crane", "crane").texts) == 3


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("Long legs, curved neck, red crown.", " with long legs, curved neck, red crown."),
        ("In summary, a crane typically has long legs and a red crown.", ", with long legs and a red crown."),
        ("1. **Long legs:** thin\n2. **Red crown**", " with long legs: thin, red crown."),
        ("A photo of the class crane, in a field.\n\nThis summarizes its features.", ", in a field."),
    ],
)
def test_an_answer_of_one_sentence_is_read(answer, text):
    assert read(answer, "crane", "crane", one=True).texts == [f"A photo of the class crane{text}"]


def test_features_a_line_each_without_marks_are_a_list():
    answer = "long slender neck\nred crown patch\nwings spread wide at dusk"

    assert read(answer, "crane", "crane").texts == [
        f"A photo of the class crane with {line}." for line in answer.split("\n")
    ]


def test_what_stands_below_an_item_belongs_to_it_and_why_it_was_written_does_not():
    answer = f"1. {TALL}\n   - Feature: a red crown\n   - Why: it is new\n2. {SMALL}"
    found = read(answer, "crane", "crane")

    assert found[:2] == (["A photo of the class crane, tall, a red crown.", SMALL], [("Why: it is new", TALK)])


def test_what_was_said_before_a_description_in_one_breath_is_dropped_with_its_reason():
    found = read(f"The image shows no crane; however, using the template: {TALL}", "crane", "crane", one=True)

    assert found[:2] == ([TALL], [("The image shows no crane; however, using the template:", TALK)])


@pytest.mark.parametrize(
    "answer",
    [
        "<seed:think>A photo of the class crane, drafted.</seed:think>{}",
        "<|START_THINKING|>A photo of the class crane, drafted.<|END_THINKING|>{}",
        "<|channel>thought\nA photo of the class crane, drafted.<channel|>{}",
        "analysisWe need one. A photo of the class crane, drafted.assistantfinal{}",
        "<think>Hm.<reasoning>So.</reasoning>A photo of the class crane, drafted.</think>{}",
    ],
)
def test_thoughts_are_no_descriptions_whatever_marks_a_model_sets_around_them(answer):
    photo = "A photo of the class crane, at dusk."

    assert plain_text(answer.format(photo)).strip() == photo
