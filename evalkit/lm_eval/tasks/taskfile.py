"""A task file, checked key by key. Functions are FunctionRef until the user trusts them (functions.py)."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from evalkit.errors import DataError
from evalkit.lm_eval.tasks import filters
from evalkit.lm_eval.tasks.keys import Keys, is_code
from evalkit.lm_eval.tasks.metriclist import MetricEntry, default_metrics, metric_entries
from evalkit.types import Decoding

OUTPUT_TYPES = ("generate_until", "multiple_choice", "loglikelihood", "loglikelihood_rolling")
SAMPLERS = ("default", "first_n")

# Keys read under another name, and keys that change no number: names of groups, notes, decontamination.
_READ = {"generation_kwargs", "filter_list", "metric_list", "fewshot_config", "fewshot_split"}
_IGNORED = {
    "group", "tag", "task_list", "task_alias", "metadata", "should_decontaminate", "doc_to_decontamination_query",
}  # fmt: skip

# Keys that evalkit does not support.
_REFUSED = {
    "class": "the task is a Python class of lm-evaluation-harness, not a file",
    "use_prompt": "it takes its prompt from promptsource",
    "doc_to_image": "its documents have images",
    "doc_to_audio": "its documents have sound",
}

_SPLITS = ("training_split", "validation_split", "test_split")
_DOC_TO = ("doc_to_text", "doc_to_target", "doc_to_choice")
_DELIMITERS = {"target_delimiter": " ", "fewshot_delimiter": "\n\n"}

# Keys of `fewshot_config`; without them a shot is written like the task itself.
_OF_SHOTS = ("process_docs", "gen_prefix", *_DOC_TO, *_DELIMITERS)
_FEWSHOT_KEYS = ("sampler", "split", "samples", "fewshot_indices", *_OF_SHOTS)

# Defaults of lm-evaluation-harness (tokens generated) and of transformers (top_k when sampling).
_MOST_TOKENS, _TOP_K = 256, 50
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")


@dataclass(frozen=True, kw_only=True)
class Shots:
    """`fewshot_config`: where shots come from, and how they are written if differently from the task.

    samples: fixed shots in the file, or a function that returns them; used only if no split is named.
    """

    sampler: str = "default"
    split: str | None = None
    samples: Any = None
    process_docs: Any = None
    doc_to_text: Any = None
    doc_to_target: Any = None
    doc_to_choice: Any = None
    gen_prefix: str | None = None
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"


@dataclass(frozen=True, kw_only=True)
class TaskFile:
    """A task file after its includes. The names of the fields are its keys; see lm-evaluation-harness's task guide.

    doc_to_text, doc_to_target, doc_to_choice: a column, a template, a function, or (by key) a number, list or mapping.
    filters: name -> steps. metrics: of `metric_list`, else those of the output type. config: all keys as they are.
    """

    path: Path
    task: str
    output_type: str = "generate_until"
    dataset_path: str | None = None
    dataset_name: str | None = None
    dataset_kwargs: Mapping[str, Any]
    custom_dataset: Any = None
    training_split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    process_docs: Any = None
    doc_to_text: Any = None
    doc_to_target: Any = None
    doc_to_choice: Any = None
    process_results: Any = None
    description: str = ""
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"
    gen_prefix: str | None = None
    num_fewshot: int | None = None
    decoding: Decoding = Decoding()
    repeats: int = 1
    unsafe_code: bool = False
    shots: Shots = Shots()
    filters: Mapping[str, Sequence[filters.Step]]
    metrics: Sequence[MetricEntry]
    config: Mapping[str, Any]

    @property
    def scored_split(self) -> str | None:
        """The split whose documents are scored: the test split, otherwise the validation split."""
        return self.test_split if self.test_split is not None else self.validation_split

    @property
    def pool_split(self) -> str | None:
        """The split for shots if the file names none: the first defined of training, validation and test."""
        return next((s for s in (self.training_split, self.validation_split, self.test_split) if s is not None), None)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Notes of the file: its version, arguments of a custom dataset."""
        metadata = self.config.get("metadata")
        return metadata if isinstance(metadata, Mapping) else {}


def parse(config: Mapping[str, Any], path: Path, *, quiet: bool = False) -> TaskFile:
    """Check a file's keys.

    Raises DataError naming file and key. An unknown key has no effect, and is reported unless quiet.
    """
    keys = Keys(path, config)
    output_type = keys.choice("output_type", OUTPUT_TYPES, default="generate_until")
    _check_keys(keys, output_type)
    if not quiet:
        _warn(keys)
    process_results = keys.function("process_results")
    own_scores = process_results is not None
    metrics = metric_entries(config.get("metric_list"), path, output_type=output_type, own_scores=own_scores)
    fields_: dict[str, Any] = {key: keys.text(key) for key in _SPLITS}
    fields_ |= {key: keys.field(key) for key in _DOC_TO} | _delimiters(keys, _DELIMITERS)
    file = TaskFile(
        path=path,
        task=keys.text("task") or "",
        output_type=output_type,
        dataset_path=keys.text("dataset_path"),
        dataset_name=keys.text("dataset_name"),
        dataset_kwargs=keys.mapping("dataset_kwargs"),
        custom_dataset=keys.function("custom_dataset"),
        process_docs=keys.function("process_docs"),
        process_results=process_results,
        description=keys.template("description") or "",
        gen_prefix=keys.template("gen_prefix"),
        num_fewshot=keys.whole("num_fewshot", least=0),
        repeats=keys.whole("repeats", least=1) or 1,
        unsafe_code=bool(config.get("unsafe_code")),
        filters=filters.parse(config.get("filter_list"), path),
        metrics=metrics or default_metrics(output_type),
        config=config,
        **fields_,
    )
    if file.scored_split is None:
        raise DataError(f"{path}: test_split and validation_split are both missing; nothing would be scored")
    decoding = Decoding()
    if output_type == "generate_until":
        generation_keys = Keys(path, keys.mapping("generation_kwargs"), "generation_kwargs.")
        decoding = decoding_of(generation_keys, until=[file.fewshot_delimiter])
    return replace(file, shots=_shots(keys, file), decoding=decoding)


def _check_keys(keys: Keys, output_type: str) -> None:
    """Raise DataError for unsupported and for missing keys."""
    for key, reason in _REFUSED.items():
        if keys.values.get(key):
            raise DataError(f"{keys.path}: {key}: not supported ({reason})")
    needed = ["task", "doc_to_text", "doc_to_target"]
    needed += ["doc_to_choice"] if output_type == "multiple_choice" else []
    needed += ["dataset_path"] if keys.values.get("custom_dataset") is None else []
    for key in needed:
        if keys.values.get(key) is None:
            raise DataError(f"{keys.path}: {key} is missing; a task with output_type {output_type} needs it")


def _warn(keys: Keys) -> None:
    """Report unknown keys on standard error."""
    allowed = {field.name for field in fields(TaskFile)} | _READ | _IGNORED | _REFUSED.keys()
    for key in sorted(keys.values.keys() - allowed):
        print(f"{keys.path}: {key} is not known and has no effect", file=sys.stderr)


def _delimiters(keys: Keys, defaults: Mapping[str, str]) -> dict[str, str]:
    """Read the delimiters, which may be empty."""
    values = {key: keys.text(key) for key in defaults}
    return {key: defaults[key] if value is None else value for key, value in values.items()}


def _shots(keys: Keys, file: TaskFile) -> Shots:
    """Read fewshot_config; keys that it lacks are those of the task."""
    config = keys.mapping("fewshot_config")
    inner = Keys(keys.path, config, "fewshot_config.")
    for key in config:
        if key not in _FEWSHOT_KEYS:
            raise DataError(f"{keys.path}: fewshot_config.{key} is not known (allowed: {', '.join(_FEWSHOT_KEYS)})")
    samples = config.get("samples")
    fixed = isinstance(samples, list) and all(isinstance(row, dict) for row in samples)
    if not (samples is None or fixed or is_code(samples)):
        raise inner.wrong("samples", "a list of documents, or a function")
    defaults = {key: getattr(file, key) for key in _OF_SHOTS}
    values = {
        "process_docs": inner.function("process_docs"),
        "gen_prefix": inner.template("gen_prefix"),
        **{key: inner.field(key) for key in _DOC_TO},
        **_delimiters(inner, {key: defaults[key] for key in _DELIMITERS}),
    }
    return Shots(
        sampler=inner.choice("sampler", SAMPLERS, default="default"),
        split=inner.text("split") if "split" in config else keys.text("fewshot_split"),
        samples=samples,
        **{key: values[key] if key in config else value for key, value in defaults.items()},
    )


def decoding_of(inner: Keys, *, until: list[str]) -> Decoding:
    """Turn generation_kwargs into a Decoding, greedy by default. until: the stops if they name none."""
    values = inner.values
    until = values.get("until", until)
    stops = [until] if isinstance(until, str) else [] if until is None else until
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise inner.wrong("until", "texts")
    lengths = [length for key in LENGTHS if (length := inner.whole(key, least=1)) is not None]
    temperature = inner.real("temperature", default=0.0)
    greedy = Decoding(until=tuple(filter(None, stops)), max_tokens=lengths[0] if lengths else _MOST_TOKENS)
    sampling = values.get("do_sample")
    if not (temperature > 0 if sampling is None else sampling):
        return greedy
    top_k = inner.whole("top_k", least=0)
    return replace(
        greedy,
        top_k=_TOP_K if top_k is None else top_k,
        top_p=inner.real("top_p", default=1.0),
        temperature=temperature or 1.0,
    )
