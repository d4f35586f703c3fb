"""What a model says of benchmarks on the terminal, as Markdown, and as files."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from evalkit import sinks
from evalkit.contamination import figure, membership, page
from evalkit.contamination.evidence import Evidence
from evalkit.contamination.membership import Auc
from evalkit.contamination.orders import OrderTest
from evalkit.files import write_files
from evalkit.report.figures import canvas

# A p up to which an order is called known to the reference.
_ALPHA = 0.05

_ORDERS = (
    "Gain: mean log-likelihood of the published order of a shard minus that of its shuffles, in nats. p: of the "
    "hypothesis that the model does not know the order, exact if the documents could stand in any order; t: the "
    "paper's t test (Oren et al. 2023). Reference: p of a model that has not read them; a small one means that the "
    "documents themselves show their order. Each p is for its task alone."
)
_AUCS = (
    "AUC: the chance that a document is more familiar to the model than an unseen text, with its 95% interval; 0.5: "
    "no difference. min-k%: Shi et al. 2024; min-k%++: Zhang et al. 2025; loss (in the files): the mean of all tokens. "
    f"Caught: documents beyond a threshold of min-k% that {membership.FALSE_POSITIVES:.0%} of the unseen texts pass. "
    "Words: naive Bayes without the model; if it is above 0.5, the texts differ in kind, and the other columns may "
    "show no more than that."
)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a model says. reference: the name of the other one. unseen: the name of the unseen texts; "" for none."""

    model: str
    reference: str
    unseen: str
    evidence: Sequence[Evidence]
    facts: Mapping[str, Any]

    @property
    def notes(self) -> list[str]:
        """What a reader has to know before believing a number."""
        return [note for evidence in self.evidence for note in _notes(evidence)]


def _notes(evidence: Evidence) -> Iterator[str]:
    if evidence.order is None:
        yield f"{evidence.task}: no two documents can change places, so there is no order to test."
    if evidence.reference and evidence.reference.p <= _ALPHA:
        yield (
            f"{evidence.task}: the reference prefers the published order too ({_relation(evidence.reference.p)}). That "
            "suggests an order that the documents themselves show; the model's p then says nothing about reading."
        )
    if evidence.words and evidence.words.low > 0.5:
        yield (
            f"{evidence.task}: words alone tell its documents from the unseen texts (AUC {_auc(evidence.words)}). The "
            "model's AUCs show this difference, whether or not it has read the documents."
        )


def _p(p: float) -> str:
    return "-" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def _relation(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _auc(auc: Auc | None) -> str:
    return "-" if auc is None else f"{auc.value:.2f} [{auc.low:.2f}, {auc.high:.2f}]"


def _tested(cell: Callable[[OrderTest], str]) -> Callable[[Evidence], str]:
    return lambda e: "-" if e.order is None else cell(e.order)


def _measured(name: str) -> Callable[[Evidence], str]:
    return lambda e: _auc(e.comparisons[name].auc)


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0%}"


_ORDER_COLUMNS: Mapping[str, Callable[[Evidence], str]] = {
    "task": lambda e: e.task,
    "docs": _tested(lambda o: f"{o.documents:,}"),
    "shards": _tested(lambda o: f"{o.shards:,}"),
    "gain": _tested(lambda o: f"{o.gains.mean():+.2f}"),
    "p": _tested(lambda o: _p(o.p)),
    "t": _tested(lambda o: _p(o.student_p)),
    "reference": lambda e: "-" if e.reference is None else _p(e.reference.p),
}
_AUC_COLUMNS: Mapping[str, Callable[[Evidence], str]] = {
    "task": lambda e: e.task,
    "min-k%": _measured("min_k"),
    "min-k%++": _measured("min_k_plus"),
    "loss": _measured("loss"),
    "words": lambda e: _auc(e.words),
    "caught": lambda e: _share(e.comparisons["min_k"].caught),
}


def _tables(
    findings: Findings, *, without: Sequence[str] = ()
) -> Iterator[tuple[str, list[str], list[list[str]], str]]:
    """Yield heading, header, rows and legend of each table; without these columns."""
    tables = [("Order", _ORDER_COLUMNS, findings.evidence, _ORDERS)]
    if findings.unseen:
        compared = [evidence for evidence in findings.evidence if evidence.comparisons]
        tables.append((f"Against {findings.unseen}", _AUC_COLUMNS, compared, _AUCS))
    for heading, columns, evidence, legend in tables:
        left_out = [*without, *(["reference"] if not findings.reference else [])]
        shown = {name: cell for name, cell in columns.items() if name not in left_out}
        yield heading, list(shown), [[cell(e) for cell in shown.values()] for e in evidence], legend


def show(findings: Findings, console: Console) -> None:
    """Print what fits a terminal of 80 columns."""
    console.print(Text(_heading(findings), style="bold"))
    for heading, header, rows, legend in _tables(findings, without=["loss"]):
        console.print(Text(f"\n{heading}"))
        page.print_table(console, header, rows)
        console.print(Text(legend, style="dim"))
    for note in findings.notes:
        console.print(Text(note, style="yellow"))


def _heading(findings: Findings) -> str:
    return f"What {findings.model} knows" + (f"; reference {findings.reference}" if findings.reference else "")


def write(findings: Findings, out: Path, *, command: str) -> list[Path]:
    """Write the page, the tables and the figure into a folder, and return their paths. Raises StoreError, DiskError."""
    drawn = canvas.render(made) if (made := figure.evidence(findings.evidence)) else None
    files: dict[str, str | bytes] = {
        "evidence.md": "\n".join(_lines(findings, command, drawn)) + "\n",
        "evidence.json": json.dumps(_values(findings), indent=1, ensure_ascii=False) + "\n",
    }
    if findings.unseen:
        files["evidence.csv"] = _csv(findings.evidence)
    if drawn:
        files |= {"evidence.svg": drawn.svg, "evidence.png": drawn.png}
    return write_files(out, files)


def _lines(findings: Findings, command: str, drawn: canvas.Drawn | None) -> Iterator[str]:
    yield from [f"# {sinks.markdown(_heading(findings))}", "", f"Made by {sinks.markdown_code(command)}.", ""]
    yield from [f"{sinks.markdown(note)}\n" for note in findings.notes]
    for heading, header, rows, legend in _tables(findings):
        yield from [f"## {sinks.markdown(heading)}", "", legend, "", *sinks.markdown_table(header, rows), ""]
    if drawn:
        yield from [f"[![{drawn.figure.title}](evidence.png)](evidence.svg)", "", drawn.figure.caption]


def _csv(evidence: Sequence[Evidence]) -> str:
    """Return a row per document and unseen text."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["task", "kind", "document", *membership.MEASURES])
    for each in evidence:
        for kind, values in (("document", each.familiar), ("unseen", each.unseen)):
            names = [item.id for item in each.items] if kind == "document" else None
            for i, row in enumerate(zip(*values.values(), strict=True)):
                writer.writerow([each.task, kind, sinks.csv_cell(names[i]) if names else i, *map(float, row)])
    return file.getvalue()


def _values(findings: Findings) -> dict[str, Any]:
    """Return everything in plain values; None for what there is not."""
    return {
        "model": findings.model, "reference": findings.reference, "unseen": findings.unseen, **findings.facts,
        "notes": findings.notes,
        "tasks": [
            {
                "task": e.task, "documents": e.documents, "compared": len(e.items),
                "order": e.order and _order(e.order), "reference": e.reference and _order(e.reference),
                "aucs": {name: {**_bounds(c.auc), "caught": _finite(c.caught)} for name, c in e.comparisons.items()},
                "words": e.words and _bounds(e.words),
            }
            for e in findings.evidence
        ],
    }  # fmt: skip


def _order(test: OrderTest) -> dict[str, Any]:
    return {
        "documents": test.documents, "shards": test.shards, "permutations": test.loglikelihoods.shape[1] - 1,
        "p": test.p, "student_p": _finite(test.student_p), "gains": test.gains.tolist(),
    }  # fmt: skip


def _bounds(auc: Auc) -> dict[str, float]:
    return {"auc": auc.value, "low": auc.low, "high": auc.high}


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else value
