"""What `ltgc doctor` checks on this machine: Python, libraries, torch, disk, store. A problem comes with its fix."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

import psutil

from ltgc_cli.errors import FELL_SHORT, InputError
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.quiet import quiet
from ltgc_cli.store import Store
from ltgc_cli.text import counted, one_line

State = Literal["ok", "note", "problem"]

_MODEL_LIBRARIES = ("ltgc", "torch", "open_clip_torch", "peft", "diffusers", "transformers", "litellm")
_EXTRAS = {
    "heic": "pillow-heif", "hf": "pyarrow", "tensorboard": "tensorboard", "wandb": "wandb", "adam8bit": "bitsandbytes",
}  # fmt: skip
_REINSTALL = "pip install --force-reinstall torch torchvision"
_LITTLE, _SCANT = 2 * 10**9, 20 * 10**9  # free bytes below which a run will hardly end, and that are worth a word
# Kinds of filesystem that SQLite's log, shared between processes of one machine, is not safe on.
_NETWORK = re.compile(
    "nfs|cifs|smb|9p|afs|lustre|gpfs|beegfs|ceph|gluster|panfs|pvfs|orangefs|sshfs|s3fs|gcsfuse|rclone"
)


class Check(NamedTuple):
    """What was found about one thing, and where it is a problem, the command or the deed that fixes it."""

    name: str
    state: State
    found: str
    fix: str = ""
    exit_code: int = FELL_SHORT  # the command's exit status where this is a problem


def python() -> Check:
    """Returns which Python runs."""
    return Check("python", "ok", f"{sys.version.split()[0]} ({sys.executable})")


def settings(file: Path) -> Check:
    """Returns where settings come from: names of variables, never their values."""
    names = sorted(name for name in os.environ if name.startswith("LTGC_"))
    sources = [*([str(file)] if file.is_file() else []), *names]
    return Check("settings", "ok", ", ".join(sources) or f"the defaults: no {file} here, and no LTGC_* variable")


def libraries() -> Check:
    """Returns the versions of the libraries, and which of them are not those that ltgc is made for."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in metadata.requires("ltgc") or ()]
    except metadata.PackageNotFoundError:
        return Check("libraries", "problem", "ltgc itself is not installed", "pip install ltgc")
    wrong = {}
    for one in wanted:
        have = _version(one.name)
        fits = have and one.specifier.contains(have, prereleases=True)
        if not fits and (one.marker is None or one.marker.evaluate({"extra": ""})):
            why = f"{one.name} {have}, not {one.specifier}" if have else f"{one.name} is missing"
            wrong[shlex.quote(f"{one.name}{one.specifier}")] = why
    if wrong:
        return Check("libraries", "problem", "; ".join(wrong.values()), f"pip install {' '.join(wrong)}")
    return Check("libraries", "ok", ", ".join(f"{name} {_version(name)}" for name in _MODEL_LIBRARIES))


def extras() -> Check:
    """Returns which of the libraries for a single flag are installed."""
    have = {extra: _version(name) for extra, name in _EXTRAS.items()}
    parts = [f"{extra} ({_EXTRAS[extra]} {version})" for extra, version in have.items() if version]
    lacking = ",".join(extra for extra, version in have.items() if not version)
    parts += [f"not installed: {lacking} (in the checkout: pip install '.[{lacking}]')"] if lacking else []
    return Check("extras", "note" if lacking else "ok", "; ".join(parts))


def torch() -> Check:
    """Returns where models run, with how much memory. Imports torch."""
    try:
        with quiet():
            import torch
    except Exception as error:  # a shared library that does not load raises all kinds
        return Check("torch", "problem", one_line(error), _REINSTALL)
    device, memory = torch_setup.device(), f"{psutil.virtual_memory().total / 1e9:.1f} GB of memory"
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        more = f" and {torch.cuda.device_count() - 1} more" if torch.cuda.device_count() > 1 else ""
        found = f"cuda: {torch.cuda.get_device_name()}{more}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Check("torch", "ok", f"{found}, bfloat16")
        return Check("torch", "note", f"{found}; no bfloat16: render with --dtype float16")
    if device == "mps":
        return Check("torch", "ok", f"mps, {memory}")
    if shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists():
        built = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is a build for CPUs"
        found = f"there is an NVIDIA GPU that torch cannot use: torch {torch.__version__} {built}"
        fix = "install the torch for this driver, as pytorch.org/get-started says; nvidia-smi names the driver"
        return Check("torch", "problem", found, fix)
    return Check("torch", "ok", f"cpu, {counted(torch.get_num_threads(), 'thread')}, {memory}; no GPU")


def torchvision() -> Check:
    """Returns whether torchvision can be imported beside this torch, and whether ltgc's repair of it is in use."""
    version = _version("torchvision") or ""
    try:
        with quiet():
            repaired = torch_setup.mend_torchvision()
            import torchvision as _  # noqa: F401
    except Exception as error:  # as above
        return Check("torchvision", "problem", f"{version} {one_line(error)}", _REINSTALL)
    if repaired:
        found = f"{version}: its compiled part does not load beside this torch; ltgc's repair is in use, nothing to do"
        return Check("torchvision", "note", found)
    return Check("torchvision", "ok", f"{version}, whole")


def disk(folder: Path) -> Check:
    """Returns how much room the store's disk has."""
    there = _existing(folder)
    free = shutil.disk_usage(there).free
    found = f"{free / 1e9:,.1f} GB free at {there}"
    state: State = "problem" if free < _LITTLE else "note" if free < _SCANT else "ok"
    fix = "ltgc cache prune --unused, or --cache-dir (LTGC_CACHE_DIR) on another disk" if state == "problem" else ""
    return Check("disk", state, found, fix)


def store(folder: Path) -> Check:
    """Returns what is wrong with the store; one that is not there yet is not made."""
    kind = filesystem(_existing(folder))
    if _NETWORK.search(kind):
        found = f"{folder} is on a network filesystem ({kind}), which damages its database sooner or later"
        fix = "set --cache-dir (LTGC_CACHE_DIR) to a local disk; ltgc cache export and import share answers"
        return Check("store", "problem", found, fix)
    if not (folder / "answers").is_dir():
        return Check("store", "ok", f"{folder} is not there yet; the first run makes it")
    if not os.access(folder, os.W_OK):
        return Check("store", "problem", f"{folder} cannot be written to", f"chmod -R u+w {shlex.quote(str(folder))}")
    try:
        with closing(Store(folder)) as opened:
            unsound, count = opened.sound(), len(opened)
    except InputError as error:
        return Check("store", "problem", str(error), "ltgc cache verify; or --cache-dir names another")
    if unsound:
        return Check("store", "problem", f"{folder}: the database is damaged: {unsound}", "ltgc cache verify")
    megabytes = (folder / "answers" / "cache.db").stat().st_size / 1e6
    return Check("store", "ok", f"{folder}: {counted(count, 'answer')} in {megabytes:,.1f} MB, sound, settings right")


def filesystem(path: Path) -> str:
    """Returns the kind of filesystem that a path is on ("ext4"), "" where the system does not say."""
    try:
        mounts = psutil.disk_partitions(all=True)
    except OSError:
        return ""
    above = [mount for mount in mounts if path.resolve().is_relative_to(mount.mountpoint)]
    # Of two on one mount point the later one counts.
    return max(reversed(above), key=lambda mount: len(mount.mountpoint)).fstype if above else ""


def _existing(path: Path) -> Path:
    """Returns the path, or the nearest folder above it that is there."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
