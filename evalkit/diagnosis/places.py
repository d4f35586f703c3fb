"""Folders: benchmark data, caches, where runs are written; what is found in them, and how they are stored."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from evalkit.data.sources import DataPaths
from evalkit.diagnosis.facts import Fact, Finding, Section, size
from evalkit.errors import DataError, EvalkitError, UsageError
from evalkit.files import cache_folder, network_disk
from evalkit.harness import catalog

# Entries of a cache that are counted at most: it may be of any size.
_COUNTED = 20_000
_LITTLE = 1 << 30  # bytes free below which a disk is called nearly full


def data() -> Section:
    """Return which tasks' data are here. Broken: EVALKIT_DATA names no folder, or a benchmark cannot be read."""
    root = os.environ.get("EVALKIT_DATA", "")
    try:
        paths = DataPaths.from_user([], os.environ)
    except UsageError as error:
        finding = Finding(kind="broken", text=str(error), remedy="correct or unset EVALKIT_DATA")
        return Section(title="data", facts=[Fact(name="folder", value=root)], findings=[finding])
    ready: list[str] = []
    missing: list[str] = []
    findings = []
    for task in catalog.available().values():
        try:
            (ready if task.source.at_hand(paths) else missing).append(task.name)
        except DataError as error:
            findings.append(Finding(kind="broken", text=f"{task.name}: {error}", remedy="fetch that file again"))
    facts = [
        Fact(name="folder", value=root or None, text=root or "none (EVALKIT_DATA)"),
        Fact(name="ready", value=ready, text=f"{len(ready)} of {len(ready) + len(missing)} tasks"),
        Fact(
            name="missing", value=missing, text=f"{len(missing)} tasks (evalkit tasks --missing)" if missing else "none"
        ),
    ]
    return Section(title="data", facts=facts, findings=findings)


def caches() -> Section:
    """Return where caches are, how large, and on what. Broken: the place named for evalkit's cannot be one."""
    try:
        own = cache_folder()
    except EvalkitError as error:
        finding = Finding(kind="broken", text=str(error), remedy="correct or unset EVALKIT_CACHE")
        return Section(title="caches", facts=[], findings=[finding])
    facts, findings = [], []
    if own is None:
        facts.append(Fact(name="evalkit", value=None, text="off (EVALKIT_CACHE)"))
        findings.append(
            Finding(
                kind="slow", text="without a cache, an answer is computed again in each run", remedy="EVALKIT_CACHE"
            )
        )
    else:
        facts.append(_described("evalkit", own))
        findings += _faults("cache", own, remedy="EVALKIT_CACHE=FOLDER on a disk of this machine", used=True)
    facts.append(_described("hub", Path(_hub())))
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        findings.append(
            Finding(
                kind="note", text="models and datasets of the hub are not fetched (HF_HUB_OFFLINE)", remedy="unset it"
            )
        )
    return Section(title="caches", facts=facts, findings=findings)


def work() -> Section:
    """Return the folders that are written to. Broken: no temporary files can be made."""
    here, findings = Path.cwd(), []
    facts = [_described("working", here, count=False)]
    try:
        temporary = Path(tempfile.gettempdir())
    except OSError as error:
        findings.append(Finding(kind="broken", text=f"no temporary files can be made: {error}", remedy="TMPDIR=FOLDER"))
    else:
        facts.append(_described("temporary", temporary, count=False))
        findings += _faults("folder of temporary files", temporary, remedy="TMPDIR=FOLDER")
    findings += _faults("working folder, where runs/ is made,", here, remedy="another folder, or --out")
    return Section(title="folders", facts=facts, findings=findings)


def _hub() -> str:
    """Return the folder of the hub's cache, as huggingface_hub finds it."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return str(HF_HUB_CACHE)


def _described(name: str, folder: Path, *, count: bool = True) -> Fact:
    """Return a folder with its size, its kind of file system, whether it can be written, and the disk's free bytes."""
    there = _existing(folder)
    free, network = shutil.disk_usage(there).free, network_disk(there)
    bytes_used, whole = _size(folder) if count else (None, True)
    value = {
        "folder": str(folder), "bytes": bytes_used, "network": network or None, "writable": os.access(there, os.W_OK),
        "free": free,
    }  # fmt: skip
    parts = [str(folder)] + ([f"{'' if whole else 'more than '}{size(bytes_used)}"] if bytes_used is not None else [])
    parts += [f"on a network disk ({network})" if network else "local", f"{size(free)} free"]
    return Fact(name=name, value=value, text=", ".join(parts))


def _existing(folder: Path) -> Path:
    """Return a folder, or the nearest above it that exists."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())


def _size(folder: Path) -> tuple[int, bool]:
    """Return the bytes of the files in a folder, and whether these are all."""
    total = entries = 0
    for place, _, names in os.walk(folder):
        for name in names:
            entries += 1
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118  (quick)
        if entries > _COUNTED:
            return total, False
    return total, True


def _faults(what: str, folder: Path, *, remedy: str, used: bool = False) -> list[Finding]:
    """Return what is wrong with a folder. used: whether it is read and written at every step of a run."""
    there, findings = _existing(folder), []
    if folder.exists() and not folder.is_dir():
        findings.append(Finding(kind="slow" if used else "note", text=f"the {what} {folder} is a file", remedy=remedy))
    if not os.access(there, os.W_OK):
        findings.append(
            Finding(kind="slow" if used else "note", text=f"the {what} {folder} cannot be written", remedy=remedy)
        )
    if used and (network := network_disk(there)):
        findings.append(
            Finding(kind="slow", text=f"the {what} {folder} is on a network disk ({network})", remedy=remedy)
        )
    if (free := shutil.disk_usage(there).free) < _LITTLE:
        findings.append(
            Finding(kind="note", text=f"the disk of the {what} {folder} has {size(free)} left", remedy=remedy)
        )
    return findings
