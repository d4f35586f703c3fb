"""The samples of lm-evaluation-harness (`--log_samples`, since 0.4), both ways: evalkit's records of them, and back."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import StoreError
from evalkit.files import check_regular
from evalkit.types import Cell, Prompt, Record, Response

# evalkit's metrics that are defined as lm-evaluation-harness's of another name.
METRICS_THERE = {"acc_per_char": "acc_norm", "acc_per_byte": "acc_bytes", "ppl_word_lm_eval": "word_perplexity"}
# What a malformed line may raise.
_BROKEN = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


def sample_files(results: Path) -> dict[str, Path]:
    """Return the samples that were written with a results file, by task: samples_TASK_TIME.jsonl beside it."""
    time = results.stem.removeprefix("results")
    files = {}
    for path in sorted(results.parent.glob("samples_*.jsonl")):
        if time and path.stem.endswith(time):
            files[path.stem.removeprefix("samples_").removesuffix(time)] = path
    return files


def read_samples(path: Path, task: str, *, shots: int = 0) -> Iterator[Record]:
    """Yield a file's samples as records. Raises StoreError naming the line that is broken.

    Scores are the numbers that the line holds besides its texts (acc, exact_match, ...), unscaled.
    """
    return (record for _, record in read_lines(path, task, shots=shots))


def read_lines(path: Path, task: str, *, shots: int = 0) -> Iterator[tuple[Mapping[str, Any], Record]]:
    """Yield the object of each line and its record, as `read_samples` does."""
    check_regular(path, StoreError)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"cannot read {path}: {error}") from None
    cell = Cell(task=task, protocol="lm-eval", shots=shots, seed=0)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
            yield raw, _record(raw, cell)
        except _BROKEN as error:
            raise StoreError(f"{path} line {number}: not a sample of lm-evaluation-harness ({error})") from None


def _record(raw: Mapping[str, Any], cell: Cell) -> Record:
    arguments = _arguments(raw["arguments"])
    generated = not isinstance(arguments[0][1], str)
    replies = raw.get("filtered_resps") or raw["resps"]
    if generated:
        responses = [Response(text=_text(reply)) for reply in replies]
    else:
        responses = [_likelihood(reply) for reply in replies]
    contexts = tuple(context for context, _ in arguments)
    contexts = contexts if len(set(contexts)) > 1 else contexts[:1]  # Winogrande has one per option
    options = () if generated else tuple(option for _, option in arguments)
    gold, best = raw["target"], ""
    if generated:
        best = responses[0].text
    elif len(options) > 1:
        best = options[max(range(len(responses)), key=lambda i: responses[i].loglikelihood)]
    if len(options) > 1 and re.fullmatch(r"\d+", str(gold)) and int(gold) < len(options):
        gold = options[int(gold)]
    names = set(raw.get("metrics") or ()) or raw.keys() - {"doc_id"}
    scores = {k: (float(raw[k]),) for k in sorted(names) if isinstance(raw.get(k), (int, float))}
    return Record(
        cell=cell,
        doc_id=str(raw["doc_id"]),
        cluster="",
        level="",
        prompt=Prompt(contexts=contexts, shots=cell.shots),
        continuations=options,
        responses=tuple(responses),
        gold=str(gold),
        prediction=best,
        scores=scores,
    )


def _arguments(raw: Any) -> list[tuple[str, Any]]:
    """Return (context, continuation or generation settings) of every request; newer files name them gen_args_0, ..."""
    if isinstance(raw, dict):
        numbered = sorted(raw.items(), key=lambda pair: int(pair[0].rpartition("_")[2]))
        return [(request["arg_0"], request.get("arg_1", "")) for _, request in numbered]
    return [(request[0], request[1] if len(request) > 1 else "") for request in raw]


def _text(reply: Any) -> str:
    return str(reply[0] if isinstance(reply, list) else reply)


def _likelihood(reply: Any) -> Response:
    """Read [log-likelihood, is greedy], which some versions write as text and wrap in another list.

    A whole text (rolling) has only the log-likelihood.
    """
    if not isinstance(reply, list):
        return Response(loglikelihood=float(reply))
    if not isinstance(reply[0], list) and len(reply) == 1:
        return Response(loglikelihood=float(reply[0]))
    pair = reply[0] if isinstance(reply[0], list) else reply
    return Response(loglikelihood=float(pair[0]), is_greedy=str(pair[1]) == "True")


def sample(record: Record, about: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a record as lm-evaluation-harness 0.4.13 writes a sample, once for each filter of its metrics.

    about: the task's entry in the run's manifest. A run does not store the row of the data set: `doc` holds what
    evalkit knows about the document, and filtered_resps holds the answers before any filter.
    """
    config = about.get("lm_eval", {}).get("config", {})
    arguments, replies = _exchange(record, config.get("generation_kwargs", {}))
    target = _target(record)
    doc = {"id": record.doc_id, "cluster": record.cluster, "level": record.level, "gold": record.gold}
    by_filter: dict[str, dict[str, Any]] = {}
    for name, statistics in record.scores.items():
        plain, _, filter_name = name.partition(",")
        single = statistics[0] if len(statistics) == 1 else list(statistics)
        by_filter.setdefault(filter_name or "none", {})[METRICS_THERE.get(plain, plain)] = record.values.get(
            name, single
        )
    for filter_name, values in by_filter.items():
        yield {
            "doc_id": int(record.doc_id) if record.doc_id.isdecimal() else record.doc_id,
            "doc": doc,
            "target": target,
            "arguments": {
                f"gen_args_{i}": {f"arg_{j}": part for j, part in enumerate(parts)} for i, parts in enumerate(arguments)
            },
            "resps": replies,
            "filtered_resps": [reply[0] for reply in replies],
            "filter": filter_name,
            "metrics": list(values),
            "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
            "prompt_hash": _hash(str(arguments[0][0])),
            "target_hash": _hash(target),
            "evalkit_seed": record.cell.seed,
            **values,
        }


def _exchange(record: Record, generation: Mapping[str, Any]) -> tuple[list[tuple[Any, ...]], list[list[Any]]]:
    """Return each request's arguments, and its answers; lm-evaluation-harness stores numbers as text."""
    contexts, options = record.prompt.contexts, record.continuations
    if not options:
        return [(contexts[0], dict(generation))], [[response.text for response in record.responses]]
    if contexts == ("",) and len(options) == 1:  # a whole text
        return [(options[0],)], [[str(record.responses[0].loglikelihood)]]
    answers = [[[str(response.loglikelihood), str(response.is_greedy)]] for response in record.responses]
    return [(contexts[i if len(contexts) > 1 else 0], option) for i, option in enumerate(options)], answers[
        : len(options)
    ]


def _target(record: Record) -> str:
    """Return the number of the right option where it is one of the options, else the right text."""
    options = [option.strip() for option in record.continuations]
    gold = record.gold.strip()
    return str(options.index(gold)) if len(options) > 1 and options.count(gold) == 1 else record.gold


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
