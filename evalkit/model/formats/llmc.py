"""llm.c's model files (github.com/karpathy/llm.c, train_gpt2.cu and train_gpt2.py): a header, then GPT-2's tensors.

256 whole numbers of 32 bits: magic, version, context, vocabulary, layers, heads, width, rows of the token embedding.
All numbers are little-endian and in one format, fp32 (version 3) or bf16 (version 5). The embedding has rows of padding
behind the vocabulary, which llm.c never reads.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from evalkit.errors import CheckpointError, UsageError
from evalkit.model import vocabularies
from evalkit.model.checkpoint import Checkpoint, Format, Vocabulary, content_of
from evalkit.model.config import GPTConfig
from evalkit.model.formats.nanogpt import TENSORS
from evalkit.model.pieces import Names, Shape, first_rows, pieces
from evalkit.model.saved import Saved
from evalkit.model.settings import NotNativeError

_MAGIC, _LLAMA = 20240326, 20240803
_DTYPES = {3: "float32", 5: "bfloat16"}
_HEADER, _FIELDS = 1024, 8
_NAMED = re.compile(r"model_(\d{8})\.bin")


@dataclass(frozen=True, kw_only=True)
class _Header:
    """The header; rows: of the token embedding, with padding."""

    version: int
    context: int
    vocabulary: int
    layers: int
    heads: int
    width: int
    rows: int


def recognises(path: Path) -> bool:
    """Whether a file begins as llm.c's do."""
    return path.is_file() and _numbers(path)[:1] in ([_MAGIC], [_LLAMA])


def _numbers(path: Path) -> list[int]:
    try:
        with path.open("rb") as file:
            head = file.read(4 * _FIELDS)
    except OSError:
        return []
    return list(struct.unpack(f"<{len(head) // 4}i", head[: len(head) // 4 * 4]))


def saved(path: Path) -> Saved | None:
    """Return the file if it is as long as its header says; it is written from its beginning to its end."""
    try:
        header = _header(path)
    except NotNativeError:  # whose length we do not know
        return Saved(files=[path], finished=False)
    _, length = _places(header, _size(header))
    return Saved(files=[path], finished=True) if path.stat().st_size == length else None


def opens(path: Path, *, vocabulary: Vocabulary | None = None) -> Checkpoint:
    """Open a file. Raises CheckpointError for one of another length than its header says."""
    from evalkit.model import tensors

    header = _header(path)
    config = _config(path, header)
    names: Names = {**TENSORS, "tokens": first_rows(header.rows, str(TENSORS["tokens"]))}
    places, length = _places(header, _size(header))
    if path.stat().st_size != length:
        raise CheckpointError(f"{path}: {path.stat().st_size:,} bytes, the header says {length:,}; is the file cut?")
    vocabulary = vocabulary or vocabularies.beside(path) or vocabularies.gpt2(path)
    named = _NAMED.fullmatch(path.name)
    return Checkpoint(
        path=path, format=FORMAT.name, config=config, vocabulary=vocabulary,
        pieces=lambda shapes: pieces(config, shapes, names=names),
        source=lambda _: tensors.Raw(path, places, dtype=_DTYPES[header.version]),
        content=lambda: content_of([path], vocabulary), training={"step": int(named[1])} if named else {},
    )  # fmt: skip


def _header(path: Path) -> _Header:
    numbers = _numbers(path)
    if len(numbers) < _FIELDS:
        raise CheckpointError(f"{path}: the header is cut")
    magic, version, context, vocabulary, layers, heads, width, rows = numbers
    if magic == _LLAMA:
        raise NotNativeError(f"{path}: llm.c's files of Llama 3 are not read; give the folder that they were made of")
    if version not in _DTYPES:
        raise NotNativeError(f"{path}: version {version}; versions 3 (fp32) and 5 (bf16) of llm.c's files are read")
    if rows < vocabulary:
        raise CheckpointError(f"{path}: {rows} rows of the token embedding for a vocabulary of {vocabulary}")
    return _Header(
        version=version, context=context, vocabulary=vocabulary, layers=layers, heads=heads, width=width, rows=rows
    )


def _config(path: Path, header: _Header) -> GPTConfig:
    try:
        return GPTConfig(
            n_layer=header.layers, n_head=header.heads, d_model=header.width, context=header.context,
            vocab_size=header.vocabulary,
        )  # fmt: skip
    except UsageError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _size(header: _Header) -> int:
    return 4 if _DTYPES[header.version] == "float32" else 2


def _places(header: _Header, size: int) -> tuple[Mapping[str, tuple[int, Shape]], int]:
    """Return where each tensor begins and its shape, and the length of the file; size: bytes of a number."""
    places = dict[str, tuple[int, Shape]]()
    start = _HEADER
    for name, shape in _tensors(header):
        places[name] = start, shape
        start += size * prod(shape)
    return places, start


def _tensors(header: _Header) -> Iterator[tuple[str, Shape]]:
    """Yield all tensors in their order: embeddings, then each kind of tensor for all layers."""
    width = header.width
    yield "transformer.wte.weight", (header.rows, width)
    yield "transformer.wpe.weight", (header.context, width)
    kinds: list[tuple[str, int, Shape]] = [
        ("ln_1", width, ()), ("attn.c_attn", 3 * width, (width,)), ("attn.c_proj", width, (width,)),
        ("ln_2", width, ()), ("mlp.c_fc", 4 * width, (width,)), ("mlp.c_proj", width, (4 * width,)),
    ]  # fmt: skip
    for module, rows, columns in kinds:
        for layer in range(header.layers):
            yield f"transformer.h.{layer}.{module}.weight", (rows, *columns)
        for layer in range(header.layers):
            yield f"transformer.h.{layer}.{module}.bias", (rows,)
    yield "transformer.ln_f.weight", (width,)
    yield "transformer.ln_f.bias", (width,)


FORMAT = Format(name="llm.c", known="llm.c's model .bin", recognises=recognises, opens=opens, saved=saved)
