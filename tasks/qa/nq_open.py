"""Natural Questions, open: real search queries with short answers, without a page to read.

Papers: Kwiatkowski et al. 2019, "Natural Questions", https://aclanthology.org/Q19-1026; the open form with short
answers is that of Lee, Chang and Toutanova 2019, https://arxiv.org/abs/1906.00300.
Splits: dev, 3,610 questions; shots from train (87,925) if it is there, else from dev.
A document is a question, named by its position. GPT-2 (section 3.8) seeds the prompt with example pairs;
GPT-3 puts a blank line before "A:" and decodes with 4 beams.

    document  {"question": "when was the last time anyone was on the moon", "answer": ["14 December 1972 UTC", ...]}
    prompt    Q: when was the last time anyone was on the moon?
              A:
    target     14 December 1972 UTC
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from evalkit.data.sources import BenchmarkSource, Hub, released
from evalkit.harness.examples import open_question
from evalkit.harness.task import Protocol, Task
from evalkit.types import Decoding, Example


class _Majority:
    """The most frequent answer of the pool. A question that is in the pool itself does not count its own answer."""

    def __init__(self) -> None:
        self._pool: Sequence[Example] = ()
        self._best: Sequence[tuple[str, int]] = ()
        self._outputs: dict[str, str] = {}

    def __call__(self, example: Example, pool: Sequence[Example]) -> str:
        if pool is not self._pool:  # counted once per run, not once per question
            self._pool = pool
            counts = Counter(shot.output for shot in pool)
            self._best = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:2]
            self._outputs = {shot.input: shot.output for shot in pool}
        output = self._outputs.get(example.input)
        return max(self._best, key=lambda pair: pair[1] - (pair[0] == output))[0]


TASKS = (
    Task(
        name="nq_open",
        family="qa",
        title="real search queries with short answers (Lee et al. 2019)",
        licence="CC BY-SA 3.0",
        source=BenchmarkSource(
            name="nq_open",
            hub=Hub(id="google-research-datasets/nq_open", splits={"test": "validation", "shots": "train"}),
            releases=released("nq_open/NQ-open.dev.jsonl", shots="nq_open/NQ-open.train.jsonl"),
        ),
        to_example=open_question("answer"),
        protocols={
            "gpt2": Protocol(
                kind="generate",
                query="Q: {input}?\nA:",
                # A blank line between pairs: within a pair a newline already separates question and answer.
                separator="\n\n",
                metrics=("nq_exact_match", "f1"),
                decoding=Decoding(until=("\n",), max_tokens=16),
            ),
            "gpt3": Protocol(
                kind="generate",
                query="Q: {input}?\n\nA:",
                metrics=("nq_exact_match", "f1"),
                decoding=Decoding(until=("\n",), max_tokens=16, beams=4),
                paper_shots=64,
            ),
        },
        baselines={"majority": _Majority()},
    ),
)
