"""The one reader of TOML files that people write: settings, prompts, senses."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from ltgc_cli.errors import InputError
from ltgc_cli.files import regular
from ltgc_cli.text import one_line

_MOST = 4_000_000  # bytes: a sense for each of 20,000 classes is half of it
# A name of more parts than any has, `a.b.c`, of which tomllib would keep every beginning.
_DEEP = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){50}""")


def read(path: Path, help: str = "") -> dict[str, Any]:
    """Returns what a TOML file says.

    help -- what to do about a file that is none, to stand at the end of the error
    Raises FileNotFoundError where there is none, InputError for what is no regular file, too long, or no TOML.
    """
    more = f"; {help}" if help else ""
    try:
        data = _bytes(path)
        if len(data) > _MOST:
            raise InputError(f"{path}: too long for settings; at most {_MOST:,} bytes are read{more}")
        text = data.decode("utf-8-sig")  # editors of Windows write a mark at its beginning
        if deep := _DEEP.search(text):
            line = text.count("\n", 0, deep.start()) + 1
            raise InputError(f"{path}:{line}: a name of fifty parts with dots between them{more}")
        return tomllib.loads(text)
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: not UTF-8; save it as UTF-8{more}") from None
    except RecursionError:
        raise InputError(f"{path}: no TOML that can be read: brackets within brackets, too deep{more}") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}{more}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: no TOML that can be read: {one_line(error)}{more}") from None
    except ValueError:  # Python reads no longer number
        line = data.count(b"\n", 0, found.start()) + 1 if (found := re.search(rb"\d{4000}", data)) else 1
        raise InputError(f"{path}:{line}: a number of thousands of digits{more}") from None


def _bytes(path: Path) -> bytes:
    """Returns a file's bytes, of one that is too long a part. Only a shell's `<(command)` is no regular file."""
    with path.open("rb") if path.parent == Path("/dev/fd") else regular(path) as file:
        return file.read(_MOST + 1) or b""
