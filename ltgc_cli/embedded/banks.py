"""The phrases that the embedded models know, by bank: data only, in the order of a sentence.

One phrase of each bank after a name makes a description:
"A photo of the class three, with thin strokes, upright, in a plain style, tall and narrow, on a black ground."
No phrase has a comma in it, for commas part them.
"""

WRITTEN: dict[str, tuple[str, ...]] = {
    "weight": (
        "with thin strokes",
        "with medium strokes",
        "with bold strokes",
        "with uneven strokes",
    ),
    "slant": (
        "slanted to the left",
        "upright",
        "slanted to the right",
    ),
    "style": (
        "in a plain style",
        "in a rounded style",
        "in a square style",
        "in a wavy style",
        "in a top-heavy style",
        "in a bottom-heavy style",
    ),
    "size": (
        "filling the frame",
        "tall and narrow",
        "spread wide",
        "slightly small in the frame",
    ),
    "ground": (
        "on a black ground",
        "on a dark grey ground",
        "on a speckled ground",
        "on an unevenly lit ground",
        "on a lined ground",
    ),
}
