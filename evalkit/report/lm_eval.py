"""Import of lm-evaluation-harness: its results JSON (0.2 and 0.3, and since 0.4) and its samples.

Percentages are shown as such (x 100). The interval is the value +- 1.96 standard errors where the file gives one, none
otherwise. Metrics that evalkit has too carry evalkit's name (acc_norm divides by characters: acc_per_char).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit import metrics
from evalkit.errors import StoreError
from evalkit.report import published
from evalkit.report.measurements import Measurement, ModelFacts

_Z = 1.959964  # 97.5% of the normal distribution lie below it

_NAMES = {
    "acc_norm": "acc_per_char",
    "acc_bytes": "acc_per_byte",
    "perplexity": "ppl",
    "word_perplexity": "ppl_word_lm_eval",
}
_SHARES = {"acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "em", "f1", "pct_stereotype", "mc1", "mc2"}
_LOWER = ("ppl", "perplexity", "bits_per_byte", "likelihood_diff", "pct_stereotype", "ter")

# What a task measures, and the share that guessing gets (percent), by the beginning of its name. Options per question:
# ARC 4 (a few have 3 or 5), SciQ, LogiQA and MMLU 4, the others 2. No pct_stereotype is right; 50 is without bias.
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
_SUBJECTS = 57  # of MMLU: 0.2 and 0.3 give them singly, without the total


def is_results(raw: Any) -> bool:
    """Whether a JSON value looks like a results file."""
    return isinstance(raw, dict) and isinstance(raw.get("results"), dict) and isinstance(raw.get("config"), dict)


def read(raw: Any, path: Path) -> list[Measurement]:
    """Turn a results file into measurements. Raises StoreError when it is something else, or broken."""
    if not is_results(raw):
        raise StoreError(f"{path}: not a results file of lm-evaluation-harness (no 'results' and 'config')")
    try:
        facts = model_facts(raw, path)
        found = [m for task in raw["results"] for m in _of_task(task, raw, facts, path)]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StoreError(f"{path}: not as lm-evaluation-harness writes it ({type(error).__name__}: {error})") from None
    if not found:
        raise StoreError(f"{path}: holds no result")
    return found + _mmlu(found)


def model_facts(raw: Mapping[str, Any], path: Path) -> ModelFacts:
    """Return the model's facts: from the arguments it was loaded with, else from the names of file and folder."""
    config = raw["config"]
    arguments = config.get("model_args") or {}
    if isinstance(arguments, str):
        arguments = dict(part.split("=", 1) for part in arguments.split(",") if "=" in part)
    folders = (name for name in (path.parent.name, path.parent.parent.name) if published.pythia(name))
    full = str(arguments.get("pretrained") or raw.get("model_name") or next(folders, path.stem))
    stepped = re.search(r"step(\d+)", f"{arguments.get('revision', '')} {path.stem}")
    step = int(stepped[1]) if stepped else None
    name = full.rstrip("/").rpartition("/")[2]
    if size := published.pythia(name):
        name = published.pythia_name(name)
        step = published.PYTHIA_LAST if step is None else step
    tokens = step * published.PYTHIA_STEP if size and step is not None else None
    counted = config.get("model_num_parameters")
    return ModelFacts(
        name=name,
        family=published.family_of(name),
        parameters=size.parameters if size else counted if isinstance(counted, int) and counted > 0 else None,
        block_parameters=size.blocks if size else None,
        tokens=tokens,
        flops=published.pythia_flops(size, tokens) if size and tokens is not None else None,
        step=step,
    )


def _of_task(task: str, raw: Mapping[str, Any], facts: ModelFacts, path: Path) -> Iterator[Measurement]:
    """Yield a task's metrics; keys are "acc" and "acc_stderr", since 0.4 "acc,FILTER" and "acc_stderr,FILTER"."""
    row = raw["results"][task]
    shots = raw.get("n-shot", {}).get(task, raw["config"].get("num_fewshot"))
    version = raw.get("versions", {}).get(task, "?")
    counts = raw.get("n-samples", {}).get(task, {})
    family, chance = _about(task)
    for key, value in row.items():
        plain, _, filtered = key.partition(",")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or plain.endswith("_stderr") or plain in ("alias", "sample_len", "sample_count"):
            continue
        scale = _scale(plain, ours="evalkit_version" in raw)
        suffix = f",{filtered}" if filtered else ""
        stderr = row.get(f"{plain}_stderr{suffix}")
        margin = _Z * float(stderr) * scale if isinstance(stderr, (int, float)) and stderr >= 0 else math.nan
        name = _NAMES.get(plain, plain) + (f" ({filtered})" if filtered not in ("", "none") else "")
        said = raw.get("higher_is_better", {}).get(task, {}).get(plain)
        yield Measurement(
            model=facts,
            task=task,
            family=family,
            protocol="lm-eval",
            shots=int(shots or 0),
            metric=name,
            value=value * scale,
            low=value * scale - margin,
            high=value * scale + margin,
            n=int(counts.get("effective") or _documents(plain, value, stderr)),
            chance=chance if plain.startswith("acc") or plain == "pct_stereotype" else None,
            higher_is_better=not plain.startswith(_LOWER) and "perplexity" not in plain if said is None else bool(said),
            scale=scale,
            ceiling=100.0 if scale == 100 else None,
            signature=f"task:{task}.v{version}|shots:{shots}|metric:{key}|model:{facts.name}|step:{facts.step}|lm-eval",
            origin=path,
        )


def _scale(metric: str, *, ours: bool) -> float:
    """Return what a metric is shown times; evalkit's own metrics in a file that it wrote as everywhere in evalkit."""
    if ours and metric in metrics.METRICS:
        return metrics.get(metric).scale
    return 100.0 if metric in _SHARES else 1.0


def _about(task: str) -> tuple[str, float | None]:
    return next((about for start, about in _TASKS.items() if task.startswith(start)), ("other", None))


def _documents(metric: str, value: float, stderr: Any) -> int:
    """Return how many documents were scored, which 0.2 and 0.3 do not say, or 0 where it cannot be told.

    The standard error of a mean p of zeros and ones is sqrt(p (1 - p) / (n - 1)).

    >>> _documents("acc", 0.601, 0.015493193313162906)
    1000
    """
    if not metric.startswith(("acc", "pct")) or not isinstance(stderr, float) or not stderr or not 0 < value < 1:
        return 0
    n = value * (1 - value) / stderr**2 + 1
    return round(n) if abs(n - round(n)) < 0.01 else 0


def _mmlu(found: list[Measurement]) -> list[Measurement]:
    """Add MMLU's total, the mean over all documents, to a file that gives its 57 subjects singly."""
    totals = []
    for metric in ("acc", "acc_per_char"):
        parts = [m for m in found if m.task.startswith("hendrycksTest-") and m.metric == metric and m.n]
        if len(parts) != _SUBJECTS:
            continue
        n = sum(m.n for m in parts)
        value = sum(m.n * m.value for m in parts) / n
        margin = _Z * math.sqrt(sum((m.n * m.stderr) ** 2 for m in parts)) / n
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
