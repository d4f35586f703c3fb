"""Foreign texts on terminals, in XML, Markdown and CSV."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from evalkit import sinks
from evalkit.comparison import junit

EVIL = "\x1b[31mevil\x1b]0;t\x07\x9b2J\u202egpj\u2066\u2028\x00\ud800"


def test_nothing_reaches_a_terminal_but_signs():
    assert sinks.terminal(EVIL) == "�[31mevil�]0;t��2J�gpj����"
    for text in ("a\tb\nc", "दोस्त\u200d, می\u200cخواهم", "👩\u200d🔬", "deux\u00a0: é"):
        assert sinks.terminal(text) == text


def test_xml_takes_every_text():
    every = "".join(map(chr, [*range(0x250), *range(0xD7F0, 0xE010), *range(0xFFF0, 0x10010)]))
    root = ET.Element("a", name=sinks.xml(every))
    back = ET.fromstring(ET.tostring(root))
    assert "\x1b" not in back.attrib["name"] and "\U00010000" in back.attrib["name"]
    assert ET.fromstring(junit.failure(EVIL, command="evalkit gate")).find(".//error") is not None


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("@team", "@\u200bteam"),
        ("fixes #12, !7", "fixes #\u200b12, !\u200b7"),
        ("https://a.b www.c.d", "https:\u200b//a.b www\u200b.c.d"),
        ("<img src=x>&amp;", "&lt;img src=x&gt;&amp;amp;"),
        ("a|b\n# c", "a\\|b # c"),
        ("[x](y) `z` **b** _i_ ~s~ $m$", "\\[x\\](y) \\`z\\` \\*\\*b\\*\\* \\_i\\_ \\~s\\~ \\$m\\$"),
        ("plain words, 3.5 (2)", "plain words, 3.5 (2)"),
    ],
)
def test_markdown_holds_no_markup_mention_or_link(text, right):
    assert sinks.markdown(text) == right


@pytest.mark.parametrize(
    ("text", "right"), [("", ""), ("a\n\nb", "`a b`"), ("``x", "``` ``x ```"), ("a|b", "`a\\|b`"), ("@team", "`@team`")]
)
def test_code_stays_one_span(text, right):
    assert sinks.markdown_code(text) == right


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_no_cell_is_a_formula(sign):
    assert sinks.csv_cell(f"{sign}cmd|' /C calc'!A0").startswith("'")


@pytest.mark.parametrize("number", ["-1", "+2.5", "-3e-05", "1,200", "nan", "-inf", "", "plain = x"])
def test_numbers_and_words_stay(number):
    assert sinks.csv_cell(number) == number
