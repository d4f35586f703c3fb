"""A template of a stranger's task file: what it may not reach, and where its work ends."""

from __future__ import annotations

import pytest
from jinja2 import TemplateError

from evalkit.harness.lm_eval.templates import render

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
]


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
