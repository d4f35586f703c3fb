"""Recompute a stored run with transformers, one request at a time, and print the largest differences.

    python tests/transformers_check.py MODEL_FOLDER RUN_FOLDER

It reads the texts from records.jsonl, so nothing of evalkit's encoding, batching or model takes part. Covered are
tasks scored by log-likelihood and by rolling perplexity.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
import transformers


class Reference:
    """transformers' model and tokenizer, used in the plainest way."""

    def __init__(self, folder: Path):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, model_max_length=10**9)
        self.context = self.model.config.max_position_embeddings
        # The token that the tokenizer puts before every text, if it does; otherwise texts begin with end of text.
        begin = [self.tokenizer.bos_token_id]
        self.first = [] if self.tokenizer("a")["input_ids"][:1] == begin else [self.tokenizer.eos_token_id]

    @torch.no_grad()
    def logprobs(self, tokens: list[int], scored: int) -> float:
        """Sum of log-probabilities of the last `scored` tokens."""
        logits = self.model(torch.tensor([tokens[:-1]])).logits[0, -scored:].double()
        return float(logits.log_softmax(-1).gather(1, torch.tensor(tokens[-scored:])[:, None]).sum())

    def continuation(self, context: str, continuation: str) -> float:
        stripped = context.rstrip()
        before = self.tokenizer(stripped)["input_ids"]
        after = self.tokenizer(context + continuation)["input_ids"][len(before) :]
        return self.logprobs((before or self.first) + after, len(after))

    def document(self, text: str) -> float:
        """Windows of the context length; only the last one looks back."""
        stream = [*self.first, *self.tokenizer(text)["input_ids"]]
        total, done = 0.0, 1
        while done < len(stream):
            stop = min(done + self.context, len(stream))
            total += self.logprobs(stream[max(0, stop - self.context - 1) : stop], stop - done)
            done = stop
        return total


def differences(model_folder: Path, run_folder: Path, *, limit: int | None = None) -> dict[str, dict[str, float]]:
    """Return per task: requests compared, largest relative and absolute difference, and both sums."""
    reference = Reference(model_folder)
    found: dict[str, Any] = defaultdict(
        lambda: {"requests": 0, "relative": 0.0, "absolute": 0.0, "evalkit": 0.0, "transformers": 0.0}
    )
    lines = (run_folder / "records.jsonl").read_text(encoding="utf-8").split("\n")
    records = [json.loads(line) for line in lines if line]
    for record in records[:limit]:
        contexts = record["prompt"]["contexts"]
        # Further responses, if any, are those to the continuations alone (acc_unconditional).
        for i, (continuation, response) in enumerate(zip(record["continuations"], record["responses"], strict=False)):
            context = contexts[i if len(contexts) > 1 else 0]
            rolling = not context
            theirs = reference.document(continuation) if rolling else reference.continuation(context, continuation)
            entry = found[record["cell"]["task"]]
            difference = abs(response["loglikelihood"] - theirs)
            entry["requests"] += 1
            entry["absolute"] = max(entry["absolute"], difference)
            entry["relative"] = max(entry["relative"], difference / abs(theirs))
            entry["evalkit"] += response["loglikelihood"]
            entry["transformers"] += theirs
    return dict(found)


def main() -> None:
    """Print one line per task."""
    for task, entry in differences(Path(sys.argv[1]), Path(sys.argv[2])).items():
        print(
            f"{task}: {entry['requests']} requests, largest difference {entry['relative']:.1e} relative, "
            f"{entry['absolute']:.1e} nats; sum of log-likelihoods {entry['evalkit']:.4f} (evalkit), "
            f"{entry['transformers']:.4f} (transformers), ratio off by "
            f"{abs(math.expm1(math.log(entry['evalkit'] / entry['transformers']))):.1e}"
        )


if __name__ == "__main__":
    main()
