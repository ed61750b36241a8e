"""--senses FILE: a person says which meaning of a name is meant."""

import json

import pytest
from fakes import a_class

from ltgc_cli.errors import InputError
from ltgc_cli.pipeline.senses import load, senses_by_label
from ltgc_cli.stages.senses import NameInfo


def test_a_sense_is_a_text_or_a_table_with_synonyms(tmp_path):
    path = tmp_path / "senses.toml"
    path.write_text('seal = "marine mammal"\n[crane]\nsense = "machine"\nsynonyms = ["hoist"]\n')
    assert load(path) == {
        "seal": NameInfo(sense="marine mammal"),
        "crane": NameInfo(sense="machine", synonyms=("hoist",)),
    }


def test_of_two_classes_with_one_name_each_is_named_by_its_label(tmp_path):
    classes = [a_class("crane", 134), a_class("crane", 517), a_class("seal", 2)]
    senses = {"134": NameInfo(sense="bird"), "517": NameInfo(sense="machine")}
    assert senses_by_label(classes, senses, tmp_path) == {134: NameInfo(sense="bird"), 517: NameInfo(sense="machine")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seal = 3", "seal: Expected `object`, got `int`; write seal = "),
        ("[seal]\nsense = 4", "seal: Expected `str`, got `int`"),
        ("[seal]\nmeaning = 'marine mammal'", "seal: Object contains unknown field `meaning`; write seal = "),
        ('seal = "a\\nb"', "a sense is a few words in one line"),
        ("seal = ", "Invalid value"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path, text, said):
    path = tmp_path / "senses.toml"
    path.write_text(text)
    with pytest.raises(InputError, match="senses.toml") as raised:
        load(path)
    assert said in str(raised.value)


def test_a_name_that_no_class_has_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(InputError, match="no class is called 'seel'; did you mean 'seal'"):
        senses_by_label([a_class("seal", 1)], {"seel": NameInfo(sense="x")}, tmp_path)


def test_the_sense_is_in_the_class_record_and_in_the_prompt_of_generated_images(ltgc, tmp_path):
    (tmp_path / "senses.toml").write_text('seal = "marine mammal"\n')
    ran = ltgc("extend", "--class", "seal", "-n", 1, "--senses", "senses.toml")
    cls, description = map(json.loads, ran.out.splitlines())
    assert cls["sense"] == "marine mammal"
    assert description["text"].startswith("A photo of the class seal")
