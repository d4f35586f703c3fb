"""Small checkpoints as other trainers write them, and their networks, written down again plainly."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import torch
import yaml
from torch.nn import functional as F

from evalkit.tokenizer import Tokenizer

WIDTH, HEADS, LAYERS, CONTEXT, VOCABULARY = 48, 3, 2, 24, 300
TEXT = "To be, or not to be: that is the question.\nWhether 'tis nobler\n"


def tokenizer(folder):
    """A small tokenizer with no more tokens than the models."""
    Tokenizer.train([TEXT * 3, "and many other words of a small text"], vocab_size=290).save(folder, context=CONTEXT)
    return folder


def tokens(*, vocabulary=VOCABULARY):
    return torch.randint(0, vocabulary, (3, CONTEXT), generator=torch.Generator().manual_seed(2))


def drawn(shapes):
    """Random numbers; the weights of norms are around one."""
    generator = torch.Generator().manual_seed(0)
    one = {name for name, shape in shapes.items() if len(shape) == 1 and name.endswith("weight")}
    return {name: torch.randn(shape, generator=generator) * 0.2 + (name in one) for name, shape in shapes.items()}


def gpt2_state(*, bias=True, vocabulary=VOCABULARY, padded=None):
    """GPT-2's tensors by the names that nanoGPT and llm.c's Python give them."""
    w = WIDTH
    modules = {"ln_1": (w,), "attn.c_attn": (3 * w, w), "attn.c_proj": (w, w), "ln_2": (w,), "mlp.c_fc": (4 * w, w)}
    modules["mlp.c_proj"] = (w, 4 * w)
    shapes = {"wte.weight": (padded or vocabulary, w), "wpe.weight": (CONTEXT, w), "ln_f.weight": (w,)}
    shapes |= {f"h.{i}.{name}.weight": shape for i in range(LAYERS) for name, shape in modules.items()}
    if bias:
        shapes |= {name.replace("weight", "bias"): shape[:1] for name, shape in shapes.items() if "wte" not in name}
        del shapes["wpe.bias"]
    return {f"transformer.{name}": tensor for name, tensor in drawn(shapes).items()}


def gpt2_logits(state, tokens_BT, *, tanh, vocabulary=VOCABULARY):
    """The logits of GPT-2's network, with the matrices as torch's linear layers hold them."""
    of = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}

    def linear(x, name):
        return F.linear(x, of[f"{name}.weight"], of.get(f"{name}.bias"))

    def norm(x, name):
        return F.layer_norm(x, (WIDTH,), of[f"{name}.weight"], of.get(f"{name}.bias"))

    x = of["wte.weight"][tokens_BT] + of["wpe.weight"][: tokens_BT.shape[1]]
    for i in range(LAYERS):
        qkv = linear(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn")
        q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in qkv.split(WIDTH, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + linear(y, f"h.{i}.attn.c_proj")
        inner = F.gelu(linear(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc"), approximate="tanh" if tanh else "none")
        x = x + linear(inner, f"h.{i}.mlp.c_proj")
    return F.linear(norm(x, "ln_f"), of["wte.weight"][:vocabulary])


def nanogpt_file(folder, state, *, prefix="", vocabulary=VOCABULARY, name="ckpt.pt", step=40, dataset="chars", **args):
    """What nanoGPT's train.py saves: the weights under two names, an optimizer, its settings."""
    shape = {"n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH, "block_size": CONTEXT, "vocab_size": vocabulary}
    shape |= {"bias": "transformer.ln_f.bias" in state, "dropout": 0.1}
    model = {f"{prefix}{key}": tensor for key, tensor in state.items()}
    model[f"{prefix}lm_head.weight"] = model[f"{prefix}transformer.wte.weight"]
    config = {"init_from": "scratch", "dataset": dataset, "gradient_accumulation_steps": 5, "batch_size": 4,
              "block_size": CONTEXT, "learning_rate": 6e-4, "compile": True}  # fmt: skip
    stored = {"model": model, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}}
    stored |= {"model_args": shape | args, "iter_num": step, "best_val_loss": torch.tensor(1.5), "config": config}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(stored, folder / name)
    return folder / name


def meta_file(path, text=TEXT):
    """What nanoGPT's prepare.py of a character model saves."""
    characters = sorted(set(text))
    stoi, itos = ({c: i for i, c in enumerate(characters)}, dict(enumerate(characters)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps({"vocab_size": len(characters), "itos": itos, "stoi": stoi}))
    return characters


def llmc_file(path, state, *, version=3, vocabulary=VOCABULARY, magic=20240326):
    """What llm.c writes: a header of 256 whole numbers, then tensor by tensor for all layers."""
    of = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
    header = torch.zeros(256, dtype=torch.int32)
    header[:8] = torch.tensor([magic, version, CONTEXT, vocabulary, LAYERS, HEADS, WIDTH, len(of["wte.weight"])])
    modules = ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"]
    order = [f"h.{i}.{name}.{kind}" for name in modules for kind in ("weight", "bias") for i in range(LAYERS)]
    order = ["wte.weight", "wpe.weight", *order, "ln_f.weight", "ln_f.bias"]
    dtype, view = (torch.float32, torch.float32) if version == 3 else (torch.bfloat16, torch.int16)
    with Path(path).open("wb") as file:
        file.write(header.numpy().tobytes())
        for name in order:
            file.write(of[name].to(dtype).view(view).numpy().tobytes())
    return path


# Settings of litgpt that differ from its defaults, for shapes that its own table of models has.
LITGPT = {
    "gpt2": {"rotary_percentage": 1.0, "parallel_residual": False, "padded_vocab_size": 320},
    "pythia": {"n_query_groups": 3},
    "phi": {"shared_attention_norm": True, "rotary_percentage": 0.5, "gelu_approximate": "tanh", "attn_bias": True},
    "llama": {
        "norm_class_name": "RMSNorm", "mlp_class_name": "LLaMAMLP", "intermediate_size": 80, "bias": False,
        "parallel_residual": False, "rotary_percentage": 1.0, "n_query_groups": 1, "rope_base": 500,
        "rope_adjustments": {"factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_seq_len": 8},
    },
    "qwen3": {
        "norm_class_name": "RMSNorm", "mlp_class_name": "LLaMAMLP", "intermediate_size": 80, "bias": False,
        "parallel_residual": False, "rotary_percentage": 1.0, "head_size": 24, "norm_qk": True, "norm_eps": 1e-6,
        "rope_condense_ratio": 2, "attention_scores_scalar": 30,
    },
    "olmo2": {
        "norm_class_name": "RMSNorm", "mlp_class_name": "LLaMAMLP", "intermediate_size": 80, "bias": False,
        "parallel_residual": False, "rotary_percentage": 1.0, "norm_qk": True, "norm_qk_type": "olmo2", "norm_1": False,
        "norm_2": False, "post_attention_norm": True, "post_mlp_norm": True,
    },
    "window": {
        "norm_class_name": "RMSNorm", "mlp_class_name": "GemmaMLP", "intermediate_size": 80, "bias": False,
        "parallel_residual": False, "rotary_percentage": 1.0, "post_attention_norm": True, "post_mlp_norm": True,
        "sliding_window_size": 6, "sliding_window_indices": [0, 1], "scale_embeddings": True,
        "final_logit_softcapping": 3.0, "gelu_approximate": "tanh",
    },
}  # fmt: skip
_LITGPT_DEFAULTS = {
    "name": "made", "hf_config": {}, "block_size": CONTEXT, "n_layer": LAYERS, "n_embd": WIDTH, "n_head": HEADS,
    "vocab_size": VOCABULARY, "padding_multiple": 64, "padded_vocab_size": VOCABULARY, "norm_class_name": "LayerNorm",
    "norm_eps": 1e-5, "norm_qk": False, "norm_qk_type": "default", "post_attention_norm": False, "post_mlp_norm": False,
    "parallel_residual": True, "shared_attention_norm": False, "head_size": WIDTH // HEADS, "n_query_groups": HEADS,
    "attn_bias": False, "attention_scores_scalar": None, "sliding_window_size": None, "sliding_window_indices": None,
    "attention_logit_softcapping": None, "rope_base": 10000, "rotary_percentage": 0.25, "rope_condense_ratio": 1,
    "rope_adjustments": None, "rope_interleave": False, "intermediate_size": 4 * WIDTH, "bias": True,
    "mlp_class_name": "GptNeoxMLP", "gelu_approximate": "none", "n_expert": 0, "n_expert_per_token": 0,
    "routed_scaling_factor": 1.0, "norm_topk_prob": False, "scale_embeddings": False, "lm_head_bias": False,
    "final_logit_softcapping": None, "norm_1": True, "norm_2": True, "latent_attention": None, "rope_indices": None,
    "rope_local_base_freq": None,
}  # fmt: skip


def litgpt_settings(kind):
    return _LITGPT_DEFAULTS | LITGPT[kind]


def litgpt_state(c):
    """The tensors of a shape, by their names in litgpt/model.py."""
    w, inner, heads, groups, size = WIDTH, c["intermediate_size"], HEADS, c["n_query_groups"], c["head_size"]
    rms = c["norm_class_name"] == "RMSNorm"
    shapes = {"lm_head.weight": (c["padded_vocab_size"], w), "transformer.wte.weight": (c["padded_vocab_size"], w)}
    norms, linears = {"transformer.ln_f": w}, {}
    for i in range(LAYERS):
        h = f"transformer.h.{i}."
        norms |= {f"{h}norm_1": w} if c["norm_1"] else {}
        norms |= {f"{h}norm_2": w} if c["norm_2"] and not c["shared_attention_norm"] else {}
        norms |= {f"{h}{name}": w for name in ("post_attention_norm", "post_mlp_norm") if c[name]}
        if c["norm_qk"]:
            every = c["norm_qk_type"] == "olmo2"
            norms |= {f"{h}attn.norm_q": size * (heads if every else 1)}
            norms |= {f"{h}attn.norm_k": size * (groups if every else 1)}
        linears[f"{h}attn.qkv"] = ((heads + 2 * groups) * size, w, c["bias"] or c["attn_bias"])
        linears[f"{h}attn.proj"] = (w, heads * size, c["bias"])
        for name in ("fc",) if c["mlp_class_name"] == "GptNeoxMLP" else ("fc_1", "fc_2"):
            linears[f"{h}mlp.{name}"] = (inner, w, c["bias"])
        linears[f"{h}mlp.proj"] = (w, inner, c["bias"])
    for name, (rows, columns, bias) in linears.items():
        shapes |= {f"{name}.weight": (rows, columns)} | ({f"{name}.bias": (rows,)} if bias else {})
    for name, width in norms.items():
        shapes |= {f"{name}.weight": (width,)} | ({} if rms else {f"{name}.bias": (width,)})
    return drawn(shapes)


def litgpt_logits(c, state, tokens_BT):
    """The logits of litgpt's network."""
    size, groups, length = c["head_size"], c["n_query_groups"], tokens_BT.shape[1]

    def norm(x, name):
        weight, bias, eps = state.get(f"{name}.weight"), state.get(f"{name}.bias"), c["norm_eps"]
        if weight is None:
            return x
        if c["norm_class_name"] == "RMSNorm":
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight
        return F.layer_norm(x, weight.shape, weight, bias, eps)

    def linear(x, name):
        return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))

    def rotate(x):
        width = int(c["rotary_percentage"] * size)
        theta = 1.0 / c["rope_base"] ** (torch.arange(0, width, 2).float() / width)
        if a := c["rope_adjustments"]:
            ratio = a["original_max_seq_len"] * theta / (2 * math.pi)
            smooth = (ratio - a["low_freq_factor"]) / (a["high_freq_factor"] - a["low_freq_factor"])
            smooth = smooth.clamp(0, 1)
            theta = (1 - smooth) * theta / a["factor"] + smooth * theta
        angles = torch.outer(torch.arange(length).float() / c["rope_condense_ratio"], theta).repeat(1, 2)
        first, second = x[..., : width // 2], x[..., width // 2 : width]
        turned = x[..., :width] * angles.cos() + torch.cat((-second, first), -1) * angles.sin()
        return torch.cat((turned, x[..., width:]), -1)

    def attention(x, h, i):
        qkv = linear(x, f"{h}attn.qkv")
        q, k, v = qkv.split((HEADS * size, groups * size, groups * size), dim=-1)
        if c["norm_qk_type"] == "olmo2":
            q, k = norm(q, f"{h}attn.norm_q"), norm(k, f"{h}attn.norm_k")
        q, k, v = (part.unflatten(-1, (-1, size)).transpose(1, 2) for part in (q, k, v))
        if c["norm_qk_type"] == "default":
            q, k = norm(q, f"{h}attn.norm_q"), norm(k, f"{h}attn.norm_k")
        q, k = rotate(q), rotate(k)
        k, v = (part.repeat_interleave(HEADS // groups, dim=1) for part in (k, v))
        back = torch.arange(length)[:, None] - torch.arange(length)
        window = c["sliding_window_size"] if (c["sliding_window_indices"] or [0] * LAYERS)[i] else length
        scores = q @ k.mT / math.sqrt(c["attention_scores_scalar"] or size)
        scores = scores.masked_fill((back < 0) | (back >= window), -math.inf)
        return linear((scores.softmax(-1) @ v).transpose(1, 2).flatten(2), f"{h}attn.proj")

    def perceptron(x, h):
        gelu = {"approximate": c["gelu_approximate"]}
        if c["mlp_class_name"] == "GptNeoxMLP":
            return linear(F.gelu(linear(x, f"{h}mlp.fc"), **gelu), f"{h}mlp.proj")
        gate = linear(x, f"{h}mlp.fc_1")
        gate = F.silu(gate) if c["mlp_class_name"] == "LLaMAMLP" else F.gelu(gate, **gelu)
        return linear(gate * linear(x, f"{h}mlp.fc_2"), f"{h}mlp.proj")

    x = state["transformer.wte.weight"][tokens_BT] * (WIDTH**0.5 if c["scale_embeddings"] else 1)
    for i in range(LAYERS):
        h = f"transformer.h.{i}."
        normed = norm(x, f"{h}norm_1")
        attended = norm(attention(normed, h, i), f"{h}post_attention_norm")
        if not c["parallel_residual"]:
            normed = norm(x + attended, f"{h}norm_2")
        elif not c["shared_attention_norm"]:
            normed = norm(x, f"{h}norm_2")
        x = x + attended + norm(perceptron(normed, h), f"{h}post_mlp_norm")
    logits = F.linear(norm(x, "transformer.ln_f"), state["lm_head.weight"])
    cap = c["final_logit_softcapping"]
    return cap * torch.tanh(logits / cap) if cap else logits


def litgpt_folder(folder, settings, state, *, full=True, grouped=False):
    """What litgpt writes; full: with the state of a pre-training; grouped: queries, keys and values as before 2025."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_config.yaml").write_text(yaml.dump(settings))
    if grouped:
        state = {name.replace("attn.qkv", "attn.attn"): _grouped(name, t, settings) for name, t in state.items()}
    stored = {"model": state, "optimizer": {}, "iter_num": 80, "step_count": 20} if full else state
    torch.save(stored, folder / "lit_model.pth")
    if full:
        (folder / "hyperparameters.yaml").write_text(yaml.dump({"train": {"global_batch_size": 64}}))
    return folder


def _grouped(name, tensor, c):
    """Order the rows group by group: the group's queries, its keys, its values."""
    if "attn.qkv" not in name:
        return tensor
    size, groups = c["head_size"], c["n_query_groups"]
    q, k, v = tensor.split((HEADS * size, groups * size, groups * size))
    each = HEADS // groups * size
    parts = [(q[g * each : (g + 1) * each], *(m[g * size : (g + 1) * size] for m in (k, v))) for g in range(groups)]
    return torch.cat([part for group in parts for part in group])
