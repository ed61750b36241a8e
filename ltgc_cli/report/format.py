"""How numbers and texts are written on the page and in the plots."""

from __future__ import annotations

import re

from ltgc_cli.text import cents


def signed(value: float | None) -> str:
    """Returns a difference in points, with a true minus.

    >>> signed(3), signed(-1.51), signed(-0.01), signed(None)
    ('+3.0', '−1.5', '0.0', '–')
    """
    if value is None:
        return "–"
    return f"{value:+.1f}".replace("-", "−") if round(value, 1) else "0.0"


def gained(points: float, within: float | None) -> str:
    """Returns a difference in points with its uncertainty.

    >>> gained(-4.21, 3.1), gained(2, None)
    ('−4.2 ± 3.1', '+2.0')
    """
    return signed(points) + ("" if within is None else f" ± {within:.1f}")


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def dollars(paid: float, unpriced: int) -> str:
    """Returns what was paid: "$0.50", "at least $0.50" or "unknown" where prices are not known; "" for nothing."""
    if paid:
        return f"{'at least ' if unpriced else ''}${cents(paid)}"
    return "unknown" if unpriced else ""


def shortened(text: str, length: int) -> str:
    """Returns a text of at most so many characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def stem(text: str, name: str) -> str:
    """Returns how a description begins where it begins as all of its class do; the page says that once.

    >>> stem("A photo of the class crane, in flight.", "crane"), stem("A crane in flight.", "crane")
    ('A photo of the class crane,', '')
    """
    found = re.match(rf"A photo of the class {re.escape(name)}(?: \([^)]*\))?,(?= \w)", text)
    return found[0] if found else ""
