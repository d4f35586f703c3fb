"""Jinja's sandbox with limits: a template from an untrusted task file neither reaches Python nor runs forever.

Jinja's own sandbox forbids attributes such as __class__ and long ranges. Here every item of a loop, every call and
every large value also costs steps of a budget, and texts and numbers have a maximum size. The limits count work, not
time, so that a template gives the same result on every machine. They cannot bound a single step in C: see worker.py.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from jinja2 import StrictUndefined, Template, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

# Steps of one rendering; characters of a text or items of a list; bits of a number.
STEPS, SIZE, BITS = 100_000, 1_000_000, 4_096
_WIDTH = re.compile(r"\d{6}")  # in a format: wider than any prompt


class LimitedEnvironment(SandboxedEnvironment):
    """Raises SecurityError, a TemplateError, where a rendering exceeds its limits; `refill` resets the budget."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    @classmethod
    def for_tasks(cls) -> LimitedEnvironment:
        """Return an environment like lm-evaluation-harness's, with the one filter that it adds."""
        environment = cls(undefined=StrictUndefined, keep_trailing_newline=True)
        environment.add_filter("regex_replace", _regex_replace)
        environment._known = cache(environment.from_string)
        return environment

    def render(self, source: str, row: Mapping[str, Any]) -> str:
        """Fill a template, compiled once. Raises TemplateError, or what an expression in it raises."""
        template = self._known(source)
        self.refill()
        return template.render(row)

    def __init__(self, **options: Any):
        super().__init__(**options)
        self._left = STEPS
        self._known: Callable[[str], Template] = self.from_string
        for name, function in list(self.filters.items()):
            self.add_filter(name, function)
        self.filters["counted"], self.filters["joined"] = self._counted, self._joined

    def refill(self) -> None:
        """Reset the budget for a new rendering."""
        self._left = STEPS

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        """Add a filter whose arguments and result are limited."""

        @functools.wraps(function)
        def limited(*values: Any, **named: Any) -> Any:
            for value in values:
                self._spend(value)
            _check(name, values, named)
            return self._spend(function(*values, **named))

        self.filters[name] = limited

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute left OPERATOR right, unless the result would be too large."""
        if operator == "*":
            _fits(_length(left) * abs(right) if isinstance(right, int) else 0)
            _fits(_length(right) * abs(left) if isinstance(left, int) else 0)
        if operator in ("*", "**") and isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * abs(right) if operator == "**" else left.bit_length() + right.bit_length()
            _fits(bits, BITS)
        if operator == "%":
            _check("format", (left, right), {})
        return self._spend(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  (Jinja's names)
        """Call a function or method, unless its result would be too large."""
        method = getattr(__obj, "__wrapped__", __obj)  # the sandbox wraps str.format
        _check(getattr(method, "__name__", ""), (getattr(method, "__self__", ""), *args), kwargs)
        return __self._spend(super().call(__context, __obj, *args, **kwargs))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """Parse, and make every loop count its items and every `~` its characters."""
        tree = super()._parse(source, name, filename)
        for loop in list(tree.find_all(nodes.For)):
            loop.iter = nodes.Filter(loop.iter, "counted", [], [], None, None, lineno=loop.lineno)
        for joined in list(tree.find_all(nodes.Concat)):
            parts = nodes.List(joined.nodes, lineno=joined.lineno)
            joined.nodes = [nodes.Filter(parts, "joined", [], [], None, None, lineno=joined.lineno)]
        tree.set_environment(self)
        return tree

    def _spend(self, value: Any) -> Any:
        """Charge a step, and more for a large value; return the value."""
        length = _length(value)
        _fits(length)
        self._left -= 1 + length // 100
        if self._left < 0:
            raise SecurityError(f"a template may take at most {STEPS:,} steps")
        return value

    def _counted(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._spend(None)
            yield item

    def _joined(self, parts: list[Any]) -> str:
        texts = [str(part) for part in parts]
        _fits(sum(map(len, texts)))
        return str(self._spend("".join(texts)))


def _regex_replace(string: str, pattern: str, repl: str, count: int = 0) -> str:
    """re.sub, as a filter."""
    return re.sub(pattern, repl, string, count=count)


def _check(name: str, values: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Refuse results that would become too large: a width, a replacement of every character."""
    inner = [part for value in values if isinstance(value, tuple) for part in value]
    for value in (*values, *named.values(), *inner):
        if isinstance(value, int):
            _fits(abs(value))
    texts = [value for value in values if isinstance(value, str)]
    if name in ("format", "format_map") and texts and _WIDTH.search(texts[0]):
        raise SecurityError("a template's format is too wide")
    if name == "replace" and len(texts) == 3:
        _fits(texts[0].count(texts[1]) * len(texts[2]))
    if name == "join" and texts:
        _fits(max(map(len, texts)) * max(map(_length, values)))


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (str, bytes, list, tuple, dict, set, range)) else 0


def _fits(size: int, most: int = SIZE) -> None:
    if size > most:
        raise SecurityError(f"a value of a template may have at most the size {most:,}")
