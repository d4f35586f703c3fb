"""evalkit: zero-shot and few-shot evaluation of GPTs, from the benchmark file to the scaling trend.

    import evalkit

    model = evalkit.open_model("nano")
    run = evalkit.evaluate(model, tasks=["world_qa"], shots=[0, 4], limit=200)
    run.results.to_pandas()

Importing evalkit has no effects and does not import torch; what is named here is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.2.0"

__all__ = [
    "Audit",
    "Comparison",
    "Decoding",
    "Document",
    "Engine",
    "EvalkitError",
    "Example",
    "Forecasts",
    "Gate",
    "LearningCurve",
    "Metric",
    "Model",
    "Protocol",
    "Record",
    "Request",
    "Response",
    "Result",
    "Results",
    "Run",
    "Task",
    "TaskSet",
    "__version__",
    "audit",
    "compare",
    "evaluate",
    "forecast",
    "gate",
    "load_tasks",
    "open_model",
    "register_engine",
    "register_family",
    "register_metric",
    "register_model",
    "register_result_reader",
    "register_tasks",
    "task_from_rows",
]

# Where each name comes from.
_HOMES = {
    "evalkit.api": (
        "audit compare evaluate forecast load_tasks open_model register_engine register_family register_metric "
        "register_model register_result_reader register_tasks task_from_rows"
    ),
    "evalkit.curves.learning_curve": "LearningCurve",
    "evalkit.engine.base": "Engine",
    "evalkit.engine.open": "Model",
    "evalkit.errors": "EvalkitError",
    "evalkit.frames": "Audit Comparison Forecasts",
    "evalkit.results": "Results Run",
    "evalkit.gates.gate": "gate",
    "evalkit.gates.outcome": "Gate",
    "evalkit.harness.task": "Protocol Task",
    "evalkit.harness.taskset": "TaskSet",
    "evalkit.metrics.base": "Metric",
    "evalkit.types": "Decoding Document Example Record Request Response Result",
}
_PLACES = {name: module for module, names in _HOMES.items() for name in names.split()}

if TYPE_CHECKING:
    from evalkit.api import (
        audit,
        compare,
        evaluate,
        forecast,
        load_tasks,
        open_model,
        register_engine,
        register_family,
        register_metric,
        register_model,
        register_result_reader,
        register_tasks,
        task_from_rows,
    )
    from evalkit.curves.learning_curve import LearningCurve
    from evalkit.engine.base import Engine
    from evalkit.engine.open import Model
    from evalkit.errors import EvalkitError
    from evalkit.frames import Audit, Comparison, Forecasts
    from evalkit.gates.gate import gate
    from evalkit.gates.outcome import Gate
    from evalkit.harness.task import Protocol, Task
    from evalkit.harness.taskset import TaskSet
    from evalkit.metrics.base import Metric
    from evalkit.results import Results, Run
    from evalkit.types import Decoding, Document, Example, Record, Request, Response, Result


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'evalkit' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
