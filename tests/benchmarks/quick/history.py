"""The history of `make bench-quick` as a figure: `make bench-history`.

    python -m tests.benchmarks.quick.history reports/bench [--out reports/bench/history.svg]

A panel per area, a curve per work, a point per commit: how many times as fast as the peer we were, or which share of
the limit we reached where there is no peer. Both are ratios of one run on one machine; a dotted line
marks where the processor changed.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

Entry = dict[str, Any]
# What an axis reaches beyond its curves, so that noise stays small: a factor.
_MARGIN = 1.4


def main() -> None:
    """Read the entries, oldest first, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    entries = [json.loads(path.read_text(encoding="utf-8")) for path in arguments.folder.glob("*.json")]
    if not entries:
        sys.exit(f"{arguments.folder} holds no figures; `make bench-quick` adds those of this commit")
    out = arguments.out or arguments.folder / "history.svg"
    figure(sorted(entries, key=lambda entry: entry["date"])).savefig(out, metadata={"Date": None})
    print(f"wrote {out}: {len(entries)} commits")


def figure(entries: list[Entry]) -> Figure:
    """Return the figure."""
    panels: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    for number, entry in enumerate(entries):
        for line in entry["lines"]:
            best = line["peer"] or line["limit"]
            panels[line["area"]][_label(line)].append((number, best / line["ours"]))
    drawn = Figure(figsize=(9, 2.2 * len(panels)), layout="constrained")
    axes = drawn.subplots(len(panels), squeeze=False, sharex=True)[:, 0]
    for (area, curves), axis in zip(panels.items(), axes, strict=True):
        for label, points in curves.items():
            axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label)
        for number, entry in enumerate(entries):
            if number and entry["processor"] != entries[number - 1]["processor"]:
                axis.axvline(number, color="0.7", linewidth=0.8, linestyle=":")
        axis.set_yscale("log")
        values = [value for points in curves.values() for _, value in points]
        axis.set_ylim(min(values) / _MARGIN, max(values) * _MARGIN)
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_locator(NullLocator())
        axis.set_title(area, loc="left", fontsize=10)
        axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        axis.grid(True, linewidth=0.4, alpha=0.5)
    axes[-1].set_xticks(range(len(entries)), [entry["commit"][:7] for entry in entries], rotation=60, fontsize=7)
    drawn.suptitle("Times as fast as the peer; where there is none, the share of the limit", fontsize=11)
    return drawn


def _label(line: Entry) -> str:
    name = textwrap.shorten(line["work"], 45, placeholder=" ...")
    return name if line["peer"] else f"{name} (of limit)"


if __name__ == "__main__":
    main()
