"""The engine of a live module: any torch network whose call gives logits, for example inside a training loop.

The module is left unchanged: each part's training mode, torch's random state, dtype and device are afterwards as they
were before. Nothing is computed in inference mode, because a module might keep such tensors and could not train with
them. Sequences are padded on the right, where a causal network's real tokens cannot see the padding; no attention mask
is given. There is no cache of keys and values, so a prompt is read again for each generated token; only models of
transformers are read with theirs.

Shapes as in model/gpt.py.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor, nn

from evalkit.engine import hf_network
from evalkit.engine.base import TextCodec
from evalkit.engine.batched import BatchedEngine, ScoredSpans, Span
from evalkit.engine.generation import Prompt, Reading
from evalkit.engine.network import View
from evalkit.engine.network_reading import reading
from evalkit.engine.network_scoring import score
from evalkit.engine.padded_reading import PaddedReading
from evalkit.errors import UsageError
from evalkit.model.folder import begin_setting

Logits = Callable[[nn.Module, Tensor], Any]

# The attributes in which networks store how many positions they read, their own or those of `config`.
_POSITIONS = (
    "context", "context_length", "block_size", "sequence_len", "max_position_embeddings", "n_positions", "max_seq_len",
    "seq_length", "n_ctx", "max_sequence_length",
)  # fmt: skip
# Values of the (positions, vocabulary) matrix held at once.
_LOGITS = 1 << 27


class LiveEngine(BatchedEngine):
    """Answers with a module. logits: called as logits(module, tokens_BT) instead of `module(tokens_BT)`.

    batch_tokens and stride as in BatchedEngine.

    Raises UsageError if the call does not give logits (B, T, V) of every position, if a position depends on later
    ones, or if the tokenizer has more ids than the logits.
    """

    def __init__(
        self,
        module: nn.Module,
        tokenizer: TextCodec,
        *,
        name: str,
        positions: int,
        logits: Logits | None = None,
        batch_tokens: int | None = None,
        stride: int | None = None,
        every_window: bool = False,
    ):
        device = next((tensor.device for tensor in _tensors(module)), torch.device("cpu"))
        self.network = _network(module, logits, device, known=tokenizer.end_of_text or 1)
        default_tokens = max(positions, _LOGITS // self.network.vocabulary)
        super().__init__(
            tokenizer, positions=positions, device=device, ends={tokenizer.end_of_text},
            batch_tokens=batch_tokens or default_tokens, stride=stride, every_window=every_window,
            vocabulary=self.network.vocabulary,
        )  # fmt: skip
        if tokenizer.size > self.network.vocabulary:
            raise UsageError(
                f"{name}: the tokenizer has {tokenizer.size:,} tokens, the module's logits cover only "
                f"{self.network.vocabulary:,}; they do not belong together"
            )
        self._name = name
        self._signature: Mapping[str, str] = {}

    def now(self) -> LiveEngine:
        """Return this engine for one evaluation, during which the weights stay as they are: they are hashed once."""
        engine = copy.copy(self)
        engine._signature = self.signature()
        return engine

    def signature(self) -> Mapping[str, str]:
        """Return what identifies the numbers; the hash is of the weights as they are now."""
        if self._signature:
            return self._signature
        module = self.network.module
        return {
            "model": self._name,
            "hash": _content_hash(module, self.tokenizer),
            "architecture": type(module).__name__,
            "library": f"torch {torch.__version__}",
            "dtype": "+".join(sorted({str(t.dtype).removeprefix("torch.") for t in _tensors(module)})) or "none",
            "parameters": str(sum(p.numel() for p in module.parameters())),
            "context": str(self._positions),
            "stride": str(self._stride),
            "first": str(self._first),
            **begin_setting(every_window=self._every_window),
        }

    def _score(self, spans: Sequence[Span]) -> Iterator[ScoredSpans]:
        return score(self.network, spans, batch_tokens=self._batch_tokens)

    @property
    def _reader(self) -> _Network | _TransformersNetwork:
        return self.network

    def _reading(self, prompts: Sequence[Prompt]) -> Reading:
        read = PaddedReading if isinstance(self.network, _Network) else reading
        return read(self.network, prompts, batch_tokens=self._batch_tokens)


def _network(
    module: nn.Module, logits: Logits | None, device: torch.device, *, known: int
) -> _Network | _TransformersNetwork:
    """Return the network of a module, with the cache of transformers where it is one of its models."""
    transformers = sys.modules.get("transformers.modeling_utils")  # such a module has imported it
    if logits is None and transformers and isinstance(module, transformers.PreTrainedModel):
        with suppress(Exception):  # what it lacks for that is said below, if it lacks anything else
            return _TransformersNetwork(module, device)
    return _Network(module, logits, device, known=known)


class _TransformersNetwork(hf_network.Network):
    """A model of transformers with its cache, called as a live module has to be."""

    def __init__(self, module: nn.Module, device: torch.device):
        self.module = module
        with still(module, device):
            super().__init__(module)

    def run(
        self, tokens_BT: Tensor, *, cache: Any = None, last: bool = False, view: View | None = None
    ) -> tuple[Tensor, Any]:
        with still(self.module, self.device):
            seen = view and View(view.places.clone(), view.sees.clone())
            return super().run(tokens_BT.clone(), cache=cache, last=last, view=seen)

    def hidden(self, tokens_BT: Tensor) -> Tensor:
        with still(self.module, self.device):
            return super().hidden(tokens_BT.clone())

    def unembed(self, hidden: Tensor) -> Tensor:
        with still(self.module, self.device):
            return super().unembed(hidden)


class _Network:
    """A module with the interface of network.Network: it gives logits directly and keeps no cache."""

    continues = packs = False

    def __init__(self, module: nn.Module, logits: Logits | None, device: torch.device, *, known: int):
        self.module, self.device, self._logits = module, device, logits
        self.vocabulary = 0
        tokens_BT = torch.tensor([[0, known, 0], [known, 0, known]], device=device)
        try:
            logits_BTV = self.hidden(tokens_BT)
        except (
            IndexError,
            RuntimeError,
            TypeError,
        ) as error:  # an embedding that is too small; a call with another signature
            what = f"{type(module).__name__} cannot be called with tokens {tokens_BT.tolist()}"
            raise UsageError(f"{what}: {str(error).partition(chr(10))[0]}") from error
        self.vocabulary = logits_BTV.shape[2]
        changed_BT = tokens_BT.clone()
        changed_BT[:, -1] = tokens_BT[:, 1]
        gap = (logits_BTV[:, 0] - self.hidden(changed_BT)[:, 0]).abs().max()
        if gap > 16 * torch.finfo(logits_BTV.dtype).eps * logits_BTV.abs().max():
            raise UsageError(f"{type(module).__name__} sees later tokens: not a causal language model")

    def hidden(self, tokens_BT: Tensor) -> Tensor:
        """Return logits (B, T, V): a network that is not split has its logits as states."""
        with still(self.module, self.device):
            tokens_BT = tokens_BT.clone()  # the module must not keep a tensor of inference mode
            output = self._logits(self.module, tokens_BT) if self._logits else self.module(tokens_BT)
        logits = getattr(output, "logits", output)
        logits = logits[0] if isinstance(logits, tuple) and logits else logits
        if not isinstance(logits, Tensor) or logits.shape[:-1] != tokens_BT.shape:
            what = f"a tensor of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
            raise UsageError(
                f"{type(self.module).__name__} gives {what} for tokens of shape {tuple(tokens_BT.shape)}; expected "
                "logits (batch, positions, vocabulary) of every position, or an object with them as .logits. For a "
                "module that gives them in another way, pass logits=lambda module, tokens: ..."
            )
        return logits

    def run(self, tokens_BT: Tensor, *, cache: Any = None, last: bool = False, view: View | None = None) -> Any:
        """Return logits, only those of the last position if `last`, and no cache."""
        logits_BTV = self.hidden(tokens_BT)
        return logits_BTV[:, -1:] if last else logits_BTV, None

    def unembed(self, hidden: Tensor) -> Tensor:
        """Return the states, which are the logits."""
        return hidden

    def _no_cache(self, *_: Any, **__: Any) -> Any:
        """Never called, because there is no cache."""
        raise AssertionError("a live module keeps no cache")

    positions = gathered = selected = joined = _no_cache


@contextmanager
def still(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Call a module without side effects: in evaluation mode, without gradients, with torch's random state restored."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        with (
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            torch.inference_mode(False),
            torch.no_grad(),
        ):
            yield
    finally:
        for part, training in modes:
            part.training = training


def positions_of(module: nn.Module, *, given: int | None) -> int:
    """Return how many tokens a module reads at once. Raises UsageError if that is unknown or below 1."""
    owners = (module, getattr(module, "config", None), getattr(module, "module", None))
    declared = (getattr(owner, name, None) for owner in owners if owner is not None for name in _POSITIONS)
    positions = given if given is not None else next((n for n in declared if isinstance(n, int) and n > 0), None)
    if positions is None or positions < 1:
        raise UsageError(
            f"{type(module).__name__} does not say how many tokens it reads at once; give context_length=NUMBER"
            if positions is None
            else f"context_length must be at least 1, not {positions}"
        )
    return positions


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    return (tensor for tensor in module.parameters() if tensor.is_floating_point())


def _content_hash(module: nn.Module, tokenizer: TextCodec) -> str:
    """Hash the state of the module, each tensor once, and its tokenizer."""
    content = blake2b(f"{type(module).__qualname__} {tokenizer.content_hash()}".encode(), digest_size=8)
    seen = set()
    for name, tensor in sorted(module.state_dict().items()):
        if isinstance(tensor, Tensor):
            storage = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride())
            content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {storage in seen}".encode())
            if storage not in seen:
                content.update(tensor.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy().data)
            seen.add(storage)
    return content.hexdigest()
