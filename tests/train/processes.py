"""Trainings in processes of their own, forked from one that has imported torch already."""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import os
import random
import socket
from dataclasses import dataclass

import torch
from torch.nn.parallel import DistributedDataParallel

from evalkit import corpus as corpora
from evalkit.errors import EvalkitError
from evalkit.model.config import GPTConfig
from evalkit.tokenizer import Tokenizer
from evalkit.train import distributed
from evalkit.train.config import TrainConfig
from evalkit.train.loop import Surroundings, train

SHAPE = GPTConfig(n_layer=2, d_model=32, n_head=2, context=32, vocab_size=300)
# 20 steps.
CONFIG = TrainConfig(model=SHAPE, tokens=20 * 4 * 32, sequences=4, dtype="fp32", checkpoint_every=10, log_every=1)
_HUNG = 300  # seconds after which a process that should have ended says where it is, and ends


def context():
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["evalkit.train.loop", "torch.distributed.fsdp"])
    return made


def corpus_in(folder):
    """Make a corpus of small documents, with its tokenizer."""
    rng = random.Random(0)
    texts = [" ".join(rng.choices("one two three four five six seven eight".split(), k=40)) for _ in range(800)]
    tokenizer = Tokenizer.train(texts, vocab_size=300)
    corpora.of_texts(texts, tokenizer, folder, name="words")
    tokenizer.save(folder, context=0)
    return folder


@dataclass(frozen=True)
class SignalAt:
    """An observer that sends this process a signal once it has seen `every` tokens."""

    every: int
    number: int

    def observe(self, engine, out, facts):
        if facts["tokens"] < 2 * self.every:  # not at the end
            os.kill(os.getpid(), self.number)


def start(folder, out, config, *, observers=(), ranks=1):
    """Start a training, resumed if it is there already; return its processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = [
        context().Process(target=_train, args=(folder, out, config, observers, rank, ranks, port))
        for rank in range(ranks)
    ]
    for process in made:
        process.start()
    return made


def ended(processes):
    """Wait for processes and return their exit codes."""
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _train(folder, out, config, observers, rank, ranks, port):
    torch.set_num_threads(1)
    faulthandler.dump_traceback_later(_HUNG, exit=True)
    if ranks > 1:  # as torchrun would
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in told.items()} | {"TORCHELASTIC_RUN_ID": "test"})
    try:
        with distributed.ranks("cpu") as here:
            surroundings = Surroundings(ranks=here, observers=observers)
            train(config, corpora.load(folder), Tokenizer.load(folder), out, resume=True, surroundings=surroundings)
    except EvalkitError as error:
        # Its traceback keeps the trainer alive longer than the process group, which the reducer must not survive.
        assert not [
            made for made in gc.get_objects() if isinstance(made, DistributedDataParallel) and hasattr(made, "reducer")
        ]
        (out.parent / f"{out.name}-{rank}.error").write_text(f"{type(error).__name__}: {error}")
        raise SystemExit(error.exit_code) from None
