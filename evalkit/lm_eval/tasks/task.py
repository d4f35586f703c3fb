"""A task file as a Task, and its data as Loaded: run as any other task, with its own prompts and scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from evalkit.data.sources import DataPaths
from evalkit.engine.base import TextEncoder
from evalkit.errors import DataError, LabelError, PromptError, PromptTooLongError, UsageError
from evalkit.files import digest
from evalkit.harness.load import tell_unlabelled
from evalkit.harness.loaded import ImportedTask, Judgement, Loaded
from evalkit.harness.prompts import Fitted, Pool
from evalkit.harness.requests import Encoded, Pairs, encode_all
from evalkit.harness.settings import RunSettings
from evalkit.harness.spool import Pair
from evalkit.harness.task import LM_EVAL, Group, Kind, Protocol, Task, protocol_of
from evalkit.lm_eval.tasks import data as filedata
from evalkit.lm_eval.tasks import functions
from evalkit.lm_eval.tasks.draws import Draws
from evalkit.lm_eval.tasks.fields import Fields, columns_of, places
from evalkit.lm_eval.tasks.prompts import Prompts
from evalkit.lm_eval.tasks.scores import Scores, metric_name, plain_text
from evalkit.lm_eval.tasks.taskfile import TaskFile
from evalkit.metrics.values import SHARES, MeanValue, ValueMetric, make
from evalkit.types import Cell, Document, Example, Response

_KINDS: Mapping[str, Kind] = {
    "multiple_choice": "choice",
    "loglikelihood": "loglikelihood",
    "loglikelihood_rolling": "rolling",
    "generate_until": "generate",
}


@dataclass(frozen=True, kw_only=True)
class FileTask(ImportedTask):
    """A task file. config: a digest of the file as written."""

    file: TaskFile
    config: str

    def load(self, settings: RunSettings, data: DataPaths) -> Loaded:
        """Read the first documents up to the limit, and the pool of shots where there are any.

        Raises DataError, NoDataError and UsageError as harness.load.load does.
        """
        file = self.file
        name, protocol = protocol_of(self, settings.protocol)
        shots = _counts(file, settings, protocol)
        if not shots:
            raise UsageError(f"--shots paper: {file.path} has no num_fewshot; give a number")
        tables = filedata.Tables(file, data)
        rows = tables.scored
        if not len(rows):
            raise DataError(f"{file.path}: its split {file.scored_split!r} holds no documents")
        fields = Fields(file, frozenset(getattr(rows, "column_names", None) or columns_of(rows)))
        first = filedata.first_rows(rows, settings.limit or len(rows), path=file.path)
        fields.renderer.follow(first)
        prompts = Prompts.of(file, fields, first)
        scores = Scores(file, prompts)
        hashes = [self.config, filedata.fingerprint(rows, whole=True, path=file.path)]
        pool: Sequence[Mapping[str, Any]] = ()
        if any(shots):
            pool = tables.pool
            hashes.append(filedata.fingerprint(pool, whole=False, path=file.path))
        documents = [(document, _example(document, prompts, scores)) for document in map(_document, count(), first)]
        tell_unlabelled(str(file.path), "test", [e.error for _, e in documents if e.error], total=len(documents))
        choosing = file.output_type == "multiple_choice" and file.process_results is None
        classes = max(len(example.choices) for _, example in documents) if choosing else None
        # lm-eval counts None == None as the same split.
        pool_is_scored = file.shots.split == file.test_split
        draws = Draws(file.task, file.shots.sampler, pool, first, own=pool_is_scored, solved=prompts.solved)
        return Loaded(
            task=self, name=name, protocol=protocol, documents=documents, pool=Pool(self.name),
            data=digest("".join(hashes)), rules=FileRules(file=file, prompts=prompts, draws=draws, scores=scores),
            metrics=metrics_of(file, classes=classes), shots=shots, wordings={"": protocol}, first=True,
            empty=settings.empty_context_of(name),
        )  # fmt: skip


def as_task(raw: TaskFile, file: TaskFile, *, groups: tuple[Group, ...] = ()) -> Task:
    """Make a task from a file. raw: the file as written; file: the same with its functions loaded, which runs."""
    metrics = metrics_of(file)
    protocol = Protocol(
        kind=_KINDS[file.output_type],
        query="",
        target=file.target_delimiter.replace("{", "{{").replace("}", "}}") + "{output}",
        metrics=tuple(metrics),
        decoding=file.decoding,
        cleanup=str,
        paper_shots=file.num_fewshot,
    )
    return FileTask(
        name=file.task,
        family="lm" if file.output_type == "loglikelihood_rolling" else "imported",
        title=f"{file.path.name} of lm-evaluation-harness",
        source=filedata.FileSource(file),
        to_example=partial(_no_example, file),
        protocols={LM_EVAL: protocol},
        file=file,
        config=filedata.config_digest(raw),
        groups=groups,
        notes={
            "lm_eval": {"config": functions.plain(raw.config), "filters": list(file.filters), "repeats": file.repeats}
        },
        version=_version(file),
    )


def metrics_of(file: TaskFile, *, classes: int | None = None) -> dict[str, ValueMetric]:
    """Make a file's metrics, by their names in results. classes: the largest number of options, if known."""
    own_code = file.process_results is not None
    metrics = {}
    for filter_name in file.filters:
        for entry in file.metrics:
            name = metric_name(entry.name, filter_name)
            share = not own_code and entry.metric in SHARES
            metrics[name] = make(
                name, aggregation=entry.aggregation, higher_is_better=entry.higher_is_better, share=share,
                classes=classes,
            )  # fmt: skip
            if entry.metric == "exact_match" and file.output_type == "generate_until" and not own_code:
                metrics[name].normalizer = partial(plain_text, **entry.options)
    return metrics


def _version(file: TaskFile) -> int:
    """Read the version in the file's metadata; 1 if there is none, or it is not a number."""
    try:
        return int(float(file.metadata.get("version", 1)))
    except (TypeError, ValueError):
        return 1


def _no_example(file: TaskFile, document: Document) -> Example:
    """Stand in for Task.to_example: reading a document needs the whole dataset (its columns)."""
    raise AssertionError(f"{file.task}: an imported task makes its examples when it is loaded")


@dataclass(frozen=True, kw_only=True)
class FileRules:
    """Prompts, draws of shots, truncation and scores of a task file, as in lm-evaluation-harness."""

    file: TaskFile
    prompts: Prompts
    draws: Draws
    scores: Scores
    written: dict[int, str] = field(default_factory=dict)

    def texts(self, loaded: Loaded, document: Document, example: Example, cell: Cell) -> list[tuple[str, str]]:
        """Return (context, continuation) of each request; sampled ones are repeated as the file says."""
        try:
            requests = self.prompts.requests(document.row, self._shots(document, cell))
        except DataError as error:
            raise DataError(f"{error} (document {document.id})") from None
        return [
            pair for pair in requests for _ in range(self.file.repeats if loaded.protocol.decoding.top_k != 1 else 1)
        ]

    def fit(
        self, loaded: Loaded, documents: Sequence[Pair], cell: Cell, *, encoder: TextEncoder, context: int
    ) -> list[Fitted]:
        """Truncate long prompts from the left, token by token, as lm-eval does: the description goes first."""
        fitted = []
        prompts = [self.texts(loaded, document, example, cell) for document, example in documents]
        for texts, encoded in encode_all(prompts, encoder):
            try:
                if isinstance(encoded, PromptError):
                    raise encoded
                fitted.append(_fitted(loaded.protocol, texts, encoded, cell, encoder=encoder, context=context))
            except PromptError as error:
                fitted.append(Fitted.failed(str(error)))
        return fitted

    def answer(self, loaded: Loaded, example: Example, responses: Sequence[Response]) -> str:
        """Return a document's answer in words; a choice as the file's first metric of choices selects it."""
        if loaded.protocol.kind != "choice":
            return responses[0].text
        return example.choices[self.scores.chosen(example.choices, responses)]

    def judge(self, loaded: Loaded, document: Document, example: Example, responses: Sequence[Response]) -> Judgement:
        """Score a document's responses by the file's process_results, or by lm-eval's rules without one."""
        statistics: dict[str, Sequence[float]] = {}
        values: dict[str, Any] = {}
        for name, value in self.scores.values(document.row, responses).items():
            metric = loaded.metrics.get(name) or MeanValue(name)
            assert isinstance(metric, ValueMetric), "an imported task has metrics of values"
            try:
                statistics[name] = metric.of(value)
                if not statistics[name]:
                    values[name] = json.loads(json.dumps(value, default=_json))
            except (TypeError, ValueError, IndexError) as error:
                where = f"{self.file.path}: metric {name} of document {document.id}"
                raise DataError(f"{where}: no value to aggregate ({error}): {value!r}") from None
        return Judgement(statistics, values)

    def _shots(self, document: Document, cell: Cell) -> list[str]:
        places = self.draws.draw(int(document.id), count=cell.shots, seed=cell.seed)
        for place in places:
            if place not in self.written:
                self.written[place] = self.prompts.shot(self.draws.pool[place])
        return [self.written[place] for place in places]


def _fitted(
    protocol: Protocol, texts: Pairs, encoded: Sequence[Encoded], cell: Cell, *, encoder: TextEncoder, context: int
) -> Fitted:
    generating = protocol.kind == "generate"
    room = context - (protocol.decoding.max_tokens if generating else 0)
    if protocol.kind != "rolling":
        short = [_cut(request, room) for request in encoded]
        cut_tokens = max(len(request.context) - len(cut.context) for request, cut in zip(encoded, short, strict=True))
        longest = max(texts, key=lambda pair: len(pair[0]))[0]
        characters = encoder.offsets(longest)[cut_tokens][0] if cut_tokens else 0
    else:
        short, characters = list(encoded), 0
    return Fitted.of(texts, short, shots=cell.shots, cut=characters)


def _json(value: Any) -> Any:
    """Turn numpy's numbers and arrays, and sets, into JSON's types."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} cannot be stored")


def _cut(encoded: Encoded, room: int) -> Encoded:
    """Keep the last tokens of a context; the last scored token is not an input. Raises PromptTooLongError."""
    length = room - max(len(encoded.continuation) - 1, 0)
    if length < 1:
        needed = f"{len(encoded.continuation)} tokens to score" if encoded.continuation else "the text to be generated"
        raise PromptTooLongError(f"the context has no room for a prompt besides {needed} ({room} tokens are left)")
    return replace(encoded, context=encoded.context[-length:])


def _counts(file: TaskFile, settings: RunSettings, protocol: Protocol) -> tuple[int, ...]:
    """Return the numbers of shots: the file's unless the user names others; 0 in the file always wins."""
    if file.num_fewshot == 0 or file.output_type == "loglikelihood_rolling":
        return (0,)
    if settings.default_shots and file.num_fewshot is not None:
        return (file.num_fewshot,)
    return settings.shots_of(protocol)


def _document(place: int, row: Mapping[str, Any]) -> Document:
    return Document(id=str(place), row=row)


def _example(document: Document, prompts: Prompts, scores: Scores) -> Example:
    """Make a document's example, for display and for chance; prompts are built from its row."""
    try:
        return _read_example(document.row, prompts, scores)
    except LabelError as error:
        return Example.failed(f"row {int(document.id) + 1} of its {prompts.file.scored_split} split: {error}")
    except DataError as error:
        raise DataError(f"{error} (document {document.id})") from None


def _read_example(row: Mapping[str, Any], prompts: Prompts, scores: Scores) -> Example:
    file, fields = prompts.file, prompts.fields
    if file.output_type == "multiple_choice":
        choices = fields.choices(row)
        golds = _golds(row, choices, scores)
        answer = choices[golds[0]] if golds else ""
        question = "" if prompts.several_inputs else str(fields.text(row))
        return Example(
            task=file.task, input=question, output=answer, choices=tuple(choices),
            gold=golds[0] if len(golds) == 1 else None, golds=golds if len(golds) > 1 else (),
        )  # fmt: skip
    answers = _answers(row, prompts)
    if file.output_type == "loglikelihood_rolling":
        return Example(task=file.task, input=answers[0], output="")
    return Example(task=file.task, input=str(fields.text(row)), output=(*answers, "")[0], references=answers)


def _golds(row: Mapping[str, Any], choices: Sequence[str], scores: Scores) -> tuple[int, ...]:
    """Return the right choices; none where only the file's own code can tell. Raises LabelError."""
    try:
        return tuple(scores.golds(row, choices))
    except LabelError:
        if scores.file.process_results is None:
            raise
        return ()


def _answers(row: Mapping[str, Any], prompts: Prompts) -> tuple[str, ...]:
    """Return the accepted answers. Raises LabelError where there is none: null would become the text "None"."""
    target, file = prompts.fields.target(row), prompts.file
    answers = target if isinstance(target, list) else [target]
    if file.process_results is None:
        if not answers or any(answer is None or answer != answer for answer in answers):
            raise LabelError(f"doc_to_target is not an answer but {'null' if target is None else repr(target)[:60]}")
        if file.doc_to_choice is not None and file.output_type == "generate_until":
            choices = prompts.fields.choices(row)
            answers = [choices[place] for place in places(target, choices)]
    return tuple(map(str, answers))
