"""The samples of lm-evaluation-harness (`--log_samples`, since 0.4) as evalkit's records, for the sample browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import StoreError
from evalkit.types import Cell, Prompt, Record, Response


def sample_files(results: Path) -> dict[str, Path]:
    """Return the samples that were written with a results file, by task: samples_TASK_TIME.jsonl beside it."""
    time = results.stem.removeprefix("results")
    found = {}
    for path in sorted(results.parent.glob("samples_*.jsonl")):
        if time and path.stem.endswith(time):
            found[path.stem.removeprefix("samples_").removesuffix(time)] = path
    return found


def read_samples(path: Path, task: str, *, shots: int = 0) -> Iterator[Record]:
    """Yield a file's samples as records. Raises StoreError naming the line that is broken.

    Scores are the numbers that the line holds besides its texts (acc, exact_match, ...), unscaled.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"cannot read {path}: {error}") from None
    cell = Cell(task=task, protocol="lm-eval", shots=shots, seed=0)
    for number, line in enumerate(lines, start=1):
        try:
            yield _record(json.loads(line), cell)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise StoreError(f"{path} line {number}: not a sample of lm-evaluation-harness ({error})") from None


def _record(raw: Mapping[str, Any], cell: Cell) -> Record:
    asked = _arguments(raw["arguments"])
    generated = not isinstance(asked[0][1], str)
    replies = raw.get("filtered_resps") or raw["resps"]
    if generated:
        responses = [Response(text=_text(reply)) for reply in replies]
    else:
        responses = [_likelihood(reply) for reply in replies]
    contexts = tuple(context for context, _ in asked)
    contexts = contexts if len(set(contexts)) > 1 else contexts[:1]  # Winogrande has one per option
    options = () if generated else tuple(option for _, option in asked)
    gold, best = raw["target"], ""
    if generated:
        best = responses[0].text
    elif len(options) > 1:
        best = options[max(range(len(responses)), key=lambda i: responses[i].loglikelihood)]
    if len(options) > 1 and re.fullmatch(r"\d+", str(gold)) and int(gold) < len(options):
        gold = options[int(gold)]
    known = set(raw.get("metrics") or ()) or raw.keys() - {"doc_id"}
    scores = {k: (float(raw[k]),) for k in sorted(known) if isinstance(raw.get(k), (int, float))}
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
        return [(one["arg_0"], one.get("arg_1", "")) for _, one in numbered]
    return [(one[0], one[1] if len(one) > 1 else "") for one in raw]


def _text(reply: Any) -> str:
    return str(reply[0] if isinstance(reply, list) else reply)


def _likelihood(reply: Any) -> Response:
    """Read [log-likelihood, is greedy], which some versions write as text and wrap in one list more."""
    pair = reply[0] if isinstance(reply[0], list) else reply
    return Response(loglikelihood=float(pair[0]), is_greedy=str(pair[1]) == "True")
