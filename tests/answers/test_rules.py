"""The rules: what drops a line, what cuts a part of it, what only marks it; and what a rule must leave alone.

Each rule that drops stands here beside what looks like it and is none.
"""

from __future__ import annotations

import itertools

import pytest

from ltgc_cli.answers.read import read
from ltgc_cli.answers.rules import clauses, lint
from ltgc_cli.embedded.banks import WRITTEN
from ltgc_cli.embedded.general_bank import GENERAL
from ltgc_cli.providers.llm.embedded import sentence

ECHO = "echoes the template's placeholders"
MEDIUM = "shows the class in another medium"
SCHOOL = "takes the word class for a school class"
TALK = "is talk around the list"
UNSEEN = "names nothing that can be seen"


def said(features: str, name: str = "crane") -> tuple[list[str], list[str]]:
    """What is kept of "A photo of the class crane" with these features, and the reasons for what is not."""
    found = read(f"A photo of the class {name}{features}", name, name)
    return [text.removeprefix(f"A photo of the class {name}") for text in found.texts], [
        why for _, why in found.dropped
    ]


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        (", with distinctive features, in a specific scene.", ECHO),
        (", with [distinctive features].", ECHO),
        (" with {feature 1}.", ECHO),
        (", with students in a classroom.", SCHOOL),
        (", the class is posing for its yearbook.", SCHOOL),
        (", learning about birds.", SCHOOL),
        (", with a long neck and", "is cut off"),
        (", with a long neck and a.", "is cut off"),
        (", standing in", "is cut off"),
        (", a painting of a crane on silk.", MEDIUM),
        (", in the style of a cartoon.", MEDIUM),
        (", drawn in charcoal.", MEDIUM),
        (", folded from origami paper.", MEDIUM),
        (", as a bronze statue, in a park.", MEDIUM),
        (", with a varied call.", UNSEEN),
        (", known for its loyalty, native to Asia.", UNSEEN),
        (", with great service at reasonable prices.", UNSEEN),
        (", with a punctuality of 97 percent.", UNSEEN),
        (", with a unique design.", "says nothing of the class"),
        (", a bird that is not a crane.", "says that the class is not there"),
        (", or possibly a heron, in grass.", "is not sure of the class"),
        (", with a red crown and a red crown and a red crown and a red crown.", "repeats itself"),
        (", 000 000 000 000", "repeats itself"),
        (", in a marsh, see www.cranes.org for more.", "holds an address"),
        (", standing in a 湿地 at dawn.", "mixes two scripts"),
    ],
)
def test_what_is_no_description_is_dropped_with_its_reason(features, reason):
    assert said(features) == ([], [reason])


@pytest.mark.parametrize(
    "features",
    [
        ", with distinctive features like a red cap.",
        ", in a specific scene where it wades at dawn.",
        ", with features such as a large, muscular build.",
        ", with an artificial-looking patch on its wing.",
        ", with children on a bank.",
        ", in a zoo, with schoolchildren watching it from a boardwalk.",
        ", wading past students who sketch it.",
        ", with a painting on the wall behind it.",
        ", on a painted sign's post.",
        ", beside a sign that reads \u201c鶴\u201d.",
        ", with two, then three, then four chicks.",
        ", looked at.",
        ", among fragrant herbs in a sunny kitchen garden.",
    ],
)
def test_what_looks_like_one_of_these_and_is_none_is_kept(features):
    assert said(features) == ([features], [])


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("Antilocapra americana", ", engaged in a fierce fight with locked horns, on a dusty plain."),
        ("golden retriever", ", excited to play fetch, with a tennis ball in its mouth, in a sunny park."),
        ("golden retriever", ", eager to jump into a swimming pool, paws on the edge."),
        ("golden retriever", ", learning to swim, in a lake with its head just above the surface."),
        ("chimpanzee", ", laughing with its mouth wide open, in the grass."),
        ("bicycle", ", participating in a race through the Alps, its rider in a yellow jersey."),
        ("backpack, back pack", ", with kids walking to school in the rain, their hoods up."),
        ("backpack, back pack", ", with children boarding a yellow school bus."),
        ("golden retriever", ", with children hugging it before they leave for school."),
        ("golden retriever", ", wearing graduation cap and posing with students, on a campus lawn."),
        ("umbrella", ", with tourists taking a group photo in front of the Eiffel Tower."),
        ("acoustic guitar", ", with an instructor placing a boy's fingers on the strings."),
        ("microphone, mike", ", with people seated in an auditorium behind it."),
        ("microphone, mike", ", with an audience gathered in a university hall."),
        ("soccer ball", ", with a goalkeeper raising his hands, in a packed stadium."),
        ("sofa, couch", ", with three girls gathered on it for a sleepover, still in their school uniforms."),
        ("yoga studio", ", where a morning class is stretching on purple mats."),
        ("yoga studio", ", with the whole class in downward dog, facing a wall of mirrors."),
        ("violin", ", during a music class, with a teacher correcting a boy's grip on the bow."),
        ("ice_cream_parlor", ", with pastel pink stools and a checkerboard floor, in the style of a 1950s diner."),
        ("castle", ", decorated in the style of the 17th century, with tapestries and suits of armor."),
        ("lighthouse, beacon", ", next to a statue of a fisherman, on a stone pier."),
        ("sofa, couch", ", under a painting of a sailboat, in a coastal living room."),
        ("park bench", ", facing a mural of a whale, in an empty square."),
        ("paintbrush", ", touching up a mural of a whale on a school wall."),
        ("hotdog, hot dog", ", presented on a paper plate with chips, at a backyard cookout."),
        ("cannon", ", cast in bronze, on a fort's rampart."),
        ("fireplace", ", done in white marble, with brass fire tools."),
        ("umbrella", ", painted with delicate watercolors of cherry blossoms."),
        ("grocery store, grocery", ", with a hand-drawn price sign stuck in a crate of peaches."),
        ("backpack", ", covered with hand-drawn doodles and pins."),
        ("lantern", ", a paper lantern floating on a river at night."),
        ("golden retriever", ", with its owner, on a sandy beach at sunset."),
        ("golden retriever", ", with a family, in front of a Christmas tree."),
        ("soccer ball", ", in the air, above a crowd of players."),
        ("spatula", ", used for flipping burgers on a smoky grill."),
        ("hammer", ", used to drive a nail into a fence post, sparks of wood flying."),
        ("lighthouse", ", with the name of the island painted on its wall."),
        ("rose", ", with a child smelling its petals, in a botanical garden."),
        ("acoustic guitar", ", with a girl playing a song, by a campfire."),
        ("pay-phone", ", with a man making a call, in the rain."),
        ("Ardea herodias", ", commonly seen standing motionless at the edge of a pond."),
        ("lighthouse", ", with red and white stripes, native wildflowers blooming around it."),
        ("chameleon", ", able to look in two directions with its turret eyes, on a twig."),
        ("chameleon", ", discovered under a leaf by a hiker's flashlight, in Madagascar."),
        ("street sign", ", showing a speed limit of 30 miles per hour."),
        ("ice_cream_parlor", ", showing twenty-four flavors in metal tubs behind curved glass."),
        ("street sign", ', named "Abbey Road", with fans crossing the zebra stripes.'),
        ("stopwatch", ", reading 00:00:00 on its gray LCD, in a coach's palm."),
        ("chameleon", ", hardly visible among the leaves, its skin the same green."),
        ("Pinus contorta", ", with 50 μm resin ducts under a microscope."),
        ("crane", ", with a long neck (and a red crown), in a marsh."),
    ],
)
def test_words_of_a_rule_used_innocently_are_kept(name, features):
    assert said(features, name) == ([features], [])


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Call Bell", ", with a varied call, on a desk."),
        ("call_bell", ", with a varied call, on a desk."),
        ("calla lily", ", on a desk."),  # "call" is only a part of the word
        ("crystal vase", ", on a desk."),
        ("songbird", ", on a desk."),
    ],
)
def test_a_class_named_after_what_is_sensed_keeps_it(name, kept):
    assert clauses(", with a varied call, on a desk.", name)[0] == kept


@pytest.mark.parametrize(
    ("features", "kept", "reasons"),
    [
        (", with a red cap, a varied call, in a marsh.", ", with a red cap, in a marsh.", [UNSEEN]),
        (", with pale petals and a sweet, heavy scent, in a vase.", ", with pale petals, in a vase.", [UNSEEN]),
        (", tall, in specific scenes.", ", tall.", [ECHO]),
        (", in a marsh. You can make this picture darker.", ", in a marsh.", [TALK]),
        (", in a marsh. I edited them into one list.", ", in a marsh.", [TALK]),
        (", in a marsh. Cranes are native to Asia.", ", in a marsh.", [UNSEEN]),
        (", in a marsh. The light is soft, with its", ", in a marsh.", ["is cut off"]),
        (", in a marsh. ##END##", ", in a marsh.", []),
        (", in a marsh. The scene is set at dusk.", ", in a marsh. The scene is set at dusk.", []),
        (", in a marsh. The sun sets.", ", in a marsh. The sun sets.", []),
        (", in a marsh. Note the white ring.", ", in a marsh. Note the white ring.", []),
    ],
)
def test_a_part_that_is_none_is_cut_and_the_rest_is_kept(features, kept, reasons):
    assert said(features) == ([kept], reasons)


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("desk", ", in an empty classroom."),
        ("school_bus", ", with students boarding it."),
        ("coffee_shop", ", with students at their laptops."),
        ("stained glass", ", a mosaic of blue and red."),
        ("comic book", ", with a cartoon of a cat on its cover."),
        ("call box", ", with a call button."),
    ],
)
def test_what_is_at_home_in_a_class_may_be_said_of_it(name, features):
    assert said(features, name) == ([features], [])


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("A photo of the class crane, standing in a marsh.", ()),
        ("A photo of the class crane, with a red cap and the sound of a stream near by.", ("non-visual",)),
        ("A photo of the class crane, perhaps in a zoo.", ("hedging",)),
        ("A photo of the class crane, which seems to be asleep.", ("hedging",)),
        (f"A photo of the class crane, {'very ' * 80}tall.", ("over 77 tokens",)),
    ],
)
def test_what_is_only_doubtful_is_marked(text, marks):
    assert lint(text, "crane", "crane") == marks


def test_a_repeat_of_what_is_there_is_marked():
    answer = "A photo of the class crane, tall, in a marsh.\nA photo of the class crane, in a marsh, tall."

    assert read(answer, "crane", "crane").marks == [(), ("duplicate",)]


def test_what_counts_for_the_length_is_what_is_drawn():
    name, sense = "seal", "marine mammal of the family Phocidae"
    fits = f"A photo of the class {name}, {'very ' * 65}wet."

    assert lint(fits, name, name) == ()
    assert lint(fits, name, f"{name} ({sense})") == ("over 77 tokens",)


# --- the embedded models


@pytest.mark.parametrize(
    ("banks", "name", "sense"),
    [
        (WRITTEN, "three", "written digit"),
        (WRITTEN, "3", "digit"),
        (GENERAL, "crane", ""),
        (GENERAL, "tench, Tinca tinca", ""),
        (GENERAL, "ice_cream_parlor", ""),
        (GENERAL, "scratch", "defect on metal"),
    ],
)
def test_the_embedded_grammar_is_read_word_for_word_and_gets_no_mark(banks, name, sense):
    subject = f"{name} ({sense})" if sense else name
    phrases = [phrase for bank in banks.values() for phrase in bank]
    said = [[one] for one in phrases] + [[*two] for two in itertools.combinations(phrases, 2)]
    texts = [sentence(subject, each) for each in said]
    texts += [text.replace(f"{subject}, with ", f"{subject} with ") for text in texts if f"{subject}, with " in text]
    expected = [text.replace(subject, name, 1) for text in texts]
    numbered = "\n".join(f"{number}. {text}" for number, text in enumerate(texts, start=1))

    assert read(numbered, name, subject)[:2] == (expected, [])
    assert read(texts[0], name, subject)[:2] == (expected[:1], [])
    assert all(lint(text, name, subject) == () for text in expected)
