"""The prompts: the paper's seven texts word for word, and whatever a class is called in them."""

from __future__ import annotations

import pytest

from ltgc_cli import prompts as p
from ltgc_cli.errors import InputError

PUBLISHED = [
    ("template_1", "A photo of the class [y], {with distinctive features}{in specific scenes}."),
    ("describe", "Please use the Template 1 to briefly describe the image of the class [y]."),
    (
        "extend",
        "Besides these descriptions mentioned above, please use the Template 1 to list other possible "
        "{distinctive features} and {specific scenes} for the class [y].",
    ),
    (
        "reflect",
        "Please exclude any repetitive {distinctive features} and {specific scenes} for class [y] in this "
        "descriptions list.",
    ),
    ("template_2", "A photo of the class [y] with {feature 1}{feature 2}{...}."),
    ("template", "Please use Template 2 to summarize the most distinctive features of class [y]."),
    (
        "refine",
        "This description d doesn't seem to be representative of the class [y]. Could you refine it to enhance "
        "the distinctive features of class [y]?",
    ),
]

ODD_NAMES = [
    "crane (bird)",
    "C++ (a*)",
    "{with} {0}",
    "back\\1slash \\g<0>",
    "a.b|c?[d]^$",
    "[y]",
    "%s %(name)s",
    "עגור אפור",
    "鶴",
    "\N{GRINNING FACE}",
    "../../etc",
    "<b>",
    "n" * 300,
    "the class",
    "photo",
    "3",
]


def test_the_seven_texts_are_the_papers_in_the_order_of_the_pipeline_behind_one_of_ours():
    ours, *papers = p.Prompts.__struct_fields__
    assert ours == "sense"
    assert [(name, getattr(p.PAPER, name)) for name in papers] == PUBLISHED


# --- as they are sent


def test_prompt_1_is_sent_with_template_1_and_its_literal_braces():
    assert p.describe(p.PAPER, "crane") == (
        "Template 1: A photo of the class crane, {with distinctive features}{in specific scenes}.\n\n"
        "Please use the Template 1 to briefly describe the image of the class crane.\n\n"
        "Answer with one sentence."
    )


def test_prompt_2_is_sent_below_the_descriptions_mentioned_above():
    known = ["A photo of the class crane, tall.", "A photo of the class crane, in a marsh."]

    assert p.extend(p.PAPER, "crane", known, 5) == (
        "Descriptions of the class crane:\n"
        "1. A photo of the class crane, tall.\n"
        "2. A photo of the class crane, in a marsh.\n\n"
        "Template 1: A photo of the class crane, {with distinctive features}{in specific scenes}.\n\n"
        "Besides these descriptions mentioned above, please use the Template 1 to list other possible "
        "{distinctive features} and {specific scenes} for the class crane.\n\n"
        "Answer with 5 descriptions, one a line, numbered, and nothing else."
    )


def test_prompt_2_without_descriptions_has_no_empty_list():
    assert p.extend(p.PAPER, "crane", [], 5).startswith("Template 1: A photo of the class crane")


def test_prompt_3_is_sent_below_a_numbered_list_and_asks_for_numbers():
    assert p.reflect(p.PAPER, "crane", ["tall", "very tall"]) == (
        "Descriptions list:\n1. tall\n2. very tall\n\n"
        "Please exclude any repetitive {distinctive features} and {specific scenes} for class crane in this "
        "descriptions list.\n\n"
        "Answer only with the numbers of the descriptions to exclude, separated by commas, or with: none."
    )


def test_prompt_4_is_sent_with_template_2_and_asks_for_what_can_be_seen():
    text = p.template(p.PAPER, "crane", ["A photo of the class crane, tall."])

    assert text.splitlines() == [
        "Descriptions of the class crane:",
        "1. A photo of the class crane, tall.",
        "",
        "Template 2: A photo of the class crane with {feature 1}{feature 2}{...}.",
        "",
        "Please use Template 2 to summarize the most distinctive features of class crane.",
        "",
        "Name only what can be seen in a photo. Answer with one sentence.",
    ]


def test_prompt_5_is_sent_with_the_description_d_and_what_it_should_show():
    text = p.refine(p.PAPER, "crane", "A photo of the class crane, dark.", "A photo of the class crane with a red cap.")

    assert text.splitlines()[:4] == [
        "Description d:",
        "1. A photo of the class crane, dark.",
        "",
        "Distinctive features of the class crane: A photo of the class crane with a red cap.",
    ]
    assert PUBLISHED[6][1].replace("[y]", "crane") in text


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_is_filled_in_as_it_is_and_nothing_else_changes(name):
    for _, text in PUBLISHED:
        assert p.fill(text, name).split(name) == text.replace("[y]", "\0").replace("\0", name).split(name)
        assert p.fill(text, name).count(name) >= text.count("[y]")


def test_a_name_that_is_itself_the_placeholder_is_filled_in_once():
    assert p.fill("the class [y] and [y]", "a [y] b") == "the class a [y] b and a [y] b"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_every_question_names_the_class_whatever_it_is_called(name):
    known = [f"A photo of the class {name}, tall."]
    questions = [
        p.describe(p.PAPER, name),
        p.extend(p.PAPER, name, known, 5),
        p.reflect(p.PAPER, name, known),
        p.template(p.PAPER, name, known),
        p.refine(p.PAPER, name, known[0], known[0]),
    ]

    assert all(f"class {name}" in question for question in questions)


# --- a person's own


def written(folder, text: str):
    file = folder / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_person_replaces_any_text_and_the_rest_stay_the_papers(tmp_path):
    prompts = p.load(written(tmp_path, 'describe = "Décris [y] {avec} soin."'))

    assert p.fill(prompts.describe, "crane") == "Décris crane {avec} soin."
    assert prompts.extend == p.PAPER.extend


def test_without_a_file_the_texts_are_the_papers():
    assert p.load(None) is p.PAPER


def test_an_unknown_name_is_an_error_that_lists_them_all(tmp_path):
    with pytest.raises(
        InputError, match="mine.toml: no prompt is named 'descripe'; there are sense, template_1, describe,"
    ):
        p.load(written(tmp_path, 'descripe = "Describe [y]."'))


def test_a_text_that_never_names_the_class_is_an_error(tmp_path):
    with pytest.raises(InputError, match="mine.toml: extend never names the class; write \\[y\\] where"):
        p.load(written(tmp_path, 'extend = "List more."'))


def test_a_text_that_is_no_text_is_an_error(tmp_path):
    with pytest.raises(InputError, match="mine.toml: .*Expected `str`, got `int` - at `\\$.extend`"):
        p.load(written(tmp_path, "extend = 7"))


def test_a_file_that_is_no_toml_is_an_error(tmp_path):
    with pytest.raises(InputError, match="mine.toml: .*line 1"):
        p.load(written(tmp_path, "extend: [y]"))


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match="mine.toml: No such file"):
        p.load(tmp_path / "mine.toml")


def test_a_file_that_is_no_text_is_an_error(tmp_path):
    (tmp_path / "mine.toml").write_bytes(b'extend = "\xff [y]"')

    with pytest.raises(InputError, match="mine.toml:1: not UTF-8"):
        p.load(tmp_path / "mine.toml")


def test_a_record_names_the_prompt_and_which_words_it_had():
    mine = p.Prompts(describe="Describe [y].")

    assert p.name(p.PAPER, "describe") == "describe"
    assert p.name(mine, "describe") == "describe@3b7f66f0"
    assert p.name(mine, "extend") == "extend"


# --- as images are generated from it


@pytest.mark.parametrize(
    ("text", "name", "subject", "prompt"),
    [
        ("A photo of the class crane, in a marsh.", "crane", "crane", "A photo of crane, in a marsh."),
        ("A photo of the class seal, wet.", "seal", "seal (marine mammal)", "A photo of seal (marine mammal), wet."),
        ("A photo of the class seal with fur.", "seal", "seal (animal)", "A photo of seal (animal) with fur."),
        ("A photo of the class seal (animal), wet.", "seal", "seal (animal)", "A photo of seal (animal), wet."),
        ("A photo of the Class Seal, wet.", "seal", "seal", "A photo of seal, wet."),
        ("A photo of a class seal, wet.", "seal", "seal", "A photo of seal, wet."),
        ("A photo of class seal, wet.", "seal", "seal", "A photo of seal, wet."),
        ("A photo of a seal, wet.", "seal", "seal (animal)", "A photo of a seal (animal), wet."),
        ("A photo of the class sealion, wet.", "seal", "seal", "A photo of the class sealion, wet."),
        ("A photo of the class C++ (a*), big.", "C++ (a*)", "C++ (a*)", "A photo of C++ (a*), big."),
        ("A photo of the class a\\1b, big.", "a\\1b", "a\\1b (x)", "A photo of a\\1b (x), big."),
        ("A photo of the class crane (bird), tall.", "crane (bird)", "crane (bird)", "A photo of crane (bird), tall."),
        ("A photo of the class class, full.", "class", "class (school)", "A photo of class (school), full."),
        ("A photo of the class 3, bold.", "3", "3 (digit)", "A photo of 3 (digit), bold."),
        ("A photo of the class 3, 3 strokes.", "3", "3 (digit)", "A photo of 3 (digit), 3 strokes."),
        ("A classic photo of the class crane.", "crane", "crane", "A classic photo of crane."),
        (
            "A photo of the class crane in a class of its own.",
            "crane",
            "crane",
            "A photo of crane in a class of its own.",
        ),
        ("nothing of it", "crane", "crane (bird)", "nothing of it"),
    ],
)
def test_an_image_prompt_is_the_description_without_the_words_the_class(text, name, subject, prompt):
    assert p.image_prompt(text, name, subject) == prompt


@pytest.mark.parametrize("sense", ["", "a sense"])
@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize(
    "template", ["A photo of the class {}, tall, in a marsh.", "A photo of the class {} with legs."]
)
def test_whatever_a_class_is_called_an_image_prompt_names_its_subject_once(template, name, sense):
    subject = f"{name} ({sense})" if sense else name
    text = p.image_prompt(template.replace("{}", name), name, subject)

    assert text == template.replace("the class {}", "{}").replace("{}", subject)


def test_the_image_prompt_of_an_image_prompt_is_itself():
    once = p.image_prompt("A photo of the class seal, wet.", "seal", "seal (marine mammal)")

    assert p.image_prompt(once, "seal", "seal (marine mammal)") == once


def test_names_are_never_taken_for_patterns():
    assert p.image_prompt("A photo of the class axb, big.", "a.b", "a.b") == "A photo of the class axb, big."
    assert p.image_prompt("A photo of the class C+++, big.", "C+", "C+") == "A photo of C+++, big."
