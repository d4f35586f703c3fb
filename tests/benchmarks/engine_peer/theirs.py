"""One measurement of lm-evaluation-harness, in a process of its own: python theirs.py JOB.json RESULT.json

Runs in lm-eval's environment, so nothing of evalkit is imported. With several batch sizes in the job the fastest on a
part of the requests is found, and nothing else. With "rounds" in it the requests are answered once for each line that
comes in, and "done" is printed.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from pathlib import Path


def main(job_path: str, result_path: str) -> None:
    """Load the model, answer the requests, write what they are and how long it took."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    kind, decoding = job["kind"], {"until": job["until"], "max_gen_toks": job["max_tokens"], "do_sample": False}
    asked = [
        Instance(kind, {}, (*texts, decoding) if kind == "generate_until" else tuple(texts), i)
        for i, texts in enumerate(job["texts"])
    ]
    dtype = {} if job["dtype"] == "default" else {"dtype": {"fp32": "float32", "bf16": "bfloat16"}[job["dtype"]]}
    lm = HFLM(pretrained=job["model"], device="cpu", batch_size=job["batches"][0], **dtype)
    if job.get("stride"):
        overlap(lm.max_length - job["stride"] + 1)
    clock = time.process_time if job.get("clock") == "processor" else time.perf_counter

    def answer(batch):
        lm.batch_size_per_gpu = batch
        began = clock()
        answers = getattr(lm, kind)(asked, disable_tqdm=True)
        return clock() - began, answers

    if "rounds" in job:
        print("done", flush=True)
        seconds = []
        for _ in sys.stdin:
            spent, answers = answer(job["batches"][0])
            seconds.append(spent)
            print("done", flush=True)
    else:
        seconds, found = zip(*map(answer, job["batches"]), strict=True)
        answers = found[-1]
    if kind == "loglikelihood":
        answers = [value for value, _ in answers]
    best = min(range(len(seconds)), key=seconds.__getitem__)
    batch = job["batches"][0 if "rounds" in job else best]
    result = {"seconds": seconds[best], "every": seconds, "batch": batch, "answers": answers}
    Path(result_path).write_text(json.dumps(result), encoding="utf-8")


def overlap(context: int) -> None:
    """Let rolling windows begin with so many tokens of context: lm-eval's function can, its models always ask for 1."""
    from lm_eval import utils

    utils.get_rolling_token_windows = functools.partial(_windows, utils.get_rolling_token_windows, context)


def _windows(plain, context, **arguments):
    return plain(**{**arguments, "context_len": context})


if __name__ == "__main__":
    main(*sys.argv[1:])
