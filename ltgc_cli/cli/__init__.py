"""The command line: the first client of the library. Nothing heavy is imported until a command runs."""

from __future__ import annotations

import signal

__all__ = ["main"]


def main() -> None:
    """Runs the command line."""
    own = signal.getsignal(signal.SIGINT)
    if own is signal.default_int_handler:  # Ctrl-C in the middle of an import would be a traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ltgc_cli.cli import app

    signal.signal(signal.SIGINT, own)
    app.main()
