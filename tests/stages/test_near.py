"""Near duplicates: the same as comparing each with each, in long lists too."""

from __future__ import annotations

import random

import pytest

from ltgc_cli.answers.names import words
from ltgc_cli.stages import near
from ltgc_cli.stages.near import closest, jaccard, least_shared


def test_the_words_of_the_template_make_no_two_descriptions_alike():
    assert words("A photo of the class crane, with a red cap in the snow.", "crane") == {"red", "cap", "snow"}
    assert words("A photo of the class C++ (a*), in bold.", "C++ (a*)") == {"bold"}
    assert words("A photo of the class 鶴, 湿地.", "鶴") == {"湿地"}


def test_jaccard_is_the_share_of_words_that_both_have():
    assert jaccard(frozenset("ab"), frozenset("bc")) == 1 / 3
    assert jaccard(frozenset(), frozenset()) == 1.0
    assert jaccard(frozenset("a"), frozenset()) == 0.0


def test_what_was_found_to_repeat_another_makes_no_other_a_repeat():
    abcd, abce, bcef = frozenset("abcd"), frozenset("abce"), frozenset("bcef")

    assert closest([abcd, abce, bcef], [], 0.6) == {1: 0.6}


def naive(new, known, similarity):
    """Each text against all that were kept before it."""
    kept, found = [*known], {}
    for position, own in enumerate(new):
        highest = max((jaccard(own, other) for other in kept), default=0.0)
        if highest >= similarity:
            found[position] = highest
        else:
            kept.append(own)
    return found


def texts(count, seed):
    """Sets of words as descriptions have them: some words are frequent, and a third is a variant of an earlier set."""
    rng = random.Random(seed)
    vocabulary = [f"w{number}" for number in range(800)]
    often = [1 / (number + 5) for number in range(800)]
    made = []
    for _ in range(count):
        own = list(rng.choices(vocabulary, often, k=rng.randint(0 if rng.random() < 0.02 else 4, 14)))
        if made and rng.random() < 0.35:
            own = sorted(rng.choice(made))
            own = own[: len(own) - rng.randint(0, 3)] + rng.choices(vocabulary, often, k=rng.randint(0, 3))
        made.append(frozenset(own))
    return made


@pytest.mark.parametrize("similarity", [0.0, 0.01, 0.3, 0.5, 0.6, 2 / 3, 0.75, 0.8, 0.9, 1.0])
def test_the_filters_find_what_comparing_all_finds(similarity):
    sets = texts(400, seed=7)

    assert closest(sets[100:], sets[:100], similarity) == naive(sets[100:], sets[:100], similarity)


def test_small_sets_of_few_words_are_compared_to_the_last_bit():
    rng = random.Random(5)
    for _ in range(800):
        similarity = rng.choice([1 / 7, 1 / 5, 1 / 3, 3 / 7, 0.6, 2 / 3, 0.7, 0.8, 6 / 7, 7 / 8, rng.random()])
        sets = [frozenset(rng.sample("abcdefgh", rng.randint(0, 8))) for _ in range(rng.randint(0, 20))]
        known = rng.randint(0, len(sets))

        assert closest(sets[known:], sets[:known], similarity) == naive(sets[known:], sets[:known], similarity)


def test_four_words_of_five_are_alike_enough_for_0_8_though_0_8_is_a_little_more_as_a_float():
    assert closest([frozenset("abcde"), frozenset("abcd")], [], 0.8) == {1: 0.8}
    assert [least_shared(size, 0.8) for size in (1, 4, 5, 10)] == [1, 4, 4, 8]


def test_a_set_is_compared_only_with_those_that_share_a_rare_word(monkeypatch):
    compared = []
    highest = near._highest
    monkeypatch.setattr(
        near, "_highest", lambda own, others, _: compared.append(len(others)) or highest(own, others, _)
    )
    sets = [frozenset(["red", "cap", "snow", "tall", f"a{number}", f"b{number}"]) for number in range(200)]

    assert closest(sets, [], 0.8) == {} and sum(compared) == 0  # of 19,900 pairs
