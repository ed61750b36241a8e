"""Answers as language and vision models really give them, about many kinds of classes: what is kept of each, and why not.

A row is a class, an answer, what is kept (what follows "A photo of the class NAME"), and the reasons for what is not.
"""

from __future__ import annotations

import pytest

from ltgc_cli.stages.answers import descriptions

FORM = "is not in the form of Template 1"
TALK = "is talk around the list"
HEADING = "is a heading"
REFUSAL = "is a refusal"
OTHER = "names another class"
UNNAMED = "does not name the class"
DENIED = "says that the class is not there"
DOUBT = "is not sure of the class"
EMPTY = "says nothing of the class"
ECHO = "echoes the template's placeholders"
CUT = "is cut off"
OLD = "is the description that was to be refined"
SCHOOL = "takes the word class for a school class"
MEDIUM = "shows the class in another medium"
UNSEEN = "names nothing that can be seen"

ROWS = [
    # --- numbered, bulleted, lettered
    ("tench, Tinca tinca", "1. A photo of the class tench, with a long olive body in a murky pond.", [", with a long olive body in a murky pond."], []),
    ("tench, Tinca tinca", "1) A photo of the class Tinca tinca, held by an angler.\n2) A photo of the class tench, Tinca tinca, in a net.", [", held by an angler.", ", in a net."], []),
    ("tench, Tinca tinca", "A photo of the Tench, swimming near the bottom of a lake.", [", swimming near the bottom of a lake."], []),
    ("tench, Tinca tinca", "* A photo of the class tench fish, with red eyes.\n* A photo of two tenches, side by side on the grass.", [", fish, with red eyes.", ", side by side on the grass."], []),
    ("goldfish", "• A photo of the class gold fish, with flowing fins.\n• A photo of goldfishes, in a bowl.", [", with flowing fins.", ", in a bowl."], []),
    ("goldfish", "(1) A photo of the class goldfish, orange and white. (2) A photo of the class goldfish, in a pond with lilies.", [", orange and white.", ", in a pond with lilies."], []),
    ("goldfish", "i. A photo of the class goldfish, swimming to the left.\nii. A photo of the class goldfish, seen from above.\niii. A photo of the class goldfish, in a plastic bag.", [", swimming to the left.", ", seen from above.", ", in a plastic bag."], []),
    ("great grey owl, Strix nebulosa", "a) A photo of the class great gray owl, on a snowy branch.\nb) A photo of the class Strix nebulosa, in flight.", [", on a snowy branch.", ", in flight."], []),
    ("ice_cream_parlor", "1 - A photo of the class ice cream parlor, with a striped awning.\n2 - A photo of the class ice cream parlour, with pastel walls.", [", with a striped awning.", ", with pastel walls."], []),
    ("ice_cream_parlor", "#1: A photo of the class ice_cream_parlor, with children choosing flavors at the counter.\n#2: A photo of the class Ice Cream Parlor, at night.", [", with children choosing flavors at the counter.", ", at night."], []),
    ("airplane cabin", "Description 1: A photo of the class airplane cabin, with blue seats.\nDescription 2: A photo of the class airplane cabin, with the lights dimmed.", [", with blue seats.", ", with the lights dimmed."], []),
    ("airplane cabin", "**1.** A photo of the class airplane cabin, full of passengers.\n\n**2.** A photo of the class airplane cabin, seen from the aisle.", [", full of passengers.", ", seen from the aisle."], []),
    ("wardrobe", "1️⃣ A photo of the class wardrobe, made of dark oak.\n2️⃣ A photo of the class wardrobe, with its doors open.", [", made of dark oak.", ", with its doors open."], []),
    ("wardrobe", "➤ A photo of the class wardrobe, white and modern.\n✅ A photo of the class wardrobe, full of coats.", [", white and modern.", ", full of coats."], []),
    ("Trogon rufus", "1.A photo of the class Trogon rufus, perched on a mossy branch.\n2.A photo of the class Trogon_rufus, with a yellow belly.", [", perched on a mossy branch.", ", with a yellow belly."], []),
    ("Trogon rufus", "A photo of the class T. rufus, calling from a vine.", [", calling from a vine."], []),
    ("Trogon rufus", "A photo of the class Black-throated Trogon (Trogon rufus), on a branch.", [", on a branch."], []),
    # --- bold, quotes, code, escapes
    ("nail", "1. **A photo of the class nail**, rusty and bent.\n2. **Close-up**: A photo of the class nail, driven into a plank.", [", rusty and bent.", ", driven into a plank."], []),
    ("nail", "“A photo of the class nail, with a flat head.”\n«A photo of the class nail, on a workbench.»", [", with a flat head.", ", on a workbench."], []),
    ("nail", "\"A photo of the class 'nail', among wood shavings.\"", [", among wood shavings."], []),
    ("nail", "1\\. A photo of the class nail, beside a hammer.\n2\\. `A photo of the class nail, in a row of nails.`", [", beside a hammer.", ", in a row of nails."], []),
    ("scratch", "> A photo of the class scratch, thin and silver on a black metal surface.", [", thin and silver on a black metal surface."], []),
    ("scratch", "***A photo of the class scratch, crossing the lens.***", [", crossing the lens."], []),
    ("scratch", "<ol><li>A photo of the class scratch, on a car door.</li><li>A photo of the class scratches, on a phone's screen.</li></ol>", [", on a car door.", ", on a phone's screen."], []),
    ("seal", "&quot;A photo of the class seal, on an ice floe.&quot;", [", on an ice floe."], []),
    # --- braces, brackets, labels
    ("sorrel", "A photo of the class sorrel, {with a chestnut coat}{in a green pasture}.", [", with a chestnut coat in a green pasture."], []),
    ("sorrel", "A photo of the class [sorrel], [with a white blaze], [in a paddock].", [", with a white blaze, in a paddock."], []),
    ("sorrel", "A photo of the class {sorrel} with {a flaxen mane}{a glossy coat}{white socks}.", [" with a flaxen mane, a glossy coat, white socks."], []),
    ("sorrel", "Template 2: A photo of the class sorrel with {reddish-brown coat}, {lighter mane}.", [" with reddish-brown coat, lighter mane."], []),
    ("sorrel", "Distinctive features: a flaxen mane, a white star\nSpecific scenes: grazing in a meadow", [" with a flaxen mane, a white star.", ", grazing in a meadow."], []),
    ("sorrel", "1. {with a braided mane}{at a horse show}\n2. {with a foal}{in a stable}", [", with a braided mane at a horse show.", ", with a foal in a stable."], []),
    ("sorrel", "A photo of the class sorrel, with distinctive features such as a flaxen mane, in specific scenes like a meadow.", [", with a flaxen mane, in a meadow."], []),
    ("sorrel", "### Distinctive features\n- Flaxen mane\n- White socks\n\n### Specific scenes\n- Galloping on a beach\n- Mountain pasture at dusk", [" with flaxen mane.", " with white socks.", ", galloping on a beach.", ", mountain pasture at dusk."], [HEADING, HEADING]),
    # --- echoes
    ("television", "A photo of the class television, with distinctive features, in a specific scene.", [], [ECHO]),
    ("television", "A photo of the class [y], {with distinctive features}{in specific scenes}.", [], [ECHO]),
    ("television", "A photo of the class television, with [distinctive feature] in [specific scene].", [], [ECHO]),
    ("television", "A photo of the class television with {feature 1}{feature 2}{...}.", [], [ECHO]),
    ("television", "A photo of the class television, showcasing its unique features.", [], [EMPTY]),
    ("television", "A photo of the class television.\nA photo of the class television, ...", [], [EMPTY, EMPTY]),
    # --- the word "class"
    ("television", "A photo of the class television, with students watching attentively in a classroom.", [], [SCHOOL]),
    ("television", "A photo of the class television, with a teacher pointing at the board.", [], [SCHOOL]),
    ("television", "A photo of the class television, everyone smiling at the camera, the class is having fun.", [], [SCHOOL]),
    ("television", "A photo of the class television, featuring an educational lecture at the university.", [], [SCHOOL]),
    ("wardrobe", "A photo of the class wardrobe, with classmates choosing costumes.", [], [SCHOOL]),
    ("seal", "A photo of the class seal, with students gathered around the school emblem.", [], [SCHOOL]),
    ("tench, Tinca tinca", "A photo of the class tench, in a school of fish near the surface.", [", in a school of fish near the surface."], []),
    ("desk", "A photo of the class desk, in an empty classroom.", [", in an empty classroom."], []),
    ("school bus", "A photo of the class school bus, with children boarding on a rainy morning.", [", with children boarding on a rainy morning."], []),
    ("great grey owl, Strix nebulosa", "A photo of the class great grey owl, with large yellow pupils.", [", with large yellow pupils."], []),
    ("television", "A photo of the classroom, with a television on the wall.", [], [FORM]),
    ("television", "a photo of the classy woman in a red dress", [], [FORM]),
    ("television", "a photo of the class of 2019", [], [OTHER]),
    # --- preambles, closings, refusals, thoughts
    ("maillot", "Sure! Here are three descriptions:\n1. A photo of the class maillot, navy blue.\n\nThese descriptions highlight the variety of the class.", [", navy blue."], [TALK, TALK]),
    ("maillot", "Certainly! Using Template 1, here is the description:\n\n\"A photo of the class maillot, with white stripes.\"\n\nLet me know if you'd like any changes!", [", with white stripes."], [TALK, TALK]),
    ("maillot", "A photo of the class maillot, on a mannequin. I hope this helps!", [", on a mannequin."], []),
    ("maillot", "A photo of the class maillot, hung on a line. (Note: the image is not visible to me.)", [", hung on a line."], []),
    ("maillot", "I'm sorry, but I can't view images. Please describe the maillot and I will help.", [], [REFUSAL]),
    ("maillot", "As an AI language model, I cannot see the photo of the class maillot.", [], [REFUSAL]),
    ("maillot", "I cannot assist with that request.", [], [REFUSAL]),
    ("maillot", "Unfortunately, no image was provided.", [], [REFUSAL]),
    ("maillot", "<think>\nThe user wants a maillot. Perhaps \"A photo of the class maillot, red.\"\n</think>\n\nA photo of the class maillot, green.", [", green."], []),
    ("maillot", "Okay, the user wants a description. Let me think about what a maillot looks like.\nI should mention the colour.\n\nA photo of the class maillot, with thin straps.", [", with thin straps."], [TALK, TALK]),
    ("maillot", "Let's think step by step. So the answer is: A photo of the class maillot, backless.", [", backless."], []),
    ("maillot", "<|channel|>analysis<|message|>Need one sentence.<|end|><|start|>assistant<|channel|>final<|message|>A photo of the class maillot, on a beach.", [", on a beach."], []),
    ("maillot", "Would you like me to describe more images of the class maillot?", [], [TALK]),
    ("maillot", "Here are some other possible {distinctive features} and {specific scenes} for the class maillot:", [], [TALK]),
    ("maillot", "A photo of the class maillot can be described as follows:", [], [HEADING]),
    # --- headings between groups
    ("container ship", "## In port\n1. A photo of the class container ship, under cranes.\n## At sea\n2. A photo of the class container ship, in a storm.", [", under cranes.", ", in a storm."], [HEADING, HEADING]),
    ("container ship", "**Loading:**\n- A photo of the class container ship, half full.\n\n**Sailing:**\n- A photo of the class container ship, leaving a wake.", [", half full.", ", leaving a wake."], [HEADING, HEADING]),
    ("container ship", "1. **At dawn**\n   A photo of the class container ship, with its lights on.", [", with its lights on."], [HEADING]),
    ("container ship", "Container ship\n\nA photo of the class container ship, red and rusty.", [", red and rusty."], [EMPTY]),
    # --- wrapped, run together, cut off
    ("barn spider", "A photo of the class barn spider, hanging head down in the middle of a round\nweb with dew on its threads.", [", hanging head down in the middle of a round web with dew on its threads."], []),
    ("barn spider", "1. A photo of the class barn\n   spider, on a fence post.\n2. A photo of the class barn spider, in a jar.", [", on a fence post.", ", in a jar."], []),
    ("barn spider", "A photo of the class barn spider, brown, A photo of the class barn spider, with banded legs", [", brown.", ", with banded legs."], []),
    ("barn spider", "A photo of the class barn spider, on a beam. It has banded legs. The background is dark.", [", on a beam. It has banded legs. The background is dark."], []),
    ("barn spider", "1. A photo of the class barn spider, on a beam.\n2. A photo of the class barn spider, in a corner.\n3. A photo of the class barn spider, with its", [", on a beam.", ", in a corner."], [CUT]),
    ("barn spider", "A photo of the class barn spider, with an orb web and a", [], [CUT]),
    ("barn spider", "A photo of the class barn spider, with an orb web of...", [], [CUT]),
    ("barn spider", "A barn spider in its web. A barn spider on a leaf. A barn spider wrapping a fly.", [", in its web.", ", on a leaf.", ", wrapping a fly."], []),
    # --- JSON and tables
    ("volcano", '{"descriptions": ["A photo of the class volcano, erupting at night.", "A photo of the class volcano, snow-capped."]}', [", erupting at night.", ", snow-capped."], []),
    ("volcano", '{"description": "A photo of the class volcano, with a lake in its crater."}', [", with a lake in its crater."], []),
    ("volcano", 'Here you go:\n```json\n["A photo of the class volcano, smoking.", "with lava on its slopes"]\n```\nEnjoy!', [", smoking.", ", with lava on its slopes."], [TALK, TALK]),
    ("volcano", '{"descriptions": ["A photo of the class volcano, seen from the air.", "A photo of the class volcano, at su', [", seen from the air."], [CUT]),
    ("volcano", '[{"id": 1, "class": "volcano", "description": "A photo of the class volcano, in rain."}]', [", in rain."], []),
    ("volcano", "['A photo of the class volcano, grey.', 'A photo of the class volcano, at the sea.']", [", grey.", ", at the sea."], []),
    ("volcano", '{"distinctive_features": ["a steep cone"], "specific_scenes": ["at sunset"]}', [" with a steep cone.", ", at sunset."], []),
    ("volcano", "| # | Description |\n|---|---|\n| 1 | A photo of the class volcano, in fog. |\n| 2 | A photo of the class volcano, at noon. |", [", in fog.", ", at noon."], [HEADING]),
    ("volcano", "| Features | Scene |\n|---|---|\n| with a wide crater | above a forest |", [", with a wide crater, above a forest."], [HEADING]),
    # --- other forms
    ("acoustic guitar", "A photo of a man playing an acoustic guitar on a stage.", [", a man playing an acoustic guitar on a stage."], []),
    ("acoustic guitar", "The image shows an acoustic guitar leaning against a wall. The guitar has a sunburst finish.", [", leaning against a wall. The guitar has a sunburst finish."], []),
    ("acoustic guitar", "In this image, there is an acoustic guitar on a stand.", [", on a stand."], []),
    ("acoustic guitar", "A close-up photo of an acoustic guitar, with its strings in focus.", [", close-up, with its strings in focus."], []),
    ("acoustic guitar", "An old acoustic guitar with a cracked body.", [", old, with a cracked body."], []),
    ("acoustic guitar", "Acoustic guitar: resting on a bed of straw", [", resting on a bed of straw."], []),
    ("acoustic guitar", "there is a black acoustic guitar that is on a table", [", black, on a table."], []),
    ("acoustic guitar", "A photo showing the acoustic guitar in a shop window", [", in a shop window."], []),
    ("acoustic guitar", "Photo of acoustic guitar, with a mother-of-pearl rosette", [", with a mother-of-pearl rosette."], []),
    ("acoustic guitar", "This is a photo of the class acoustic guitar, which is lying on grass.", [", lying on grass."], []),
    ("acoustic guitar", "- lying in an open case\n- with nylon strings", [", lying in an open case.", ", with nylon strings."], []),
    ("acoustic guitar", "A photo of a violin on a chair.", [], [UNNAMED]),
    ("acoustic guitar", "Guitars are popular with beginners.", [], [FORM]),
    ("monarch butterfly", "Monarch butterflies clustered on a tree trunk in Mexico.", [", clustered on a tree trunk in Mexico."], []),
    ("monarch butterfly", "A photo of the class monarch butterfly's orange wings, on a milkweed.", [", its orange wings, on a milkweed."], []),
    ("monarch butterfly", "A photo of the class monarch butterfly's caterpillar, on a milkweed.", [], [OTHER]),
    # --- hedges and doubts
    ("kit fox, Vulpes macrotis", "A photo of the class kit fox, which appears to be resting near its den.", [", resting near its den."], []),
    ("kit fox, Vulpes macrotis", "A photo of what appears to be a kit fox, possibly in a desert.", [", in a desert."], []),
    ("kit fox, Vulpes macrotis", "A photo of the class kit fox, or possibly a red fox, in grass.", [], [DOUBT]),
    ("kit fox, Vulpes macrotis", "A photo of an animal that is not a kit fox.", [], [DENIED]),
    ("kit fox, Vulpes macrotis", "A photo of the class red fox, next to a kit fox.", [], [OTHER]),
    # --- what cannot be seen, and other media
    ("jasmine", "A photo of the class jasmine with white star-shaped flowers, an exquisite fragrance, and glossy leaves.", [" with white star-shaped flowers, and glossy leaves."], []),
    ("jasmine", "A photo of the class jasmine, with an exquisite fragrance.", [], [UNSEEN]),
    ("jasmine", "A photo of the class jasmine, native to Asia.", [], [UNSEEN]),
    ("jasmine", "A photo of the class jasmine, known for its small white flowers.", [", with its small white flowers."], []),
    ("jasmine", "A watercolor painting of jasmine on paper.", [], [MEDIUM]),
    ("jasmine", "A photo of the class jasmine, depicted in a watercolor painting.", [], [MEDIUM]),
    ("jasmine", "A photo of the class jasmine, in a vase with a painting on the wall behind it.", [", in a vase with a painting on the wall behind it."], []),
    # --- refined
    ("manhole cover", "Original description: A photo of the class manhole cover, round.\nRefined description: A photo of the class manhole cover, with a cast-iron grid.", [", with a cast-iron grid."], [OLD]),
    ("manhole cover", "A more representative version would be: \"A photo of the class manhole cover, in wet asphalt.\"", [", in wet asphalt."], []),
    # --- names with marks, digits and other scripts
    ("3", "3. A photo of the class 3, written with thin strokes.\n4. A photo of a 3, slanted.", [", written with thin strokes.", ", slanted."], []),
    ("church/indoor", "A photo of the class church, with stained glass.\nA photo of the class indoor church, with pews.", [", with stained glass.", ", with pews."], []),
    ("n02085620-Chihuahua", "A photo of the class Chihuahua, on a cushion.", [", on a cushion."], []),
    ("鶴", "1、A photo of the class 鶴，湿地に立つ。", [", 湿地に立つ。"], []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "answer", "kept", "reasons"), ROWS)
def test_what_a_person_would_keep_is_kept_and_of_the_rest_is_said_why_not(name, answer, kept, reasons):
    read = descriptions(answer, name, name)

    assert [text.removeprefix(f"A photo of the class {name}") for text in read.texts] == kept
    assert [reason for _, reason in read.dropped] == reasons


def test_the_table_is_as_wide_as_it_should_be():
    assert len(ROWS) >= 100 and len({name for name, *_ in ROWS}) >= 20
