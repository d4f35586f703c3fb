"""A run as Every Eval Ever's records: for each task or group an aggregate file, and its samples beside it.

    data/TASK/DEVELOPER/MODEL/UUID.json
    data/TASK/DEVELOPER/MODEL/UUID_samples.jsonl

Names, ids and times come from the run alone, so that the same run gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import StoreError, UsageError, unknown
from evalkit.files import digest, make_folder, replacing, write_atomic
from evalkit.interchange.every_eval_ever import samples
from evalkit.interchange.every_eval_ever.aggregate import Aggregates, entry, texts
from evalkit.model.config import HUB
from evalkit.runs.journal import open_lines
from evalkit.runs.record_lines import digest_of_records, record_at
from evalkit.runs.scores import Scores
from evalkit.runs.stored import StoredRun, open_run, run_digest
from evalkit.types import Cell, Record, Result

SCHEMA = "0.3.0"
RELATIONSHIPS = ("first_party", "third_party", "collaborative", "other")
# What their validator refuses as a component of a path; a slash would make two of one.
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{name}{i}" for name in ("COM", "LPT") for i in range(1, 10))}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Who stands behind the numbers. developer: of the model, where its name has no owner. organization: who ran it.

    relationship: of that organization to the model, one of RELATIONSHIPS. Raises UsageError for any other, and for an
    empty or unknown name.
    """

    developer: str = "local"
    organization: str = "unaffiliated"
    relationship: str = "other"

    def __post_init__(self) -> None:
        if self.relationship not in RELATIONSHIPS:
            raise unknown("relationship", self.relationship, RELATIONSHIPS)
        for name, value in (("developer", self.developer), ("organization", self.organization)):
            if not value.strip() or value.strip().lower() == "unknown":
                raise UsageError(f"--{name} {value!r}: Every Eval Ever requires a name")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written. left_out: results without a finite value, which their schema has no place for."""

    folder: Path
    files: Sequence[Path]
    left_out: int


def export(run: Path, out: Path, *, origin: Origin | None = None) -> Exported:
    """Write a finished run's records under OUT/data.

    Raises StoreError for a run that is unfinished or broken, or estimates, and for a folder that cannot be written.
    """
    stored = open_run(run)
    stored.check_whole("an export")
    if not (stored.settings.get("model") and stored.settings.get("evalkit")):
        raise StoreError(f"{run}: does not say which model ran, and by which evalkit")
    exporter = _Exporter(stored, out, origin or Origin())
    rows: dict[str, list[Result]] = {}
    left_out = 0
    for result in stored.results:
        if math.isnan(result.value):
            left_out += 1
        else:
            rows.setdefault(result.task, []).append(result)
    files = [path for task, its in rows.items() for path in exporter.write(task, its)]
    return Exported(folder=out / "data", files=files, left_out=left_out)


@dataclass
class _Exporter:
    """Writes the files of one run."""

    run: StoredRun
    out: Path
    origin: Origin
    scores: Scores = field(init=False)
    records: str = field(init=False)

    def __post_init__(self) -> None:
        self.scores = self.run.scores()
        self.records = digest_of_records(self.run.folder)
        self.about = self.run.settings["model"]
        self.model = model_id(str(self.about["model"]), self.origin.developer)
        timing = self.run.timing
        self.started = str(int(timing.get("started", 0)))
        self.ended = str(int(timing.get("started", 0) + timing.get("seconds", 0)))

    def write(self, task: str, rows: Sequence[Result]) -> Iterator[Path]:
        """Write a task's or group's files; yield their paths."""
        aggregates = Aggregates(self.run, self.scores, task)
        results = [entry(row, aggregates, rows, timestamp=self.started) for row in rows if row.source == "model"]
        if not results:
            return
        named = digest(f"{run_digest(self.run.settings)} {self.records} {task} {self.model}", length=32)
        name = str(uuid.UUID(hex=named, version=4))
        owner, _, model = self.model.partition("/")
        place = Path("data", component(task), component(owner), component(model))
        folder = make_folder(self.out / place)
        evaluation = f"{task}/{self.model}/{self.ended}"
        detail = self._write_samples(folder / f"{name}_samples.jsonl", task, evaluation)
        if detail:
            detail["file_path"] = (place / f"{name}_samples.jsonl").as_posix()
            yield folder / f"{name}_samples.jsonl"
        body = {
            "schema_version": SCHEMA,
            "evaluation_id": evaluation,
            "evaluation_timestamp": self.started,
            "retrieved_timestamp": self.ended,
            "source_metadata": {
                "source_name": "evalkit",
                "source_type": "evaluation_run",
                "source_organization_name": self.origin.organization,
                "evaluator_relationship": self.origin.relationship,
            },
            "eval_library": self._library(),
            "model_info": self._model_info(),
            "evaluation_results": results,
            **({"detailed_evaluation_results": detail} if detail else {}),
        }
        path = folder / f"{name}.json"
        write_atomic(path, json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        yield path

    def _library(self) -> dict[str, Any]:
        settings = self.run.settings
        details = {"run": run_digest(settings), "records": self.records, "limit": settings.get("limit")}
        details |= {"compute": settings.get("compute"), "empty_context": settings.get("empty_context")}
        return {"name": "evalkit", "version": settings["evalkit"], "additional_details": texts(details)}

    def _model_info(self) -> dict[str, Any]:
        owner, _, _ = self.model.partition("/")
        public = owner != self.origin.developer
        facts = {name: value for name, value in self.about.items() if name != "model"}
        training = {f"training_{name}": value for name, value in self.run.training.items()}
        return {
            "name": str(self.about["model"]),
            "id": self.model,
            "developer": owner,
            "inference_engine": {"name": "evalkit", "version": self.run.settings["evalkit"]},
            "additional_details": {
                **texts(facts),
                **texts(training),
                "deployment_type": "self_deployed",
                "model_availability": "open_weights" if public else "unknown",
            },
        }

    def _write_samples(self, path: Path, task: str, evaluation: str) -> dict[str, Any]:
        """Write the samples of a task; return what the aggregate file says of them, nothing where there are none."""
        cells = [cell for cell in self.scores.cells if cell.task == task and not cell.variant]
        if not cells:
            return {}
        total, count = hashlib.sha256(), 0
        with replacing(path) as file:
            for record in self._records(sorted(cells, key=lambda cell: (cell.shots, cell.template, cell.seed))):
                for row in samples.rows(record, evaluation=evaluation, model=self.model, schema=SCHEMA,
                                        rules=self._rules(task)):  # fmt: skip
                    line = (json.dumps(row, allow_nan=False) + "\n").encode()
                    total.update(line)
                    count += 1
                    file.write(line)
        return {"format": "jsonl", "hash_algorithm": "sha256", "checksum": total.hexdigest(), "total_rows": count}

    def _rules(self, task: str) -> Mapping[str, str]:
        """Return the signatures of a task's metrics, by name."""
        return {row.metric: row.signature for row in self.run.results if row.task == task and row.source == "model"}

    def _records(self, cells: Sequence[Cell]) -> Iterator[Record]:
        """Yield the records of these cells, by id: not in the order in which they happened to be finished."""
        with open_lines(self.run.folder / "records.jsonl") as file:
            for cell in cells:
                held, ids = self.scores.columns[cell], self.scores.documents[cell.task].ids
                places = zip(held.documents, held.offsets, strict=True)
                for _, place in sorted((ids[number], place) for number, place in places):
                    yield record_at(self.run.folder, file, place)


def model_id(name: str, developer: str) -> str:
    """Return a model's id as the hub has it, OWNER/NAME. developer: its owner where the name does not say one.

    >>> model_id("gpt2", "me"), model_id("hf:EleutherAI/pythia-70m", "me"), model_id("nano", "me")
    ('openai-community/gpt2', 'EleutherAI/pythia-70m', 'me/nano')
    """
    if name in HUB:
        return HUB[name]
    plain = name.removeprefix("hf:")
    if name.startswith("hf:") and re.fullmatch(r"[\w.-]+/[\w.-]+", plain):
        return plain
    return f"{developer}/{Path(plain).name}"


def component(name: str) -> str:
    """Return a name as a component of a path that their validator accepts.

    >>> component("mmlu/law"), component("con"), component("data")
    ('mmlu_law', '_con', '_data')
    """
    safe = _UNSAFE.sub("_", name).rstrip(". ") or "_"
    return f"_{safe}" if safe == "data" or safe.partition(".")[0].upper() in _RESERVED else safe
