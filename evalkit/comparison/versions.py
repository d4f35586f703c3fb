"""The baselines of a history: files and runs, each with the commit and the day that it stands for.

A single file in a git repository stands for all its committed versions: a baseline that is renewed with every accepted
change is its own history. git is only read.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.comparison import baseline
from evalkit.comparison.evidence import Evidence
from evalkit.errors import StoreError
from evalkit.runs.remote import Url

log = logging.getLogger(__name__)

_SHORT = 7  # digits of a commit that are shown


def follow(paths: Sequence[Path | Url], *, last: int) -> list[Evidence]:
    """Read baselines and runs, the oldest first; of a single file that is in git the `last` committed versions.

    Several are sorted by their days if every one has a day, and stay in the order given otherwise. Raises StoreError
    for a file that cannot be read; an older version that cannot is left out with a warning.
    """
    files = [path for path in paths if isinstance(path, Path) and path.is_file()]
    if files and len(paths) == 1 and (versions := _versions(files[0], last=last)):
        return versions
    history = [_dated(baseline.read(path)) for path in paths]
    if all(evidence.date for evidence in history):
        history.sort(key=lambda evidence: evidence.date)
    return history


def names(history: Sequence[Evidence]) -> list[str]:
    """Return a short name for each: its file's, or of several versions of one file the commit's digits."""
    stems = [evidence.path.stem for evidence in history]
    if len(set(stems)) == len(stems) or not any(evidence.commit for evidence in history):
        return stems
    return [evidence.commit[:_SHORT] or "now" for evidence in history]


def _versions(path: Path, *, last: int) -> list[Evidence]:
    """Return a file's committed versions and, if it was changed since, the file itself; nothing outside git."""
    commits = _commits(path, last=last)
    if commits and _git(path, "rev-parse", "--is-shallow-repository").strip() == b"true":
        log.warning("%s: this clone is shallow, older versions are missing (fetch-depth: 0 brings them)", path)
    versions, content = [], b""
    for commit, date in commits:
        content = _git(path, "show", f"{commit}:./{path.name}")
        try:
            evidence = baseline.parse(content, path)
        except StoreError as error:
            log.warning("left out commit %s: %s", commit[:_SHORT], error)
        else:
            versions.append(replace(evidence, commit=commit, date=date))
    if commits and content != path.read_bytes():
        versions.append(baseline.read(path))
    return versions


def _dated(evidence: Evidence) -> Evidence:
    """Add the commit that last changed a file, unless the file records one itself."""
    commits = [] if evidence.commit or evidence.path.is_dir() else _commits(evidence.path, last=1)
    return replace(evidence, commit=commits[0][0], date=evidence.date or commits[0][1]) if commits else evidence


def _commits(path: Path, *, last: int) -> list[tuple[str, str]]:
    """Return (commit, day) of the commits that changed a file, the oldest first."""
    options = ("log", f"--max-count={last}", "--diff-filter=AMRT", "--date=short", "--format=%H %cd", "--", path.name)
    lines = _git(path, *options).decode("ascii", "replace").splitlines()
    return [(commit, date) for commit, _, date in (line.partition(" ") for line in reversed(lines))]


def _git(path: Path, *words: str) -> bytes:
    """Return what git prints in a file's folder; nothing where there is no git, no repository or no such thing."""
    command = ["git", "-C", str(path.absolute().parent), "--no-pager", "--literal-pathspecs", *words]
    try:
        return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return b""
