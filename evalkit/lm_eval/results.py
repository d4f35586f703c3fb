"""Import of lm-evaluation-harness: its results JSON (0.2 and 0.3, and since 0.4) and its samples.

Percentages are shown as such (x 100). Where the file gives a standard error the interval is the value +- 1.96 of them,
cut to what the metric can be; otherwise there is none. Metrics that evalkit also has get evalkit's name (acc_norm
divides by characters: acc_per_char).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalkit.errors import StoreError
from evalkit.lm_eval.schema import ResultsFile, TaskResults, is_results, parse
from evalkit.report import published
from evalkit.report.imports import benchmarks
from evalkit.report.measurements import Measurement, interval_of
from evalkit.report.models import ModelFacts, Provenance
from evalkit.stats.intervals import NORMAL

__all__ = ["is_results", "model_facts", "read"]

# Arguments of a model that affect its numbers.
_READING = (
    "dtype", "softmax_dtype", "add_bos_token", "load_in_8bit", "load_in_4bit", "peft", "delta", "gguf_file",
    "max_length",
)  # fmt: skip
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
    training = file.training
    return ModelFacts(
        name=name,
        family=training.get("ladder") or published.family_of(name),
        parameters=size.parameters if size else counted,
        block_parameters=size.blocks if size else None,
        tokens=training.get("tokens", tokens),
        flops=training.get("flops", published.pythia_flops(size, tokens) if size and tokens is not None else None),
        step=training.get("step", step),
        seed=training.get("seed"),
        loss=training.get("loss"),
        provenance=Provenance(reading=tuple((name, arguments[name]) for name in _READING if name in arguments)),
    )


def _of_task(task: TaskResults, file: ResultsFile, facts: ModelFacts, path: Path) -> Iterator[Measurement]:
    """Yield a task's metrics."""
    limit = f"|limit:{file.limit}" if file.limit else ""
    for score in task.scores:
        plain = score.metric
        filtered = f" ({score.filter})" if score.filter not in ("", "none") else ""
        scale = benchmarks.scale(plain, ours=file.ours)
        n = task.n or _documents(plain, score.value, score.stderr)
        low, high = interval_of(score.value, score.stderr, n, scale.least, scale.most)
        higher = task.higher.get(plain)
        yield Measurement(
            model=facts,
            task=task.name,
            family=benchmarks.family_of(task.name),
            protocol="lm-eval",
            shots=task.shots,
            metric=benchmarks.NAMES.get(plain, plain) + filtered,
            value=score.value * scale.factor,
            low=low * scale.factor,
            high=high * scale.factor,
            n=n,
            reported_stderr=score.stderr * scale.factor if score.stderr else None,
            chance=benchmarks.chance(task.name, plain),
            higher_is_better=scale.higher_is_better if higher is None else higher,
            scale=scale.factor,
            ceiling=100.0 if scale.factor == 100 else None,
            signature=(
                f"task:{task.name}.v{task.version}|shots:{task.shots}{limit}|metric:{score.key}|model:{facts.name}|"
                f"step:{facts.step}|lm-eval"
            ),
            origin=path,
        )


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
