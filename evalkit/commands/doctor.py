"""evalkit doctor: what there is to work with, what is broken, what would be slow and why."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalkit.commands import configuration, options

if TYPE_CHECKING:
    from evalkit.diagnosis.facts import Section

SUMMARY = "Show versions, cores, memory, devices, data, caches and settings; what is broken, and what would be slow."
EXAMPLES = """examples:
  evalkit doctor                          a few seconds
  evalkit doctor --json > doctor.json     the same for a program, or for a report of a bug

The exit code is 1 if something is broken, 0 if evalkit can be used as it is, however slow.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Look at everything, and print it; return 1 if something is broken."""
    from evalkit.diagnosis import facts

    sections = _sections()
    report = facts.as_json(sections)
    if arguments.json:
        print(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        _show(sections)
    return 0 if report["usable"] else 1


def _sections() -> list[Section]:
    from evalkit.diagnosis import facts, hardware, packages, places

    versions = packages.section()
    if any(finding.kind == "broken" for finding in versions.findings):
        return [versions, _settings()]  # the others need those packages
    examinations = {
        "processor": lambda: hardware.processor(hardware.rates()),
        "memory": hardware.memory,
        "devices": hardware.devices,
        "data": places.data,
        "caches": places.caches,
        "folders": places.work,
    }
    return [versions, *(facts.examined(title, examine) for title, examine in examinations.items()), _settings()]


def _settings() -> Section:
    """Return the file of settings that is in force, and what it sets."""
    from evalkit.diagnosis.facts import Fact, Finding, Section

    standing = configuration.current.get()
    if standing.fault:
        remedy = "correct it; --config off does without it"
        finding = Finding(kind="broken", text=standing.fault, remedy=remedy)
        return Section(title="settings", facts=[Fact(name="file", value=str(standing.path))], findings=[finding])
    if standing.path is None:
        text = f"none ({configuration.VARIABLE}, evalkit.toml, [tool.evalkit])"
        return Section(title="settings", facts=[Fact(name="file", value=None, text=text)])
    facts = [Fact(name="file", value=str(standing.path)), Fact(name="sha256", value=standing.digest)]
    facts += [Fact(name=name, value=value) for name, value in standing.settings.items()]
    return Section(title="settings", facts=facts)


def _show(sections: Sequence[Section]) -> None:
    """Print a table per section, then the findings, the broken first."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from evalkit.diagnosis.facts import ranked

    console = options.console()
    width = max(len(fact.name) for section in sections for fact in section.facts)
    for section in sections:
        console.print(Text(section.title, style="bold cyan"))
        rows = Table(box=None, show_header=False, pad_edge=False)
        rows.add_column(min_width=width, no_wrap=True)
        rows.add_column(overflow="fold")
        for fact in section.facts:
            rows.add_row(Text(fact.name), Text(fact.text or str(fact.value)))
        console.print(Padding(rows, (0, 0, 0, 2), expand=False))
    styles = {"broken": "bold red", "slow": "yellow", "note": "dim"}
    findings = ranked(sections)
    console.print()
    for finding in findings:
        remedy = f" -> {finding.remedy}" if finding.remedy else ""
        console.print(Text.assemble((finding.kind, styles[finding.kind]), f": {finding.text}{remedy}"))
    if not findings or findings[0].kind != "broken":
        console.print(Text("evalkit can be used here.", style="bold green"))
