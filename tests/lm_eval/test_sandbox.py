"""A template of a stranger's task file: what it may not reach, and where its work ends."""

from __future__ import annotations

import contextlib
import datetime
import time

import numpy as np
import pytest
from jinja2 import TemplateError, UndefinedError

from evalkit.errors import DataError
from evalkit.lm_eval.tasks.templates import Renderer, check, render
from evalkit.sandbox import child

_BOMB = "{% set ns = namespace(x='xy') %}{% for i in range(99) %}{% set ns.x = ns.x OPERATOR ns.x %}{% endfor %}"

HOSTILE = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__cl' ~ 'ass__'] }}",
    "{{ x|attr('__class__') }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.system('true') }}",
    "{{ '{0.__class__}'.format(x) }}",
    "{% include '/etc/passwd' %}",
    "{% for i in range(10**9) %}{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{{ 'x' * 10**9 }}",
    "{{ [0] * 10**9 }}",
    "{{ 10 ** (10**10) }}",
    "{{ 9**999 * 9**999 * 9**999 * 9**999 }}",
    _BOMB.replace("OPERATOR", "~"),
    _BOMB.replace("OPERATOR", "+"),
    "{{ '%999999999s' % 'x' }}",
    "{{ '%*s' % (999999999, 'x') }}",
    "{{ '{:999999999}'.format(1) }}",
    "{{ '{:{}}'.format(1, 999999999) }}",
    "{{ '%999999999s'|format('x') }}",
    "{{ 'x'.ljust(999999999) }}",
    "{{ 'x'|center(999999999) }}",
    "{{ 'x'|indent(width=999999999) }}",
    "{{ long.replace('x', long) }}",
    "{{ long|replace('x', long) }}",
    "{{ long.join(long) }}",
    "{{ long|join(long) }}",
    "{% for i in range(99999) %}{{ range(99999)|sum }}{% endfor %}",
    "{{ (long ~ '!')|regex_replace('(x+)+$', '') }}",
    "{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'|regex_replace('(a+)+$', '') }}",
    "{% for i in range(30000) %}{{ long }}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "{{ '%s' * 9999 % ((long,) * 9999) }}",
    "{{ ('\t' * 9999).expandtabs(99999) }}",
    "{{ lipsum(99999, true, 99999, 999999) }}",
    "{{ " + "(" * 9999 + "1" + ")" * 9999 + " }}",
    "{{ " + "9" * 9999 + " }}",
]


LARGE = [
    "{{ ('\n' * 9999)|indent(long) }}",
    "{{ long|replace('x', 'x ')|wordwrap(1, false, long) }}",
    "{{ range(99999)|batch(99999, long)|list|string * 9999 }}",
    "{{ ('a\tb\n' * 99)|indent(long) }}",
    "{% for i in range(999) %}{{ ([long] * 999)|join(long) }}{% endfor %}",
]


@pytest.mark.parametrize("template", LARGE)
def test_it_ends(template):
    with contextlib.suppress(TemplateError, ArithmeticError, TypeError):
        assert len(render(template, {"long": "x" * 50_000})) <= 10_000_000


@pytest.mark.parametrize("template", HOSTILE)
def test_it_is_refused(template):
    with pytest.raises((TemplateError, ArithmeticError, RecursionError, TypeError)):
        render(template, {"x": "text", "long": "x" * 50_000})


HARMLESS = {
    "{% for a in b %}{{ loop.index }}/{{ loop.length }}{{ a }}{{ ', ' if not loop.last }}{% else %}none{% endfor %}":
        "1/3x, 2/3y, 3/3z",
    "{{ b|map('upper')|join('-') }} {{ 'a' ~ 1 ~ none }} {{ '%s!' % 'a' }} {{ 2 * 3 ** 2 }} {{ 'ab' * 2 }}":
        "X-Y-Z a1None a! 18 abab",
    "{{ 'a b'.replace(' ', '') }} {{ '{:>3}'.format(7) }} {{ 'aXb'|regex_replace('X+', '') }} {{ b|length }}":
        "ab   7 ab 3",
    "{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}{% for a in [] %}{% else %}-{% endfor %}": "a1-",
}  # fmt: skip


@pytest.mark.parametrize("template", HARMLESS)
def test_what_tasks_do_stays_as_it_was(template):
    assert render(template, {"b": ["x", "y", "z"]}) == HARMLESS[template]


def test_each_rendering_has_its_own_steps():
    for _ in range(3):
        assert render("{% for i in range(90000) %}{% endfor %}ok", {}) == "ok"


@pytest.mark.slow
def test_one_document_of_many_that_takes_too_long_is_the_only_one():
    rows = [{"q": "a" * 40 + "!" if i == 5 else f"a{i}"} for i in range(9)]
    renderer = Renderer()
    renderer.follow(rows)
    for i, row in enumerate(rows):
        if i == 5:
            with pytest.raises(TemplateError, match=r"more than 2 s of processor time"):
                renderer.render("{{ q|regex_replace('(a+)+$', 'b') }}", row)
        else:
            assert renderer.render("{{ q|regex_replace('(a+)+$', 'b') }}", row) == f"a{i}"


@pytest.mark.slow
def test_a_template_that_always_takes_too_long_is_not_tried_for_ever():
    started = time.perf_counter()
    for i in range(500):
        with pytest.raises(TemplateError):
            render("{{ q|regex_replace('(b+)+$', '') }}", {"q": "b" * 40 + f"!{i}"})
    assert time.perf_counter() - started < 120


def test_values_of_any_type_pass():
    class Own:
        name = "own"

    row = {"when": datetime.date(2020, 1, 2), "n": np.float32(1.5), "own": Own()}
    loop = "{% for i in [1] %}X{% endfor %}"
    assert render(loop.replace("X", "{{ when.year }} {{ n }} {{ when }}"), row) == "2020 1.5 2020-01-02"
    assert render(loop.replace("X", "{{ own.name }}"), row) == "own"
    assert render(loop.replace("X", "{{ s }}"), {"s": "\ud800é"}) == "\ud800é"


def test_errors_are_those_of_jinja():
    with pytest.raises(UndefinedError, match="'nowhere' is undefined"):
        render("{% for i in nowhere %}{% endfor %}", {})
    with pytest.raises(TemplateError, match="No filter named 'nothing'"):
        check("{{ a|nothing }}")


@pytest.mark.parametrize("ask", [child.find_all, child.remove_all])
def test_patterns_are_bounded(ask):
    assert child.find_all("(a)(b)?", ["ab a", ""]) == [[("a", "b"), ("a", "")], []]
    assert child.remove_all("a+", ["caab", "a"]) == ["cb", ""]
    with pytest.raises(DataError, match=r"the pattern '\(a\|aa\)\+\$' cannot be applied: it takes more than 2 s"):
        ask("(a|aa)+$", ["a" * 60 + "!"])
