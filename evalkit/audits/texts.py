"""An audit as text: the cells that the terminal, Markdown and CSV share."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping

from evalkit import sinks
from evalkit.audits.audit import Audit, Items
from evalkit.audits.findings import Finding
from evalkit.audits.signal import Agreement
from evalkit.report.figures.canvas import count

# Documents beyond which it makes no difference how many would be needed.
_MANY = 1_000_000


def name(task: str, level: str = "", template: str = "") -> str:
    """Return a task with its level and wording."""
    details = ", ".join(filter(None, (level, template)))
    return f"{task} ({details})" if details else task


def relative(value: float) -> str:
    """Return a relative figure in percent, to two digits."""
    if math.isnan(value):
        return "-"
    return f"{100 * value:.2g}%" if value < 0.1 else f"{100 * value:.0f}%"


def ratio(value: float) -> str:
    """Return a ratio to two digits."""
    if math.isnan(value):
        return "-"
    return "inf" if math.isinf(value) else f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def share(agreement: Agreement, *, interval: bool = True) -> str:
    """Return a share of pairs with its interval."""
    if not agreement.pairs:
        return "-"
    bounds = "" if math.isnan(agreement.low) or not interval else f" [{agreement.low:.0%}, {agreement.high:.0%}]"
    return f"{agreement.share:.0%}{bounds}"


def documents(value: float) -> str:
    """Return a number of documents, to two digits."""
    if math.isnan(value):
        return "-"
    if value > _MANY:
        return "never" if math.isinf(value) else "over 1M"
    step = 10 ** max(0, len(str(math.ceil(value))) - 2)
    return f"{math.ceil(value / step) * step:,}"


def trusted(finding: Finding) -> str:
    """Return the sizes at which the score is above the floor and not full; "never" and "full" where there are none."""
    if finding.largest is None:
        return "-"
    if finding.trusted_from is None or finding.trusted_to is None:
        return "full" if finding.full else "never"
    beginning, end = count(finding.trusted_from), count(finding.trusted_to)
    if finding.trusted_to == finding.largest:
        return f"{beginning} on"
    return f"only {end}" if beginning == end else f"{beginning} to {end}"


def noise_of(finding: Finding) -> str:
    """Return the noise that the ratio is over; ~ before that of seeds."""
    if not math.isnan(finding.noise):
        return relative(finding.noise)
    return "-" if math.isnan(finding.seed_noise) else f"~{relative(finding.seed_noise)}"


def shots_of(shots: int | None) -> str:
    """Return a number of shots; "?" where unknown."""
    return "?" if shots is None else str(shots)


def at_shots(shots: int | None) -> str:
    """Return a number of shots in words."""
    return f"{shots_of(shots)} shot{'' if shots == 1 else 's'}"


SIGNAL: Mapping[str, Callable[[Finding], str]] = {
    "task": lambda f: name(f.key.task, f.key.level, f.key.template),
    "shots": lambda f: shots_of(f.key.shots),
    "metric": lambda f: f.key.metric,
    "signal": lambda f: relative(f.signal),
    "noise": noise_of,
    "SNR": lambda f: ratio(f.snr),
    "alike": lambda f: share(f.between_seeds if f.between_seeds.pairs else f.between_sizes, interval=False),
    "trusted": trusted,
}

FULL: Mapping[str, Callable[[Finding], str]] = {
    **{column: SIGNAL[column] for column in ("task", "shots", "metric")},
    "scores": lambda f: f"{f.lowest:.3g} to {f.highest:.3g}{f.unit}",
    **{column: SIGNAL[column] for column in ("signal", "noise", "SNR")},
    "noise of a mean": lambda f: relative(f.averaged),
    "one checkpoint": lambda f: share(f.one_checkpoint),
    "half of them": lambda f: share(f.half_the_checkpoints),
    "sizes alike": lambda f: share(f.between_sizes),
    "seeds alike": lambda f: share(f.between_seeds),
    "floor": lambda f: "-" if f.floor is None else f"{f.floor:.3g}",
    "trusted": trusted,
}

ITEMS: Mapping[str, Callable[[Items], str]] = {
    "task": lambda i: name(i.task, "", i.template),
    "shots": lambda i: shots_of(i.shots),
    "docs": lambda i: f"{len_of(i):,}" if len_of(i) else "-",
    "any": lambda i: of_all(i, i.answered[""].some),
    "all": lambda i: of_all(i, i.answered[""].every),
    "gold?": lambda i: str(len(i.doubtful)) if i.large else "-",
    "tells soonest": lambda i: f"{i.tells[0].metric}: {documents(i.tells[0].documents)}" if i.tells else "-",
}


def len_of(found: Items) -> int:
    """Return how many documents can be right or wrong."""
    return found.answered[""].documents


def of_all(found: Items, number: int) -> str:
    """Return a share of the documents."""
    return f"{number / len_of(found):.0%}" if len_of(found) else "-"


def as_csv(audit: Audit) -> str:
    """Return a line per finding, with figures to six digits; None and NaN are empty."""
    out = io.StringIO()
    rows = [line(finding) for finding in audit.findings]
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _plain(value) for key, value in row.items()} for row in rows)
    return out.getvalue()


def line(f: Finding) -> dict[str, object]:
    """Return a finding's figures by the names of the columns of audit.csv."""
    agreements = {
        "one_checkpoint": f.one_checkpoint, "half_the_checkpoints": f.half_the_checkpoints,
        "between_sizes": f.between_sizes, "between_seeds": f.between_seeds,
    }  # fmt: skip
    return {
        **f.key._asdict(), "family": f.family, "unit": f.unit, "models": f.models, "trainings": f.trainings,
        "checkpoints": f.checkpoints, "last": f.last, "lowest": f.lowest, "highest": f.highest, "signal": f.signal,
        "noise": f.noise, "seed_noise": f.seed_noise, "snr": f.snr, "noise_of_mean": f.averaged,
        **{f"{key}{end}": getattr(each, field) for key, each in agreements.items()
           for end, field in (("", "share"), ("_low", "low"), ("_high", "high"), ("_pairs", "pairs"))},
        "alternatives": f.alternatives, "floor": f.floor, "ceiling": f.ceiling, "trusted_from": f.trusted_from,
        "trusted_to": f.trusted_to,
    }  # fmt: skip


def _plain(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else sinks.csv_cell(str(value))
