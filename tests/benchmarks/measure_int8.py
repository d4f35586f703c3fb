"""Seconds of products in fp32, bf16 and 8 bits: of single layers by their widths, or of a model's WinoGrande requests.

    python -m tests.benchmarks.measure_int8
    EVALKIT_DATA=FOLDER python -m tests.benchmarks.measure_int8 --model FOLDER

One thread, medians of processor time in turn. A layer gets 512 rows; a model 48 requests with five shots per document.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import torch

from evalkit.engine.batched import BatchedEngine
from evalkit.engine.open import load_engine
from evalkit.model import onednn
from evalkit.model.gpt import Linear
from evalkit.model.int8 import Int8Linear
from evalkit.types import Request
from tests.benchmarks.engine_peer.ours import requests
from tests.benchmarks.engine_peer.works import model_works

_WIDTHS = ((576, 1536), (1024, 4096), (2048, 5632))
_ROWS = 512


def main() -> None:
    """Print a line for each layer, or one for the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.model:
        print(arguments.model, line(medians(engines(arguments.model), arguments.repeat)))
        return
    for width, inner in _WIDTHS:
        for inputs, outputs in ((width, inner), (inner, width)):
            print(f"{inputs:5} x {outputs:5}", line(medians(layers(inputs, outputs), arguments.repeat)), flush=True)


def line(seconds: Mapping[str, float]) -> str:
    """Return the seconds of each format."""
    return ", ".join(f"{name} {value:.5f} s" for name, value in seconds.items())


def layers(inputs: int, outputs: int) -> Mapping[str, Callable[[], object]]:
    """Return a product of the same rows with the same matrix in each format."""
    rows = torch.randn(_ROWS, inputs)
    works: dict[str, Callable[[], object]] = {}
    linear = Linear(inputs, outputs, bias=False).requires_grad_(False)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.to(dtype), _ROWS)
        works[name] = partial(onednn.product, rows.to(dtype), weight)
    works["int8"] = partial(Int8Linear(linear), rows)
    return works


def engines(folder: str) -> Mapping[str, Callable[[], object]]:
    """Return the scoring of the same requests in each format."""
    loaded = {dtype: load_engine(folder, dtype=dtype) for dtype in ("fp32", "bf16", "int8")}
    tokenizer = loaded["fp32"].tokenizer
    works = model_works(Path(os.environ["EVALKIT_DATA"]), tokenizer, scale=1)
    [work] = [one for one in works if one.name.startswith("WinoGrande")]
    asked = requests({"kind": work.kind, "texts": work.texts, "until": [], "max_tokens": 1}, tokenizer)
    return {name: partial(_answer, engine, asked) for name, engine in loaded.items()}


def _answer(engine: BatchedEngine, asked: Sequence[Request]) -> None:
    for _ in engine.loglikelihood(asked):
        pass


def medians(works: Mapping[str, Callable[[], object]], repeat: int) -> Mapping[str, float]:
    """Return the median seconds of each, after one call that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeat + 1):
        for name, work in works.items():
            began = time.process_time()
            work()
            if turn:
                seconds[name].append(time.process_time() - began)
    return {name: median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
