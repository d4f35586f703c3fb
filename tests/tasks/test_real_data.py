"""The published benchmarks against their real files: how many documents, and prompts byte by byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.files import digest
from evalkit.harness import catalog, preview
from evalkit.harness.run import RunSettings, load
from evalkit.harness.sources import DataPaths

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "prompts"
COUNTS = {
    "lambada": 5153,
    "wikitext2": 62,
    "coqa": 7983,
    "wmt14_fr_en": 3003,
    "wmt14_en_fr": 3003,
    "cnn_dailymail": 198,
    "nq_open": 3610,
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
def test_prompt_is_golden(path: Path, data_dir: Path) -> None:
    """A file holds the context, its long middle as a hash, then the target behind a mark."""
    name, shots = path.stem.split(".shots")
    shown = preview.prompt(catalog.bundled()[name], protocol="gpt2", shots=int(shots), data=DataPaths(root=data_dir))
    assert f"{readable(shown.context)}\n=> {readable(shown.target)}\n".encode() == path.read_bytes()


def test_every_task_has_golden_prompts() -> None:
    found = {path.name for path in GOLDEN.glob("*.txt")}
    wanted = {f"{name}.shots{k}.txt" for name in COUNTS for k in (0, 2)} - {"wikitext2.shots2.txt"}
    assert wanted <= found
