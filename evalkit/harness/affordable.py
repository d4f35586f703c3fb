"""The documents that can be scored within a time: as many of each task as tell most.

The work of a document is measured on the first documents of each task; the rest follows from that. What is chosen is a
number of documents per task, the first ones of its fixed pseudo-random order, so a number is all that has to be kept
for every later evaluation to score the same documents.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping

from evalkit.engine.base import Engine, ask
from evalkit.errors import UsageError
from evalkit.harness.failures import ends_all, explain
from evalkit.harness.loaded import Loaded
from evalkit.harness.prompt_cache import PromptCache
from evalkit.harness.run import UNIT_TOKENS, cells
from evalkit.harness.settings import RunSettings
from evalkit.harness.taskset import TaskSet
from evalkit.harness.units import Unit, units
from evalkit.stats.bisection import crossing

log = logging.getLogger(__name__)

# Documents of a task that are always scored: fewer have no interval.
_LEAST = 5
# Documents of the first measurement; the next ones have twice as many, until one takes long enough to be trusted.
_FIRST = 4
# The share of the time that the measurements of all tasks may take before they stop doubling.
_MEASURED = 0.1
# The share of the time that is planned: the rest is for storing and aggregating, and for measuring errors.
_PLANNED = 0.85


def within(engine: Engine, tasks: TaskSet, *, seconds: float, spent: float = 0.0) -> TaskSet:
    """Return the tasks with as many documents as the engine scores within a time, or a little more than that.

    spent: seconds of each evaluation that do not depend on the documents. The number of documents of a task is
    proportional to 1 / sqrt(seconds per document), which makes the sum of squared errors smallest.

    Raises UsageError for a time that is not above 0.
    """
    check_seconds(seconds)
    prompts, enough = tasks.prompts or PromptCache(limit=0), seconds * _MEASURED / len(tasks.loaded)
    rates = {}
    for loaded in tasks.loaded:
        try:
            rate = _seconds_per_document(engine, loaded, tasks.settings, prompts=prompts, enough=enough)
        except Exception as error:
            failure = explain(error, loaded.task.name)
            if ends_all(failure):
                raise failure from error
            rate = 0.0  # the evaluation will fail in the same way, and says so
        rates[loaded.task.name] = rate
    sizes = {loaded.task.name: len(loaded.documents) for loaded in tasks.loaded}
    chosen = share(rates, sizes, seconds=seconds * _PLANNED - spent)
    if (needed := spent + _total(rates, chosen) / _PLANNED) > seconds * 1.05:
        log.warning(
            "seconds=%g is not enough: even %d documents of each task take about %.1f s", seconds, _LEAST, needed
        )
    return tasks.limited(chosen, seconds=seconds)


def check_seconds(seconds: float) -> None:
    """Raise UsageError for a time that is not above 0."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise UsageError(f"seconds must be a number above 0, not {seconds!r}")


def share(rates: Mapping[str, float], sizes: Mapping[str, int], *, seconds: float) -> dict[str, int]:
    """Return how many documents of each task to score. rates: seconds per document. sizes: documents there are."""

    def chosen(scale: float) -> dict[str, int]:
        wanted = {name: int(scale / math.sqrt(max(rate, 1e-9))) for name, rate in rates.items()}
        return {name: min(sizes[name], max(_LEAST, number)) for name, number in wanted.items()}

    most = max((sizes[name] + 1) * math.sqrt(max(rate, 1e-9)) for name, rate in rates.items())
    if _total(rates, chosen(most)) <= seconds:
        return chosen(most)
    scale = crossing(lambda s: _total(rates, chosen(s)) <= seconds, 0.0, most, steps=40)
    return chosen(scale)


def _total(rates: Mapping[str, float], chosen: Mapping[str, int]) -> float:
    return sum(rates[name] * number for name, number in chosen.items())


def _seconds_per_document(
    engine: Engine, loaded: Loaded, settings: RunSettings, *, prompts: PromptCache, enough: float
) -> float:
    """Measure the seconds that a document takes in all its cells, when its prompts are built already.

    enough: seconds from which a measurement is trusted.
    """
    count = min(_FIRST, len(loaded.documents))
    _measure(engine, loaded, settings, count=count, prompts=prompts)  # the first pass of a network is slow
    while True:
        taken = _measure(engine, loaded, settings, count=count, prompts=prompts)
        if taken >= enough or count == len(loaded.documents):
            return taken / count
        count = min(2 * count, len(loaded.documents))


def _measure(engine: Engine, loaded: Loaded, settings: RunSettings, *, count: int, prompts: PromptCache) -> float:
    by_cell = [prompts.build(engine, loaded, cell, loaded.documents[:count]) for cell in cells(loaded, settings)]
    sound = [[item for item in items if not item.fitted.error] for items in by_cell]
    for item in sound[0]:
        item.score_baselines()  # once in all evaluations
    began = time.monotonic()
    for items in sound:
        for unit in map(Unit, units(items, tokens=UNIT_TOKENS)):
            for position, response in ask(engine, unit.requests[0].kind, unit.requests):
                unit.take(position, response)
    return time.monotonic() - began
