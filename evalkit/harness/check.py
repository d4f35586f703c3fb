"""check_task(): what every task must satisfy. Needs the task's data and no model.

Fake engines stand in for models: one that knows every answer must get a perfect score, one that guesses must come out
at chance, and one that answers nothing must not break anything.
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

# The share of gold answers that a cleanup has to leave unchanged; one that changes more contradicts the benchmark.
_LEAST_UNCHANGED = 0.25


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
            place = f"{where}, template {template}" if template else where
            for document, example in loaded.documents:
                _check_wording(wording, example, where=f"{place}, document {document.id}")
            _check_oracle(worded, settings, where=place)
        default_wording = replace(loaded, wordings={"": protocol})
        _check_silence(default_wording, settings, where=where)
        _check_guesses(default_wording, settings, where=where)


def _check_protocol(protocol: Protocol, *, where: str) -> None:
    """Check what does not depend on a document: the answer context."""
    if UNCONDITIONAL in protocol.metrics:
        assert protocol.answer_context, f"{where}: {UNCONDITIONAL} needs an answer_context"
    if protocol.answer_context:
        assert protocol.kind == "choice", f"{where}: an answer_context needs the kind choice"
        assert not protocol.varies_context, f"{where}: with {{choice}} in the query no answer follows an answer_context"


def _check_example(loaded: Loaded, document: Document, example: Example, *, where: str) -> None:
    """Check one example: an input, an answer, and the answer among its options."""
    protocol = loaded.protocol
    assert not example.error, f"{where}: {example.error}"
    assert document.id.strip(), f"{where}: its id is empty"
    assert example.task.strip(), f"{where}: Example.task is empty"
    assert example.input.strip(), f"{where}: its input is empty"
    if protocol.kind == "rolling":
        return
    assert example.output.strip(), f"{where}: its output is empty"
    assert example.output in example.answers, f"{where}: its output is not among its references"
    if protocol.kind == "choice":
        _check_choices(example, where=where)
    if protocol.shrink:
        name = protocol.shrink[0]
        assert name == "input" or name in example.parts, (
            f"{where}: shrink names {name!r}, which is not one of its parts"
        )


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
        assert gold is None, f"{where}: both gold {gold} and golds are set"
        assert set(example.golds) <= set(range(len(example.choices))), (
            f"{where}: golds holds an index that is none of its options"
        )
        return
    assert gold is not None and 0 <= gold < len(example.choices), f"{where}: gold {gold} is none of its options"
    assert example.output == example.choices[gold], f"{where}: its output is not the option that gold points to"


def _fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def _check_oracle(loaded: Loaded, settings: RunSettings, *, where: str) -> None:
    """An engine that knows the gold answer must be perfect in every metric.

    Two things can make even a gold answer imperfect, and are removed first. A cleanup may shorten it (to the first of
    two sentences): only documents whose gold text survives count, and a quarter must. And a leave-one-out metric
    compares people with people, who disagree: the gold answer becomes the only reference.
    """
    protocol = loaded.protocol
    answerable = [
        (document, replace(example, references=()))
        for document, example in loaded.documents
        if protocol.kind != "generate" or protocol.cleanup(_target(protocol, example)) == example.output.strip()
    ]
    share = len(answerable) / len(loaded.documents)
    assert share >= _LEAST_UNCHANGED, f"{where}: the cleanup changes {1 - share:.0%} of the gold answers"
    writes = protocol.kind == "generate"
    answers = {
        (loaded.task.name, d.id): (_target(protocol, e) if writes else "", e.golds or e.gold) for d, e in answerable
    }
    engine = fake.oracle(answers)
    results = _run(replace(loaded, documents=answerable), engine, settings)
    for request in engine.asked:
        _check_request(request, where=f"{where}, document {request.doc_id}")
    _check_unconditional(loaded, engine.asked, where=where)
    for result in _own(results):
        perfect = _perfect(loaded.metrics[result.metric])
        assert math.isclose(result.value, perfect, abs_tol=1e-6), (
            f"{where}: an engine that knows every answer gets {result.metric} {result.value:.4f} "
            f"with {result.shots} shots, expected {perfect:g}"
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


def _check_unconditional(loaded: Loaded, requests: Sequence[Request], *, where: str) -> None:
    """Each option must also be scored after the answer context alone, with the same text."""
    context = loaded.protocol.answer_context
    options = {document.id: len(example.choices) for document, example in loaded.documents}
    alone = [request for request in requests if context and request.index >= options[request.doc_id]]
    strange = [request.doc_id for request in alone if request.context != context]
    assert not strange, f"{where}, document {strange[0]}: an option does not follow the answer context"
    assert len(alone) * 2 == len(requests) * bool(context), (
        f"{where}: not every option is asked after the answer context"
    )


def _check_silence(loaded: Loaded, settings: RunSettings, *, where: str) -> None:
    """An engine that generates nothing and finds everything equally likely must be scored like any other."""
    results = _run(loaded, fake.constant(""), settings)
    scores = {f"{r.source} {r.metric}": r.value for r in results}
    broken = [name for name, value in scores.items() if math.isnan(value)]
    assert not broken, f"{where}: no value for {', '.join(broken)} when nothing is answered"
    missing = {*loaded.metrics} - {result.metric for result in _own(results)}
    assert not missing, f"{where}: no result for {', '.join(sorted(missing))}"


def _check_guesses(loaded: Loaded, settings: RunSettings, *, where: str) -> None:
    """An engine that guesses must come within 4 standard errors of what the metric calls chance.

    Only for accuracies from unnormalised likelihoods: divided by lengths, guesses favour long or short options.
    """
    plain = [name for name, m in loaded.metrics.items() if isinstance(m, Accuracy) and m.per == "total"]
    chances = {n: [c for _, e in loaded.documents if (c := loaded.metrics[n].chance(e)) is not None] for n in plain}
    if not any(chances.values()):
        return
    for result in _own(_run(loaded, fake.random(), settings)):
        if not (expectations := chances.get(result.metric)):
            continue
        expected = sum(expectations) / len(expectations)
        error = math.sqrt(sum(c * (1 - c) for c in expectations)) / len(expectations)
        distance = abs(result.value / loaded.metrics[result.metric].scale - expected)
        assert distance <= 4 * error, (
            f"{where}: guesses get {result.metric} {result.value:.1f} with {result.shots} shots, but chance is "
            f"{expected:.1%}, standard error {error:.1%}"
        )


def _perfect(metric: metrics.Metric) -> float:
    """Return the value of a perfect answer, as shown in tables."""
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
