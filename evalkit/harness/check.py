"""check_task(): what every task must satisfy, whoever wrote it. Needs the task's data and no model.

Fake engines stand in for models: one that knows every answer must get the perfect score through the whole corridor,
one that guesses must come out at chance, and one that says nothing must not break anything.
"""

from __future__ import annotations

import math
import string
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from evalkit import metrics
from evalkit.data.sources import DataPaths
from evalkit.engine import fake
from evalkit.harness.load import load
from evalkit.harness.loaded import Loaded
from evalkit.harness.prompts import render
from evalkit.harness.run import describe, evaluate
from evalkit.harness.settings import RunSettings
from evalkit.harness.task import Protocol, Task
from evalkit.metrics.choice import UNCONDITIONAL, Accuracy
from evalkit.metrics.likelihood import BitsPer, Perplexity, PerplexityPer
from evalkit.runs.store import RunStore
from evalkit.types import Document, Example, Request, Result

# A cleanup that leaves fewer of the gold answers as they are contradicts the benchmark.
_LEAST_KEPT = 0.25

# The fields of a protocol that a template may replace.
_WORDED = {"query", "target", "description", "separator"}


def check_task(task: Task, data: DataPaths, *, limit: int | None = 200, shots: Sequence[int] = (0, 1, 3)) -> None:
    """Check a task under each of its protocols and wordings, on `limit` documents.

    Raises AssertionError saying what is wrong, DataError where the data is missing or not as expected, and UsageError
    where the pool of shots is too small.
    """
    assert task.version >= 1, f"{task.name}: versions count from 1"
    settings = RunSettings(shots=tuple(shots), limit=limit, templates=("all",))
    for name, protocol in task.protocols.items():
        _check_protocol(protocol, where=f"{task.name}, protocol {name}")
        loaded = load(task, replace(settings, protocol=name), data)
        where = f"{task.name}, protocol {name}"
        for document, example in loaded.documents:
            _check_example(loaded, document, example, where=f"{where}, document {document.id}")
        for template, wording in loaded.wordings.items():
            worded = replace(loaded, protocol=wording, wordings={"": wording})
            named = f"{where}, template {template}" if template else where
            for document, example in loaded.documents:
                _check_wording(wording, example, where=f"{named}, document {document.id}")
            _check_oracle(worded, settings, where=named)
        own = replace(loaded, wordings={"": protocol})
        _check_silence(own, settings, where=where)
        _check_guesses(own, settings, where=where)


def _check_protocol(protocol: Protocol, *, where: str) -> None:
    """Check what a protocol says whatever the document: its shots, its answer context, its further wordings."""
    shots = protocol.paper_shots
    assert shots is None or shots >= 0, f"{where}: paper_shots {shots} is below 0"
    if UNCONDITIONAL in protocol.metrics:
        assert protocol.answer_context, f"{where}: {UNCONDITIONAL} needs an answer_context"
    if protocol.answer_context:
        assert protocol.kind == "choice", f"{where}: an answer_context belongs to the kind choice"
        assert not protocol.varies_context, f"{where}: with {{choice}} in the query no answer follows an answer_context"
    for name, changes in protocol.templates.items():
        unknown = {*changes} - _WORDED
        assert name and not unknown, f"{where}: template {name!r} replaces {sorted(unknown)}; it may {sorted(_WORDED)}"


def _check_example(loaded: Loaded, document: Document, example: Example, *, where: str) -> None:
    """Check one example: an input, an answer, and the answer among its options."""
    protocol = loaded.protocol
    assert not example.error, f"{where}: {example.error}"
    assert document.id.strip(), f"{where}: its id is empty"
    assert example.task.strip(), f"{where}: Example.task says nothing"
    assert example.input.strip(), f"{where}: its input is empty"
    if protocol.kind == "rolling":
        return
    assert example.output.strip(), f"{where}: its output is empty"
    assert example.output in example.answers, f"{where}: its output is not among its references"
    if protocol.kind == "choice":
        _check_choices(example, where=where)
    if protocol.shrink:
        name = protocol.shrink[0]
        assert name == "input" or name in example.parts, f"{where}: shrink names {name!r}, which is no part"


def _check_wording(protocol: Protocol, example: Example, *, where: str) -> None:
    """Check a protocol's templates: the fields that they name, and a target that a model could write."""
    if protocol.kind == "rolling":
        return
    allowed = {*example.fields(), "choice"}
    for template in (protocol.query, protocol.target):
        unknown = _fields(template) - allowed
        assert not unknown, f"{where}: {template!r} names {sorted(unknown)}; fields are {sorted(allowed)}"
    if protocol.shrink:
        name = protocol.shrink[0]
        assert name in _fields(protocol.query), f"{where}: shrink names {name!r}, which is not in the query"
    if protocol.kind == "generate":
        target = _target(protocol, example)
        cut = [stop for stop in protocol.decoding.until if stop in target]
        assert not cut, f"{where}: the target holds the stop string {cut[:1]}, so that no model could write it"


def _check_choices(example: Example, *, where: str) -> None:
    assert len(example.choices) > 1, f"{where}: a choice needs at least two options"
    assert len(set(example.choices)) == len(example.choices), f"{where}: two options are the same"
    gold = example.gold
    if example.golds:
        assert gold is None, f"{where}: gold {gold} beside golds, the one or the other"
        assert set(example.golds) <= set(range(len(example.choices))), f"{where}: golds are none of its options"
        return
    assert gold is not None and 0 <= gold < len(example.choices), f"{where}: gold {gold} is none of its options"
    assert example.output == example.choices[gold], f"{where}: its output is not the option that gold points to"


def _fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def _check_oracle(loaded: Loaded, settings: RunSettings, *, where: str) -> None:
    """An engine that knows the gold answer must be perfect in every metric.

    Two things may keep even a gold answer from it, and are taken out first. A cleanup may shorten it (to the first
    sentence of two): only documents whose gold text survives count, and a quarter must. And a metric that leaves one
    reference out compares people with people, who disagree: the gold answer is made the only one accepted.
    """
    protocol = loaded.protocol
    kept = [
        (document, replace(example, references=()))
        for document, example in loaded.documents
        if protocol.kind != "generate" or protocol.cleanup(_target(protocol, example)) == example.output.strip()
    ]
    share = len(kept) / len(loaded.documents)
    assert share >= _LEAST_KEPT, f"{where}: the cleanup changes {1 - share:.0%} of the gold answers"
    writes = protocol.kind == "generate"
    told = {(loaded.task.name, d.id): (_target(protocol, e) if writes else "", e.golds or e.gold) for d, e in kept}
    engine = fake.oracle(told)
    results = _run(replace(loaded, documents=kept), engine, settings)
    for request in engine.asked:
        _check_request(request, where=f"{where}, document {request.doc_id}")
    _check_unconditional(loaded, engine.asked, where=where)
    for result in _own(results):
        wanted = _perfect(loaded.metrics[result.metric])
        assert math.isclose(result.value, wanted, abs_tol=1e-6), (
            f"{where}: an engine that knows every answer gets {result.metric} {result.value:.4f} "
            f"with {result.shots} shots, expected {wanted:g}"
        )
        assert not result.failed, f"{where}: {result.failed} documents have no score"


def _target(protocol: Protocol, example: Example) -> str:
    """Return the gold answer as it would be written after the prompt."""
    return render(protocol.target, example, example.output)


def _check_request(request: Request, *, where: str) -> None:
    assert request.context_ids, f"{where}: a request without context"
    if request.kind == "generate_until":
        assert request.context.strip(), f"{where}: nothing to generate from"
    else:
        assert request.continuation_ids, f"{where}: a request without anything to score"


def _check_unconditional(loaded: Loaded, asked: Sequence[Request], *, where: str) -> None:
    """Each option must be asked for once more after the answer context alone, and with the same text."""
    context = loaded.protocol.answer_context
    options = {document.id: len(example.choices) for document, example in loaded.documents}
    alone = [request for request in asked if context and request.index >= options[request.doc_id]]
    strange = [request.doc_id for request in alone if request.context != context]
    assert not strange, f"{where}, document {strange[0]}: an option follows something else than the answer context"
    assert len(alone) * 2 == len(asked) * bool(context), f"{where}: not every option is asked after the answer context"


def _check_silence(loaded: Loaded, settings: RunSettings, *, where: str) -> None:
    """An engine that writes nothing, and finds everything equally likely, must be scored like any other."""
    results = _run(loaded, fake.constant(""), settings)
    scores = {f"{r.source} {r.metric}": r.value for r in results}
    broken = [name for name, value in scores.items() if math.isnan(value)]
    assert not broken, f"{where}: no value for {', '.join(broken)} when nothing is answered"
    missing = {*loaded.metrics} - {result.metric for result in _own(results)}
    assert not missing, f"{where}: no result for {', '.join(sorted(missing))}"


def _check_guesses(loaded: Loaded, settings: RunSettings, *, where: str) -> None:
    """An engine that guesses must come within 4 standard errors of what the metric calls chance.

    Only for accuracies that take likelihoods as they are: divided by lengths, guesses favour long or short options.
    """
    plain = [name for name, m in loaded.metrics.items() if isinstance(m, Accuracy) and m.per == "total"]
    chances = {n: [c for _, e in loaded.documents if (c := loaded.metrics[n].chance(e)) is not None] for n in plain}
    if not any(chances.values()):
        return
    for result in _own(_run(loaded, fake.random(), settings)):
        if not (found := chances.get(result.metric)):
            continue
        expected = sum(found) / len(found)
        error = math.sqrt(sum(c * (1 - c) for c in found)) / len(found)
        distance = abs(result.value / loaded.metrics[result.metric].scale - expected)
        assert distance <= 4 * error, (
            f"{where}: guesses get {result.metric} {result.value:.1f} with {result.shots} shots, but chance is "
            f"{expected:.1%}, standard error {error:.1%}"
        )


def _perfect(metric: metrics.Metric) -> float:
    """Return the value of a perfect answer, as shown: no surprise at all, or all of it right."""
    if isinstance(metric, BitsPer):
        return 0.0
    return 1.0 if isinstance(metric, Perplexity | PerplexityPer) else 100.0


def _run(loaded: Loaded, engine: fake.FakeEngine, settings: RunSettings) -> list[Result]:
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore(Path(folder), describe(engine, [loaded], settings))
        with store:
            return evaluate(engine, [loaded], settings, store)


def _own(results: Sequence[Result]) -> Iterator[Result]:
    """Yield what the engine itself got on the unchanged task."""
    return (result for result in results if result.source == "model" and not result.level)
