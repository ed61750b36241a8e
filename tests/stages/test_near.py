"""Near duplicates: the same as comparing each with each, in long lists too."""

from __future__ import annotations

import random

import pytest

from ltgc_cli.answers.names import words
from ltgc_cli.stages import near
from ltgc_cli.stages.near import closest, jaccard


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


@pytest.mark.parametrize("similarity", [0.5, 0.6, 0.75, 0.8, 0.9, 1.0])
def test_hashing_finds_what_comparing_all_finds(similarity, monkeypatch):
    monkeypatch.setattr(near, "_DIRECT", 0)
    sets = texts(900, seed=7)

    assert closest(sets[300:], sets[:300], similarity) == naive(sets[300:], sets[:300], similarity)


def test_a_long_list_of_small_words_is_hashed_without_being_told_to(monkeypatch):
    hashed = []
    real = near._hashed
    monkeypatch.setattr(near, "_hashed", lambda *args: hashed.append(args) or real(*args))
    sets = texts(700, seed=3)

    assert closest(sets, [], 0.8) == naive(sets, [], 0.8) and len(hashed) == 1
    assert closest(sets[:100], [], 0.8) == naive(sets[:100], [], 0.8) and len(hashed) == 1


@pytest.mark.parametrize("similarity", [0.0, 0.01, 0.3])
def test_a_low_threshold_is_right_too(similarity):
    sets = texts(200, seed=1)

    assert closest(sets, [], similarity) == naive(sets, [], similarity)


def test_a_pair_at_the_very_similarity_is_overlooked_once_in_ten_million_times_at_most():
    for similarity in (0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99):
        bands, rows = near._bands(similarity)

        assert (1 - similarity**rows) ** bands <= 1e-7 and bands * rows <= near._HASHES
