"""The command line: the first client of the library. Nothing heavy is imported until a command runs."""

from ltgc_cli.cli.app import main

__all__ = ["main"]
