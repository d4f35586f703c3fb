"""The catalogue: a list of all tasks, and a page for each task file with its prompts and the papers' numbers."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from docs.generate import papers
from docs.generate.markdown import code, escaped, fence, table
from docs.generate.outside import ROOT
from evalkit.data.sources import BenchmarkSource, DataPaths, WorldSource
from evalkit.harness import catalog, preview
from evalkit.harness.task import FAMILIES, Protocol, Task

_FOLDER = "reference/tasks"
# The prompts that tests pin, from real files; the middle of long ones is left out.
_PROMPTS = ROOT / "tests" / "golden" / "prompts"
_LEFT_OUT = re.compile(r"\[\.\.\. (\d+) characters, \w+ \.\.\.\]")
# A line of a task file's description that names what follows: "Splits: ...".
_FIELD = re.compile(r"^(Papers?|Link|Links|Source|Sources|Splits|Data): ", re.MULTILINE)
# Lines with four spaces before them, and blank lines between those.
_EXAMPLE = re.compile(r"(?:^    .*\n?|^\n(?=    ))+", re.MULTILINE)
_LANGUAGES = {"de": "German", "en": "English", "fr": "French", "ro": "Romanian"}


def pages() -> Mapping[str, str]:
    """Return the list of tasks, then a page for each file, by folder."""
    files = {path: catalog.load_file(path) for path in sorted(catalog.tasks_folder().rglob("*.py"))}
    made = {_uri(path): _page(path, tasks) for path, tasks in files.items()}
    return {f"{_FOLDER}/index.md": _index(files), **made}


def _uri(path: Path) -> str:
    return f"{_FOLDER}/{path.parent.name}/{path.stem}.md"


def _index(files: Mapping[Path, Sequence[Task]]) -> str:
    homes = {task.name: path for path, tasks in files.items() for task in tasks}
    parts = [
        "# Tasks",
        "`evalkit tasks` lists them with the data that is here, `evalkit tasks NAME --shots 1` shows a prompt. "
        "The metric is the first one of the default protocol.",
    ]
    for family, holds in FAMILIES.items():
        tasks = [task for task in catalog.bundled().values() if task.family == family]
        if not tasks:
            continue
        rows = [
            (
                f"[{code(task.name)}]({_uri(homes[task.name]).removeprefix(f'{_FOLDER}/')})",
                escaped(task.title),
                code(next(iter(task.protocols.values())).reported[0]),
                _licence(task),
            )
            for task in tasks
        ]
        parts += [
            f"## {family}",
            escaped(f"{holds[0].upper()}{holds[1:]}."),
            table(("task", "", "metric", "licence"), rows),
        ]
    suites = [(code(name), ", ".join(map(code, members))) for name, members in _suites()]
    parts += [
        "## Suites",
        "Names for several tasks, besides the families and `all`.",
        table(("suite", "tasks"), suites),
    ]
    return "\n\n".join(parts)


def _suites() -> Iterator[tuple[str, Sequence[str]]]:
    for name, members in catalog.suites().items():
        if name not in FAMILIES and name != "all":
            yield name, members


def _page(path: Path, tasks: Sequence[Task]) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first, _, rest = docstring.partition("\n\n")
    title, colon, summary = " ".join(first.split()).partition(": ")
    parts = [
        f"# {escaped(title) if colon else ', '.join(task.name for task in tasks)}",
        escaped(f"{summary[0].upper()}{summary[1:]}" if colon else title),
        _description(rest),
        "## In short",
        _facts(tasks),
        fence(f"evalkit tasks {tasks[0].name} --shots 1", "sh"),
        "## Protocols and prompts",
        "What the model reads, then, behind the arrow, what is scored or expected. "
        "Long texts are shortened in the middle.",
        *[_protocols(task, several=len(tasks) > 1) for task in tasks],
    ]
    published = papers.sections([task.name for task in tasks])
    return "\n\n".join([*parts, "## The papers' numbers", published] if published else parts)


def _description(text: str) -> str:
    """Return a task file's description: what its lines name as a list, the worked example as it stands."""
    parts = []
    end = 0
    for example in _EXAMPLE.finditer(text):
        parts += [*_prose(text[end : example.start()]), fence(textwrap.dedent(example[0]).strip("\n"), "text")]
        end = example.end()
    return "\n\n".join([*parts, *_prose(text[end:])])


def _prose(text: str) -> Iterator[str]:
    """Yield paragraphs; one that names what its lines hold becomes a list of them."""
    for paragraph in filter(None, map(str.strip, re.split(r"\n\s*\n", text))):
        names = list(_FIELD.finditer(paragraph))
        if names and names[0].start() > 0:
            yield _linked(paragraph[: names[0].start()])
        ends = [*(name.start() for name in names[1:]), len(paragraph)]
        if names:
            yield "\n".join(
                f"- {_linked(paragraph[name.start() : end])}" for name, end in zip(names, ends, strict=True)
            )
        else:
            yield _linked(paragraph)


def _linked(text: str) -> str:
    """Return a text with its addresses as links."""
    return re.sub(r"(https?://[^\s,;)]+[^\s,;).])", r"<\1>", escaped(text).replace("\\_", "_"))


def _facts(tasks: Sequence[Task]) -> str:
    """Return what the tasks of a file are, and below it what they have in common."""
    rows = [(code(task.name), escaped(task.title), _language(task)) for task in tasks]
    shared = {
        "Licence of the data": map(_licence, tasks),
        "Data": map(_source, tasks),
        "Baselines": (code(name) for task in tasks for name in task.baselines),
        "Controls": (code(name) for task in tasks for name in [*task.controls, *task.shot_controls]),
        "Levels": (code(level) for task in tasks for levels in task.suites.values() for level in levels),
    }
    lines = [f"- {name}: {'; '.join(dict.fromkeys(values))}" for name, values in shared.items()]
    return "\n".join([table(("task", "", "language"), rows), *(line for line in lines if not line.endswith(": "))])


def _language(task: Task) -> str:
    return " to ".join(_LANGUAGES[name] for name in task.languages)


def _licence(task: Task) -> str:
    return escaped(task.licence) or "not stated"


def _source(task: Task) -> str:
    """Return where a task's data comes from."""
    source = task.source
    if isinstance(source, WorldSource):
        return "generated by evalkit"
    assert isinstance(source, BenchmarkSource)
    config = f", {code(source.hub.config)}" if source.hub.config else ""
    hub = f"[{escaped(source.hub.id)}](https://huggingface.co/datasets/{source.hub.id}){config}"
    files = [name for release in source.releases.values() for name in release.files]
    made = "; made with a fixed seed where there is no file" if source.make else ""
    return hub + (f"; or {', '.join(map(code, files))} in `EVALKIT_DATA`" if files else "") + made


def _protocols(task: Task, *, several: bool) -> str:
    """Return a section for each protocol of a task: what it demands, and a prompt."""
    parts = []
    for number, (name, protocol) in enumerate(task.protocols.items()):
        shots = 2 if number == 0 and protocol.kind != "rolling" else 0
        title = f"{task.name}, {name}" if several else name
        default = " (default)" if number == 0 and len(task.protocols) > 1 else ""
        parts += [f"### {title}{default}", _settings(protocol), fence(_prompt(task, name, shots), "text")]
    return "\n\n".join(parts)


def _settings(protocol: Protocol) -> str:
    kinds = {
        "choice": "The likeliest option is chosen.",
        "loglikelihood": "The expected text is scored.",
        "rolling": "The whole text is scored.",
        "generate": "The answer is generated.",
    }
    metrics = ", ".join(map(code, protocol.reported))
    paper = "" if protocol.paper_shots is None else f" The paper gives {protocol.paper_shots} shots."
    wordings = f" Further wordings: {', '.join(map(code, protocol.templates))}." if protocol.templates else ""
    return f"{kinds[protocol.kind]} Metrics: {metrics}.{paper}{wordings}"


def _prompt(task: Task, protocol: str, shots: int) -> str:
    """Return a prompt with as many shots: of the world as it is, of a benchmark as the tests pin it."""
    if isinstance(task.source, WorldSource):
        shown = preview.prompt(task, protocol=protocol, shots=shots, data=DataPaths())
        return f"{shown.context}\n=> {shown.target}"
    cell = task.name if protocol == "gpt2" else f"{task.name}.{protocol}"
    text = (_PROMPTS / f"{cell}.shots{shots}.txt").read_text(encoding="utf-8")
    return _LEFT_OUT.sub(lambda match: f"[... {int(match[1]):,} more characters ...]", text)
