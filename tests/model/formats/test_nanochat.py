"""nanochat's checkpoints against a plain version of its network and of tiktoken's encoding, written here."""

from __future__ import annotations

import json
import pickle
import random
import sys
import types
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pytest
import regex
import torch
from torch.nn import functional as F

from evalkit.errors import CheckpointError
from evalkit.model import formats, weights
from evalkit.model.settings import NotNativeError

SHAPE = {"sequence_len": 40, "vocab_size": 301, "n_layer": 3, "n_head": 4, "n_kv_head": 2, "n_embd": 48}
PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
SPECIAL = ["<|bos|>", "<|user_start|>", "<|user_end|>"]


def random_weights(shape=SHAPE, *, padded=0):
    """Return the tensors as nanochat names them; padded: rows of the tables of tokens."""
    generator = torch.Generator().manual_seed(1)

    def draw(*size):
        return torch.randn(*size, generator=generator) * 0.3

    width, rows = shape["n_embd"], padded or shape["vocab_size"]
    keys = width // shape["n_head"] * shape["n_kv_head"]
    state = {"transformer.wte.weight": draw(rows, width).bfloat16(), "lm_head.weight": draw(rows, width)}
    for layer in range(shape["n_layer"]):
        sizes = {"attn.c_q": (width, width), "attn.c_k": (keys, width), "attn.c_v": (keys, width)}
        sizes |= {"attn.c_proj": (width, width), "mlp.c_fc": (4 * width, width), "mlp.c_proj": (width, 4 * width)}
        state |= {f"transformer.h.{layer}.{name}.weight": draw(*size) for name, size in sizes.items()}
    return state


def norm(x):
    return F.rms_norm(x, (x.shape[-1],))


def turned(x):
    """Rotate (T, heads, width) by minus the angle, halves as pairs."""
    length, half = x.shape[0], x.shape[-1] // 2
    angles = torch.outer(torch.arange(length).float(), 10_000.0 ** (-torch.arange(half).float() / half))
    cosines, sines = angles.cos()[:, None], angles.sin()[:, None]
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cosines + second * sines, second * cosines - first * sines], -1)


def plain_logits(state, ids, shape=SHAPE):
    """Compute nanochat's logits (T, vocab_size) of one sequence."""
    width = shape["n_embd"] // shape["n_head"]
    x = norm(state["transformer.wte.weight"].float()[ids])
    mask = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    for layer in range(shape["n_layer"]):
        at = {
            name: state[f"transformer.h.{layer}.{name}.weight"]
            for name in "attn.c_q attn.c_k attn.c_v attn.c_proj mlp.c_fc mlp.c_proj".split()
        }
        q, k, v = ((norm(x) @ at[f"attn.c_{name}"].T).unflatten(-1, (-1, width)) for name in "qkv")
        q, k = norm(turned(q)), norm(turned(k))
        k, v = (part.repeat_interleave(shape["n_head"] // shape["n_kv_head"], 1) for part in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q, k) / width**0.5
        attended = torch.einsum("hqk,khd->qhd", scores.masked_fill(~mask, -torch.inf).softmax(-1), v)
        x = x + attended.flatten(1) @ at["attn.c_proj"].T
        x = x + (norm(x) @ at["mlp.c_fc"].T).relu().square() @ at["mlp.c_proj"].T
    logits = norm(x) @ state["lm_head.weight"].T
    return 15 * torch.tanh(logits[:, : shape["vocab_size"]] / 15)


def trained_ranks(text, *, size):
    """Train a byte-level BPE: token -> rank."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    words = [[bytes([byte]) for byte in piece.encode()] for piece in regex.findall(PATTERN, text)]
    while len(ranks) < size:
        counts: dict[tuple[bytes, bytes], int] = {}
        for word in words:
            for pair in pairwise(word):
                counts[pair] = counts.get(pair, 0) + 1
        best = max(counts, key=counts.__getitem__)
        ranks[best[0] + best[1]] = len(ranks)
        words = [merged(word, best) for word in words]
    return ranks


def merged(word, pair):
    out: list[bytes] = []
    for token in word:
        if out and (out[-1], token) == pair:
            out[-1] += token
        else:
            out.append(token)
    return out


def tiktoken_encode(ranks, text):
    """Encode as tiktoken does: merge the neighbours whose union has the lowest rank, the first ones first."""
    ids = []
    for piece in regex.findall(PATTERN, text):
        parts = [bytes([byte]) for byte in piece.encode()]
        while True:
            options = [
                (ranks[first + second], place)
                for place, (first, second) in enumerate(pairwise(parts))
                if first + second in ranks
            ]
            if not options:
                break
            place = min(options)[1]
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
        ids += [ranks[part] for part in parts]
    return ids


TEXT = "the cat sat on the mat and then that other cat's 1234 hats; they'd hated aaaa aaaaa bananas indeed " * 3
RANKS = trained_ranks(TEXT, size=298)


def write_tokenizer(path, ranks=RANKS, *, special=None):
    """Pickle what tiktoken pickles of an encoding, without tiktoken."""
    core = types.ModuleType("tiktoken.core")

    class Encoding:
        def __getstate__(self):
            numbers = {token: len(ranks) + place for place, token in enumerate(SPECIAL)} if special is None else special
            return {"name": "rustbpe", "pat_str": PATTERN, "mergeable_ranks": ranks, "special_tokens": numbers}

    Encoding.__module__, Encoding.__qualname__ = "tiktoken.core", "Encoding"
    core.Encoding = Encoding
    with mock.patch.dict(sys.modules, {"tiktoken": types.ModuleType("tiktoken"), "tiktoken.core": core}):
        path.write_bytes(pickle.dumps(Encoding()))


def write(folder: Path, state, *, step=7, shape=SHAPE, tokenizer=True, **meta):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"model_{step:06d}.pt"
    torch.save(state, path)
    about = {"step": step, "val_bpb": 1.5, "model_config": shape, "user_config": {"total_batch_size": 1000}, **meta}
    (folder / f"meta_{step:06d}.json").write_text(json.dumps(about))
    if tokenizer:
        write_tokenizer(folder / "tokenizer.pkl")
    return path


IDS = torch.tensor([random.Random(3).randrange(301) for _ in range(40)])


@pytest.mark.parametrize("variant", ["plain", "compiled", "padded", "ungrouped"])
def test_logits_are_those_of_nanochat(tmp_path, variant):
    shape = {**SHAPE, "n_kv_head": 4} if variant == "ungrouped" else SHAPE
    state = random_weights(shape, padded=320 if variant == "padded" else 0)
    stored = {f"_orig_mod.{name}": tensor for name, tensor in state.items()} if variant == "compiled" else state
    path = write(tmp_path, stored, shape=shape)

    model, tokenizer = weights.load(path)

    torch.testing.assert_close(model(IDS[None])[0], plain_logits(state, IDS, shape), atol=1e-5, rtol=0)
    assert tokenizer.begin == tokenizer.end_of_text == 298


def test_it_says_what_was_read_and_is_recognised_when_complete(tmp_path):
    path = write(tmp_path, random_weights(), step=12)
    (tmp_path / "model_000020.pt").write_bytes(b"still being written")  # the meta file comes last

    opened = formats.open(path)

    assert opened.format == "nanochat"
    assert dict(opened.training) == {"step": 12, "tokens": 12_000}
    assert formats.find(tmp_path / "model_000020.pt") is None


def test_the_encoding_is_that_of_tiktoken(tmp_path):
    tokenizer = formats.open(write(tmp_path, random_weights())).tokenizer
    draw = random.Random(5)
    texts = [TEXT, "", " ", "  two  spaces\n\n \t end ", "naïve 你好 🌍 12345 DON'T", "aaaaaaaaaaaaaaa", "baanananas"]
    texts += ["".join(draw.choice("aehnst ,'1\n") for _ in range(60)) for _ in range(200)]

    assert [tokenizer.encode(text) for text in texts] == [tiktoken_encode(RANKS, text) for text in texts]
    assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in texts)


def test_the_tokenizer_is_found_where_nanochat_keeps_it(tmp_path):
    path = write(tmp_path / "base_checkpoints" / "d4", random_weights(), tokenizer=False)
    with pytest.raises(
        CheckpointError, match=r"no tokenizer for its 301 tokens \(nanochat's tokenizer\.pkl is not in "
    ):
        formats.open(path).tokenizer  # noqa: B018
    (tmp_path / "tokenizer").mkdir()
    write_tokenizer(tmp_path / "tokenizer" / "tokenizer.pkl")
    assert formats.open(path).tokenizer.size == 301


def test_later_versions_are_refused_by_what_they_add(tmp_path):
    state = random_weights() | {"resid_lambdas": torch.ones(3), "value_embeds.0.weight": torch.ones(301, 24)}
    path = write(tmp_path, state, shape={**SHAPE, "window_pattern": "SSSL"})
    with pytest.raises(NotNativeError) as refused:
        formats.open(path)
    for part in ("value embeddings", "learned factors of the residual stream", "windows 'SSSL'", "open_model(module"):
        assert part in str(refused.value)
    assert "backout" not in str(refused.value)


def test_wrong_tensors_are_named(tmp_path):
    state = random_weights()
    wrong = dict(state) | {"transformer.h.1.attn.c_k.weight": torch.ones(23, 48)}
    with pytest.raises(CheckpointError, match=r"'transformer\.h\.1\.attn\.c_k\.weight' has shape \(23, 48\)"):
        weights.load(write(tmp_path / "shape", wrong))
    missing = {name: tensor for name, tensor in state.items() if name != "transformer.h.2.mlp.c_fc.weight"}
    with pytest.raises(CheckpointError, match=r"'transformer\.h\.2\.mlp\.c_fc\.weight' is missing"):
        weights.load(write(tmp_path / "missing", missing))
    short = dict(state) | {"lm_head.weight": torch.ones(300, 48)}
    with pytest.raises(CheckpointError, match=r"'lm_head\.weight' has shape \(300, 48\)"):
        weights.load(write(tmp_path / "short", short))


class Hostile:
    """Pickled as a call that writes a file."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)


def test_pickles_that_would_run_code_are_refused(tmp_path):
    proof = tmp_path / "proof"
    path = write(tmp_path / "run", random_weights())
    (path.parent / "tokenizer.pkl").write_bytes(pickle.dumps(Hostile(proof)))
    with pytest.raises(CheckpointError, match=r"tokenizer\.pkl is refused: it holds .*could run code"):
        formats.open(path).tokenizer  # noqa: B018
    torch.save(random_weights() | {"lm_head.weight": Hostile(proof)}, path)
    with pytest.raises(CheckpointError, match=r"model_000007\.pt is refused"):
        formats.open(path)
    assert not proof.exists()


# Programs for the pickle machine that try to get hold of something, or to change what they were given.
PROGRAMS = {
    "system": b"cos\nsystem\n(S'true'\ntR.",
    "eval": b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
    "attribute": b"\x80\x04\x8c\x0dtiktoken.core\x8c\x12Encoding.__class__\x93.",
    "class": b"\x80\x04\x8c\x0dtiktoken.core\x8c\x08Encoding\x93}\x8c\x04name\x8c\x01xsb.",
    "extension": b"\x80\x04\x82\x01.",
    "outside": b"\x80\x04\x8c\x01xQ.",
    "plain": pickle.dumps({"mergeable_ranks": {}}),
    "text": pickle.dumps("r50k_base"),
    "empty": b"",
    "cut": pickle.dumps(list(range(1000)))[:500],
    "memo": b"\x80\x04Nr\xff\xff\xff\xff.",
    "bytearray": b"\x80\x05\x96\x00\x00\x00\x00\x00\x01\x00\x00.",
    "key without end": b"\x80\x04}(" + b")\x94" + b"".join(b"(h%ch%ct\x94" % (n, n) for n in range(60)) + b"h\x3cNu.",
    "long": b"\x80\x04\x8b\xff\xff\xff\x7f.",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_any_other_pickle_is_one_clear_error(tmp_path, program):
    path = write(tmp_path, random_weights())
    (tmp_path / "tokenizer.pkl").write_bytes(PROGRAMS[program])
    with pytest.raises(CheckpointError, match=r"tokenizer\.pkl"):
        formats.open(path).tokenizer  # noqa: B018


def test_a_tokenizer_without_its_begin_or_without_all_bytes_is_an_error(tmp_path):
    path = write(tmp_path, random_weights())
    write_tokenizer(tmp_path / "tokenizer.pkl", special={"<|endoftext|>": 298})
    with pytest.raises(CheckpointError, match=r"no <\|bos\|> token"):
        formats.open(path).tokenizer  # noqa: B018
    without = {token: rank for token, rank in RANKS.items() if token != b"Q"}
    write_tokenizer(tmp_path / "tokenizer.pkl", without)
    with pytest.raises(CheckpointError, match="256 bytes"):
        formats.open(path).tokenizer  # noqa: B018
