"""What lies in a folder of photos: folders, images, and what cameras, systems and programs leave beside them.

Nothing is opened but folders: a named pipe would be waited on for ever. A link to a file is as good as the file; a link
to a folder is followed where a class's folder is one, and not below, so that no link leads round in a circle. Links out
of the data's folder are followed by --follow-links alone: a folder that somebody else packed may lead anywhere.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ltgc_cli.files import named_errors
from ltgc_cli.image_formats import HEIC, HEIC_EXTRA, readable_suffixes
from ltgc_cli.text import counted

_LEFT_BEHIND = frozenset(
    name.casefold()
    for name in (
        "__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "$RECYCLE.BIN", "RECYCLER", "System Volume Information",
        "found.000", "lost+found", "@eaDir", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot", "~snapshot",
        "__pycache__", "Icon\r", "thumbnails", "thumbs", "@__thumb", "@Transcode", "LOST.DIR", "iPod Photo Cache",
        "Network Trash Folder", "Temporary Items", "_gsdata_", "_vti_cnf",
    )
)  # fmt: skip
_SHOWN = 5  # things left out for one reason, and kinds of files, that are named


class LeftOut(NamedTuple):
    """What is no image of the data: where it lies, and why it is none; no reason for a file of another kind."""

    path: Path
    why: str = ""


class Inside(NamedTuple):
    """What lies in a folder itself, by name."""

    folders: list[Path]
    images: list[Path]
    left_out: list[LeftOut]


def boundary(root: Path, *, follow_links: bool) -> str:
    """Returns the folder that a data set's images must lie in, by its real path; empty where it may be any.

    A snapshot of the Hugging Face hub is made of links to the files beside it (`blobs/`): that is all one folder.
    """
    if follow_links:
        return ""
    real = Path(os.path.realpath(root))
    hub = (one.parent for one in (real, *real.parents) if one.name == "snapshots" and (one.parent / "blobs").is_dir())
    return str(next(hub, real))


def within(path: str | Path, folder: str) -> bool:
    """Returns whether a path leads to what lies in a folder; always where no folder is named."""
    return not folder or Path(os.path.realpath(path)).is_relative_to(folder)


def inside(folder: Path, bounds: str = "") -> Inside:
    """Returns what lies in a folder. Raises InputError where it cannot be listed.

    bounds -- the folder that links may not lead out of
    """
    found, suffixes = Inside([], [], []), readable_suffixes()
    with named_errors(folder), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            kind, path = _kind(entry, bounds), folder / entry.name
            if kind == "folder":
                found.folders.append(path)
            elif kind != "file":
                found.left_out.append(LeftOut(path, kind))
            elif path.suffix.lower() in suffixes:
                found.images.append(path)
            else:
                found.left_out.append(LeftOut(path))
    return found


def images(folder: Path, left_out: list[LeftOut], bounds: str = "") -> Iterator[Path]:
    """Returns the images below a folder, those in the folder itself first; adds to `left_out` what is none."""
    folders = [folder]
    while folders:
        found = inside(folders.pop(), bounds)
        yield from found.images
        links = [path for path in found.folders if path.is_symlink()]
        left_out += [*found.left_out, *(LeftOut(path, "a link to a folder") for path in links)]
        folders += [path for path in reversed(found.folders) if path not in links]


def has_images(folder: Path, bounds: str = "") -> bool:
    """Returns whether an image lies below a folder."""
    return next(images(folder, [], bounds), None) is not None


def below(root: Path, left_out: Iterable[LeftOut]) -> list[LeftOut]:
    """Returns what was left out, each with its path below a folder."""
    return [LeftOut(path.relative_to(root), why) for path, why in left_out]


def worded(left_out: Iterable[LeftOut]) -> str:
    """Returns what was left out, in words; empty where nothing was.

    >>> worded([LeftOut(Path("a.MOV")), LeftOut(Path("d/b.jpg"), "a link to nothing"), LeftOut(Path("README"))])
    'left out: d/b.jpg (a link to nothing); 2 files skipped: 1 .MOV, 1 without a suffix'
    """
    reasons: dict[str, Counter[str]] = {}
    kinds: Counter[str] = Counter()
    for path, why in left_out:
        if why:
            # What lies everywhere is counted by its name.
            name = path.as_posix() if why not in _EVERYWHERE else "._*" if path.name.startswith("._") else path.name
            reasons.setdefault(why, Counter())[name] += 1
        else:
            kinds[path.suffix or "without a suffix"] += 1
    named = [
        f"{_some([name if count == 1 else f'{count:,} {name}' for name, count in reasons[why].items()])} ({why})"
        for why in sorted(reasons, key=_EVERYWHERE.__contains__)
    ]
    skipped = _some([f"{count:,} {kind}" for kind, count in kinds.most_common()], "kind")
    parts = [f"left out: {', '.join(named)}"] if named else []
    parts += [f"{counted(kinds.total(), 'file')} skipped: {skipped}"] if kinds else []
    if not HEIC.isdisjoint(map(str.lower, kinds)):
        parts.append(f"HEIC is read after {HEIC_EXTRA}")
    return "; ".join(parts)


_OUT = "a link out of the data's folder, which --follow-links follows"
_EVERYWHERE = (_SYSTEMS, _HIDDEN) = ("left by a system", "hidden")
_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


def _kind(entry: os.DirEntry[str], bounds: str) -> str:
    """Returns `file` or `folder`; for what is neither of a person's, what it is in words."""
    if entry.name.casefold() in _LEFT_BEHIND:
        return _SYSTEMS
    if entry.name.startswith("."):
        return _HIDDEN
    if entry.is_symlink():
        return _linked(entry, bounds)
    if entry.is_file(follow_symlinks=False):
        return "file"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return _SPECIAL.get(stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode), "no file")


def _linked(entry: os.DirEntry[str], bounds: str) -> str:
    """Returns what a link leads to."""
    try:
        mode = entry.stat().st_mode
    except FileNotFoundError:
        return "a link to nothing"
    except OSError as error:
        return "a link to itself" if error.errno == errno.ELOOP else f"a link that leads nowhere: {error.strerror}"
    if stat.S_ISDIR(mode):
        there, here = os.path.realpath(entry.path), os.path.realpath(os.path.dirname(entry.path))
        back = os.path.commonpath([there, here]) == there
        kind = "a link back to a folder that it lies in" if back else "folder"
    else:
        kind = "file" if stat.S_ISREG(mode) else f"a link to {_SPECIAL.get(stat.S_IFMT(mode), 'no file')}"
    return _OUT if kind in ("file", "folder") and not within(entry.path, bounds) else kind


def _some(texts: list[str], what: str = "") -> str:
    """Returns the first of some texts in words, and how many more there are."""
    more = len(texts) - _SHOWN
    rest = counted(more, f"more {what}") if what else f"{more:,} more"
    return f"{', '.join(texts[:_SHOWN])} and {rest}" if more > 0 else ", ".join(texts)
