"""GPT-1 (Radford et al. 2018): GPT-2's blocks with a layer norm after each sum, and none at the end."""

from __future__ import annotations

from evalkit.model.families import gpt2
from evalkit.model.family import Family

FAMILY = Family(
    model_type="openai-gpt",
    architecture="OpenAIGPTLMHeadModel",
    known="GPT-1",
    sizes=gpt2.SIZES,
    epsilon="layer_norm_epsilon",
    activation="afn",
    activations={"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"},
    defaults={"afn": "gelu", "layer_norm_epsilon": 1e-5},
    fixed={"norm": "post"},
    write=gpt2.dropouts,
    tensors={
        "tokens": "transformer.tokens_embed",
        "positions": "transformer.positions_embed",
        **gpt2.BLOCKS,
        "output": "lm_head",
    },
    prefix="transformer.",
    buffers=gpt2.BUFFERS,
)
