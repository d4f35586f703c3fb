"""A fake engine, the seam for tests: it answers from a function of the request instead of a model.

`oracle` knows every answer, `constant` always gives the same one, `random` guesses. The harness cannot tell them from a
model, so they check that a task's perfect score is perfect and that its chance level is as stated.
"""

from __future__ import annotations

import math
import random as rng_of
from collections.abc import Callable, Iterator, Mapping, Sequence

from evalkit.types import Request, Response

# (task, document id) -> the right text, and the index of the right choice (or several) where there are choices.
Answers = Mapping[tuple[str, str], tuple[str, int | tuple[int, ...] | None]]


class ByteEncoder:
    """A tokenizer whose tokens are the bytes of the text."""

    end_of_text = 256

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the UTF-8 bytes of each text."""
        return [list(text.encode()) for text in texts]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return the character that each byte belongs to."""
        return [(i, i + 1) for i, character in enumerate(text) for _ in character.encode()]


class FakeEngine:
    """Answers every request with `answer(request)`, the last request first, because no caller may rely on an order."""

    def __init__(self, name: str, answer: Callable[[Request], Response], *, context_length: int = 1 << 20):
        self.tokenizer = ByteEncoder()
        self.context_length = context_length
        self._name, self._answer = name, answer
        self.asked: list[Request] = []

    def signature(self) -> Mapping[str, str]:
        """Return a signature that no model has."""
        return {"model": f"fake-{self._name}", "hash": self._name, "dtype": "none"}

    def _respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        self.asked += requests
        for i in reversed(range(len(requests))):
            yield i, self._answer(requests[i])

    def loglikelihood(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Answer from the function."""
        return self._respond(requests)

    def loglikelihood_rolling(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Answer from the function."""
        return self._respond(requests)

    def generate_until(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Answer from the function."""
        return self._respond(requests)


def oracle(answers: Answers) -> FakeEngine:
    """Build an engine that is certain of the right answer: `answers` maps (task, document id) to it."""

    def answer(request: Request) -> Response:
        text, gold = answers[request.task, request.doc_id]
        tokens = len(request.continuation_ids)
        right = gold is None or request.index in (gold if isinstance(gold, tuple) else (gold,))
        return Response(
            loglikelihood=0.0 if right else -100.0 * max(1, tokens), is_greedy=right, tokens=tokens, text=text
        )

    return FakeEngine("oracle", answer)


def constant(text: str = "yes") -> FakeEngine:
    """Build an engine to which everything is equally likely and that always writes the same text."""
    return FakeEngine("constant", lambda request: Response(tokens=len(request.continuation_ids), text=text))


def random(seed: int = 0) -> FakeEngine:
    """Build an engine that guesses: likelihoods are drawn per token, texts are random letters."""

    def answer(request: Request) -> Response:
        draw = rng_of.Random(f"{seed}/{request.task}/{request.doc_id}/{request.index}")
        tokens = len(request.continuation_ids)
        # One draw per request, not per token: a longer option must not be less likely to win a guess.
        text = "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=6))
        return Response(loglikelihood=math.log(1 - draw.random()), tokens=tokens, text=text)

    return FakeEngine("random", answer)
