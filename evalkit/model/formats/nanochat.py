"""nanochat's checkpoints: model_NNNNNN.pt, meta_NNNNNN.json, and its tokenizer, tokenizer.pkl.

Our network is nanochat's as it was from October 2025 until January 2026: rotary positions (the other way round), norms
without gains, of queries and keys too, ReLU squared, logits capped at 15. Later versions add value embeddings, gated
residuals and more, and are refused by name. nanochat used to round its rotary tables to bfloat16; ours are exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import CheckpointError, UsageError
from evalkit.model import bpe, pickled, vocabularies
from evalkit.model.checkpoint import Checkpoint, Format, Vocabulary, content_of
from evalkit.model.config import GPTConfig, Rotary
from evalkit.model.pieces import Names, Piece, Shape, Target, backwards, first_rows, pieces, separate
from evalkit.model.saved import Saved, whole
from evalkit.model.settings import NotNativeError, Settings
from evalkit.tokenizer import Tokenizer

if TYPE_CHECKING:
    from evalkit.model.tensors import Source

_MODEL = re.compile(r"model_\d+\.pt")
_COMPILED = "_orig_mod."
_LAYERS = "transformer.h.N."
_SIZES = {"n_layer": "n_layer", "d_model": "n_embd", "n_head": "n_head", "n_kv_head": "n_kv_head"}
_SIZES |= {"context": "sequence_len", "vocab_size": "vocab_size"}
# torch's epsilon of a norm to which none is given, in fp32.
_EPSILON = 2.0**-23
# Tensors of later versions, and what they do.
_LATER = {
    "value_embeds.": "value embeddings",
    "resid_lambdas": "learned factors of the residual stream",
    "x0_lambdas": "the embedding added again before each layer",
    "smear_": "each token's embedding mixed with the one before",
    "backout_lambda": "a middle layer subtracted from the last",
    "ve_gate": "gated value embeddings",
}
_PICKLE, _BEGIN = "tokenizer.pkl", "<|bos|>"
_ENCODING = "tiktoken.core.Encoding"


def recognises(path: Path) -> bool:
    """Whether a file is a model with its meta file, which is written after it."""
    return bool(_MODEL.fullmatch(path.name)) and path.is_file() and _meta(path).is_file()


def saved(path: Path) -> Saved | None:
    """Return the weights and the meta file, which is written after them."""
    meta = Settings.read(_meta(path))
    if not whole(path):
        return None
    facts = {"step": meta.whole("step")} if meta.has("step") else {}
    tokenizer = [place for place in _pickles(path) if place.is_file()][:1]
    return Saved(files=[path, _meta(path)], finished=True, tokenizer=tokenizer, facts=facts)


def _meta(weights: Path) -> Path:
    return weights.with_name(weights.name.replace("model_", "meta_")).with_suffix(".json")


def opens(path: Path, *, vocabulary: Vocabulary | None = None) -> Checkpoint:
    """Open a file of weights."""
    meta = Settings.read(_meta(path))
    config = _config(meta.table("model_config"))
    stored = _stored(path)
    _check_version(path, stored, meta.table("model_config"))
    vocabulary = vocabulary or _vocabulary(path, config.vocab_size)

    def own(shapes: Mapping[str, Shape]) -> Iterator[Piece]:
        rows = max(config.vocab_size, stored.shapes.get("transformer.wte.weight", (0,))[0])
        return pieces(config, shapes, names=_names(rows))

    return Checkpoint(
        path=path, format=FORMAT.name, config=config, vocabulary=vocabulary, pieces=own,
        source=lambda pieces: _completed(stored, pieces),
        content=lambda: content_of([path, _meta(path)], vocabulary), training=_training(meta),
    )  # fmt: skip


def _config(shape: Settings) -> GPTConfig:
    sizes: dict[str, Any] = {ours: shape.whole(key) for ours, key in _SIZES.items()}
    try:
        return GPTConfig(
            **sizes, epsilon=_EPSILON, norm_kind="rms", biases=(),
            activation="relu2", qk_norm="head", rotary=Rotary(), embedding_norm=True, logit_cap=15.0, untied=True,
        )  # fmt: skip
    except UsageError as error:
        raise CheckpointError(f"{shape.path}: {error}") from error


def _check_version(weights: Path, stored: Source, shape: Settings) -> None:
    """Raise NotNativeError for a later version."""
    found = [what for part, what in _LATER.items() if any(part in name for name in stored.shapes)]
    pattern = shape.text("window_pattern") if shape.has("window_pattern") else "L"
    if set(pattern.upper()) != {"L"}:
        found.append(f"windows {pattern!r}")
    if found:
        raise NotNativeError(
            f"{weights}: this version of nanochat has {', '.join(found)}, which our GPT does not have; load it with "
            f"nanochat's own code and evaluate the module: evalkit.open_model(module, tokenizer=...)"
        )


def _stored(weights: Path) -> Source:
    """Open the stored tensors, without the prefix that torch.compile adds."""
    from evalkit.model import tensors

    files = tensors.Files([weights])
    return tensors.Renamed(files, {name: name.removeprefix(_COMPILED) for name in files.shapes})


def _completed(stored: Source, pieces: Sequence[Piece]) -> Source:
    from evalkit.model import tensors

    ones = {piece.stored: piece.shape for piece in pieces if piece.stored.startswith(_ONES)}
    return tensors.Completed(stored, ones)


_ONES = "(ones) "


def _ones(target: Target) -> Iterator[Piece]:
    """The gain of a norm that has none."""
    yield Piece(ours=target.name, stored=_ONES + target.name, shape=target.shape)


def _names(rows: int) -> Names:
    """Return where our modules are; rows: of both tables of tokens, which newer versions pad."""
    norms = ("embedding_norm", "norm", *(f"blocks.N.{name}" for name in ("norm_1", "norm_2")))
    norms += ("blocks.N.attention.norm_q", "blocks.N.attention.norm_k")
    return {
        "tokens": first_rows(rows, "transformer.wte"),
        "blocks.N.attention.qkv": separate(*(f"{_LAYERS}attn.c_{name}" for name in "qkv"), pairs=backwards),
        "blocks.N.attention.out": f"{_LAYERS}attn.c_proj",
        "blocks.N.up": f"{_LAYERS}mlp.c_fc",
        "blocks.N.down": f"{_LAYERS}mlp.c_proj",
        "output": first_rows(rows, "lm_head"),
        **dict.fromkeys(norms, _ones),
    }


def _training(meta: Settings) -> dict[str, Any]:
    """Return the step and the tokens read, as far as the meta file says."""
    facts: dict[str, Any] = {"step": meta.whole("step")} if meta.has("step") else {}
    said = next((table for table in (meta, meta.table("user_config")) if table.has("total_batch_size")), None)
    return {**facts, "tokens": facts["step"] * said.whole("total_batch_size")} if said and facts else facts


def _vocabulary(path: Path, size: int) -> Vocabulary:
    """Return the tokenizer beside the weights, or where nanochat keeps it."""
    places = _pickles(path)
    for place in places:
        if place.is_file():
            return Vocabulary(place=str(place), load=partial(_tokenizer, place))
    looked = f"nanochat's {_PICKLE} is not in {', '.join(str(place.parent) for place in places)}"
    return vocabularies.missing(path, size=size, looked=looked)


def _pickles(path: Path) -> list[Path]:
    """Return where the tokenizer may be: beside the weights, or in BASE/tokenizer, the weights in BASE/x/y."""
    folder = path.absolute().parent
    return [place / _PICKLE for place in (folder, folder / "tokenizer", folder.parent.parent / "tokenizer")]


def _tokenizer(path: Path) -> Tokenizer:
    """Read a pickled encoding of tiktoken as plain data."""
    encoding = pickled.read(path, names={_ENCODING})
    try:
        ranks, special = encoding["mergeable_ranks"], encoding["special_tokens"]
        ids = {token: int(rank) for token, rank in ranks.items()}
        pattern, names = str(encoding["pat_str"]), {str(token): int(number) for token, number in special.items()}
        if not all(isinstance(token, bytes) for token in ids):
            raise TypeError
    except (AttributeError, KeyError, TypeError, ValueError):
        raise CheckpointError(f"{path}: not a tokenizer of nanochat (tiktoken's Encoding)") from None
    return from_ranks(ids, names, pattern, place=str(path))


def from_ranks(ranks: Mapping[bytes, int], special: Mapping[str, int], pattern: str, *, place: str) -> Tokenizer:
    """Build the tokenizer of tiktoken's ranks, which stand for ids and for the order of merges."""
    if _BEGIN not in special:
        raise CheckpointError(f"{place}: the tokenizer has no {_BEGIN} token, with which nanochat begins documents")
    letters = bpe.letters()
    if not all(bytes([byte]) in ranks for byte in range(256)):
        raise CheckpointError(f"{place}: not all of the 256 bytes are tokens")
    spelled = {"".join(letters[byte] for byte in token): rank for token, rank in ranks.items()}

    def rules() -> Mapping[str, Any]:
        return bpe.raw(
            {**spelled, **special}, bpe.merges_of(spelled), special=list(special), begin=_BEGIN,
            pre_tokenizer=bpe.split_bytes(pattern), model={"ignore_merges": True},
        )  # fmt: skip

    return bpe.built(rules, place=place, end_of_text=_BEGIN, begin=_BEGIN)


FORMAT = Format(
    name="nanochat",
    known="nanochat's model_NNNNNN.pt",
    recognises=recognises,
    opens=opens,
    saved=saved,
)
