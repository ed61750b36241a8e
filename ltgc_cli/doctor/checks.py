"""What `ltgc doctor` looks at on this machine: Python, libraries, torch, disk, store. A problem says what mends it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from ltgc_cli.cache.contents import megabytes
from ltgc_cli.errors import FELL_SHORT, InputError
from ltgc_cli.pipeline.manifest import versions
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.quiet import quiet
from ltgc_cli.store import Store
from ltgc_cli.text import one_line

State = Literal["ok", "note", "problem"]

_EXTRAS = {"hf": "datasets", "tensorboard": "tensorboard", "wandb": "wandb"}
_LITTLE, _SCANT = 2 * 10**9, 20 * 10**9
"""Free bytes of a disk below which a run will hardly end, and below which it is worth a word."""
_NETWORK = re.compile(
    r"nfs|cifs|smb|9p|afs|lustre|gpfs|beegfs|ceph|gluster|panfs|pvfs|orangefs|sshfs|s3fs|gcsfuse|rclone"
)
"""Kinds of filesystem that SQLite's log, shared between processes of one machine, is not safe on."""


class Check(NamedTuple):
    """What was found. `mend` is the command, or the deed, that mends a problem."""

    name: str
    state: State
    said: str
    mend: str = ""
    exit_code: int = FELL_SHORT
    """What a problem ends the command with."""


def python() -> Check:
    """Returns which Python runs."""
    return Check("python", "ok", f"{sys.version.split()[0]} ({sys.executable})")


def settings(file: Path) -> Check:
    """Returns where settings come from: names of variables, never their values."""
    names = sorted(name for name in os.environ if name.startswith("LTGC_"))
    found = [*([str(file)] if file.is_file() else []), *names]
    return Check("settings", "ok", ", ".join(found) or f"the defaults: no {file} here, and no LTGC_* variable")


def libraries() -> Check:
    """Returns the versions of the libraries, and which of them are not those that ltgc is made for."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in metadata.requires("ltgc") or ()]
    except metadata.PackageNotFoundError:
        return Check("libraries", "problem", "ltgc itself is not installed", "pip install ltgc")
    wrong = []
    for one in wanted:
        if one.marker and not one.marker.evaluate({"extra": ""}):
            continue
        have = _version(one.name)
        if not (have and one.specifier.contains(have, prereleases=True)):
            wrong.append((one, f"{one.name} {have}, not {one.specifier}" if have else f"{one.name} is missing"))
    if wrong:
        names = " ".join(shlex.quote(f"{one.name}{one.specifier}") for one, _ in wrong)
        return Check("libraries", "problem", "; ".join(said for _, said in wrong), f"pip install {names}")
    said = ", ".join(f"{name} {version}" for name, version in versions().items() if name != "python")
    return Check("libraries", "ok", said)


def extras() -> Check:
    """Returns which of the libraries for a single flag are installed."""
    have = {extra: _version(name) for extra, name in _EXTRAS.items()}
    parts = [f"{extra} ({_EXTRAS[extra]} {version})" for extra, version in have.items() if version]
    lacking = ",".join(extra for extra, version in have.items() if not version)
    parts += [f"not installed: {lacking} (pip install 'ltgc[{lacking}]')"] if lacking else []
    return Check("extras", "note" if lacking else "ok", "; ".join(parts))


def torch() -> Check:
    """Returns where models run, with how much memory. Imports torch."""
    try:
        with quiet():
            import torch
    except Exception as error:  # a shared library that does not load raises all kinds
        return Check("torch", "problem", one_line(error), "pip install --force-reinstall torch torchvision")
    where = torch_setup.device()
    if where == "cuda":
        free, total = torch.cuda.mem_get_info()
        name, bfloat16 = torch.cuda.get_device_name(), torch.cuda.is_bf16_supported(including_emulation=False)
        more = f" and {torch.cuda.device_count() - 1} more" if torch.cuda.device_count() > 1 else ""
        said = f"cuda: {name}{more}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
        if bfloat16:
            return Check("torch", "ok", f"{said}, bfloat16")
        return Check("torch", "note", f"{said}; no bfloat16: draw with --dtype float16")
    if where == "mps":
        return Check("torch", "ok", f"mps, {_memory()}")
    if shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists():
        built = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is a build for CPUs"
        return Check(
            "torch",
            "problem",
            f"there is an NVIDIA GPU that torch cannot use: torch {torch.__version__} {built}",
            "install the torch for this driver, as pytorch.org/get-started says; nvidia-smi names the driver",
        )
    return Check("torch", "ok", f"cpu, {torch.get_num_threads()} threads, {_memory()}; no GPU")


def torchvision() -> Check:
    """Returns whether torchvision can be imported beside this torch, and whether ltgc's mend of it is in use."""
    version = _version("torchvision") or ""
    try:
        with quiet():
            mended = torch_setup.mend_torchvision()
            import torchvision as _  # noqa: F401
    except Exception as error:  # as above
        return Check(
            "torchvision", "problem", f"{version} {one_line(error)}", "pip install --force-reinstall torch torchvision"
        )
    if mended:
        said = f"{version}: its compiled part does not load beside this torch; ltgc's mend is in use, nothing to do"
        return Check("torchvision", "note", said)
    return Check("torchvision", "ok", f"{version}, whole")


def disk(folder: Path) -> Check:
    """Returns how much room the store's disk has."""
    there = _existing(folder)
    free = shutil.disk_usage(there).free
    said = f"{free / 1e9:,.1f} GB free at {there}"
    if free < _LITTLE:
        mend = "ltgc cache prune --unused, or --cache-dir (LTGC_CACHE_DIR) on another disk"
        return Check("disk", "problem", said, mend)
    return Check("disk", "note" if free < _SCANT else "ok", said)


def store(folder: Path) -> Iterator[Check]:
    """Returns what is wrong with the store; one that is not there yet is not made."""
    kind = filesystem(_existing(folder))
    if _NETWORK.search(kind):
        yield Check(
            "store",
            "problem",
            f"{folder} is on a network filesystem ({kind}), which damages its database sooner or later",
            "set --cache-dir (LTGC_CACHE_DIR) to a local disk; ltgc cache export and import share answers",
        )
        return
    if not (folder / "answers").is_dir():
        yield Check("store", "ok", f"{folder} is not there yet; the first run makes it")
        return
    if not os.access(folder, os.W_OK):
        yield Check("store", "problem", f"{folder} cannot be written to", f"chmod -R u+w {shlex.quote(str(folder))}")
        return
    try:
        with closing(Store(folder)) as opened:
            unsound, count = opened.sound(), len(opened)
    except InputError as error:
        yield Check("store", "problem", str(error), "ltgc cache verify; or --cache-dir names another")
        return
    if unsound:
        yield Check("store", "problem", f"{folder}: the database is damaged: {unsound}", "ltgc cache verify")
        return
    size = (folder / "answers" / "cache.db").stat().st_size
    yield Check("store", "ok", f"{folder}: {count:,} answers in {megabytes(size)} MB, sound, settings right")


def filesystem(path: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """Returns the kind of filesystem that a path is on ("ext4"), "" where the system does not say."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    resolved = path.resolve()
    best, kind = -1, ""
    for line in lines:
        _, place, found, *_ = [*line.split(" "), "", ""]
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), place))
        if resolved.is_relative_to(point) and len(point.parts) >= best:  # of two on one point the later one counts
            best, kind = len(point.parts), found
    return kind


def _existing(path: Path) -> Path:
    """Returns the path, or the nearest folder above it that is there."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.1f} GB of memory"
    except (AttributeError, OSError, ValueError):
        return "memory unknown"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
