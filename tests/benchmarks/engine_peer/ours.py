"""One measurement of evalkit, in a process of its own: python ours.py JOB.json RESULT.json

With "rounds" in the job the requests are answered once for each line that comes in, and "done" is printed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from evalkit import world
from evalkit.engine.open import load_engine
from evalkit.engine.rolling import rolling_windows
from evalkit.harness.requests import encode
from evalkit.model import weights
from evalkit.model.config import SIZES, GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Request, Response


def main(job_path: str, result_path: str) -> None:
    """Load the model, answer the requests, write what they are, how long it took and what had to be computed."""
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    if job["kind"] == "model":
        result = make_model(Path(job["to"]), job["data"])
    else:
        result = throughput(job) if job["kind"] == "throughput" else measure(job)
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
    dtype = None if job["dtype"] == "default" else job["dtype"]
    engine = load_engine(job["model"], dtype=dtype, stride=job.get("stride"))
    clock = time.process_time if job.get("clock") == "processor" else time.perf_counter
    seconds = []
    print("done", flush=True)
    for _ in sys.stdin if "rounds" in job else range(1):
        began = clock()
        asked = requests(job, engine.tokenizer)
        found = dict(getattr(engine, job["kind"])(asked))
        seconds.append(clock() - began)
        print("done", flush=True)
    responses = [found[i] for i in range(len(asked))]
    texts = job["kind"] == "generate_until"
    return {
        "seconds": min(seconds),
        "every": seconds,
        "answers": [response.text if texts else response.loglikelihood for response in responses],
        "flops": needed_flops(asked, responses, shape=shape_of(job), stride=job.get("stride")),
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


class Shape(NamedTuple):
    """What decides the FLOPs of a model: as in GPTConfig. matrices: rows and columns of those of its blocks."""

    block_parameters: int
    vocab_size: int
    d_model: int
    n_layer: int
    matrices: Sequence[tuple[int, int]]


def shape_of(job: dict[str, Any]) -> Shape:
    """Return the shape of the model made here, or of the folder that a job names."""
    if not job.get("folder"):
        one = SIZES["117M"]
        d = one.d_model
        matrices = [(d, 3 * d), (d, d), (d, 4 * d), (4 * d, d)]
        return Shape(one.block_parameters, one.vocab_size, d, one.n_layer, matrices)
    import transformers
    from transformers.pytorch_utils import Conv1D

    config = transformers.AutoConfig.from_pretrained(job["folder"])
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config).base_model
    linear = [part.weight for part in model.modules() if isinstance(part, torch.nn.Linear)]
    weights = linear or [part.weight.t() for part in model.modules() if isinstance(part, Conv1D)]  # GPT-2's
    layers = config.num_hidden_layers
    matrices = [(columns, rows) for rows, columns in (weight.shape for weight in weights[: len(weights) // layers])]
    parameters = sum(weight.numel() for weight in weights)
    return Shape(parameters, config.vocab_size, config.hidden_size, layers, matrices)


def needed_flops(
    asked: Sequence[Request],
    responses: Sequence[Response],
    *,
    shape: Shape | GPTConfig = SIZES["117M"],
    context: int = 1024,
    stride: int | None = None,
) -> float:
    """Return the fewest FLOPs that give the answers: every distinct beginning is read once, every score made once.

    context, stride: of rolling windows, which share nothing: the same token stands at another place in each.
    """
    read: set[tuple[int, ...]] = set()  # the beginnings, of which the last token is read
    scored: set[tuple[int, ...]] = set()
    generated = rolled = places = 0
    for request, response in zip(asked, responses, strict=True):
        stream = request.context_ids + request.continuation_ids
        if request.kind == "loglikelihood_rolling":
            windows = rolling_windows(len(stream), context=context, stride=stride or context)
            lengths = [window.stop - window.start - 1 for window in windows]
            generated += len(stream)
            rolled += sum(lengths) - len(stream)
            places += sum(length * length // 2 for length in lengths)
        elif request.kind == "generate_until":
            read.update(stream[:n] for n in range(1, len(stream) + 1))
            generated += response.tokens
            places += response.tokens * len(stream)
        else:
            read.update(stream[:n] for n in range(1, len(stream)))
            scored.update(stream[:n] for n in range(len(request.context_ids), len(stream)))
    places += sum(map(len, read))
    tokens, scores = len(read) + generated + rolled, len(scored) + generated
    matrices = shape.block_parameters * tokens + shape.vocab_size * shape.d_model * scores
    return 2.0 * matrices + 4.0 * shape.n_layer * shape.d_model * places


def throughput(job: dict[str, Any]) -> dict[str, Any]:
    """Return this machine's FLOP/s in products of a block's shapes with 1,024 rows, by the best way there is."""
    kind, shapes = {"fp32": torch.float32, "bf16": torch.bfloat16}[job["dtype"]], shape_of(job).matrices
    clock = time.process_time if job.get("clock") == "processor" else time.perf_counter
    pairs = [(torch.randn(1024, rows).to(kind), torch.randn(columns, rows).to(kind)) for rows, columns in shapes]

    def onednn(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")

    ways = [torch.nn.functional.linear, *([onednn] if torch.backends.mkldnn.is_available() else [])]
    best = float("inf")
    with torch.inference_mode():
        for way in ways:
            for _ in range(8):
                began = clock()
                for x, weight in pairs:
                    way(x, weight)
                best = min(best, clock() - began)
    return {"flops": sum(2 * 1024 * rows * columns for rows, columns in shapes) / best}


if __name__ == "__main__":
    main(*sys.argv[1:])
