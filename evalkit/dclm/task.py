"""The 22 tasks of CORE as tasks of the harness, each under two protocols: nanochat's, and one with exact boundaries."""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from evalkit.data.rows import choice_of, texts_of
from evalkit.data.sources import DataPaths
from evalkit.dclm.bundle import CORRECTED, PUBLISHED, BundleSource, Entry, entry
from evalkit.dclm.draws import ORDER, Draws
from evalkit.dclm.rules import BoundaryRules, NanochatRules
from evalkit.errors import DataError, LabelError, UsageError, unknown
from evalkit.harness import catalog
from evalkit.harness.load import tell_unlabelled
from evalkit.harness.loaded import ImportedTask, Loaded
from evalkit.harness.prompts import Pool
from evalkit.harness.settings import RunSettings
from evalkit.harness.task import Group, Protocol, protocol_of
from evalkit.metrics.values import MeanValue, Share, ValueMetric
from evalkit.types import Document, Example

Type = Literal["multiple_choice", "schema", "language_modeling"]

# The protocols, which are also the words of --tasks for all tasks under them.
CORE, FIXED = catalog.CORE_SUITES.values()

# The key of a task's entry in a run's manifest: its label, the number of documents in its file, its baselines by table.
NOTE = "core"

# A task's label in core.yaml -> its type and family (Li et al. 2024, appendix G).
TASKS: Mapping[str, tuple[Type, str]] = {
    "hellaswag_zeroshot": ("multiple_choice", "commonsense"),
    "jeopardy": ("language_modeling", "qa"),
    "bigbench_qa_wikidata": ("language_modeling", "qa"),
    "arc_easy": ("multiple_choice", "qa"),
    "arc_challenge": ("multiple_choice", "qa"),
    "copa": ("multiple_choice", "commonsense"),
    "commonsense_qa": ("multiple_choice", "commonsense"),
    "piqa": ("multiple_choice", "commonsense"),
    "openbook_qa": ("multiple_choice", "qa"),
    "lambada_openai": ("language_modeling", "lm"),
    "hellaswag": ("multiple_choice", "commonsense"),
    "winograd": ("schema", "commonsense"),
    "winogrande": ("schema", "commonsense"),
    "bigbench_dyck_languages": ("language_modeling", "synthetic"),
    "agi_eval_lsat_ar": ("multiple_choice", "reading"),
    "bigbench_cs_algorithms": ("language_modeling", "synthetic"),
    "bigbench_operators": ("language_modeling", "synthetic"),
    "bigbench_repeat_copy_logic": ("language_modeling", "synthetic"),
    "squad": ("language_modeling", "reading"),
    "coqa": ("language_modeling", "reading"),
    "boolq": ("multiple_choice", "reading"),
    "bigbench_language_identification": ("multiple_choice", "classification"),
}

# Metrics: accuracy, and (accuracy - baseline) / (1 - baseline) with each table's baselines.
CENTRED = {PUBLISHED: "centred", CORRECTED: "centred_corrected"}
_GROUP = Group(name="CORE", metrics=dict.fromkeys(CENTRED.values(), False), size=len(TASKS))

# The delimiter of core.yaml is split: its text belongs to the query, the space after it to what is scored.
_QUERIES: Mapping[Type, tuple[str, str]] = {
    "multiple_choice": ("{input}{delimiter}", "{gap}{choice}"),
    "schema": ("{choice}{delimiter}", "{gap}{continuation}"),
    "language_modeling": ("{input}{delimiter}", "{gap}{output}"),
}


def choose(word: str, *, trusted: bool = False) -> list[CoreTask]:
    """Return the tasks of "core" or "core-fixed", or those whose name (core_LABEL) a word or glob matches.

    trusted: not used, the bundle holds no code. Raises UsageError for a name that does not exist.
    """
    tasks = {f"{catalog.CORE}{label}": label for label in TASKS}
    names = list(tasks) if word in (CORE, FIXED) else fnmatch.filter(tasks, word)
    if not names:
        raise unknown("task", word, [CORE, FIXED, *tasks])
    return [_task(tasks[name]) for name in names]


@dataclass(frozen=True, kw_only=True)
class CoreTask(ImportedTask):
    """A task of CORE. label: its name in the bundle's core.yaml."""

    label: str

    def load(self, settings: RunSettings, data: DataPaths) -> Loaded:
        """Read the documents in nanochat's order; under its protocol shots come from the first ones up to a limit.

        Raises DataError, NoDataError and UsageError as harness.load.load does.
        """
        name, protocol = protocol_of(self, settings.protocol)
        bundled = entry(self.label, data)
        if bundled.kind != TASKS[self.label][0]:
            raise DataError(
                f"core.yaml: {self.label}: icl_task_type is {bundled.kind}, in CORE it is {TASKS[self.label][0]}"
            )
        rows = list(self.source.rows("test", data))
        if not rows:
            raise DataError(f"{bundled.path}: no documents")
        random.Random(ORDER).shuffle(rows)
        examples = [_example(row, bundled, index, exact=name == FIXED) for index, row in enumerate(rows)]
        tell_unlabelled(self.name, "test", [e.error for e in examples if e.error], total=len(examples))
        limited = examples[: settings.limit]
        draws = Draws(self.name, examples if name == FIXED else limited, distinct=name == FIXED)
        shots = (bundled.shots,) if settings.default_shots else settings.shots_of(protocol)
        if not shots:
            raise UsageError(f"--shots paper: leave --shots out for the {bundled.shots} shots of CORE's {self.label}")
        if any(shots):
            draws.check(max(shots))
        about = {"label": self.label, "documents": len(rows), "baselines": dict(bundled.baselines)}
        part = {"notes": {NOTE: about}} if shots == (bundled.shots,) else {"groups": ()}  # of CORE, or of no mean
        return Loaded(
            task=replace(self, **part), name=name, protocol=protocol,
            documents=[(Document(id=str(i), row=rows[i]), example) for i, example in enumerate(limited)],
            pool=Pool(self.name), data=self.source.fingerprint("test", data),
            rules=BoundaryRules(draws=draws) if name == FIXED else NanochatRules(draws=draws),
            metrics=metrics_of(bundled), shots=shots, wordings={"": protocol}, first=True,
            sampled=f"{len(draws.pool)} of {len(rows)}" if len(draws.pool) < len(rows) else "",
            empty=settings.empty_context or "begin",
        )  # fmt: skip


class Centred(MeanValue):
    """Accuracy moved and stretched so that a guess has 0 and a perfect score stays 1. baseline: of a guess, 0 to 1."""

    most = 1.0

    def __init__(self, name: str, *, baseline: float) -> None:
        super().__init__(name, scale=100.0)
        self.baseline = baseline
        [self.least] = self.of(0.0)

    def of(self, value: Any) -> tuple[float, ...]:
        """Return the centred value of 0 or 1, whose mean is the centred accuracy."""
        return ((float(value) - self.baseline) / (1 - self.baseline),)

    def chance(self, example: Example) -> float | None:
        """Return 0, what a guess has on average over the task."""
        return 0.0


def metrics_of(bundled: Entry) -> dict[str, ValueMetric]:
    """Make a task's metrics: accuracy, and the one centred by each table of baselines that the bundle has."""
    metrics: dict[str, ValueMetric] = {"acc": Share("acc", scale=100.0)}
    for table, baseline in bundled.baselines.items():
        metrics[CENTRED[table]] = Centred(CENTRED[table], baseline=baseline)
    return metrics


def _task(label: str) -> CoreTask:
    kind, family = TASKS[label]
    query, target = _QUERIES[kind]
    protocol = Protocol(
        kind="loglikelihood" if kind == "language_modeling" else "choice",
        query=query, target=target, metrics=("acc", *CENTRED.values()), cleanup=str,
    )  # fmt: skip
    source = BundleSource(label=label)
    return CoreTask(
        name=f"{catalog.CORE}{label}", family=family, title=f"{label} of CORE", source=source,
        to_example=_no_example, protocols={CORE: protocol, FIXED: protocol}, groups=(_GROUP,), label=label,
    )  # fmt: skip


def _no_example(document: Document) -> Example:
    """Stand in for Task.to_example: an example depends on the protocol and on the bundle's settings."""
    raise AssertionError("a task of CORE makes its examples when it is loaded")


def _example(row: Mapping[str, Any], bundled: Entry, index: int, *, exact: bool) -> Example:
    """Make a document's example. exact: texts lose the space around them; nanochat trims only texts to continue."""
    try:
        return _read(row, bundled, exact=exact)
    except LabelError as error:
        return Example.failed(f"{bundled.path.name}, document {index}: {error}")
    except (LookupError, TypeError) as error:
        kind = type(error).__name__
        raise DataError(f"{bundled.path}: a document is not as expected ({kind}: {error}): {row!r:.80}") from None


def _read(row: Mapping[str, Any], bundled: Entry, *, exact: bool) -> Example:
    def text(value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{value!r:.40} is {type(value).__name__}, not text")
        return value.strip() if exact else value

    delimiter = bundled.delimiter.rstrip()
    parts = {"delimiter": delimiter, "gap": bundled.delimiter[len(delimiter) :]}
    if bundled.kind == "language_modeling":
        answer = text(row["continuation"])
        return Example(task=bundled.label, input=text(row["context"]).strip(), output=answer, parts=parts)
    if bundled.kind == "schema":
        query, options = "", texts_of(row["context_options"], "context_options")
        parts["continuation"] = text(row["continuation"])
    else:
        query, options = text(row["query"]), texts_of(row["choices"], "choices")
    choices = tuple(map(text, options))
    gold = choice_of(row["gold"], choices)
    return Example(
        task=bundled.label, input=query, output=choices[gold], parts=parts, choices=choices, gold=gold
    )  # fmt: skip
