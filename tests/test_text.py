"""How counts, names and errors are written in messages."""

import pytest

from ltgc_cli.text import counted, nearest, one_line


@pytest.mark.parametrize(
    ("count", "name", "text"),
    [
        (0, "image", "0 images"),
        (1, "image", "1 image"),
        (1_200, "image", "1,200 images"),
        (2, "class", "2 classes"),
        (1, "tail class", "1 tail class"),
        (0, "batch", "0 batches"),
        (3, "query", "3 queries"),
        (3, "key", "3 keys"),
        (2, "try", "2 tries"),
        (2, "rejected", "2 rejected"),
    ],
)
def test_a_count_has_its_plural(count: int, name: str, text: str) -> None:
    assert counted(count, name) == text


def test_a_name_that_is_nearly_right_is_shown_as_it_is_written() -> None:
    assert nearest("VIT-b-32", ["ViT-B-32", "RN50"]) == "; did you mean ViT-B-32?"
    assert nearest("house_sparrow", ["house sparrow"], quoted=True) == "; did you mean 'house sparrow'?"
    assert nearest("trogon", []) == ""


def test_what_a_library_says_is_brought_into_one_line() -> None:
    assert one_line("a\n b\t c") == "a b c" and one_line("abcdef", 4) == "abc…"
    assert one_line(ValueError("")) == "ValueError"
