"""`ltgc review`: the report on this machine's loopback, for a person who keeps or rejects drawings."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ltgc_cli import console
from ltgc_cli.cli import app
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o
from ltgc_cli.errors import InputError


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
) -> f.Ran:
    """Keep or reject drawings by hand, in the browser: k keeps, r rejects, u takes it back, ? shows all keys.

    Each decision is added to a file, which filter and mix-train honour (--verdicts). Nothing leaves this machine, and
    only who has the address, with its token, is let in.

    \b
    ltgc review -i filtered.jsonl                                  # adds to verdicts.jsonl
    ltgc filter -i rendered.jsonl --verdicts verdicts.jsonl        # what is rejected is rewritten and drawn again
    ltgc mix-train -i filtered.jsonl --verdicts verdicts.jsonl --data birds/    # or: is not trained on
    """
    import secrets
    import threading

    from ltgc_cli.review.serving import HOST, Server
    from ltgc_cli.review.site import site

    opens = browser and _someone_sits_here()
    session = f.session(cache_dir, None, quiet and opens)  # an address that nobody opens must be said
    token = secrets.token_urlsafe(24)
    served = site(session.store, f.streams(input, None, True), verdicts, token)
    try:
        server = Server(served, token, port)
    except OSError as error:
        raise InputError(f"--port {port} on {HOST}: {error.strerror}; leave it out for a free one") from None
    with server:
        console.notice(f"review: {len(served.drawings):,} drawings at {server.address}")
        console.notice(f"review: decisions are added to {verdicts}; Ctrl-C ends it")
        if opens:
            import webbrowser

            threading.Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            _say_how_to_go_on(input, verdicts)
    return f.Ran(None)


def _someone_sits_here() -> bool:
    """Returns whether a window can be opened for a person; without one, webbrowser would take over the terminal."""
    screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.stderr.isatty() and bool(screen)


def _say_how_to_go_on(input: Path | None, path: Path) -> None:
    from ltgc_cli.review import verdict_file

    if not path.exists():
        console.notice("review: nothing was decided")
        return
    held = list(verdict_file.load(path).values())
    file, stream = shlex.quote(str(path)), shlex.quote(str(input or "filtered.jsonl"))
    console.notice(
        f"review: {held.count('keep'):,} kept and {held.count('reject'):,} rejected by hand, in {path}; go on with"
    )
    console.notice(f"  ltgc filter --verdicts {file} -i FILE      (what filter read: rejected ones are drawn again)")
    console.notice(f"  ltgc mix-train --verdicts {file} -i {stream} --data DATA      (or train without them)")
