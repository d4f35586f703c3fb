"""OLMo 2 (Walsh et al. 2024): Llama with norms of the branches' outputs, and of all queries and all keys at once."""

from __future__ import annotations

from dataclasses import replace

from evalkit.model.families import llama

FAMILY = replace(
    llama.FAMILY,
    model_type="olmo2",
    architecture="Olmo2ForCausalLM",
    known="OLMo 2",
    sizes=llama.SIZES,
    defaults={**llama.DEFAULTS, "rms_norm_eps": 1e-5},
    fixed={**llama.FIXED, "norm": "output", "qk_norm": "all"},
    read=llama.read,
    write=llama.write,
    tensors={
        **llama.TENSORS,
        **llama.QK_NORMS,
        "blocks.N.norm_1": "model.layers.N.post_attention_layernorm",
        "blocks.N.norm_2": "model.layers.N.post_feedforward_layernorm",
    },
)
