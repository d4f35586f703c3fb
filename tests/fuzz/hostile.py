"""Files made to do harm, not damaged by chance: templates, YAML graphs and rules of tokenizers that would never end."""

from __future__ import annotations

import json
import random

_NUMBERS = ("0", "-1", "7", "10", "999", "99999", "10**9", "2**999", "1e308", "9" * 400)
_TEXTS = ("''", "'a'", "'ab' * 9999", "'%s'", "'%99999999d'", "'{:>99999999}'", "word", "'a' * 40 ~ '!'", "'<x>' * 99")
_LISTS = (
    "options",
    "range(9)",
    "range(10**8)",
    "[0] * 10**7",
    "[[]] * 99",
    "word|list",
    "{}",
    "cycler(1, 2)",
    "lipsum()",
)
_FILTERS = (
    "upper", "length", "list", "reverse", "sort", "join(',')", "indent(99999999)", "center(99999999)", "wordwrap(1)",
    "batch(1)", "batch(99999999, 'x')", "slice(99999999)", "replace('a', 'a' * 9999)", "format(1)", "tojson", "urlize",
    "regex_replace('(a+)+$', 'b')", "regex_replace('(a|aa)+$', 'b')", "regex_replace('(', 'b')", "xmlattr", "pprint",
    "striptags", "truncate(3)", "round(999)", "int", "float", "sum", "unique|list", "map('upper')|list", "groupby(0)",
    "attr('__class__')", "first", "random", "dictsort", "items|list", "select|list", "filesizeformat", "wordcount",
)  # fmt: skip
_METHODS = ("expandtabs(99999999)", "ljust(99999999)", "zfill(99999999)", "translate({97: 'x' * 9999})", "__class__",
            "format_map({})", "encode('idna')", "join(['a'] * 9999)", "splitlines()", "count('a')")  # fmt: skip


_TAGGED = (
    "!!python/object/apply:os.system [ls]",
    "!!timestamp x",
    "!!binary x",
    "!function a.b",
    "!!set x",
    "!!omap x",
)


def template(_: bytes, chance: random.Random) -> bytes:
    """Return a task file with a template that nobody would write."""
    field = chance.choice(("doc_to_text", "doc_to_text", "doc_to_choice", "doc_to_target", "description"))
    lines = [
        "include: base.yaml",
        "task: made_own",
        f"{field}: {json.dumps(_statement(chance, chance.choice((0, 0, 1, 2, 3))))}",
    ]
    return "\n".join(lines).encode()


def _statement(chance: random.Random, depth: int) -> str:
    inner = _statement(chance, depth - 1) if depth else "x"
    value, items = _expression(chance, depth), chance.choice(_LISTS)
    return chance.choice((
        f"{{{{ {value} }}}}",
        f"{{{{ {value} }}}}",
        f"{{% for i in {items} %}}{inner}{{% endfor %}}",
        f"{{% set x = {value} %}}{{{{ x }}}}{inner}",
        f"{{% macro m(n) %}}{inner}{{{{ m(n) }}}}{{% endmacro %}}{{{{ m(1) }}}}",
        f"{{% for i in {items} recursive %}}{{{{ loop({items}) }}}}{{% endfor %}}",
        f"{{% set n = namespace(a={value}) %}}{{% for i in range(60) %}}{{% set n.a = n.a ~ n.a %}}{{% endfor %}}",
        f"{{% if {value} %}}{inner}{{% endif %}}",
        f"{{% filter {chance.choice(_FILTERS)} %}}{inner}{{% endfilter %}}",
        "{{ " + "(" * 500 + value + ")" * 500 + " }}",
        f"{{% include {value} %}}{{% import 'os' as os %}}",
    ))  # fmt: skip


def _expression(chance: random.Random, depth: int) -> str:
    if not depth:
        return chance.choice(_NUMBERS + _TEXTS + _LISTS)
    left, right = _expression(chance, depth - 1), _expression(chance, depth - 1)
    operator = chance.choice(("*", "+", "~", "%", "**", "//", "in", "==", "and"))
    return chance.choice((
        f"({left}) {operator} ({right})",
        f"({left})|{chance.choice(_FILTERS)}",
        f"({left})|{chance.choice(_FILTERS)}",
        f"({left}).{chance.choice(_METHODS)}",
        f"({left})[{right}]",
    ))  # fmt: skip


def graph(_: bytes, chance: random.Random) -> bytes:
    """Return YAML whose aliases, merge keys, nesting or tags multiply."""
    width, levels = chance.choice((2, 9, 50)), chance.choice((2, 6, 12))
    aliases = "\n".join(f"k{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels))
    merges = "\n".join(f"k{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * width)}]}}" for i in range(1, levels))
    text = chance.choice((
        f"k0: &a0 [x]\n{aliases}\n",
        f"k0: &a0 {{x: 1}}\n{merges}\n",
        "k: &k\n  a: *k\n",
        "k: &k {<<: *k}\n",
        f"k: {'[' * 10**levels if levels < 6 else '[' * 90}\n",
        "".join(f"{' ' * i}k:\n" for i in range(chance.choice((50, 200, 1000)))),
        f"k: {chance.choice(_TAGGED)}\n",
        "? [a, {b: c}]\n: d\n",
        f"task: {chance.choice(('[a, b]', '{a: b}', '0x99', '.nan', '2001-01-01', '~', '[[own]]'))}\n",
        "include: own.yaml\n",
        "include: [base.yaml, base.yaml, own.yaml]\n",
    ))  # fmt: skip
    head = "" if text.startswith(("task", "include")) else "include: base.yaml\ntask: made_own\n"
    return (head + text).encode()


def rules(data: bytes, chance: random.Random) -> bytes:
    """Return a tokenizer.json with other rules: patterns that go back, replacements that grow, stray ids."""
    raw = json.loads(data)
    for _ in range(chance.choice((1, 1, 2))):
        part, kind = chance.choice(
            (("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers"), ("decoder", "decoders"))
        )
        steps = [_rule(part, chance) for _ in range(chance.choice((1, 1, 2, 5, 40)))]
        raw[part] = steps[0] if len(steps) == 1 else {"type": "Sequence", kind: steps}
    if chance.random() < 0.2:
        names = list(raw["model"]["vocab"])
        raw["model"]["vocab"][chance.choice(names)] = chance.choice((269, 270, 9999, 2**31))
    return json.dumps(raw).encode()


def _rule(part: str, chance: random.Random) -> dict[str, object]:
    units = ("a", "aa", "b", "ab", r"\w", r"\d", r"\s", ".", "[a-z]", r"\p{L}", "é", "(?=a)", "")
    one, other = chance.choice(units), chance.choice(units)
    pattern: dict[str, str] = {"Regex": chance.choice((
        f"({one}|{other})+$", f"({one}|{other})*X", f"({one}{other}?)+$", f"{one}*{other}*{one}*{other}*$",
        f"({one}+)+$",
        f"({one}|{other}){{1,999}}", f"(?<={one}){other}+", f"(({one})*({other})*)*$", "(", r"\p{X}",
    ))}  # fmt: skip
    if chance.random() < 0.3:
        pattern = {"String": chance.choice(("a", " ", "", "w"))}
    content = chance.choice(("", "a", "aa", " ", "w" * 50, "a" * 5000))
    replace = {"type": "Replace", "pattern": pattern, "content": content}
    if part == "decoder":
        return chance.choice(
            (replace, {"type": "Fuse"}, {"type": "ByteFallback"}, {"type": "BPEDecoder", "suffix": ""})
        )
    if part == "normalizer":
        return chance.choice(
            (replace, replace, {"type": "Prepend", "prepend": content}, {"type": "NFKC"}, {"type": "NFD"})
        )
    split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": chance.random() < 0.5}
    letters = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    return chance.choice((split, split, letters, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}))
