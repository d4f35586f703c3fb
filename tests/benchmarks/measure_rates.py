"""The learning rates of the ladder's presets: every size trained with several, on the same text.

    python tests/benchmarks/measure_rates.py --out FOLDER [--corpus world] [--sizes pico,nano,...] [--tokens 2M]
        [--rates 0.005,0.01,0.02,0.04] [--jobs 2]

A rate is Muon's, of the block matrices; AdamW, for the rest, has half of it, as in the presets. Prints the held-out
loss of each size at each rate, and marks the lowest. What FOLDER holds already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from evalkit.cli import main as evalkit
from evalkit.errors import program
from evalkit.train.ladder import train_all

SIZES = "pico,nano,micro,mini,midi"


@program
def main() -> None:
    """Read the options, train, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--corpus", default="world", help="world, or a folder of `evalkit corpus build`")
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--tokens", default="2M")
    parser.add_argument("--rates", default="0.005,0.01,0.02,0.04")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    sizes, rates = arguments.sizes.split(","), [float(rate) for rate in arguments.rates.split(",")]
    corpus = arguments.corpus
    if corpus == "world":
        corpus = str(arguments.out / "corpus")
        evalkit(["corpus", "build", "world", "--vocab", "3000", "--out", corpus])
    places = {(size, rate): arguments.out / f"{size}-{rate:g}" for size in reversed(sizes) for rate in rates}
    trainings = {
        place.name: ["--size", size, "--corpus", corpus, "--tokens", arguments.tokens, "--muon-lr", str(rate),
                     "--adam-lr", str(rate / 2), "--out", str(place), "--resume"]
        for (size, rate), place in places.items()
    }  # fmt: skip
    train_all(trainings, jobs=arguments.jobs)
    print(f"held-out loss after {arguments.tokens} tokens of {arguments.corpus}, by Muon's rate")
    print("".join(f"{word:>9}" for word in ["size", *map(str, rates)]))
    for size in sizes:
        losses = [json.loads((places[size, rate] / "training.json").read_text())["validation_loss"] for rate in rates]
        marked = [f"{loss:.3f}{'*' if loss == min(losses) else ' '}" for loss in losses]
        print("".join(f"{word:>9}" for word in [size, *marked]))


if __name__ == "__main__":
    sys.exit(main())
