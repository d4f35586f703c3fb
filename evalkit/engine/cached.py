"""An engine that answers from a cache, and loads its model only for requests that the cache does not hold.

A key is a hash of all that decides a response: the model's content hash, dtype, context, window and device, the
versions of evalkit, torch and the products of int8, the kind of request, the token ids, and for generation the decoding
with its seed. So a changed weight, tokenizer or setting misses; a copied folder does not.

What is returned is the response as it was first computed. Batched with other requests its last bits may differ (about
1e-6 of a log-likelihood in fp32), as with another --batch-tokens. Responses are stored only when all requests of a call
have been answered, so that an interrupted call is repeated with the same requests together.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import blake2b
from importlib.metadata import version
from typing import Any

from evalkit import __version__
from evalkit.engine.base import TextEncoder
from evalkit.engine.cache import FORMAT, ResponseCache
from evalkit.engine.calls import Answer, Call, Place, Requests, ask_all
from evalkit.files import canonical_json
from evalkit.model.precision import INT8, INT8_ARITHMETIC
from evalkit.types import Request, Response

KEY_BYTES = 16


class CachedEngine:
    """Looks requests up in a cache, if there is one, and sends the rest to an engine, which is loaded on first use.

    place: where that engine is loaded and answers. tokenizer, context_length, signature: those of it. device: the kind
    of device, part of the keys. Calls go to that place as they are: their jobs use `cache` and `keys`.
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
        self.cache, self.keys = cache, Keys(self._signature, device)

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
        if not requests:
            return
        if self.cache is None:
            yield from self._ask(requests)
            return
        keys = [self.keys.of(request) for request in requests]
        missing = Missing(keys, self.cache.get(dict.fromkeys(keys)))
        yield from missing.known
        if missing.positions:
            yield from missing.answered(self._ask([requests[i] for i in missing.positions]))
            self.cache.put(missing.computed)

    def _ask(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        for answer in ask_all(self, [Call.of(Requests(requests))]):
            if answer.error:
                raise answer.error
            yield answer.value

    @property
    def room(self) -> bool:
        """Whether another call can be sent now."""
        return self._place.room

    @property
    def busy(self) -> bool:
        """Whether answers are still to come."""
        return self._place.busy

    def send(self, call: Call) -> None:
        """Hand a call over."""
        self._place.send(call)

    def wait(self) -> None:
        """Wait until something has changed."""
        self._place.wait()

    def answers(self) -> Iterator[Answer]:
        """Yield the answers that have come."""
        return self._place.answers()

    def put(self, value: Any) -> Callable[[], Any]:
        """Return how a job gets a large value where it runs."""
        return self._place.put(value)

    def share(self, shared: Any) -> None:
        """Give what all jobs need."""
        self._place.share(shared)

    def close(self) -> None:
        """Let workers go."""
        self._place.close()


class Missing:
    """The requests of a call that a cache does not hold, each once.

    keys: those of all requests. known: (position, response) of those that the cache holds. positions: of the first
    request with each other key. computed: the responses to keep.
    """

    def __init__(self, keys: Sequence[bytes], cached: Mapping[bytes, Response]):
        places: dict[bytes, list[int]] = {}
        for position, key in enumerate(keys):
            places.setdefault(key, []).append(position)
        self.known = [(i, cached[key]) for key, positions in places.items() if key in cached for i in positions]
        self._missing = [(key, positions) for key, positions in places.items() if key not in cached]
        self.positions = [positions[0] for _, positions in self._missing]
        self.computed: dict[bytes, Response] = {}

    def answered(self, responses: Iterator[tuple[int, Response]]) -> Iterator[tuple[int, Response]]:
        """Yield the responses to the requests at `positions` for all that they answer; an error may be temporary."""
        for number, response in responses:
            key, positions = self._missing[number]
            yield from ((position, response) for position in positions)
            if not response.error:
                self.computed[key] = response


class Keys:
    """Keys of requests to one engine: KEY_BYTES bytes, a hash of everything that decides a response."""

    def __init__(self, signature: Mapping[str, str], device: str):
        identity = {
            key: value for key, value in signature.items() if key != "model"
        }  # a name has no influence on responses
        versions = {"format": FORMAT, "evalkit": __version__, "torch": version("torch"), "device": device}
        if signature.get("dtype") == INT8:
            versions[INT8] = str(INT8_ARITHMETIC)
        self._made_of = signature, device
        self._engine = blake2b(canonical_json([identity, versions]).encode(), digest_size=KEY_BYTES)
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

    def __reduce__(self) -> tuple[type[Keys], tuple[Mapping[str, str], str]]:
        return Keys, self._made_of

    def _decoding(self, request: Request) -> bytes:
        decoding = request.decoding
        if decoding not in self._decodings:
            if len(self._decodings) > 1000:  # a seed per document
                self._decodings.clear()
            self._decodings[decoding] = canonical_json(asdict(decoding)).encode()
        return self._decodings[decoding]
