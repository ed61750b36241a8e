"""What `ltgc review` serves: the page of a stream, its images, and the file of verdicts."""

from __future__ import annotations

import secrets
import shlex
import threading
import webbrowser
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ltgc_cli import console
from ltgc_cli.errors import InputError
from ltgc_cli.providers.images import shown
from ltgc_cli.records import Record, Verdict
from ltgc_cli.report import page
from ltgc_cli.report.content import content_of
from ltgc_cli.review import verdict_file
from ltgc_cli.review.serving import HOST, Server, Site
from ltgc_cli.store import Store
from ltgc_cli.text import counted


def site(store: Store, rows: Iterable[Record], verdicts: Path, token: str) -> Site:
    """Returns what is served of records. Raises InputError for a bad line in either file, and without an image."""
    if verdicts.exists():
        verdict_file.load(verdicts)
    elif not verdicts.parent.is_dir():
        raise InputError(f"--verdicts {verdicts}: there is no folder {verdicts.parent}")
    content = content_of(row for row in rows if not isinstance(row, Verdict))
    generated = {(cls.label, one.sha256): cls.name for cls in content.classes for one in cls.generated}
    if not generated:
        raise InputError(
            "review found no generated image in its input; give it what filter (or render) wrote: -i filtered.jsonl"
        )
    on_page = frozenset(content.images)
    originals = {original.sha256 for cls in content.classes for original in cls.originals}

    def read_image(sha256: str) -> bytes:
        if sha256 not in on_page:  # nothing else that the store has
            raise InputError("the page shows no such image")
        data = store.get_object(sha256)
        return shown(data, sha256)[1] if sha256 in originals else data  # a browser reads no TIFF, no HEIC

    return Site(
        page=page.html(content, images="image/{}".format, token=token, title="Which generated images stay"),
        generated=generated,
        read_image=read_image,
        read_verdicts=partial(verdict_file.read_on, verdicts),
        add_verdict=partial(verdict_file.append, verdicts),
    )


def serve(
    store: Store, rows: Iterable[Record], verdicts: Path, *, port: int = 0, browser: bool = False, stream: str
) -> None:
    """Serves the records' page on this machine until Ctrl-C, then prints how many verdicts there are.

    verdicts -- the file that decisions are added to
    port -- 0: one that is free
    browser -- opens the page in one
    stream -- the name of the file of the records, for the command to go on with
    Raises InputError as `site`, and where the port is taken.
    """
    token = secrets.token_urlsafe(24)
    served = site(store, rows, verdicts, token)
    try:
        server = Server(served, token, port)
    except OSError as error:
        raise InputError(f"--port {port} on {HOST}: {error.strerror}; leave it out for a free one") from None
    with server:
        try:  # from here on it says that Ctrl-C ends it
            console.notice(f"review: {counted(len(served.generated), 'generated image')} at {server.address}")
            console.notice(f"review: decisions are added to {verdicts}; Ctrl-C ends it")
            if browser:
                threading.Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()
            server.serve_forever()
        except KeyboardInterrupt:
            _notify_how_to_go_on(verdicts, stream)


def _notify_how_to_go_on(verdicts: Path, stream: str) -> None:
    if not verdicts.exists():
        console.notice("review: nothing was decided")
        return
    held = list(verdict_file.load(verdicts).values())
    kept, rejected = held.count("keep"), held.count("reject")
    file = shlex.quote(str(verdicts))
    console.notice(f"review: {kept:,} kept and {rejected:,} rejected by hand, in {verdicts}; go on with")
    console.notice(f"  ltgc filter --verdicts {file} -i FILE      (what filter read: generates rejected ones again)")
    console.notice(
        f"  ltgc mix-train --verdicts {file} -i {shlex.quote(stream)} --data DATA      (or train without them)"
    )
