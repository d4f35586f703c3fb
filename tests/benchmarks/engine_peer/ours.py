"""One measurement of evalkit, in a process of its own: python ours.py JOB.json RESULT.json"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from evalkit import world
from evalkit.commands import options
from evalkit.harness.requests import encode
from evalkit.model import weights
from evalkit.model.config import SIZES
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Request, Response


def main(job_path: str, result_path: str) -> None:
    """Load the model, answer the requests, write what they are, how long it took and what had to be computed."""
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    if job["kind"] == "model":
        result = make_model(Path(job["to"]), job["data"])
    else:
        result = throughput(job["dtype"]) if job["kind"] == "throughput" else measure(job)
    Path(result_path).write_text(json.dumps(result), encoding="utf-8")


def make_model(folder: Path, data: str) -> dict[str, Any]:
    """Write random weights of GPT-2 117M's shape, with its own tokenizer where the data holds it."""
    if data:
        tokenizer = Tokenizer.load(Path(data) / "gpt2-bpe")
    else:
        tokenizer = Tokenizer.train(world.corpus(seed=0, documents=1000), vocab_size=3000)
    model = GPT(SIZES["117M"])
    model.initialize(torch.Generator().manual_seed(0))
    weights.save(model, tokenizer, folder, record=None)
    return {}


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Answer the requests of a job; texts are encoded within the time, as they are in lm-eval's methods."""
    parser = argparse.ArgumentParser()
    options.add_engine(parser)
    arguments = parser.parse_args([] if job["dtype"] == "default" else ["--dtype", job["dtype"]])
    engine = options.engine(job["model"], arguments)
    began = time.perf_counter()
    asked = requests(job, engine.tokenizer)
    found = dict(getattr(engine, job["kind"])(asked))
    seconds = time.perf_counter() - began
    responses = [found[i] for i in range(len(asked))]
    texts = job["kind"] == "generate_until"
    return {
        "seconds": seconds,
        "answers": [response.text if texts else response.loglikelihood for response in responses],
        "flops": needed_flops(asked, responses),
        "dtype": engine.signature()["dtype"],
    }


def requests(job: dict[str, Any], encoder: Any) -> list[Request]:
    """Return the requests of a job, encoded as the harness encodes them."""
    kind, decoding = job["kind"], Decoding(until=tuple(job["until"]), max_tokens=job["max_tokens"])
    if kind == "loglikelihood_rolling":
        pairs = [((), tuple(ids)) for ids in encoder.encode_batch([text for (text,) in job["texts"]])]
    else:
        encoded = encode([(texts[0], "".join(texts[1:])) for texts in job["texts"]], encoder)
        pairs = [(one.context, one.continuation) for one in encoded]
    return [
        Request(
            kind=kind, task="t", doc_id=str(i), context_ids=context, continuation_ids=continuation, decoding=decoding
        )
        for i, (context, continuation) in enumerate(pairs)
    ]  # fmt: skip


def needed_flops(asked: Sequence[Request], responses: Sequence[Response]) -> float:
    """Return the fewest FLOPs that give the answers: every distinct beginning is read once, every score made once."""
    shape = SIZES["117M"]
    read: set[tuple[int, ...]] = set()  # the beginnings, of which the last token is read
    scored: set[tuple[int, ...]] = set()
    generated = places = 0
    for request, response in zip(asked, responses, strict=True):
        stream = request.context_ids + request.continuation_ids
        if request.kind == "loglikelihood_rolling":  # windows share next to nothing
            generated += len(stream)
            places += len(stream) * shape.context // 2
        elif request.kind == "generate_until":
            read.update(stream[:n] for n in range(1, len(stream) + 1))
            generated += response.tokens
            places += response.tokens * len(stream)
        else:
            read.update(stream[:n] for n in range(1, len(stream)))
            scored.update(stream[:n] for n in range(len(request.context_ids), len(stream)))
    places += sum(map(len, read))
    tokens, scores = len(read) + generated, len(scored) + generated
    matrices = shape.block_parameters * tokens + shape.vocab_size * shape.d_model * scores
    return 2.0 * matrices + 4.0 * shape.n_layer * shape.d_model * places


def throughput(dtype: str) -> dict[str, Any]:
    """Return this machine's FLOP/s in products of a block's shapes with 1,024 rows, by the best way there is."""
    kind, d = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype], SIZES["117M"].d_model
    shapes = [(d, 3 * d), (d, d), (d, 4 * d), (4 * d, d)]
    pairs = [(torch.randn(1024, rows).to(kind), torch.randn(columns, rows).to(kind)) for rows, columns in shapes]

    def onednn(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")

    ways = [torch.nn.functional.linear, *([onednn] if torch.backends.mkldnn.is_available() else [])]
    best = float("inf")
    with torch.inference_mode():
        for way in ways:
            for _ in range(8):
                began = time.perf_counter()
                for x, weight in pairs:
                    way(x, weight)
                best = min(best, time.perf_counter() - began)
    return {"flops": sum(2 * 1024 * rows * columns for rows, columns in shapes) / best}


if __name__ == "__main__":
    main(*sys.argv[1:])
