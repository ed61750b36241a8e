"""The command line: the first client of the library. Nothing heavy is imported until a command runs."""

from __future__ import annotations

import signal

__all__ = ["main"]


def main() -> None:
    """Runs the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Until a command is at work Ctrl-C just ends it: in the middle of an import it would be a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ltgc_cli.cli import app

    app.main()
