"""All fine-tunings of a command: units of a task, a number of examples and a seed, stored as an ordinary run.

The run folder holds what `evalkit run` writes (protocol "finetuned", shots: the number of training examples), and

    units.jsonl    a line per unit: learning rate, updates, tokens, seconds, losses
    rates.json     the metric of each candidate learning rate, if the rate was chosen
    checkpoints/   the fine-tuned models
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from evalkit import __version__, metrics
from evalkit.errors import StoreError, UsageError, check_whole
from evalkit.files import read_json, write_atomic
from evalkit.harness.aggregate import aggregate
from evalkit.harness.task import FINETUNED
from evalkit.model.gpt import GPT
from evalkit.runs.store import RunStore
from evalkit.tokenizer import Tokenizer
from evalkit.train.finetune import model as models
from evalkit.train.finetune import rates
from evalkit.train.finetune.data import TaskData
from evalkit.train.finetune.inputs import Encoded, texts
from evalkit.train.finetune.loop import FinetuneConfig, judge, train
from evalkit.train.finetune.model import FineTuned
from evalkit.types import Cell, Document, Example, Prompt, Record, Response, Result

Keep = Literal["full", "all", "none"]


@dataclass(frozen=True, kw_only=True)
class Base:
    """The model that is fine-tuned. label: its name in results. digest: of its content."""

    gpt: GPT
    tokenizer: Tokenizer
    label: str
    digest: str

    def named(self, config: FinetuneConfig) -> str:
        """Return the fine-tuned model's name, which says what was left out."""
        omissions = [
            *([] if config.pretrained else ["pre-training"]),
            *([] if config.auxiliary else ["auxiliary loss"]),
        ]
        return f"{self.label} fine-tuned" + (f" without {' and '.join(omissions)}" if omissions else "")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """shots: numbers of training examples, None for all. seeds: used with all examples; draws: number of seeds with K.

    rates: candidates to try per task on held-out training examples, the best of which replaces config's; empty: none.
    keep: which units' models are kept: those trained on the whole training set ("full"), "all" or "none".

    Raises UsageError for values that are not allowed.
    """

    config: FinetuneConfig = FinetuneConfig()
    shots: tuple[int | None, ...] = (None,)
    seeds: tuple[int, ...] = (0,)
    draws: int = 5
    limit: int | None = None
    limit_train: int | None = None
    rates: tuple[float, ...] = ()
    keep: Keep = "full"

    def __post_init__(self) -> None:
        if min((k for k in self.shots if k is not None), default=1) < 1:
            raise UsageError("--shots: expected numbers from 1 up, or all; for zero-shot use evalkit run")
        check_whole("--draws", self.draws)
        for rate in self.rates:
            replace(self.config, learning_rate=rate)  # an invalid rate is an error before the first unit has run
        if self.rates and self.shots != (None,):
            raise UsageError(
                "--learning-rate: choosing a rate holds out training examples, and K examples have none to spare; "
                "give one number with --shots K"
            )


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One fine-tuning; shots is None for the whole training set."""

    data: TaskData
    shots: int | None
    seed: int

    @property
    def cell(self) -> Cell:
        """Return what its records have in common."""
        count = len(self.data.training) if self.shots is None else self.shots
        return Cell(task=self.data.task.name, protocol=FINETUNED, shots=count, seed=self.seed)

    @property
    def name(self) -> str:
        """Return a name for folders and progress bars."""
        return f"{self.data.task.name}-{self.shots or 'all'}-seed{self.seed}"


def finetune(
    base: Base, tasks: Sequence[TaskData], settings: Settings, out: Path, *, training: Mapping[str, Any]
) -> list[Result]:
    """Run every unit that the folder does not hold yet, and aggregate the results.

    training: what is known about the base model's training, for reports. Raises StoreError for a folder that holds
    another run, UsageError for more shots than a task has training examples.
    """
    start_time = time.time()
    units = [unit for data in tasks for unit in _units(data, settings)]
    model_facts = training if settings.config.pretrained else {}
    with RunStore(out, describe(base, tasks, settings), training=model_facts) as store:
        store.check_plan({unit.cell: {document.id for document, _ in _pairs(unit)} for unit in units})
        for number, unit in enumerate(units, start=1):
            missing = {document.id for document, _ in _pairs(unit) if (unit.cell, document.id) not in store.done}
            if missing:
                label = f"{unit.name} ({number}/{len(units)})"
                done = _run_unit(base, unit, _config_of(base, unit.data, settings, out), settings, out, label=label)
                store.append(record for record in done if record.doc_id in missing)
        results = aggregate(store.done, store.settings)
        store.finish(results, {"started": round(start_time, 1), "seconds": round(time.time() - start_time, 2)})
    return results


def judge_again(
    model: FineTuned, data: TaskData, about: Mapping[str, Any], out: Path, *, limit: int | None = None
) -> list[Result]:
    """Score a stored model on its task, as a run of this unit alone. about: the content of its finetune.json.

    Raises StoreError for a folder that holds another run.
    """
    start_time = time.time()
    settings = {**about["settings"], "tasks": {data.task.name: _describe_task(data)}, "limit": limit}
    config = FinetuneConfig(dtype=settings["finetune"]["dtype"], device=str(model.tokens.weight.device))
    cell = Cell(task=data.task.name, protocol=FINETUNED, shots=int(about["shots"]), seed=int(about["seed"]))
    with RunStore(out, settings) as store:
        done = records(data, cell, judge(model, data.form, data.scored, config))
        store.append(record for record in done if record.key not in store.done)
        results = aggregate(store.done, store.settings)
        store.finish(results, {"started": round(start_time, 1), "seconds": round(time.time() - start_time, 2)})
    return results


def describe(base: Base, tasks: Sequence[TaskData], settings: Settings) -> dict[str, Any]:
    """Return the settings that decide every number: the manifest, which must match to resume."""
    config = asdict(settings.config)
    del config["device"]
    shape = base.gpt.config
    return {
        "evalkit": __version__,
        "model": {
            "model": base.named(settings.config),
            "hash": base.digest if settings.config.pretrained else "drawn",
            "dtype": settings.config.dtype,
            "parameters": str(shape.parameters),
            "block_parameters": str(shape.block_parameters),
            "base": base.label,
        },
        "tasks": {data.task.name: _describe_task(data) for data in tasks},
        "shots": ["all" if k is None else k for k in settings.shots],
        "seeds": list(settings.seeds),
        "draws": settings.draws,
        "limit": settings.limit,
        "limit_train": settings.limit_train,
        "finetune": config | ({"learning_rate": list(settings.rates)} if settings.rates else {}),
    }


def _describe_task(data: TaskData) -> dict[str, Any]:
    used = len(data.training)
    return {
        "version": data.task.version,
        "family": data.task.family,
        "protocol": FINETUNED,
        "metrics": list(data.form.metrics),
        "data": data.fingerprint,
        "documents": len(data.documents) + len(data.unlabelled),
        "training": used,
        "training_cut": sum(example.cut > 0 for example in data.training),
        **({"pool": f"{used} of {data.available}"} if used < data.available else {}),
    }


def _pairs(unit: Unit) -> Iterator[tuple[Document, Example]]:
    yield from (*unit.data.documents, *unit.data.unlabelled)


def _units(data: TaskData, settings: Settings) -> Iterator[Unit]:
    for shots in settings.shots:
        for seed in settings.seeds if shots is None else range(settings.draws):
            if shots is not None:
                data.draw(shots, seed=seed)  # too many shots are an error before the first unit has run
            yield Unit(data=data, shots=shots, seed=seed)


def _config_of(base: Base, data: TaskData, settings: Settings, out: Path) -> FinetuneConfig:
    """Return the config with the task's learning rate, which is chosen once and then read from rates.json."""
    if not settings.rates:
        return settings.config
    path = out / "rates.json"
    table = read_json(path, StoreError) if path.is_file() else {}
    if data.task.name not in table:
        metric_of_rate = rates.choose(base.gpt, data, settings.config, settings.rates, seed=settings.seeds[0])
        table[data.task.name] = {
            "chosen": rates.best(metric_of_rate),
            "held_out": {f"{r:g}": v for r, v in metric_of_rate.items()},
        }
        write_atomic(path, json.dumps(table, indent=1) + "\n")
    return replace(settings.config, learning_rate=float(table[data.task.name]["chosen"]))


def _run_unit(
    base: Base, unit: Unit, config: FinetuneConfig, settings: Settings, out: Path, *, label: str
) -> Iterator[Record]:
    """Fine-tune and score a unit; log its facts, and keep the model if the settings say so."""
    data = unit.data
    chosen: Sequence[Encoded] = data.training if unit.shots is None else data.draw(unit.shots, seed=unit.seed)
    model = models.build(
        base.gpt, data.head(chosen), seed=unit.seed, pretrained=config.pretrained, dropout=config.dropout,
        head_dropout=config.head_dropout,
    )  # fmt: skip
    trained = train(model, data.form, chosen, config, seed=unit.seed, label=label)
    answers = judge(model, data.form, data.scored, config)
    facts = {"task": data.task.name, "shots": unit.cell.shots, "seed": unit.seed, "rate": config.learning_rate}
    line = {**facts, **{k: round(v, 4) for k, v in asdict(trained).items()}}
    with (out / "units.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")
    if settings.keep == "all" or (settings.keep == "full" and unit.shots is None):
        about = {**facts, "settings": describe(base, [data], replace(settings, seeds=(unit.seed,))), "took": line}
        folder = out / "checkpoints" / unit.name
        models.save(model, base.tokenizer, folder, task=data.task.name, form=data.form, record=about)
    return records(data, unit.cell, answers)


def records(data: TaskData, cell: Cell, answers: Sequence[tuple[Response, ...]]) -> Iterator[Record]:
    """Yield a record per document; the baseline "majority" always answers the training set's most frequent class."""
    scoring = {name: metrics.get(name) for name in data.form.metrics}
    majority = data.majority
    for (document, example), encoded, responses in zip(data.documents, data.scored, answers, strict=True):
        prompt = Prompt(contexts=(_displayed(data, example),), cut=encoded.cut)
        if error := next((response.error for response in responses if response.error), ""):
            yield _failed(cell, document, error, prompt=prompt, responses=responses, gold=example.output)
            continue
        always = [Response(loglikelihood=-float(i != majority), tokens=1) for i in range(len(responses))]
        chances = {name: metric.chance(example) for name, metric in scoring.items()}
        yield Record(
            cell=cell,
            doc_id=document.id,
            cluster=document.cluster,
            level=document.level,
            prompt=prompt,
            continuations=example.choices,
            responses=responses,
            gold=example.output,
            prediction=_prediction(example, responses),
            scores={name: metric.statistics(example, responses) for name, metric in scoring.items()},
            baselines={}
            if majority is None
            else {"majority": {name: metric.statistics(example, always) for name, metric in scoring.items()}},
            chance={name: chance for name, chance in chances.items() if chance is not None},
        )
    for document, example in data.unlabelled:
        yield _failed(cell, document, example.error)


def _failed(
    cell: Cell,
    document: Document,
    error: str,
    *,
    prompt: Prompt | None = None,
    responses: tuple[Response, ...] = (),
    gold: str = "",
) -> Record:
    return Record(
        cell=cell, doc_id=document.id, cluster=document.cluster, level=document.level,
        prompt=prompt or Prompt(contexts=()), continuations=(), responses=responses, gold=gold,
        prediction="", scores={}, error=error,
    )  # fmt: skip


def _displayed(data: TaskData, example: Example) -> str:
    """Write an example's first sequence with the paper's "$" for the delimiter, without a choice's answer."""
    parts = texts(data.form, example)[0]
    return " $ ".join(parts[:1] if data.form.kind == "choice" else parts)


def _prediction(example: Example, responses: Sequence[Response]) -> str:
    if not example.choices:
        return responses[0].text
    return max(zip(responses, example.choices, strict=True), key=lambda pair: pair[0].loglikelihood)[1]
