"""`ltgc review`: the report on this machine's loopback, for a person who keeps or rejects generated images."""

from __future__ import annotations

import os
import sys

from ltgc_cli import console
from ltgc_cli.cli.app import app
from ltgc_cli.cli.flags import command
from ltgc_cli.config import Config
from ltgc_cli.settings import Input, Review, Storage


@command(app)
def review(config: Config) -> None:
    """Keep or reject generated images by hand, in the browser: k keeps, r rejects, u takes it back, ? shows all keys.

    Each decision is added to a file, which filter and mix-train honour (--verdicts). Nothing leaves this machine, and
    only who has the address, with its token, is let in.

    \b
    ltgc review -i filtered.jsonl                                  # adds to verdicts.jsonl
    ltgc filter -i rendered.jsonl --verdicts verdicts.jsonl        # what is rejected is rewritten and generated again
    ltgc mix-train -i filtered.jsonl --verdicts verdicts.jsonl --data birds/    # or: is not trained on
    """
    from ltgc_cli.pipeline.dry_run import real
    from ltgc_cli.pipeline.streams import Streams, reading
    from ltgc_cli.review.site import serve
    from ltgc_cli.store import Store

    settings, stream = config[Review], config[Input].input
    opens = settings.browser and _someone_sits_here()
    console.configure(quiet=config[Storage].quiet and opens)  # an address that nobody opens must be printed
    with reading(Streams(stream), "review") as given:
        rows = list(real(given))
    name = str(stream or "filtered.jsonl")
    serve(Store(config[Storage].folder), rows, settings.verdicts, port=settings.port, browser=opens, stream=name)


def _someone_sits_here() -> bool:
    """Returns whether a window can be opened for a person; without one, webbrowser would take over the terminal."""
    screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.stderr.isatty() and bool(screen)
