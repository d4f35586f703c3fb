"""The samples in the browser: every document with the prompt and the answer of each model, loaded by piece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from evalkit import metrics
from evalkit.errors import EvalkitError, StoreError
from evalkit.report.measurements import Measurement, Problem
from evalkit.report.pages.located import RunRecords, TaskKey, choose, counts, locate
from evalkit.report.pages.pieces import Group, Pieces, Row, Samples
from evalkit.report.pages.seen import Seen
from evalkit.report.selection import Selection
from evalkit.runs.signature import Signature
from evalkit.runs.store import StoredRun, open_run
from evalkit.types import Record

if TYPE_CHECKING:
    from evalkit.report.rescoring import Token

# The most characters of one context or continuation, and of the lines that a list of documents shows.
_CONTEXT, _CONTINUATION = 4_000, 1_500
_QUESTION, _PASSAGE = 200, 280
_CUE = 24  # characters of a last line that only asks for the answer, such as "Answer:"
_MODELS = 8
# Bytes of records that are read for the page at most: by default, and for each character that it may take.
_READ, _SHRINKAGE = 128_000_000, 16


class TokenScores(Protocol):
    """Scores the tokens of the first `count` documents of each task; see report.rescoring."""

    @property
    def count(self) -> int: ...  # noqa: D102

    def score(self, run: StoredRun, records: Sequence[Record], /) -> Iterator[list[list[Token]] | str]:
        """Yield the tokens of each record's responses, or why they are not known."""
        ...


def collect(
    selection: Selection,
    *,
    seen: Seen = MappingProxyType({}),
    budget: int | None = None,
    scores: TokenScores | None = None,
) -> tuple[Samples, list[Problem]]:
    """Read the records of the runs at each training's last checkpoint. Unreadable ones are left out and reported.

    Of large runs, only the records of the documents that are shown are read. seen: documents that were in the training
    text. budget: characters of the page that they may take (default: BUDGET, and no more records than _READ). scores:
    of the tokens of some documents.
    """
    groups_of: dict[str, set[Group]] = {}
    runs, problems = _located(selection)
    located = [records for _, records in runs]
    choose(located, _READ if budget is None else _SHRINKAGE * budget)
    with Pieces() as pieces:
        for number, (label, records) in enumerate(runs):
            try:
                groups = pieces.add(number, _rows(selection, records, seen))
            except (EvalkitError, OSError) as error:
                problems.append(Problem(path=records.folder, reason=f"no samples: {error}"))
                located.remove(records)
                continue
            # Runs of different tasks or shots are merged; runs of the same are shown apart.
            names = (label if i == 1 else f"{label} #{i}" for i in count(1))
            name = next(name for name in names if not groups_of.get(name, set()) & groups)
            groups_of.setdefault(name, set()).update(groups)
            pieces.name(number, list(groups_of).index(name))
        if scores:
            problems += _score_tokens(selection, pieces, scores, dict(enumerate(records for _, records in runs)))
        falling = {m.task for m in selection.main if not m.higher_is_better}
        samples = pieces.samples(
            models=list(groups_of), metrics=selection.metrics, tasks=selection.tasks, documents=counts(located),
            falling=falling, budget=budget,
        )  # fmt: skip
        return samples, problems


def _located(selection: Selection) -> tuple[list[tuple[str, RunRecords]], list[Problem]]:
    """Return (model, where its records are) of each run, and what is wrong with the runs that cannot be read."""
    runs, problems = [], []
    for label, folder in _runs(selection):
        try:
            names = _names(selection, folder)
            shown = {key: task for key, task in names.items() if task in selection.metrics}
            runs.append((label, locate(open_run(folder, unfinished=True), shown)))
        except (EvalkitError, OSError) as error:
            problems.append(Problem(path=folder, reason=f"no samples: {error}"))
    return runs, problems


def _score_tokens(
    selection: Selection, pieces: Pieces, scores: TokenScores, runs: Mapping[int, RunRecords]
) -> list[Problem]:
    """Add the tokens' scores of the first documents, and of the first that models answer differently.

    runs: by the numbers that they have in `pieces`.
    """
    problems = []
    first = pieces.first(scores.count, selection.metrics)
    for number, records in runs.items():
        try:
            wanted = [(group, record) for group, record in records.read(first) if not record.error]
            answers = scores.score(open_run(records.folder, unfinished=True), [record for _, record in wanted])
            for (group, record), tokens in zip(wanted, answers, strict=True):
                pieces.add_tokens(number, group, record.doc_id, tokens)
        except (EvalkitError, OSError) as error:
            problems.append(Problem(path=records.folder, reason=f"no log-probabilities of tokens: {error}"))
    return problems


def _runs(selection: Selection) -> Iterator[tuple[str, Path]]:
    """Yield (model, run folder) of the models that have records, at most _MODELS of them, the sizes spread evenly."""
    folders: dict[tuple[object, ...], dict[Path, Measurement]] = {}
    again = [m for m in selection.twins if m.model.checkpoint in selection.ends]
    for m in (*selection.final, *again):
        if (m.origin / "records.jsonl").is_file():
            folders.setdefault(m.model.training, {})[m.origin] = m
    trainings = [(next(iter(runs.values())).model, sorted(runs)) for runs in folders.values()]
    trainings.sort(key=lambda pair: (pair[0].parameters or 0, pair[0].name, pair[0].seed or 0))
    if len(trainings) > _MODELS:
        trainings = [trainings[round(i * (len(trainings) - 1) / (_MODELS - 1))] for i in range(_MODELS)]
    alike = Counter(model.name for model, _ in trainings)
    for model, runs in trainings:
        label = f"{model.name} (seed {model.seed})" if alike[model.name] > 1 else model.name
        yield from ((label, folder) for folder in runs)


def _names(selection: Selection, folder: Path) -> dict[TaskKey, str]:
    """Return the names in the report of a run's tasks."""
    shown = {(m.task_in_run or m.task, m.protocol, m.template): m.task for m in selection.raw}
    own = {(m.task_in_run or m.task, m.protocol, m.template): m.task for m in selection.raw if m.origin == folder}
    return {**shown, **own}


def _rows(selection: Selection, records: RunRecords, seen: Seen) -> Iterator[Row]:
    """Yield what the page shows of a run's records. Raises StoreError for a wrong number of a metric's statistics."""
    rules = _rules(selection)
    metric_of = cache(lambda task, name: metrics.get(name, rules.get((task, name), "")))
    for group, record in records.read():
        task, gold = group[0], _gold(record)
        scored_by = {name: metric_of(task, name) for name in record.scores}
        yield Row(
            group=group,
            doc_id=record.doc_id,
            document={
                "id": record.doc_id,
                "level": record.level,
                "gold": record.gold,
                **_asked(record, gold),
                "seen": seen.get((record.cell.task, record.doc_id), ""),
            },
            answer=_answer(record, gold, selection.metrics[task], scored_by),
        )


def _rules(selection: Selection) -> dict[tuple[str, str], str]:
    """Return the rule of each task's metrics, as their signatures name it."""
    return {(m.task, m.metric): Signature.parse(m.signature).rule for m in selection.measurements}


def _asked(record: Record, gold: int) -> dict[str, str]:
    """Return the question, the last line before the answer (with a question mark, if near), and what precedes it."""
    contexts = record.prompt.contexts
    text = contexts[max(gold, 0) if len(contexts) > 1 else 0] if contexts else ""
    if not text.strip():
        return {"question": "".join(record.continuations[:1])[:_QUESTION].strip(), "passage": ""}
    lines = [line.strip() for line in _own(text, record.prompt.shots).splitlines() if line.strip()]
    while len(lines) > 1 and len(lines[-1]) <= _CUE and lines[-1].endswith(":"):
        lines.pop()
    asked = next(
        (i for i in range(len(lines) - 1, max(-1, len(lines) - 4), -1) if lines[i].endswith("?")), len(lines) - 1
    )
    before, question = lines[:asked], lines[asked]
    passage = " ".join(before)
    if not before and len(question) > _QUESTION:  # one long text that is to be continued
        passage = question
    question = question if len(question) <= _QUESTION else f"…{question[-_QUESTION:]}"
    return {"question": question, "passage": passage[:_PASSAGE] + "…" * (len(passage) > _PASSAGE)}


def _own(text: str, shots: int) -> str:
    """Return the part of a prompt that follows its solved examples, as blank lines show it; all of it without any."""
    parts = [part for part in text.split("\n\n") if part.strip()]
    return parts[-1] if shots and len(parts) > shots else text


def _answer(record: Record, gold: int, metric: str, scored_by: Mapping[str, metrics.Metric]) -> dict[str, Any]:
    """Return one model's answer: its prompt, its responses and its scores."""
    with np.errstate(all="ignore"):
        scores = {name: _score(scored_by[name], statistics) for name, statistics in record.scores.items() if statistics}
    value = scores.get(metric)
    share = value is not None and scored_by[metric].share
    return {
        "contexts": [_tail(context) for context in record.prompt.contexts],
        "continuations": [_head(continuation) for continuation in record.continuations],
        "responses": [
            {"ll": round(r.loglikelihood, 3), "greedy": r.is_greedy, "tokens": r.tokens, "text": _head(r.text)}
            for r in record.responses
        ],
        "prediction": _head(record.prediction),
        "scores": {name: float(f"{score:.6g}") for name, score in scores.items() if score == score},
        "right": None if value is None or not share else value >= 50,
        "gold": gold,
        "error": record.error,
        "short": record.prompt.dropped + record.prompt.cut,
    }


def _gold(record: Record) -> int:
    """Return the index of the gold option, or -1 where it is unclear.

    The options are the continuations or, under partial scoring, the contexts.
    """
    places = record.continuations if len(set(record.continuations)) > 1 else record.prompt.contexts
    gold = record.gold.strip()
    matches = [i for i, place in enumerate(places) if place.strip() == gold]
    if not matches and len(record.prompt.contexts) > 1:
        matches = [i for i, place in enumerate(places) if gold in place]
    elif not matches and gold:  # an option may go on after the answer, to the end of the sentence
        matches = [i for i, place in enumerate(places) if f"{place.strip()} ".startswith(f"{gold} ")]
    return matches[0] if len(matches) == 1 else -1


def _score(metric: metrics.Metric, statistics: Sequence[float]) -> float:
    """Return a document's own score, as shown (percent where the metric is)."""
    try:
        return float(metric.aggregate(np.asarray(statistics, dtype=np.float64), np.asarray(1.0))) * metric.scale
    except (IndexError, TypeError, ValueError):
        raise StoreError(
            f"its records hold {len(statistics)} statistics of {metric.name}, not as many as it has"
        ) from None


def _tail(text: str) -> str:
    """Shorten a context at its left, where it matters least."""
    return text if len(text) <= _CONTEXT else f"[{len(text) - _CONTEXT:,} characters left out]…{text[-_CONTEXT:]}"


def _head(text: str) -> str:
    return text if len(text) <= _CONTINUATION else f"{text[:_CONTINUATION]}…[{len(text) - _CONTINUATION:,} more]"
