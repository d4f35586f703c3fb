"""Finished runs in an experiment tracker: results with intervals, the settings, and results.json as an artifact.

Where it goes is the tracker's own business: WANDB_MODE=offline and WANDB_API_KEY, MLFLOW_TRACKING_URI and the like. A
run that was logged before is logged to the same entry again.
"""

from __future__ import annotations

import json
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalkit.curves.boards import begin_wandb, numbers
from evalkit.curves.learning_curve import scores
from evalkit.errors import UsageError, unknown
from evalkit.extras import require
from evalkit.files import digest
from evalkit.results import Run
from evalkit.runs.store import StoredRun, open_run

log = logging.getLogger(__name__)

# What MLflow accepts: characters of a name, characters of a parameter, and entries of one call.
_NAME = re.compile(r"[^\w\-. /:]")
# Its store in a folder has a file for each name, so that no name may go on where another ends.
_END = re.compile(r"/(low|high|n)$")
_TEXT, _METRICS, _PARAMETERS = 500, 1000, 100


class Tracker(ABC):
    """Sends runs to one project or experiment."""

    def __init__(self, place: str):
        self.place = place

    @abstractmethod
    def send(self, run: StoredRun) -> None:
        """Send a finished run. May raise whatever the tracker's library raises."""


class Wandb(Tracker):
    """A run of a project of Weights & Biases. Raises UsageError if the package is not installed."""

    def __init__(self, place: str):
        super().__init__(place or "evalkit")
        self._wandb = require("wandb", "runs logged to Weights & Biases")

    def send(self, run: StoredRun) -> None:
        """Log values and intervals as one step and in the summary."""
        values = figures(run)
        entry = begin_wandb(self._wandb, run.folder, project=self.place, config=dict(run.settings))
        try:
            entry.log({"step": run.training.get("step") or 0, **values})
            entry.summary.update(values)
            artifact = self._wandb.Artifact(f"results-{digest(str(run.folder.resolve()), length=8)}", type="evaluation")
            artifact.add_file(str(run.folder / "results.json"))
            entry.log_artifact(artifact)
        finally:
            entry.finish()


class MLflow(Tracker):
    """A run of an experiment of MLflow. Raises UsageError if the package is not installed."""

    def __init__(self, place: str):
        super().__init__(place or "evalkit")
        self._mlflow = require("mlflow", "runs logged to MLflow")
        self._entities = require("mlflow.entities", "runs logged to MLflow")

    def send(self, run: StoredRun) -> None:
        """Log values and intervals as metrics, the settings as parameters."""
        client, mark = self._mlflow.MlflowClient(), digest(str(run.folder.resolve()))
        found = client.get_experiment_by_name(self.place)
        experiment = found.experiment_id if found else client.create_experiment(self.place)
        earlier = client.search_runs([experiment], f"tags.`evalkit.run` = '{mark}'", max_results=1)
        entry = earlier[0] if earlier else client.create_run(
            experiment, run_name=run.folder.resolve().name, tags={"evalkit.run": mark}
        )  # fmt: skip
        moment, step = int(1000 * run.timing.get("started", 0)), int(run.training.get("step") or 0)
        metrics = [
            self._entities.Metric(_NAME.sub("_", _END.sub(r".\1", name)), value, moment, step)
            for name, value in figures(run).items()
        ]
        parameters = [self._entities.Param(_NAME.sub("_", k), v[:_TEXT]) for k, v in flat(run.settings)]
        identity = entry.info.run_id
        for start in range(0, len(metrics), _METRICS):
            client.log_batch(identity, metrics=metrics[start : start + _METRICS])
        for start in range(0, len(parameters), _PARAMETERS):
            client.log_batch(identity, params=parameters[start : start + _PARAMETERS])
        client.log_artifact(identity, str(run.folder / "results.json"))
        client.set_terminated(identity)


TRACKERS: Mapping[str, type[Tracker]] = {"wandb": Wandb, "mlflow": MLflow}


def trackers(words: Sequence[str]) -> list[Tracker]:
    """Return the trackers of words such as wandb, wandb:PROJECT or mlflow:EXPERIMENT.

    Raises UsageError for an unknown one, and for a package that is not installed: before anything is run.
    """
    chosen = []
    for word in words:
        name, colon, place = word.partition(":")
        if name not in TRACKERS:
            raise unknown("tracker", name, TRACKERS)
        if colon and not place:
            raise UsageError(f"--log-to {word}: expected a project or experiment after the colon")
        chosen.append(TRACKERS[name](place))
    return chosen


def send(runs: Sequence[Run], chosen: Sequence[Tracker]) -> None:
    """Send runs to trackers; what cannot be sent is a warning, because the runs are complete."""
    for run in runs:
        for tracker in chosen:
            try:
                tracker.send(open_run(run.folder))
            except Exception as error:  # no login, no network, a full disk: the libraries raise many kinds
                reason = str(error).strip().partition("\n")[0] or type(error).__name__
                name = type(tracker).__name__
                log.warning("not logged to %s: %s; the run is complete in %s", name, reason, run.url or run.folder)


def figures(run: StoredRun) -> dict[str, float]:
    """Return a run's own values on all documents, with intervals and numbers of documents, by name."""
    named: dict[str, float | None] = {}
    for result in run.results:
        if result.source in ("model", "estimate") and not result.level:
            named |= scores(result)
    return numbers(named)


def flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested settings as names joined by dots, and texts.

    >>> list(flat({"model": {"dtype": "fp32"}, "shots": [0, 1]}))
    [('model.dtype', 'fp32'), ('shots', '[0, 1]')]
    """
    for name, value in settings.items():
        place = f"{above}.{name}" if above else name
        if isinstance(value, Mapping):
            yield from flat(value, place)
        else:
            yield place, value if isinstance(value, str) else json.dumps(value)
