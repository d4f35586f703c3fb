"""The pages of the Python API: which public names stand on which, in what order. mkdocstrings writes them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import evalkit
from evalkit import errors

_FOLDER = "reference/python"
# Title, introduction and names of each page.
GROUPS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "functions": (
            "Functions",
            "What the command line does, with keywords instead of options.",
            "open_model evaluate load_tasks task_from_rows compare gate audit forecast",
        ),
        "results": (
            "Runs and findings",
            "What the functions return.",
            "Run Results Comparison Gate Audit Forecasts LearningCurve",
        ),
        "types": (
            "Tasks and records",
            "From a row of a benchmark to a result, in the order of processing.",
            "Task Protocol Decoding TaskSet Document Example Request Response Record Result Metric",
        ),
        "models": ("Models and engines", "What answers.", "Model Engine"),
        "plugins": (
            "Adding names",
            "Each adds a name that commands and functions then know. A package adds names by entry points instead.",
            "register_metric register_tasks register_family register_model register_engine register_result_reader",
        ),
    }
)


def pages() -> Mapping[str, str]:
    """Return the pages of the Python API."""
    return {
        **{f"{_FOLDER}/{name}.md": _page(*content) for name, content in GROUPS.items()},
        f"{_FOLDER}/errors.md": _errors(),
    }


def _page(title: str, introduction: str, names: str) -> str:
    entries = [
        _entry(f"{evalkit._PLACES[name]}.{name}", heading=f"evalkit.{name}", inherited_members="true", toc=name)
        for name in names.split()
    ]
    return "\n".join([f"# {title}\n\n{introduction}\n", *entries])


def _errors() -> str:
    """Return the page of errors: the tree, which is the module's docstring, and each of them."""
    names = [
        name for name, value in vars(errors).items() if name.endswith("Error") and value.__module__ == errors.__name__
    ]
    entries = [_entry(f"evalkit.errors.{name}", heading=name, toc=name) for name in names]
    return "\n".join(["# Errors\n", _entry("evalkit.errors", show_root_heading="false", members="false"), *entries])


def _entry(identifier: str, *, toc: str = "", **options: str) -> str:
    """Return what mkdocstrings replaces by an object's documentation."""
    lines = [f"      {name}: {value}" for name, value in {**options, "toc_label": toc}.items() if value]
    return "\n".join([f"::: {identifier}", "    options:", *lines]) + "\n"
