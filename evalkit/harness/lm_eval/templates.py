"""Jinja templates as lm-evaluation-harness has them, each compiled once, and in a sandbox with limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError

from evalkit.harness.lm_eval.sandbox import LimitedEnvironment

__all__ = ["TemplateError", "compiled", "render"]


def _regex_replace(string: str, pattern: str, repl: str, count: int = 0) -> str:
    """The one filter that lm-evaluation-harness adds: re.sub."""
    return re.sub(pattern, repl, string, count=count)


@cache
def _environment() -> LimitedEnvironment:
    environment = LimitedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.add_filter("regex_replace", _regex_replace)
    return environment


@cache
def compiled(source: str) -> Template:
    """Compile a template. Raises jinja2.TemplateError where it is broken."""
    return _environment().from_string(source)


def render(source: str, row: Mapping[str, Any]) -> str:
    """Fill a template with a document's columns. Raises jinja2.TemplateError, or what an expression in it raises."""
    template = compiled(source)
    _environment().refill()
    return template.render(row)
