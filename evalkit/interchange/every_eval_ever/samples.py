"""A stored item as Every Eval Ever's instance-level rows: one for each metric that it counts in."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from evalkit import metrics
from evalkit.interchange.every_eval_ever.aggregate import result_id, texts
from evalkit.runs.signature import Signature
from evalkit.types import Record


def rows(
    record: Record, *, evaluation: str, model: str, schema: str, rules: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a record. evaluation, model: the ids in the aggregate file. rules: signatures by metric.

    An item that failed has one row, with its error, that belongs to no result. A run stores prompts but not the bare
    question, so `input.raw` is the prompt too.
    """
    cell, prompt = record.cell, "\n".join(record.prompt.contexts)
    options = record.continuations
    texts = [response.text for response in record.responses if response.text] if not options else []
    shared = {
        "schema_version": schema,
        "evaluation_id": evaluation,
        "model_id": model,
        "evaluation_name": cell.task,
        "sample_id": record.doc_id,
        "sample_hash": _hash(prompt, record.gold),
        "interaction_type": "single_turn",
        "input": {
            "raw": prompt,
            "formatted": prompt,
            "reference": [record.gold],
            **({"choices": list(options)} if len(options) > 1 else {}),
        },
        "output": {"raw": texts or [record.prediction]},
        "metadata": _metadata(record),
    }
    if record.error or not record.scores:
        error = record.error or "not scored"
        yield shared | {"answer_attribution": [], "evaluation": {"score": 0.0, "is_correct": False}, "error": error}
    else:
        for name, statistics in record.scores.items():
            metric = metrics.get(name, Signature.parse(rules.get(name, "")).rule)
            score = _score(metric, statistics, record.values.get(name))
            best = metric.most if metric.higher_is_better else metric.least
            yield shared | {
                "evaluation_result_id": result_id(name, cell.shots, cell.template, level=""),
                "answer_attribution": [_attribution(record, name)],
                "evaluation": {"score": score, "is_correct": score == best},
            }


def _attribution(record: Record, metric: str) -> dict[str, Any]:
    method = "likelihood" if record.continuations else metric.partition(",")[2] or "cleanup"
    return {
        "turn_idx": 0, "source": "output.raw", "extracted_value": record.prediction, "extraction_method": method,
        "is_terminal": True,
    }  # fmt: skip


def _score(metric: metrics.Metric, statistics: Any, value: Any) -> float:
    """Return the metric of this document alone, unscaled; 0 where one document has none (a correlation)."""
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    if not len(statistics):
        return 0.0
    with np.errstate(all="ignore"):
        score = float(metric.aggregate(np.asarray([statistics], dtype=np.float64), np.ones(1))[0])
    return score if math.isfinite(score) else 0.0


def _metadata(record: Record) -> dict[str, str]:
    cell, prompt = record.cell, record.prompt
    facts = {
        "shots": cell.shots, "seed": cell.seed, "protocol": cell.protocol, "template": cell.template or None,
        "level": record.level or None, "cluster": record.cluster or None, "shots_in_prompt": prompt.shots,
        "shots_dropped": prompt.dropped or None, "characters_cut": prompt.cut or None,
        "loglikelihoods": [response.loglikelihood for response in record.responses],
        "greedy": [response.is_greedy for response in record.responses],
        "tokens": [response.tokens for response in record.responses],
        "chance": dict(record.chance) or None,
    }  # fmt: skip
    return texts(facts)


def _hash(prompt: str, reference: str) -> str:
    content = json.dumps({"raw": prompt, "reference": reference}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()
