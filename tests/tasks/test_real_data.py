"""The published benchmarks against their real files: how many documents, and prompts byte by byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.data.sources import DataPaths
from evalkit.files import digest
from evalkit.harness import catalog, preview
from evalkit.harness.run import RunSettings, load

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "prompts"
COUNTS = {
    "lambada": 5153,
    "lambada_filtered": 5153,
    "wikitext2": 62,
    "coqa": 7983,
    "wmt14_fr_en": 3003,
    "wmt14_en_fr": 3003,
    "cnn_dailymail": 198,
    "nq_open": 3610,
    "hellaswag": 10_042,
    "piqa": 1838,
    "winogrande": 1267,
    "winograd": 273,
    "winograd_full": 273,
    **{f"arithmetic_{name}": 2000 for name in ("2da", "2ds", "3da", "3ds", "4da", "4ds", "5da", "5ds", "2dm", "1dc")},
    **{f"scramble_{name}": 10_000 for name in ("cl", "a1", "a2", "ri", "rw")},
    "wikitext103": 62,
    "ptb": 30,
    "multi30k_fr_en": 1000,
    "multi30k_en_fr": 1000,
    "xsum": 1000,
    "sst2": 872,
    "cola": 1043,
    "mrpc": 1725,
    "stsb": 1500,
    "snli": 9824,
    "scitail": 2126,
    "arc_easy": 570,
    "arc_challenge": 299,
    "openbookqa": 500,
    "boolq": 3270,
    "race_middle": 500,
    "race_high": 500,
    "triviaqa": 3000,
    "webquestions": 2032,
    "squad1": 1000,
    "squad2": 6078,
    "copa": 100,
    "cb": 56,
    "rte": 277,
}


@pytest.mark.parametrize("name", COUNTS)
def test_all_documents_are_read(name: str, data_dir: Path) -> None:
    loaded = load(catalog.bundled()[name], RunSettings(), DataPaths(root=data_dir))
    assert len(loaded.documents) == COUNTS[name]


def readable(text: str, *, ends: int = 300) -> str:
    """Leave out the middle of a long text, so that no benchmark is copied here, but pin it by its hash."""
    if len(text) <= 3 * ends:
        return text
    middle = text[ends:-ends]
    return f"{text[:ends]}\n[... {len(middle)} characters, {digest(middle)} ...]\n{text[-ends:]}"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.txt")), ids=lambda path: path.stem)
def test_prompt_is_golden(path: Path, made_data: DataPaths, request: pytest.FixtureRequest) -> None:
    """A file holds the context, its long middle as a hash, then the target behind a mark.

    Its name is TASK.PROTOCOL.shotsK, without the protocol for gpt2.
    """
    cell, shots = path.stem.split(".shots")
    name, _, protocol = cell.partition(".")
    task, data = catalog.bundled()[name], made_data
    if not task.source.at_hand(data):
        data = DataPaths(root=request.getfixturevalue("data_dir"))
    shown = preview.prompt(task, protocol=protocol or "gpt2", shots=int(shots), data=data)
    assert f"{readable(shown.context)}\n=> {readable(shown.target)}\n".encode() == path.read_bytes()


def test_every_task_has_golden_prompts() -> None:
    found = {path.name for path in GOLDEN.glob("*.txt")}
    cells = [(task, name) for task in catalog.bundled().values() for name in task.protocols if "world" not in task.name]
    wanted = {
        f"{task.name}{'' if name == 'gpt2' else '.' + name}.shots{k}.txt"
        for task, name in cells
        for k in ((0,) if task.protocols[name].kind == "rolling" else (0, 2))
    }
    assert wanted == found
