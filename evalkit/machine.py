"""What this process may use of its machine: cores and memory, by affinity and the limits of its control groups."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# Version 1 writes "no limit" as a number near 2**63.
_NO_LIMIT = 1 << 60


def cores(*, groups: Path = _GROUPS, own: Path = _OWN) -> float:
    """Return the cores that this process may use: a quota may be a part of one. groups, own: where Linux says so."""
    allowed = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quotas = [allowed]
    for folder in _folders("cpu", groups, own):
        quota, period = _words(folder / "cpu.max") or (  # version 2, or else 1
            *_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us")
        ) or ("", "")  # fmt: skip
        if quota.isdigit() and period.isdigit() and int(period):
            quotas.append(int(quota) / int(period))
    return min(quotas)


def memory_limit(*, groups: Path = _GROUPS, own: Path = _OWN) -> int | None:
    """Return the bytes of memory that the control groups of this process allow; None without a limit."""
    return min((limit for _, limit in _memory_limits(groups, own)), default=None)


def available_memory(*, groups: Path = _GROUPS, own: Path = _OWN) -> int | None:
    """Return the bytes that this process may still take: of the machine, and within each of its control groups.

    None where it cannot be told. A group's usage counts without the cached files that Linux drops first.
    """
    amounts = memory()
    rooms = [] if amounts is None else [amounts[1]]
    for folder, limit in _memory_limits(groups, own):
        used = _words(folder / "memory.current") or _words(folder / "memory.usage_in_bytes")  # version 2, or else 1
        words = _words(folder / "memory.stat")
        facts = dict(zip(words[::2], words[1::2], strict=False))
        cached = facts.get("total_inactive_file") or facts.get("inactive_file") or "0"
        if used and used[0].isdigit() and cached.isdigit():
            rooms.append(max(0, limit - max(0, int(used[0]) - int(cached))))
        else:
            rooms.append(limit)
    return min(rooms, default=None)


def _memory_limits(groups: Path, own: Path) -> Iterator[tuple[Path, int]]:
    """Yield the folders of the control groups that limit memory, each with its limit in bytes."""
    for folder in _folders("memory", groups, own):
        for name in ("memory.max", "memory.limit_in_bytes"):  # version 2, or else 1
            for word in _words(folder / name)[:1]:
                if word.isdigit() and int(word) < _NO_LIMIT:
                    yield folder, int(word)


def memory() -> tuple[int, int] | None:
    """Return the bytes of memory in all, and those that are available now; None where it cannot be told."""
    with contextlib.suppress(OSError, KeyError, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        facts = dict(line.split(":") for line in lines)
        total, available = (int(facts[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
        return total, available
    return None


def processor() -> tuple[str, frozenset[str]]:
    """Return the processor's name and its flags, as Linux names them; empty where it cannot be told."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines) if value}
        flags = facts.get("flags") or facts.get("Features") or ""
        return facts.get("model name", ""), frozenset(flags.split())
    return "", frozenset()


def _folders(controller: str, groups: Path, own: Path) -> Iterator[Path]:
    """Yield the folders of the control groups that limit a process, from the outermost."""
    yield from (groups, groups / controller)
    with contextlib.suppress(OSError):
        for line in own.read_text(encoding="utf-8").splitlines():
            _, names, path = line.split(":", 2)
            if controller in names.split(",") or not names:
                root = groups / controller if names else groups
                parts = Path(path.lstrip("/"))
                yield from (root / parent for parent in (*reversed(parts.parents), parts) if str(parent) != ".")


def _words(path: Path) -> list[str]:
    """Return the words of a small file; none where it cannot be read."""
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []
