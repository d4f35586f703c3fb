"""What docs/generate makes: a page or entry for everything there is, in Markdown that shows what is meant."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path, PurePosixPath

import pytest

import evalkit
from docs.generate import commands, markdown, models, navigation, outside, papers, python_api, tasks
from docs.generate.pages import pages
from evalkit import cli
from evalkit.harness import catalog
from evalkit.model.config import SIZES
from evalkit.model.families import FAMILIES
from evalkit.model.formats import FORMATS
from tests.docs import shell
from tests.docs.blocks import _blocks


def test_every_command_has_a_page_with_its_options() -> None:
    made = commands.pages()
    for name in cli._COMMANDS:
        page = made[f"reference/commands/{name}.md"]
        assert page.startswith(f"# evalkit {name}\n") and "| `--log-level LEVEL` |" in page
        assert f"({name}.md)" in made["reference/commands/index.md"]
    assert "default: 5%" in made["reference/commands/run.md"]
    assert "## evalkit corpus build\n" in made["reference/commands/corpus.md"]
    assert "## General" not in made["reference/commands/corpus.md"].partition("## evalkit corpus build")[2]


def test_every_public_name_has_one_entry() -> None:
    text = "\n".join(python_api.pages().values())
    entries = re.findall(r"^      heading: evalkit\.(\w+)$", text, re.MULTILINE)
    assert sorted(entries) == sorted({*evalkit.__all__} - {"__version__", "EvalkitError"})
    assert "::: evalkit.errors.EvalkitError\n" in text and "::: evalkit.errors.LabelError\n" in text


def test_every_task_has_its_prompts_licence_and_published_values() -> None:
    made = tasks.pages()
    text = "\n".join(page for uri, page in made.items() if not uri.endswith("index.md"))
    for task in catalog.bundled().values():
        assert f"| [`{task.name}`](" in made["reference/tasks/index.md"]
        assert text.count(f"\n| `{task.name}` | {markdown.escaped(task.title)} |") == 1
    heads = re.findall(r"^### (?:(\w+), )?([\w-]+)(?: \(default\))?$", text, re.MULTILINE)
    assert len(heads) == sum(len(task.protocols) for task in catalog.bundled().values())
    assert "Licence of the data: CC BY-SA 4.0" in made["reference/tasks/qa/arc.md"]
    assert "Licence of the data: not stated" in made["reference/tasks/classification/sst2.md"]
    assert "French to English" in made["reference/tasks/translation/wmt14.md"]
    assert "=> ocean ridges" in made["reference/tasks/qa/arc.md"].replace("=>  ", "=> ")


def test_published_values_stand_in_the_column_of_their_size() -> None:
    page = papers.sections(["coqa"])
    assert (
        "| shots | metric | 117M | 345M | 762M | 1542M |" in page
        and "| 0 | `coqa_f1` | 26.5 | 42.5 | 50 | 55 |" in page
    )
    assert "Brown et al. 2020, table H.1" in page and papers.sections(["world_qa"]) == ""
    assert page.count("\n| 0 |") == 2 and page.count("\n| 1 |") == page.count("\n| 5 |") == 1


def test_every_size_family_and_format_is_listed() -> None:
    [page] = models.pages().values()
    for name in (*SIZES, *FAMILIES, *FORMATS):
        assert f"\n| `{name}` |" in page
    assert "evalkit train --size nano`" in page


def test_blocks_of_generated_pages_are_right() -> None:
    """Examples in help parse; tests/commands checks them too, here as they stand on the pages."""
    for uri, page in pages().items():
        for block in _blocks(page, uri):
            assert block.language in ("sh", "text")
            if block.language == "sh":
                for _, statement in shell.statements(block.text):
                    shell.check(statement)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b *c* [d] <e>", r"a\_b \*c\* \[d\] &lt;e>"),
        ("code `a_b <c>` stays", "code `a_b <c>` stays"),
        ("lines\n  are  joined", "lines are joined"),
    ],
)
def test_plain_text_is_escaped(text: str, expected: str) -> None:
    assert markdown.escaped(text) == expected


def test_a_block_holds_any_text() -> None:
    assert markdown.fence("a\n````b", "text") == "`````text\na\n````b\n`````\n"


def test_a_folder_in_the_navigation_stands_for_its_pages() -> None:
    uris = ["r/index.md", "r/a.md", "r/inner/b.md"]
    entries = [{"Home": "index.md"}, {"All": "r/*"}, {"Some": ["x.md", "r/*", {"Inner": "r/inner/*"}]}]
    assert navigation.expanded(entries, uris) == [
        {"Home": "index.md"},
        {"All": ["r/index.md", "r/a.md"]},
        {"Some": ["x.md", "r/index.md", "r/a.md", {"Inner": ["r/inner/b.md"]}]},
    ]
    assert list(navigation.listed(entries)) == ["index.md", "r/*", "x.md", "r/*", "r/inner/*"]


@pytest.mark.parametrize(
    ("link", "page", "expected"),
    [
        ("../reports/gate.md#x", "docs/gate.md", "reports/gate.md#x"),
        ("ci.md", "docs/gate.md", "ci.md"),
        ("../README.md", "docs/gate.md", "index.md"),
        ("../docs/ci.md", "reports/gate.md", "../ci.md"),
        ("https://example.org/a.md", "docs/gate.md", "https://example.org/a.md"),
    ],
)
def test_links_out_of_the_folder_lead_to_the_site(link: str, page: str, expected: str) -> None:
    path = PurePosixPath(page)
    assert outside.relinked(f"a [b]({link}) c", path) == f"a [b]({expected}) c"
    assert outside.relinked(f"```text\n[b]({link})\n```\n", path) == f"```text\n[b]({link})\n```\n"


def test_what_pages_link_to_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "reports" / "a.md").write_text("![figure](b.svg) [gone](c.svg) [back](../docs/x.md)")
    (tmp_path / "reports" / "b.svg").write_text("<svg/>")
    (tmp_path / "LICENSE.md").write_text("text")
    monkeypatch.setattr(outside, "ROOT", tmp_path)
    (tmp_path / "docs" / "x.md").write_text(text := "[report](../reports/a.md)")
    paths = outside.needed({PurePosixPath("docs/x.md"): text}, ["x.md", "LICENSE.md"])
    assert sorted(map(str, paths)) == ["LICENSE.md", "reports/a.md", "reports/b.svg"]


def test_docstrings_are_read_as_they_are_written_here() -> None:
    griffe = pytest.importorskip("griffe", reason="the documentation's site needs evalkit[docs]")
    from docs.generate.docstrings import sections

    source = '''
    def f(a: int, b: str = "x", c: int = 0) -> None:
        """Do a thing: a first line.

        More prose. a: the number, in
        points. b, c: two of a kind (see docs/ci.md);
        a and d: no parameter.

        Raises UsageError for b < 0.
        """
    '''
    [function] = griffe.visit("m", Path("m.py"), textwrap.dedent(source)).members.values()
    before, parameters, after = sections(function)
    assert before.value == "Do a thing: a first line.\n\nMore prose."
    assert [(p.name, str(p.annotation), p.value, p.description) for p in parameters.value] == [
        ("a", "int", None, "the number, in\npoints."),
        ("b", "str", "'x'", "two of a kind (see [ci.md](../../ci.md));\na and d: no parameter."),
        ("c", "int", "0", "two of a kind (see [ci.md](../../ci.md));\na and d: no parameter."),
    ]
    assert after.value == "Raises [`UsageError`][evalkit.errors.UsageError] for b &lt; 0."
