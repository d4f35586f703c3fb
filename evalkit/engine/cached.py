"""An engine that answers from a cache, and loads its model only for requests that the cache does not hold.

A key is a hash of all that decides a response: the model's content hash, dtype, context, window and device, the
versions of evalkit and torch, the kind of request, the token ids, and for generation the decoding with its seed. So a
changed weight, tokenizer or setting misses; a copied folder does not.

What is returned is the response as it was first computed. Batched with other requests its last bits may differ (about
1e-6 of a log-likelihood in fp32), as with another --batch-tokens. Responses are stored only when a whole call has been
answered, so that an interrupted call is repeated with the same requests together. Where several calls are answered at
once, one that shares a request with an earlier call waits for it: so which requests go together does not depend on the
number of workers, or on which of them was fastest.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from importlib.metadata import version

from evalkit import __version__
from evalkit.engine.base import TextEncoder
from evalkit.engine.cache import FORMAT, ResponseCache
from evalkit.engine.calls import Answer, Call, Calls, Place, ask_all
from evalkit.files import canonical_json
from evalkit.types import Request, Response

# The most calls that wait for earlier ones; each holds its requests in memory.
_WAITING = 16


class CachedEngine:
    """Looks requests up in a cache, if there is one, and sends the rest to an engine, which is loaded on first use.

    place: where that engine is loaded and answers. tokenizer, context_length, signature: those of it. device: the kind
    of device, part of the keys.
    """

    def __init__(
        self,
        place: Place,
        *,
        tokenizer: TextEncoder,
        context_length: int,
        signature: Mapping[str, str],
        device: str,
        cache: ResponseCache | None,
    ):
        self.tokenizer, self.context_length = tokenizer, context_length
        self._signature = dict(signature)
        self._place = place
        self._place.expect(self._signature)
        self._cache, self._keys = cache, Keys(self._signature, device)
        self._calls = self._front()

    def _front(self) -> Calls:
        return self._place if self._cache is None else CachedCalls(self._place, self._cache, self._keys)

    def signature(self) -> Mapping[str, str]:
        """Return what identifies the numbers."""
        return self._signature

    def compute(self) -> Mapping[str, str]:
        """Return what else decides the last bits, where it was chosen: the device, and its threads."""
        return self._place.compute()

    def answered(self) -> Mapping[str, int]:
        """Return how many requests each device has answered; empty for a single one."""
        return self._place.answered()

    def loglikelihood(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Score continuations."""
        return self._answer(requests)

    def loglikelihood_rolling(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Score whole documents."""
        return self._answer(requests)

    def generate_until(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Decode; sampled texts depend on their seed alone, so they can be cached too."""
        return self._answer(requests)

    def _answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        for answer in ask_all(self._front(), [Call(requests)] if requests else []):
            if answer.error:
                raise answer.error
            yield answer.position, answer.response

    @property
    def room(self) -> bool:
        """Whether another call can be sent now."""
        return self._calls.room

    @property
    def busy(self) -> bool:
        """Whether answers are still to come."""
        return self._calls.busy

    def send(self, call: Call) -> None:
        """Hand a call over."""
        self._calls.send(call)

    def wait(self) -> None:
        """Wait until something has changed."""
        self._calls.wait()

    def answers(self) -> Iterator[Answer]:
        """Yield the answers that have come."""
        return self._calls.answers()

    def close(self) -> None:
        """Let workers go."""
        self._place.close()


@dataclass(eq=False)
class _Asked:
    """A call that is not answered yet.

    places: the positions of each key that is not known yet. keys: those that later calls wait for. waited: whether it
    has waited for an earlier call. sent: the keys of the requests that were sent on, in order. missing: how many of
    them are unanswered. computed: the answers to keep.
    """

    call: Call
    places: dict[bytes, list[int]] = field(default_factory=dict)
    keys: list[bytes] = field(default_factory=list)
    waited: bool = False
    sent: list[bytes] = field(default_factory=list)
    missing: int = 0
    computed: dict[bytes, Response] = field(default_factory=dict)


class CachedCalls:
    """Answers calls from a cache, and sends what it does not hold on, each request once."""

    def __init__(self, calls: Calls, cache: ResponseCache, keys: Keys):
        self._calls, self._cache, self._keys = calls, cache, keys
        self._known: deque[Answer] = deque()
        self._waiting: deque[_Asked] = deque()
        self._sent: dict[Call, _Asked] = {}
        # Which calls, in the order in which they were sent here, need a key that is not known yet.
        self._askers: dict[bytes, deque[_Asked]] = {}

    @property
    def room(self) -> bool:
        """Whether another call can be sent now."""
        return self._calls.room and len(self._waiting) < _WAITING

    @property
    def busy(self) -> bool:
        """Whether answers are still to come."""
        return bool(self._known or self._waiting or self._calls.busy)

    def send(self, call: Call) -> None:
        """Look a call up, and send on what is missing unless an earlier call has asked for some of it."""
        asked = _Asked(call)
        for i, request in enumerate(call.requests):
            asked.places.setdefault(self._keys.of(request), []).append(i)
        self._look_up(asked)
        asked.keys = list(asked.places)
        for key in asked.keys:
            self._askers.setdefault(key, deque()).append(asked)
        if asked.keys:
            self._waiting.append(asked)
            self._send_on()

    def wait(self) -> None:
        """Wait until something has changed."""
        if not self._known:
            self._calls.wait()

    def answers(self) -> Iterator[Answer]:
        """Yield the answers that have come; keep those of calls that are complete."""
        while True:
            while self._known:
                yield self._known.popleft()
            for answer in self._calls.answers():
                yield from self._answered(answer)
            self._send_on()
            if not self._known:
                return

    def _look_up(self, asked: _Asked) -> None:
        for key, response in self._cache.get(asked.places).items():
            self._known += [Answer(asked.call, i, response) for i in asked.places.pop(key)]

    def _send_on(self) -> None:
        """Send the calls that wait for no earlier one, as far as there is room."""
        for asked in list(self._waiting):
            if not self._calls.room:
                return
            if any(self._askers[key][0] is not asked for key in asked.keys):
                asked.waited = True
                continue
            self._waiting.remove(asked)
            if asked.waited:
                self._look_up(asked)
            asked.sent = list(asked.places)
            asked.missing = len(asked.sent)
            if asked.sent:
                sent = Call([asked.call.requests[asked.places[key][0]] for key in asked.sent])
                self._sent[sent] = asked
                self._calls.send(sent)
            else:
                self._finish(asked)

    def _answered(self, answer: Answer) -> Iterator[Answer]:
        """Yield an answer for each request that it answers."""
        asked = self._sent[answer.call]
        if answer.error:
            yield Answer.failure(asked.call, answer.error)
            asked.missing = 0
        else:
            key = asked.sent[answer.position]
            yield from (Answer(asked.call, i, answer.response) for i in asked.places[key])
            if not answer.response.error:  # an error may be temporary
                asked.computed[key] = answer.response
            asked.missing -= 1
            if not asked.missing:
                self._cache.put(asked.computed)
        if not asked.missing:
            del self._sent[answer.call]
            self._finish(asked)

    def _finish(self, asked: _Asked) -> None:
        """Let the calls go on that wait for this one."""
        for key in asked.keys:
            askers = self._askers[key]
            askers.remove(asked)
            if not askers:
                del self._askers[key]


class Keys:
    """Keys of requests to one engine: 16 bytes, a hash of everything that decides a response."""

    def __init__(self, signature: Mapping[str, str], device: str):
        identity = {
            key: value for key, value in signature.items() if key != "model"
        }  # a name has no influence on responses
        versions = {"format": FORMAT, "evalkit": __version__, "torch": version("torch"), "device": device}
        self._engine = blake2b(canonical_json([identity, versions]).encode(), digest_size=16)
        self._context: tuple[int, ...] = ()
        self._context_key = self._engine.copy()
        self._decodings: dict[object, bytes] = {}

    def of(self, request: Request) -> bytes:
        """Return a request's key; faster for requests that share a context if they follow each other."""
        if request.context_ids != self._context:
            self._context, self._context_key = request.context_ids, self._engine.copy()
            self._context_key.update(array("I", [len(request.context_ids), *request.context_ids]).tobytes())
        key = self._context_key.copy()
        key.update(array("I", [len(request.continuation_ids), *request.continuation_ids]).tobytes())
        key.update(request.kind.encode())
        if request.kind == "generate_until":
            key.update(self._decoding(request))
        return key.digest()

    def _decoding(self, request: Request) -> bytes:
        decoding = request.decoding
        if decoding not in self._decodings:
            if len(self._decodings) > 1000:  # a seed per document
                self._decodings.clear()
            self._decodings[decoding] = canonical_json(asdict(decoding)).encode()
        return self._decodings[decoding]
