"""Task files: of lm-evaluation-harness in YAML with their data, and of evalkit in Python."""

from __future__ import annotations

from pathlib import Path

from evalkit.data.sources import DataPaths
from evalkit.harness import catalog
from evalkit.harness.load import load
from evalkit.harness.settings import RunSettings
from evalkit.lm_eval import tasks as lm_eval
from evalkit.types import Cell
from tests.lm_eval.made import TASK, write

_MORE = """
    fewshot_split: test
    description: "Say what fits.\\n"
    num_fewshot: 1
    metric_list:
      - {metric: acc, aggregation: mean, higher_is_better: true}
      - {metric: acc_norm}
    filter_list:
      - name: plain
        filter:
          - {function: take_first}
    generation_kwargs: {until: ["\\n"], max_gen_toks: 8}
    metadata: {version: 1.0}
"""
_PYTHON = '''
"""A task."""

from evalkit.data.sources import BenchmarkSource, Hub, Release, read_jsonl
from evalkit.harness.task import Protocol, Task
from evalkit.types import Example

TASKS = (
    Task(
        name="capitals",
        family="qa",
        title="capitals",
        source=BenchmarkSource(
            name="capitals",
            hub=Hub(id="someone/capitals", splits={"test": "test"}),
            releases={"test": Release(files=("rows.jsonl",), read=read_jsonl)},
        ),
        to_example=lambda document: Example(task="t", input=document.row["word"], output=str(document.row["gold"])),
        protocols={"plain": Protocol(kind="generate", query="Q: {input}\\nA:", metrics=("exact_match",))},
    ),
)
'''


def write_yaml(folder: Path) -> None:
    """Write a task with its rows, and a file that includes it."""
    write(folder, "base.yaml", TASK, more=_MORE)
    (folder / "own.yaml").write_text('include: base.yaml\ntask: made_own\ndoc_to_text: "{{word|upper}} is:"\n')


def load_yaml(folder: Path) -> int:
    """Choose and load the task, and build the prompt of each document."""
    [task] = lm_eval.choose(str(folder / "own.yaml"), trusted=False)
    loaded = load(task, RunSettings(default_shots=True), DataPaths())
    cell = Cell(task="made_own", protocol=loaded.name, shots=max(loaded.shots), seed=1)
    return len([loaded.rules.texts(loaded, *pair, cell) for pair in loaded.documents])


def write_python(folder: Path) -> None:
    """Write a task file with its rows."""
    write(folder, "own.yaml")
    (folder / "own.yaml").unlink()
    (folder / "own.py").write_text(_PYTHON)


def load_python(folder: Path) -> int:
    """Load the file, and its documents if there is a task."""
    tasks = catalog.load_file(folder / "own.py")
    return sum(len(load(task, RunSettings(), DataPaths(root=folder)).documents) for task in tasks)
