"""Small made training and test sets in the forms of GLUE's releases, that a tiny model learns within seconds."""

from __future__ import annotations

import random
from pathlib import Path

WORDS = "the a man saw his old red house by sea and we know it was long ago".split()


def _sentence(rng: random.Random, *, word: str) -> str:
    words = rng.choices(WORDS, k=rng.randrange(3, 9))
    words.insert(rng.randrange(len(words)), word)
    return " ".join(words)


def write(root: Path, *, training: int = 96, scored: int = 40) -> Path:
    """Write sst2 ("fine" is for, "poor" against), cola (label by "ran"), mrpc and stsb (how alike the words are)."""
    rng = random.Random(5)
    for folder in ("SST-2", "CoLA", "MRPC", "STS-B"):
        (root / "glue" / folder).mkdir(parents=True)
    for name, count in (("train", training), ("dev", scored)):
        sst2 = [f"{i % 2} {_sentence(rng, word=('poor', 'fine')[i % 2])}\n" for i in range(count)]
        (root / f"glue/SST-2/stsa.binary.{name}").write_text("".join(sst2))
        stsb = [f"{2.5 * (i % 3)}\t{_pair(rng, likeness=i % 3)}\n" for i in range(count)]
        (root / f"glue/STS-B/{name}.tsv").write_text("score\tsentence1\tsentence2\n" + "".join(stsb))
    for name, count in (("in_domain_train", training), ("in_domain_dev", scored), ("out_of_domain_dev", 4)):
        cola = [f"x\t{i % 2}\t\t{_sentence(rng, word=('runned', 'ran')[i % 2])}\n" for i in range(count)]
        (root / f"glue/CoLA/{name}.tsv").write_text("".join(cola))
    for name, count in (("train", training), ("test", scored)):
        mrpc = [f"{i % 2}\t{_pair(rng, likeness=2 * (i % 2))}\n" for i in range(count)]
        (root / f"glue/MRPC/msr_paraphrase_{name}.txt").write_text("Quality\t#1 String\t#2 String\n" + "".join(mrpc))
    return root


def _pair(rng: random.Random, *, likeness: int) -> str:
    first = _sentence(rng, word="king")
    second = (_sentence(rng, word="no"), first.replace("king", "queen"), first)[likeness]
    return f"{first}\t{second}"
