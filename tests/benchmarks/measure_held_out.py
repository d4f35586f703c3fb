"""The held-out loss of finished checkpoints, measured anew on their corpus, as a training measures it at its end.

    python tests/benchmarks/measure_held_out.py CHECKPOINT... --corpus FOLDER [--write]

The weights are those of the folder: of a half-precision copy, the copy's. Products are at the training's precision.
Prints each loss with its standard error, and the one on record; --write puts the new one into training.json and
changes nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalkit.corpus import Corpus
from evalkit.corpus.prepare import open_corpus
from evalkit.errors import CheckpointError, UsageError, program
from evalkit.files import read_json, write_atomic
from evalkit.model import weights
from evalkit.model.config import GPTConfig
from evalkit.train.config import TrainConfig
from evalkit.train.optim import OptimConfig
from evalkit.train.validation import HeldOut, Validation, budget, recorded


@program
def main() -> None:
    """Read the options, measure, print a line per checkpoint, write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT")
    parser.add_argument("--corpus", type=Path, required=True, metavar="FOLDER", help="what they were trained on")
    parser.add_argument("--write", action="store_true", help="put the loss into training.json")
    arguments = parser.parse_args()
    _, corpus = open_corpus(arguments.corpus)
    records = {folder: read_json(folder / "training.json", CheckpointError) for folder in arguments.checkpoints}
    trainings = {folder: training(record, folder, corpus=corpus) for folder, record in records.items()}
    for folder, record in records.items():
        held_out = measure(folder, corpus, trainings[folder])
        former = f"{record.get('validation_loss')} ± {record.get('validation_stderr')}"
        print(f"{folder}: {held_out.loss} ± {held_out.stderr} over {held_out.tokens:,} tokens (on record: {former})")
        if arguments.write:
            write_atomic(folder / "training.json", json.dumps(with_loss(record, held_out), indent=2) + "\n")


def training(record: Mapping[str, Any], folder: Path, *, corpus: Corpus) -> TrainConfig:
    """Return what a checkpoint's training was asked.

    Raises CheckpointError for a record of another trainer, UsageError for one of another corpus.
    """
    try:
        settings = dict(record["settings"])
        fingerprint = settings.pop("corpus")
        model, optim = GPTConfig.of(settings.pop("model")), OptimConfig(**settings.pop("optim"))
        settings["extended"] = tuple((step, tokens) for step, tokens in settings.get("extended") or ())
        config = TrainConfig(model=model, optim=optim, **settings)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / 'training.json'} is not a record of evalkit's trainer: {error}") from None
    if fingerprint != corpus.info.fingerprint:
        raise UsageError(f"{folder} was trained on the corpus {fingerprint}; this one is {corpus.info.fingerprint}")
    return config


def measure(folder: Path, corpus: Corpus, config: TrainConfig) -> HeldOut:
    """Return the loss of a checkpoint. Raises UsageError where the corpus holds nothing out."""
    model, tokenizer = weights.load(folder)
    validation = Validation(corpus.validation, context=config.length, end_of_text=tokenizer.end_of_text)
    held_out = validation.loss(model, config, tokens=budget(config, last=True))
    if held_out is None:
        raise UsageError(f"the corpus {corpus.info.name} has no held-out text")
    return held_out


def with_loss(record: Mapping[str, Any], held_out: HeldOut) -> dict[str, Any]:
    """Return the record with another loss, in the place of the old one."""
    loss, names = recorded(held_out), list(record)
    after = names.index("validation_loss") if "validation_loss" in names else len(names)
    before = {name: record[name] for name in names[:after]}
    return before | loss | {name: record[name] for name in names[after:] if name not in loss}


if __name__ == "__main__":
    sys.exit(main())
