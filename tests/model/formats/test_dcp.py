"""Folders of torch.distributed.checkpoint against plain versions of torchtitan's Llama and nanoGPT, written here."""

from __future__ import annotations

import io
import json
import math
import pickle
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
import transformers
from torch.distributed.checkpoint import metadata as described
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.nn import functional as F

from evalkit.errors import CheckpointError
from evalkit.model import families, formats, weights
from evalkit.model.settings import NotNativeError, Settings
from evalkit.tokenizer import Tokenizer
from tests.model.formats import trainers

WIDTH, HEADS, KEYS, INNER, LAYERS, VOCABULARY, CONTEXT = 48, 6, 2, 56, 3, 300, 40
PARAMS = {"n_heads": HEADS, "rope_theta": 500.0, "norm_eps": 1e-4, "max_seq_len": CONTEXT}
SCALED = {
    "scaling_factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
IDS = torch.randint(VOCABULARY, (CONTEXT,), generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["the cat sat on a mat and the dog ran home " * 4], vocab_size=280)


def draws():
    generator = torch.Generator().manual_seed(1)
    return lambda *size: torch.randn(*size, generator=generator) * 0.15


def titan_weights():
    """Return the tensors of torchtitan's Llama, by the names that it had until 2026."""
    draw, keys = draws(), WIDTH // HEADS * KEYS
    state = {"tok_embeddings.weight": draw(VOCABULARY, WIDTH), "output.weight": draw(VOCABULARY, WIDTH)}
    state["norm.weight"] = 1 + draw(WIDTH)
    for layer in range(LAYERS):
        sizes = {"attention.wq": (WIDTH, WIDTH), "attention.wk": (keys, WIDTH), "attention.wv": (keys, WIDTH)}
        sizes |= {"attention.wo": (WIDTH, WIDTH), "feed_forward.w1": (INNER, WIDTH), "feed_forward.w2": (WIDTH, INNER)}
        sizes |= {"feed_forward.w3": (INNER, WIDTH)}
        state |= {f"layers.{layer}.{name}.weight": draw(*size) for name, size in sizes.items()}
        norms = ("attention_norm", "ffn_norm")
        state |= {f"layers.{layer}.{name}.weight": 1 + draw(WIDTH) for name in norms}
    return state


def titan_logits(state, ids, *, theta=500.0, epsilon=1e-4, scaled=None):
    """Compute the logits of torchtitan's Llama, whose pairs of components are complex numbers."""

    def norm(x, name):
        return F.rms_norm(x, (WIDTH,), state[f"{name}.weight"], epsilon)

    def heads(x, matrix, count):
        return (x @ matrix.T).unflatten(-1, (count, -1))

    turns = torch.polar(torch.ones(len(ids), WIDTH // HEADS // 2), angles(len(ids), theta, scaled))[:, None]
    mask = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    x = state["tok_embeddings.weight"][ids]
    for layer in range(LAYERS):
        at = {name.removeprefix(f"layers.{layer}."): t for name, t in state.items() if f"layers.{layer}." in name}
        h = norm(x, f"layers.{layer}.attention_norm")
        counts = zip("qkv", (HEADS, KEYS, KEYS), strict=True)
        q, k, v = (heads(h, at[f"attention.w{name}.weight"], count) for name, count in counts)
        q, k = (
            torch.view_as_real(torch.view_as_complex(part.unflatten(-1, (-1, 2)).contiguous()) * turns).flatten(-2)
            for part in (q, k)
        )
        k, v = (part.repeat_interleave(HEADS // KEYS, 1) for part in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q, k) / (WIDTH // HEADS) ** 0.5
        attended = torch.einsum("hqk,khd->qhd", scores.masked_fill(~mask, -torch.inf).softmax(-1), v)
        x = x + attended.flatten(1) @ at["attention.wo.weight"].T
        h = norm(x, f"layers.{layer}.ffn_norm")
        gated = F.silu(h @ at["feed_forward.w1.weight"].T) * (h @ at["feed_forward.w3.weight"].T)
        x = x + gated @ at["feed_forward.w2.weight"].T
    return norm(x, "norm") @ state["output.weight"].T


def angles(length, theta, scaled):
    """Return the angle of each pair at each position; scaled: the rule of Llama 3.1, case by case."""
    frequencies = []
    for pair in range(WIDTH // HEADS // 2):
        frequency = theta ** (-2 * pair / (WIDTH // HEADS))
        if scaled:
            wave, context = 2 * math.pi / frequency, scaled["original_max_position_embeddings"]
            low, high = scaled["low_freq_factor"], scaled["high_freq_factor"]
            if wave > context / low:
                frequency /= scaled["scaling_factor"]
            elif wave >= context / high:
                smooth = (context / wave - low) / (high - low)
                frequency = (1 - smooth) * frequency / scaled["scaling_factor"] + smooth * frequency
        frequencies.append(frequency)
    return torch.outer(torch.arange(length).float(), torch.tensor(frequencies))


def save(state, folder: Path):
    """Have torch write a folder, of one process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is one process
        dcp.save(state, checkpoint_id=folder)
    return folder


def beside(folder: Path, tokenizer, **files):
    """Write a tokenizer and JSON files to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder, context=CONTEXT)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def assert_logits(path, expected):
    model, _ = weights.load(path)
    torch.testing.assert_close(model(IDS[None])[0], expected, atol=1e-5, rtol=0)


def newer(state, *, seen=7_000):
    """Return the tensors by torchtitan's names of 2026, and what a training stores besides."""
    named = {name.replace("attention.w", "attention.qkv_linear.w"): tensor for name, tensor in state.items()}
    named = {name.replace("qkv_linear.wo", "wo").replace("output.", "lm_head."): t for name, t in named.items()}
    moments = {f"state.{name}.exp_avg": torch.zeros_like(tensor) for name, tensor in named.items()}
    return named | {
        "optimizer": moments,
        "train_state": {"step": torch.tensor(9), "ntokens_seen": seen},
        "lr_scheduler": {"last_epoch": 9},
    }


def saved_configuration(**rope):
    """Return torchtitan's own config.json, in part."""
    rope = {"theta": 500.0, "max_context_length": 131072, "scaling": "none", **rope}
    layer = {"attention": {"n_heads": HEADS, "n_kv_heads": KEYS, "qk_norm": None, "rope": rope}, "moe": None}
    layer["attention_norm"] = {"normalized_shape": WIDTH, "eps": 1e-4}
    model = {"dim": WIDTH, "layers": [layer] * LAYERS, "enable_weight_tying": False}
    return {"model_spec": {"name": "llama3", "flavor": "x", "model": model}, "training": {"seq_len": CONTEXT}}


@pytest.mark.parametrize("scaled", [None, SCALED])
@pytest.mark.parametrize("kind", ["params", "nested", "config", "transformers"])
def test_logits_are_those_of_torchtitan(tmp_path, tokenizer, kind, scaled):
    state = titan_weights()
    if kind == "config":
        said = {"config": saved_configuration(**(scaled | {"scaling": "llama"} if scaled else {}))}
    elif kind == "transformers":
        rope = {"rope_type": "llama3", **renamed(scaled)} if scaled else {"rope_type": "default"}
        said = {"config": llama_settings(rope)}
    else:
        said = {"params": PARAMS | ({"rope_scaling_args": scaled} if scaled else {})}
    beside(tmp_path / "outputs", tokenizer, **said)
    stored = {"model": state, "optim": {"x": torch.ones(3)}, "step": 3} if kind == "nested" else newer(state)
    path = save(stored, tmp_path / "outputs" / "checkpoint" / "step-120")

    assert_logits(path, titan_logits(state, IDS, scaled=scaled))

    assert formats.open(path).format == "distributed"
    assert dict(formats.open(path).training) == {"step": 120} | ({} if kind == "nested" else {"tokens": 7_000})


def llama_settings(rope):
    """Return what transformers says of the same network."""
    return {
        "model_type": "llama", "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KEYS, "intermediate_size": INNER, "vocab_size": VOCABULARY, "rms_norm_eps": 1e-4,
        "max_position_embeddings": CONTEXT, "rope_parameters": {"rope_theta": 500.0, **rope},
    }  # fmt: skip


def renamed(scaled):
    return {"factor" if name == "scaling_factor" else name: number for name, number in scaled.items()}


def test_a_tied_output_matrix_is_read_once(tmp_path, tokenizer):
    state = titan_weights()
    state["output.weight"] = state["tok_embeddings.weight"]
    beside(tmp_path, tokenizer, params=PARAMS | {"enable_weight_tying": True})
    path = save(newer(state), tmp_path / "step-1")
    assert not formats.open(path).config.untied
    assert_logits(path, titan_logits(state, IDS))


def test_a_tied_output_matrix_that_differs_counts(tmp_path, tokenizer):
    beside(tmp_path, tokenizer, params=PARAMS | {"enable_weight_tying": True})
    path = save(titan_weights(), tmp_path / "step-1")
    assert formats.open(path).config.untied
    assert_logits(path, titan_logits(titan_weights(), IDS))


def test_parts_of_several_ranks_are_put_together(tmp_path, tokenizer):
    state = titan_weights()
    path = beside(tmp_path / "sharded", tokenizer, params=PARAMS)
    write_ranks(path, state)
    assert len(list(path.glob("*.distcp"))) == 3
    assert_logits(path, titan_logits(state, IDS))


def write_ranks(path, state, *, ranks=3, drop=""):
    """Write as `ranks` processes would: each tensor in rows, each part behind the last one in its rank's file."""
    files = [io.BytesIO() for _ in range(ranks)]
    tensors, places = {}, {}
    for name, tensor in state.items():
        chunks, start = [], 0
        for rank, part in enumerate(tensor.chunk(ranks)):
            offsets = torch.Size([start] + [0] * (tensor.dim() - 1))
            begin = files[rank].tell()
            torch.save(part.clone(), files[rank])
            place = _StorageInfo(f"__{rank}_0.distcp", begin, files[rank].tell() - begin)
            places[described.MetadataIndex(name, offsets)] = place
            start += len(part)
            if f"{name}:{rank}" != drop:
                chunks.append(described.ChunkStorageMetadata(offsets, part.shape))
        properties = described.TensorProperties(dtype=tensor.dtype)
        tensors[name] = described.TensorStorageMetadata(properties, tensor.shape, chunks)
    for rank, file in enumerate(files):
        (path / f"__{rank}_0.distcp").write_bytes(file.getvalue())
    index = described.Metadata(state_dict_metadata=tensors, storage_data=places)
    (path / ".metadata").write_bytes(pickle.dumps(index))


@pytest.mark.parametrize("biases", [True, False])
def test_logits_are_those_of_nanogpt(tmp_path, tokenizer, biases):
    state = trainers.gpt2_state(bias=biases)
    state["lm_head.weight"] = state["transformer.wte.weight"]
    path = save({"model": {f"_orig_mod.{name}": tensor for name, tensor in state.items()}}, tmp_path / "gpt2")
    beside(path, tokenizer, params={"n_head": trainers.HEADS})
    model, _ = weights.load(path)
    tokens = trainers.tokens()
    torch.testing.assert_close(model(tokens), trainers.gpt2_logits(state, tokens, tanh=False), atol=1e-5, rtol=0)


def test_tokens_are_those_that_torchtitan_counted_as_a_number_or_as_a_tensor(tmp_path, tokenizer):
    beside(tmp_path, tokenizer, params=PARAMS)
    for name, seen in (("step-5", 7_000), ("step-6", torch.tensor(8_000))):
        path = save(newer(titan_weights(), seen=seen), tmp_path / name)
        assert formats.open(path).training["tokens"] == int(seen)


@pytest.mark.parametrize("kind", ["gpt2", "qwen3"])
def test_networks_of_transformers(tmp_path, tokenizer, kind):
    sizes = {"gpt2": {"n_layer": 2, "n_embd": 48, "n_head": 3, "n_positions": CONTEXT}}
    sizes["qwen3"] = {"num_hidden_layers": 2, "hidden_size": 48, "num_attention_heads": 6, "num_key_value_heads": 2}
    sizes["qwen3"] |= {"intermediate_size": 56, "max_position_embeddings": CONTEXT, "tie_word_embeddings": True}
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, vocab_size=VOCABULARY, **sizes[kind])
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    path = save({"app": {"model": model.state_dict()}}, tmp_path / "step_5")
    beside(path, tokenizer, config=config.to_dict() | {"dtype": "float32"})
    with torch.no_grad():
        assert_logits(path, model(IDS[None]).logits[0])


def test_our_own_network(tmp_path, tokenizer):
    family = families.FAMILIES["qwen3"]
    said = {**llama_settings({}), "model_type": "qwen3", "head_dim": 8}
    model = weights.GPT(family.config(Settings(said, tmp_path, defaults={}))).eval()
    path = save({"model": model.state_dict()}, tmp_path / "llama3")
    assert "step" not in formats.open(beside(path, tokenizer, config=family.settings(model.config))).training
    with torch.no_grad():
        assert_logits(path, model(IDS[None])[0])


def test_what_the_tensors_do_not_say_is_asked_for(tmp_path, tokenizer):
    path = save(titan_weights(), tmp_path / "a" / "b" / "step-1")
    with pytest.raises(CheckpointError, match=r'do not say how many heads.*params\.json: \{"n_heads": '):
        formats.open(path)
    beside(path, tokenizer, params={"n_heads": HEADS, "max_seq_len": CONTEXT})
    with pytest.raises(CheckpointError, match=r"params\.json: rope_theta is missing"):
        formats.open(path)
    beside(path, tokenizer, params=PARAMS | {"n_heads": 7})
    with pytest.raises(CheckpointError, match="7 heads do not divide 48 queries"):
        formats.open(path)
    beside(path, tokenizer, config={"model_type": "mamba"})
    (path / "params.json").unlink()
    with pytest.raises(NotNativeError, match='model_type "mamba"'):
        formats.open(path)
    beside(path, tokenizer, config=saved_configuration(scaling="yarn"))
    with pytest.raises(NotNativeError, match='scaling "yarn"'):
        formats.open(path)


def test_other_networks_are_named(tmp_path, tokenizer):
    path = save({"net": {"embed.weight": torch.ones(4, 4)}}, tmp_path / "x")
    beside(path, tokenizer, params=PARAMS)
    with pytest.raises(CheckpointError, match=r"looked for tok_embeddings\.weight, transformer\.wte\.weight"):
        formats.open(path)


def test_wrong_tensors_are_named(tmp_path, tokenizer):
    state = titan_weights()
    for name, change, message in (
        ("shape", {"layers.1.feed_forward.w2.weight": torch.ones(48, 55)}, r"w2\.weight' has shape \(48, 55\)"),
        (
            "more",
            {"layers.1.attention.q_norm.weight": torch.ones(8)},
            r"unexpected tensor 'layers\.1\.attention\.q_norm",
        ),
    ):
        beside(tmp_path / name, tokenizer, params=PARAMS)
        path = save(state | change, tmp_path / name / "step-1")
        with pytest.raises(CheckpointError, match=message):
            weights.load(path)
    less = {name: tensor for name, tensor in state.items() if name != "layers.2.ffn_norm.weight"}
    beside(tmp_path / "less", tokenizer, params=PARAMS)
    with pytest.raises(CheckpointError, match=r"'layers\.2\.ffn_norm\.weight' is missing"):
        weights.load(save(less, tmp_path / "less" / "step-1"))


def test_damaged_folders_are_one_clear_error(tmp_path, tokenizer):
    path = beside(tmp_path / "x", tokenizer, params=PARAMS)
    write_ranks(path, titan_weights(), drop="norm.weight:1")
    with pytest.raises(CheckpointError, match=r"'norm\.weight' is not complete"):
        weights.load(path)
    write_ranks(path, titan_weights())
    (path / "__2_0.distcp").unlink()
    with pytest.raises(CheckpointError, match=r"__2_0\.distcp: tensor '.*' cannot be read: No such file"):
        weights.load(path)
    write_ranks(path, titan_weights())
    file = path / "__1_0.distcp"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"__1_0\.distcp: tensor '.*' cannot be read: 100 bytes are missing"):
        weights.load(path)
    index = (path / ".metadata").read_bytes()
    for damaged in (index[: len(index) // 2], b"", b"x", pickle.dumps([1, 2]), pickle.dumps({"storage_data": {1: 2}})):
        (path / ".metadata").write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"\.metadata"):
            formats.open(path)


@pytest.mark.parametrize("change", ["above", "negative", "outside", "compressed", "wide"])
def test_an_index_that_points_elsewhere_is_refused(tmp_path, tokenizer, change):
    path = beside(tmp_path / "x", tokenizer, params=PARAMS)
    write_ranks(path, titan_weights())
    index = pickle.loads((path / ".metadata").read_bytes())
    place = next(iter(index.storage_data.values()))
    chunk = next(iter(index.state_dict_metadata.values())).chunks[0]
    if change == "above":
        place.relative_path = "../secret"
    elif change == "negative":
        place.offset = -1
    elif change == "compressed":
        place.transform_descriptors = ["stream.zstd"]
    elif change == "wide":
        chunk.sizes = torch.Size([10**6, 10**6])
    else:
        chunk.sizes = torch.Size([chunk.sizes[0], chunk.sizes[1] + 1])
    (path / ".metadata").write_bytes(pickle.dumps(index))
    with pytest.raises(CheckpointError, match=r"\.metadata: not the index"):
        formats.open(path)


class Hostile:
    """Pickled as a call that writes a file."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)


def test_pickles_that_would_run_code_are_refused(tmp_path, tokenizer):
    proof = tmp_path / "proof"
    path = beside(tmp_path / "x", tokenizer, params=PARAMS)
    write_ranks(path, titan_weights())
    index = pickle.loads((path / ".metadata").read_bytes())
    index.planner_data = Hostile(proof)
    (path / ".metadata").write_bytes(pickle.dumps(index))
    with pytest.raises(CheckpointError, match=r"\.metadata is refused: it holds .*touch.*could run code"):
        formats.open(path)

    write_ranks(path, titan_weights(), ranks=1)
    index = pickle.loads((path / ".metadata").read_bytes())
    place = index.storage_data[described.MetadataIndex("norm.weight", torch.Size([0]))]
    hostile = io.BytesIO()
    torch.save(Hostile(proof), hostile)
    place.relative_path, place.offset, place.length = "__9_0.distcp", 0, len(hostile.getvalue())
    (path / "__9_0.distcp").write_bytes(hostile.getvalue())
    (path / ".metadata").write_bytes(pickle.dumps(index))
    with pytest.raises(CheckpointError, match=r"__9_0\.distcp: tensor 'norm\.weight' is refused: .*could run code"):
        weights.load(path)
    assert not proof.exists()
