"""An engine that answers from a cache, and loads its model only for requests that the cache does not hold.

A key is a hash of all that decides a response: the model's content hash, dtype, context, window and device, the
versions of evalkit and torch, the kind of request, the token ids, and for generation the decoding with its seed. So a
changed weight, tokenizer or setting misses; a copied folder does not.

What is returned is the response as it was first computed. Batched with other requests its last bits may differ (about
1e-6 of a log-likelihood in fp32), as with another --batch-tokens. Responses are stored only when a whole call has been
answered, so that an interrupted call is repeated with the same requests together.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import blake2b
from importlib.metadata import version

from evalkit import __version__
from evalkit.engine.base import Engine, TextEncoder, ask
from evalkit.engine.cache import FORMAT, ResponseCache
from evalkit.errors import CheckpointError
from evalkit.files import canonical_json
from evalkit.types import Request, RequestKind, Response


class CachedEngine:
    """Looks requests up in a cache, if there is one, and sends the rest to an engine that `make` loads on first use.

    tokenizer, context_length, signature: those of that engine. device: the kind of device, part of the keys.
    """

    def __init__(
        self,
        make: Callable[[], Engine],
        *,
        tokenizer: TextEncoder,
        context_length: int,
        signature: Mapping[str, str],
        device: str,
        cache: ResponseCache | None,
    ):
        self.tokenizer, self.context_length = tokenizer, context_length
        self._make, self._signature, self._cache = make, dict(signature), cache
        self._inner: Engine | None = None
        self._keys = Keys(self._signature, device)

    def signature(self) -> Mapping[str, str]:
        """Return what identifies the numbers."""
        return self._signature

    def loglikelihood(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Score continuations."""
        return self._answer("loglikelihood", requests)

    def loglikelihood_rolling(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Score whole documents."""
        return self._answer("loglikelihood_rolling", requests)

    def generate_until(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Decode; sampled texts depend on their seed alone, so they can be cached too."""
        return self._answer("generate_until", requests)

    def _answer(self, kind: RequestKind, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        if self._cache is None:
            yield from self._ask(kind, requests)
            return
        keys = [self._keys.of(request) for request in requests]
        responses = self._cache.get(dict.fromkeys(keys))
        missing: dict[bytes, list[int]] = {}
        for i, key in enumerate(keys):
            if key in responses:
                yield i, responses[key]
            else:
                missing.setdefault(key, []).append(i)
        if not missing:
            return
        uncached, computed = list(missing.items()), {}
        for position, response in self._ask(kind, [requests[positions[0]] for _, positions in uncached]):
            key, positions = uncached[position]
            yield from ((i, response) for i in positions)
            if not response.error:  # an error may be temporary
                computed[key] = response
        self._cache.put(computed)

    def _ask(self, kind: RequestKind, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        if self._inner is None:
            self._inner = self._make()
            if dict(self._inner.signature()) != self._signature:
                raise CheckpointError(f"the files of {self._signature['model']} have changed since the run began")
        yield from ask(self._inner, kind, requests)


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
