"""Prints what `pip install '.[dev]'` would ask for, a line each: pip checks no hashes where it is given a folder."""

import tomllib
from pathlib import Path

PROJECT = tomllib.loads(Path(__file__).parent.with_name("pyproject.toml").read_text(encoding="utf-8"))["project"]

if __name__ == "__main__":
    print(*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"], sep="\n")
