"""What a family of models is: how transformers stores it, in config.json and in tensors, read and written by one table.

A family's file in families/ names its keys and tensors. What is the same in all of them is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from evalkit.errors import CheckpointError, UsageError
from evalkit.model.config import GPTConfig
from evalkit.model.pieces import Names, Piece, Shape, pieces
from evalkit.model.settings import Settings

# transformers' names of activations -> ours; the first name of each is the one that is written.
ACTIVATIONS: Mapping[str, str] = MappingProxyType(
    {
        "gelu_new": "gelu_tanh",
        "gelu_pytorch_tanh": "gelu_tanh",
        "gelu_fast": "gelu_tanh",
        "gelu": "gelu",
        "relu": "relu",
        "relu2": "relu2",
        "silu": "silu",
        "swish": "silu",
    }
)
# Keys that most families share, for `sizes`.
COMMON_SIZES: Mapping[str, str] = MappingProxyType(
    {
        "n_layer": "num_hidden_layers",
        "d_model": "hidden_size",
        "n_head": "num_attention_heads",
        "d_ff": "intermediate_size",
        "context": "max_position_embeddings",
        "vocab_size": "vocab_size",
    }
)
# Fields of the shape that a file may leave out or set to null; GPTConfig then fills them in.
_OPTIONAL = ("d_head", "n_kv_head", "d_ff")
# Asked for by any kind of model, and more than a network of ours does.
_FOREIGN = {"quantization_config": "quantised weights are not read", "is_encoder_decoder": "our GPT is a decoder"}


@dataclass(frozen=True, kw_only=True)
class Family:
    """A model_type of transformers that our network can be.

    architecture: transformers' class. known: models of the family. sizes: fields of GPTConfig -> their keys.
    epsilon, activation: their keys (no key: the same in the whole family); activations: values of the latter -> ours.
    defaults: what transformers takes for keys that a file may leave out. fixed: fields of GPTConfig that are the same
    in the whole family. read, write: the other fields from the settings, and the other settings from the config; what
    write leaves out is noticed (`lost`). tensors: our modules -> theirs (see pieces.py), "tokens" and "output" among
    them. prefix: of most tensors, which old and bare files leave out. buffers: endings of stored tensors that are no
    weights. renamed: other names that some versions store -> those of `tensors`.
    """

    model_type: str
    architecture: str
    known: str
    sizes: Mapping[str, str]
    epsilon: str | None
    activation: str
    tensors: Names
    prefix: str
    activations: Mapping[str, str] = field(default_factory=lambda: ACTIVATIONS)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    read: Callable[[Settings], Mapping[str, Any]] = lambda settings: {}
    write: Callable[[GPTConfig], Mapping[str, Any]] = lambda config: {}
    buffers: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def embedding(self) -> str:
        """The stored name of the token embedding."""
        return f"{self.tensors['tokens']}.weight"

    @property
    def output(self) -> str:
        """The stored name of the output matrix, where it is separate."""
        return f"{self.tensors['output']}.weight"

    def config(self, settings: Settings, *, untied: Callable[[], bool] = lambda: False) -> GPTConfig:
        """Return the shape that a config.json describes.

        untied: whether the files hold an output matrix of their own; asked only if the settings say that they do not.
        Raises NotNativeError for settings that our network cannot follow, CheckpointError for broken ones.
        """
        settings = settings.with_defaults({"tie_word_embeddings": True, **self.defaults})
        for key, reason in _FOREIGN.items():
            settings.refuse(reason, key)
        shape: dict[str, Any] = {
            ours: (settings.whole_or_none(key) or 0) if ours in _OPTIONAL else settings.whole(key)
            for ours, key in self.sizes.items()
        }
        if self.epsilon:
            shape["epsilon"] = settings.number(self.epsilon)
        shape["activation"] = settings.one_of(self.activation, self.activations)
        shape["untied"] = not settings.flag("tie_word_embeddings") or untied()
        try:
            return GPTConfig(**{**shape, **self.fixed, **self.read(settings)})
        except UsageError as error:
            raise CheckpointError(f"{settings.path}: {error}") from error

    def settings(self, config: GPTConfig) -> dict[str, Any]:
        """Return what config.json says of a shape that the family holds."""
        names = {ours: theirs for theirs, ours in reversed(list(self.activations.items()))}
        return {
            "architectures": [self.architecture] if self.architecture else [],
            "model_type": self.model_type,
            self.activation: names.get(config.activation, config.activation),
            **{theirs: getattr(config, ours) for ours, theirs in self.sizes.items()},
            **({self.epsilon: config.epsilon} if self.epsilon else {}),
            **self.write(config),
            "tie_word_embeddings": not config.untied,
        }

    def lost(self, config: GPTConfig) -> list[str]:
        """Return the fields of a shape that the family cannot hold: those that are read as another than was written."""
        try:
            again = self.config(Settings(self.settings(config), _NOWHERE, defaults={}))
        except CheckpointError:
            return list(_compared(config))
        plain = _compared(replace(config, dropout=again.dropout))
        return [f"{name} {value!r}" for name, value in plain.items() if value != _compared(again)[name]]

    def pieces(self, config: GPTConfig, shapes: Mapping[str, Shape]) -> Iterator[Piece]:
        """Yield where the numbers of our tensors are stored."""
        return pieces(config, shapes, names=self.tensors)

    def names(self, stored: Iterable[str], pieces: Iterable[Piece], *, tied: bool) -> dict[str, str]:
        """Map the stored names of tensors to those of the pieces; buffers are left out, and so are copies of a matrix.

        tied: whether the output matrix is the token embedding, so that a file may hold it under either name, or both.
        """
        known = {piece.stored for piece in pieces}
        kept = [key for key in stored if key in known or not key.endswith(self.buffers)]
        names = {key: self.renamed.get(key, key) for key in kept}
        names |= {key: full for key in kept if (full := self.prefix + key) in known and full not in names}
        output = next((key for key, name in names.items() if name == self.output), None)
        if tied and output is not None:
            if self.embedding in names.values():
                del names[output]
            else:
                names[output] = self.embedding
        return names


_NOWHERE = Path("config.json")


def _compared(config: GPTConfig) -> dict[str, Any]:
    """Return the fields of a shape, with one value for what can be said in two ways."""
    layers = tuple(filter(config.is_banded, range(config.n_layer)))
    return {
        **{name.name: getattr(config, name.name) for name in fields(config)},
        "band": config.band if layers else None,
        "banded": layers,
        "attention_scale": config.attention_scale or config.d_head**-0.5,
    }
