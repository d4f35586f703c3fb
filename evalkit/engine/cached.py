"""An engine that answers what it knows, and is loaded only when something else is asked.

A key is a hash of all that decides a response: the model's content hash, dtype, context, window and device, the
versions of evalkit and torch, the kind of request, the token ids, and for generation the decoding with its seed. So a
changed weight, tokenizer or setting misses; a copied folder does not.

What is returned is the response as it was first computed. Beside other requests it may have had other last bits (about
1e-6 of a log-likelihood in fp32), as with another --batch-tokens. Responses are stored only when a whole call is
answered, so an interrupted call is asked again in the same company.
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
    """Asks a cache first, if there is one, then the engine that `make` loads when it is first needed.

    tokenizer, context_length, signature: what that engine's are. device: the kind of device, part of the keys.
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
        """Decode; what is sampled depends on its seed alone, so that it can be kept too."""
        return self._answer("generate_until", requests)

    def _answer(self, kind: RequestKind, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        if self._cache is None:
            yield from self._ask(kind, requests)
            return
        keys = [self._keys.of(request) for request in requests]
        known = self._cache.get(dict.fromkeys(keys))
        missing: dict[bytes, list[int]] = {}
        for i, key in enumerate(keys):
            if key in known:
                yield i, known[key]
            else:
                missing.setdefault(key, []).append(i)
        if not missing:
            return
        places, new = list(missing.items()), {}
        for position, response in self._ask(kind, [requests[where[0]] for _, where in places]):
            key, where = places[position]
            yield from ((i, response) for i in where)
            if not response.error:  # which may not last
                new[key] = response
        self._cache.put(new)

    def _ask(self, kind: RequestKind, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        if self._inner is None:
            self._inner = self._make()
            if dict(self._inner.signature()) != self._signature:
                raise CheckpointError(f"the files of {self._signature['model']} changed since the run began")
        yield from ask(self._inner, kind, requests)


class Keys:
    """Keys of requests to one engine: 16 bytes, of all that decides a response."""

    def __init__(self, signature: Mapping[str, str], device: str):
        about = {key: value for key, value in signature.items() if key != "model"}  # a name decides nothing
        versions = {"format": FORMAT, "evalkit": __version__, "torch": version("torch"), "device": device}
        self._engine = blake2b(canonical_json([about, versions]).encode(), digest_size=16)
        self._context: tuple[int, ...] = ()
        self._after = self._engine.copy()
        self._decodings: dict[object, bytes] = {}

    def of(self, request: Request) -> bytes:
        """Return a request's key. Requests of one context are best asked one after the other."""
        if request.context_ids != self._context:
            self._context, self._after = request.context_ids, self._engine.copy()
            self._after.update(array("I", [len(request.context_ids), *request.context_ids]).tobytes())
        whole = self._after.copy()
        whole.update(array("I", [len(request.continuation_ids), *request.continuation_ids]).tobytes())
        whole.update(request.kind.encode())
        if request.kind == "generate_until":
            whole.update(self._decoding(request))
        return whole.digest()

    def _decoding(self, request: Request) -> bytes:
        decoding = request.decoding
        if decoding not in self._decodings:
            if len(self._decodings) > 1000:  # a seed per document
                self._decodings.clear()
            self._decodings[decoding] = canonical_json(asdict(decoding)).encode()
        return self._decodings[decoding]
