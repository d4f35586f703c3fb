"""Import of lm-evaluation-harness: its results JSON (0.2 and 0.3, and since 0.4) and its samples.

Percentages are shown as such (x 100). Where the file gives a standard error the interval is the value +- 1.96 of them,
cut to what the metric can be; otherwise there is none. Metrics that evalkit also has get evalkit's name (acc_norm
divides by characters: acc_per_char).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit import metrics
from evalkit.errors import StoreError
from evalkit.lm_eval.schema import ResultsFile, Score, TaskResults, is_results, parse
from evalkit.report import published
from evalkit.report.measurements import Measurement, ModelFacts, Provenance
from evalkit.stats.intervals import NORMAL, binomial

__all__ = ["is_results", "model_facts", "read"]

_NAMES = {
    "acc_norm": "acc_per_char",
    "acc_bytes": "acc_per_byte",
    "perplexity": "ppl",
    "word_perplexity": "ppl_word_lm_eval",
}
_SHARES = {"acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "em", "f1", "pct_stereotype", "mc1", "mc2"}
# The possible raw values of the others.
_RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("ppl", "perplexity", "word_perplexity", "byte_perplexity"), (1.0, math.inf)),
    **dict.fromkeys(("bits_per_byte", "ter", "brier_score"), (0.0, math.inf)),
    **dict.fromkeys(("bleu", "chrf"), (0.0, 100.0)),
    "mcc": (-1.0, 1.0),
}
# Arguments of a model that affect its numbers.
_READING = (
    "dtype", "softmax_dtype", "add_bos_token", "load_in_8bit", "load_in_4bit", "peft", "delta", "gguf_file",
    "max_length",
)  # fmt: skip
_LOWER = ("ppl", "perplexity", "bits_per_byte", "likelihood_diff", "pct_stereotype", "ter")

# What a task measures, and the share that guessing gets (percent), by the beginning of its name. Options per question:
# ARC 4 (a few have 3 or 5), SciQ, LogiQA and MMLU 4, the others 2. pct_stereotype has no right answer; 50 is without
# bias.
_TASKS: Mapping[str, tuple[str, float | None]] = {
    "arc_": ("qa", 25.0),
    "sciq": ("qa", 25.0),
    "openbookqa": ("qa", 25.0),
    "boolq": ("reading", 50.0),
    "logiqa": ("reading", 25.0),
    "race": ("reading", 25.0),
    "piqa": ("commonsense", 50.0),
    "hellaswag": ("commonsense", 25.0),
    "winogrande": ("cloze", 50.0),
    "wsc": ("cloze", 50.0),
    "lambada": ("lm", None),
    "wikitext": ("lm", None),
    "hendrycksTest": ("knowledge", 25.0),
    "mmlu": ("knowledge", 25.0),
    "crows_pairs": ("bias", 50.0),
    "triviaqa": ("qa", None),
    "nq_open": ("qa", None),
    "coqa": ("reading", None),
    "squad": ("reading", None),
    "wmt": ("translation", None),
}
_SUBJECTS = 57  # of MMLU: 0.2 and 0.3 list them without the total


def read_if_its(raw: Any, path: Path) -> list[Measurement] | None:
    """Turn a results file into measurements; None where it is something else. Raises StoreError for a broken one."""
    return read(raw, path) if is_results(raw) else None


def read(raw: Any, path: Path) -> list[Measurement]:
    """Turn a results file into measurements. Raises StoreError when it is something else, or broken."""
    file = parse(raw, path)
    facts = _facts(file, path)
    measurements = [m for task in file.tasks for m in _of_task(task, file, facts, path)]
    if not measurements:
        raise StoreError(f"{path}: holds no result")
    return measurements + _mmlu(measurements)


def model_facts(raw: Any, path: Path) -> ModelFacts:
    """Return what a results file says of its model. Raises StoreError when it is something else, or broken."""
    return _facts(parse(raw, path), path)


def _facts(file: ResultsFile, path: Path) -> ModelFacts:
    """Return the model's facts: from the arguments it was loaded with, else from the names of file and folder."""
    arguments = file.arguments
    folders = (name for name in (path.parent.name, path.parent.parent.name) if published.pythia(name))
    full = str(arguments.get("pretrained") or file.model_name or next(folders, path.stem))
    stepped = re.search(r"step(\d+)", f"{arguments.get('revision', '')} {path.stem}")
    step = int(stepped[1]) if stepped else None
    name = full.rstrip("/").rpartition("/")[2]
    if size := published.pythia(name):
        name = published.pythia_name(name)
        step = published.PYTHIA_LAST if step is None else step
    tokens = step * published.PYTHIA_STEP if size and step is not None else None
    counted = file.parameters if file.parameters and file.parameters > 0 else None
    return ModelFacts(
        name=name,
        family=published.family_of(name),
        parameters=size.parameters if size else counted,
        block_parameters=size.blocks if size else None,
        tokens=tokens,
        flops=published.pythia_flops(size, tokens) if size and tokens is not None else None,
        step=step,
        provenance=Provenance(reading=tuple((name, arguments[name]) for name in _READING if name in arguments)),
    )


def _of_task(task: TaskResults, file: ResultsFile, facts: ModelFacts, path: Path) -> Iterator[Measurement]:
    """Yield a task's metrics."""
    family, chance = _about(task.name)
    limit = f"|limit:{file.limit}" if file.limit else ""
    for score in task.scores:
        plain = score.metric
        scale = _scale(plain, ours=file.ours)
        n = task.n or _documents(plain, score.value, score.stderr)
        low, high = _bounds(score, n, *_range(plain, scale, ours=file.ours))
        higher = task.higher.get(plain)
        yield Measurement(
            model=facts,
            task=task.name,
            family=family,
            protocol="lm-eval",
            shots=task.shots,
            metric=_NAMES.get(plain, plain) + (f" ({score.filter})" if score.filter not in ("", "none") else ""),
            value=score.value * scale,
            low=low * scale,
            high=high * scale,
            n=n,
            chance=chance if plain.startswith("acc") or plain == "pct_stereotype" else None,
            higher_is_better=not plain.startswith(_LOWER) and "perplexity" not in plain if higher is None else higher,
            scale=scale,
            ceiling=100.0 if scale == 100 else None,
            signature=(
                f"task:{task.name}.v{task.version}|shots:{task.shots}{limit}|metric:{score.key}|model:{facts.name}|"
                f"step:{facts.step}|lm-eval"
            ),
            origin=path,
        )


def _bounds(score: Score, n: int, least: float, most: float) -> tuple[float, float]:
    """Return the 95% interval within what the metric can be, NaN where the file gives no error.

    An error of 0 means that all documents scored alike, not that the next ones will: where all are right or all are
    wrong, the interval is that of a share of n trials; otherwise there is none.
    """
    if score.stderr == 0:
        if n < 2 or (least, most) != (0.0, 1.0) or score.value not in (0.0, 1.0):
            return math.nan, math.nan
        return binomial(score.value, size=n)
    margin = math.nan if score.stderr is None else NORMAL * score.stderr
    if math.isnan(margin):
        return margin, margin
    return max(least, score.value - margin), min(most, score.value + margin)


def _range(metric: str, scale: float, *, ours: bool) -> tuple[float, float]:
    """Return the least and the most that a metric's raw value can be."""
    if ours and metric in metrics.METRICS:
        own = metrics.get(metric)
        return own.least, own.most
    return (0.0, 1.0) if scale == 100 else _RANGES.get(metric, (-math.inf, math.inf))


def _scale(metric: str, *, ours: bool) -> float:
    """Return the scale of a metric; evalkit's own metrics, in a file that it wrote, have their usual one."""
    if ours and metric in metrics.METRICS:
        return metrics.get(metric).scale
    return 100.0 if metric in _SHARES else 1.0


def _about(task: str) -> tuple[str, float | None]:
    return next((about for start, about in _TASKS.items() if task.startswith(start)), ("other", None))


def _documents(metric: str, value: float, stderr: float | None) -> int:
    """Return how many documents were scored, which 0.2 and 0.3 do not record, or 0 where it is unknown.

    The standard error of a mean p of zeros and ones is sqrt(p (1 - p) / (n - 1)).

    >>> _documents("acc", 0.601, 0.015493193313162906)
    1000
    """
    if not metric.startswith(("acc", "pct")) or not stderr or not 0 < value < 1:
        return 0
    n = value * (1 - value) / stderr**2 + 1
    return round(n) if abs(n - round(n)) < 0.01 else 0


def _mmlu(measurements: list[Measurement]) -> list[Measurement]:
    """Add MMLU's total, the mean over all documents, to a file that lists only its 57 subjects."""
    totals = []
    for metric in ("acc", "acc_per_char"):
        parts = [m for m in measurements if m.task.startswith("hendrycksTest-") and m.metric == metric and m.n]
        if len(parts) != _SUBJECTS:
            continue
        n = sum(m.n for m in parts)
        value = sum(m.n * m.value for m in parts) / n
        shares = [(m.n, m.value / m.scale) for m in parts]
        margin = NORMAL * parts[0].scale * math.sqrt(sum(k * k * p * (1 - p) / (k - 1) for k, p in shares)) / n
        first = parts[0]
        totals.append(
            Measurement(
                model=first.model,
                task="mmlu",
                family=first.family,
                protocol=first.protocol,
                shots=first.shots,
                metric=metric,
                value=value,
                low=value - margin,
                high=value + margin,
                n=n,
                chance=first.chance,
                scale=first.scale,
                ceiling=first.ceiling,
                signature=first.signature.replace(first.task, f"mean of {_SUBJECTS} subjects by documents", 1),
                origin=first.origin,
            )
        )
    return totals
