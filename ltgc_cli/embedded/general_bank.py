"""The phrases for a class that nothing is known of, by bank: data only, in the order of a sentence.

Each must read well after a bird, a machine, a scratch on metal and a wardrobe alike, so they speak of the photo and
not of the thing. No phrase has a comma in it, for commas part them, and none ends another.
"""

GENERAL: dict[str, tuple[str, ...]] = {
    "view": (
        "seen from the front",
        "seen from the side",
        "seen from behind",
        "seen from above",
        "seen from below",
        "seen at an angle",
        "seen through glass",
    ),
    "pose": (
        "tilted to the left",
        "tilted to the right",
        "turned away",
        "partly hidden",
        "cut off by the edge of the frame",
        "in the very middle of the frame",
        "in a corner of the frame",
    ),
    "distance": (
        "in close-up",
        "in extreme close-up",
        "at arm's length",
        "from a few steps away",
        "from far away",
        "small in a wide shot",
    ),
    "light": (
        "in soft even light",
        "in harsh light with hard shadows",
        "in dim light",
        "in dappled light",
        "in warm evening light",
        "in cold morning light",
        "lit from one side",
        "with the light behind it",
        "half in shadow",
    ),
    "weather": (
        "on a clear day",
        "on an overcast day",
        "on a rainy day",
        "on a foggy day",
        "on a snowy day",
        "on a windy day",
        "on a hot day",
    ),
    "surroundings": (
        "against a plain background",
        "against a dark background",
        "against a pale background",
        "against a blurred background",
        "against a cluttered background",
        "with green leaves around it",
        "with a brick wall behind it",
        "with bare wood beside it",
        "with other things close to it",
        "with nothing else in view",
    ),
    "look": (
        "in sharp focus",
        "slightly out of focus",
        "with a touch of motion blur",
        "in muted colours",
        "in vivid colours",
        "in black and white",
        "with strong contrast",
        "with a little film grain",
    ),
}
