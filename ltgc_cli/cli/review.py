"""`ltgc review`: the report on this machine's loopback, for a person who keeps or rejects generated images."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ltgc_cli.cli import app
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o


@app.command()
def review(
    input: o.Input = None,
    verdicts: Annotated[
        Path,
        typer.Option(
            "--verdicts",
            metavar="FILE",
            help="Where decisions are added, each as it is made; those there are gone on from.",
        ),
    ] = Path("verdicts.jsonl"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0: one that is free.")] = 0,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> None:
    """Keep or reject generated images by hand, in the browser: k keeps, r rejects, u takes it back, ? shows all keys.

    Each decision is added to a file, which filter and mix-train honour (--verdicts). Nothing leaves this machine, and
    only who has the address, with its token, is let in.

    \b
    ltgc review -i filtered.jsonl                                  # adds to verdicts.jsonl
    ltgc filter -i rendered.jsonl --verdicts verdicts.jsonl        # what is rejected is rewritten and generated again
    ltgc mix-train -i filtered.jsonl --verdicts verdicts.jsonl --data birds/    # or: is not trained on
    """
    from ltgc_cli.pipeline.stage import reading, real
    from ltgc_cli.review.site import serve

    opens = browser and _someone_sits_here()
    session = f.session(cache_dir, None, quiet and opens)  # an address that nobody opens must be printed
    with reading(f.streams(input, None, True), "review") as given:
        rows = list(real(given))
    serve(session.store, rows, verdicts, port=port, browser=opens, stream=str(input or "filtered.jsonl"))


def _someone_sits_here() -> bool:
    """Returns whether a window can be opened for a person; without one, webbrowser would take over the terminal."""
    screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.stderr.isatty() and bool(screen)
