"""litgpt's folders (github.com/Lightning-AI/litgpt): lit_model.pth, model_config.yaml and a tokenizer.

One network with many switches (litgpt/model.py, config.py); those that ours has too are read, the others are refused.
Queries, keys and values are rows of one matrix: of all heads one after the other (`attn.qkv`) or, in files of before
2025 (`attn.attn`), group by group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from evalkit.errors import CheckpointError, UsageError
from evalkit.files import read_bytes
from evalkit.model import vocabularies
from evalkit.model.checkpoint import Checkpoint, Format, Vocabulary, content_of
from evalkit.model.config import GPTConfig, Llama3Scaling, Norm, NormKind, QKNorm, Rotary
from evalkit.model.folder import stop_ids
from evalkit.model.pickled import value_in
from evalkit.model.pieces import Names, by_group, pieces, unwrapped
from evalkit.model.saved import Saved, whole
from evalkit.model.settings import Settings

if TYPE_CHECKING:
    from evalkit.model.tensors import Source

WEIGHTS, CONFIG = "lit_model.pth", "model_config.yaml"
_MORE = ("hyperparameters.yaml", "generation_config.json")
_MOST, _DEEPEST = 1 << 20, 20
# litgpt's values of keys that a file may leave out.
_DEFAULTS = {
    "padded_vocab_size": None, "padding_multiple": 512, "norm_class_name": "LayerNorm", "norm_eps": 1e-5,
    "norm_qk": False, "norm_qk_type": "default", "post_attention_norm": False, "post_mlp_norm": False,
    "parallel_residual": True, "shared_attention_norm": False, "head_size": None, "n_query_groups": None,
    "attn_bias": False, "attention_scores_scalar": None, "sliding_window_size": None, "rope_base": 10_000,
    "rotary_percentage": 0.25, "rope_condense_ratio": 1, "intermediate_size": None, "bias": True,
    "mlp_class_name": "GptNeoxMLP", "gelu_approximate": "none", "scale_embeddings": False,
    "final_logit_softcapping": None, "norm_1": True, "norm_2": True, "name": "",
}  # fmt: skip
# Keys that are read, or that change nothing here: names, and settings of the switches that are refused below.
_READ = {*_DEFAULTS, "hf_config", "n_layer", "n_embd", "n_head", "block_size", "vocab_size", "rope_adjustments",
         "sliding_window_indices", "rope_indices", "norm_topk_prob", "routed_scaling_factor"}  # fmt: skip
_NORMS: Mapping[str, NormKind] = {"LayerNorm": "layer", "RMSNorm": "rms"}
_QK_NORMS: Mapping[str, QKNorm] = {"default": "head", "olmo2": "all"}
_GELU = {"none": "gelu", "tanh": "gelu_tanh"}
# Where norms are: (before branches, after branches) -> ours.
_NORMED: Mapping[tuple[bool, bool], Norm] = {(True, False): "pre", (False, True): "output", (True, True): "both"}
_SCALINGS = {
    frozenset[str](): "none",
    frozenset({"factor"}): "linear",
    frozenset({"factor", "low_freq_factor", "high_freq_factor", "original_max_seq_len"}): "llama3",
}


def recognises(path: Path) -> bool:
    """Whether a folder has both files, or a file is the one with the weights beside the other."""
    folder = _folder(path)
    return (folder / WEIGHTS).is_file() and (folder / CONFIG).is_file()


def _folder(path: Path) -> Path:
    return path.parent if path.name == WEIGHTS and path.is_file() else path


def saved(path: Path) -> Saved | None:
    """Return the weights and what stands beside them: which of these comes last depends on the kind of training."""
    folder = _folder(path)
    if not whole(folder / WEIGHTS):
        return None
    _yaml(folder / CONFIG)
    # A folder is named after its step, but the last one `final`.
    step = None if folder.name.startswith("step-") else value_in(folder / WEIGHTS, "step_count")
    files = [file for name in (WEIGHTS, CONFIG, *_MORE) if (file := folder / name).is_file()]
    return Saved(files=files, finished=False, facts={"step": step} if isinstance(step, int) else {})


def opens(path: Path, *, vocabulary: Vocabulary | None = None) -> Checkpoint:
    """Open a folder."""
    from evalkit.model import tensors

    folder = _folder(path)
    settings = Settings(_yaml(folder / CONFIG), folder / CONFIG, defaults=_DEFAULTS)
    weights = folder / WEIGHTS
    stored = tensors.unpickled(weights)
    nested = isinstance(stored, dict) and isinstance(stored.get("model"), dict)
    within = ("model",) if nested else ()
    state = tensors.plain(stored, weights, within=within)
    names = unwrapped(state, weights)
    untied = tensors.differ(*(state[key] for key, name in names.items() if name in (_EMBEDDING, _OUTPUT)))
    config = _config(settings, untied=untied)
    if not untied and _EMBEDDING in names.values():
        names = {key: name for key, name in names.items() if name != _OUTPUT}
    layout = _tensors(settings, config, grouped=any(".attn.attn." in name for name in names.values()))

    def source(_: Sequence[Any]) -> Source:
        return tensors.Renamed(tensors.Files([weights], within=within), names)

    vocabulary = vocabulary or vocabularies.beside(weights)
    vocabulary = vocabulary or vocabularies.missing(
        folder, size=settings.whole("vocab_size"), looked="no tokenizer.json nor vocab.json with merges.txt in it"
    )
    ends = stop_ids(folder) if (folder / "generation_config.json").is_file() else []
    return Checkpoint(
        path=path, format=FORMAT.name, config=config, vocabulary=vocabulary,
        pieces=lambda shapes: pieces(config, shapes, names=layout), source=source,
        content=lambda: content_of([weights, folder / CONFIG], vocabulary, ends=ends), ends=ends,
        training=_training(folder, stored if nested else {}, config),
    )  # fmt: skip


def _yaml(path: Path) -> Mapping[str, Any]:
    """Read a table of YAML without tags, aliases or deep nesting, which could run code or never end."""
    raw = read_bytes(path, CheckpointError, most=_MOST)
    depth = 0
    try:
        for event in yaml.parse(raw, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST or isinstance(event, yaml.AliasEvent):
                raise CheckpointError(f"{path}: aliases and deep nesting are refused")
        table = yaml.load(raw, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not valid YAML ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(table, dict) or not all(isinstance(key, str) for key in table):
        raise CheckpointError(f"{path}: expected keys and values, found {type(table).__name__}")
    return table


_BLOCK = "transformer.h.N."
_EMBEDDING, _OUTPUT = "transformer.wte.weight", "lm_head.weight"


def _tensors(settings: Settings, config: GPTConfig, *, grouped: bool) -> Names:
    """Return the names of tensors; grouped: queries, keys and values stand group by group."""
    after = {"post_attention_norm": "post_attention_norm", "post_mlp_norm": "post_mlp_norm"}
    first, second = (
        f"{_BLOCK}norm_1",
        f"{_BLOCK}norm_1" if settings.flag("shared_attention_norm") else f"{_BLOCK}norm_2",
    )
    if config.norm == "output":
        first, second = (f"{_BLOCK}{name}" for name in after)
    fc = {"gate": "fc_1", "up": "fc_2"} if config.gated else {"up": "fc"}
    return {
        "tokens": "transformer.wte",
        "blocks.N.norm_1": first,
        "blocks.N.norm_2": second,
        "blocks.N.output_norm_1": f"{_BLOCK}post_attention_norm",
        "blocks.N.output_norm_2": f"{_BLOCK}post_mlp_norm",
        "blocks.N.attention.qkv": by_group(f"{_BLOCK}attn.attn") if grouped else f"{_BLOCK}attn.qkv",
        "blocks.N.attention.out": f"{_BLOCK}attn.proj",
        "blocks.N.attention.norm_q": f"{_BLOCK}attn.norm_q",
        "blocks.N.attention.norm_k": f"{_BLOCK}attn.norm_k",
        **{f"blocks.N.{ours}": f"{_BLOCK}mlp.{theirs}" for ours, theirs in fc.items()},
        "blocks.N.down": f"{_BLOCK}mlp.proj",
        "norm": "transformer.ln_f",
        "output": "lm_head",
    }


def _config(settings: Settings, *, untied: bool) -> GPTConfig:
    """Return the shape. Raises NotNativeError for a switch that our network does not have."""
    settings.refuse("our GPT has no such switch", *settings.others(_READ))
    kind, heads = settings.one_of("norm_class_name", _NORMS), settings.whole("n_head")
    rms, bias = kind == "rms", settings.flag("bias")
    if re.search("Gemma" if rms else "OLMo", settings.text("name")):
        raise settings.refused("name", "its norms are not plain ones (Gemma adds one to weights, OLMo 1 has none)")
    qkv = ("qkv",) if bias or settings.flag("attn_bias") else ()
    scalar = settings.number("attention_scores_scalar") if settings.has("attention_scores_scalar") else None
    try:
        return GPTConfig(
            n_layer=settings.whole("n_layer"), d_model=settings.whole("n_embd"), n_head=heads,
            context=settings.whole("block_size"), vocab_size=_rows(settings), untied=untied,
            d_head=settings.whole_or_none("head_size") or 0, n_kv_head=settings.whole_or_none("n_query_groups") or 0,
            d_ff=settings.whole_or_none("intermediate_size") or 0,
            norm=_norm(settings), norm_kind=kind, epsilon=settings.number("norm_eps"),
            biases=(*qkv, *(("out", "mlp") if bias else ()), *(() if rms else ("norm",))),
            parallel=settings.flag("parallel_residual"), rotary=_rotary(settings),
            attention_scale=scalar**-0.5 if scalar else None,
            embedding_scale=settings.whole("n_embd") ** 0.5 if settings.flag("scale_embeddings") else 1.0,
            logit_cap=settings.number("final_logit_softcapping") if settings.has("final_logit_softcapping") else None,
            qk_norm=settings.one_of("norm_qk_type", _QK_NORMS) if settings.flag("norm_qk") else None,
            **_perceptron(settings), **_window(settings),
        )  # fmt: skip
    except (UsageError, ZeroDivisionError, OverflowError) as error:
        raise CheckpointError(f"{settings.path}: {error}") from error


def _rows(settings: Settings) -> int:
    """Return the rows of the token embedding: padded, unlike the vocabulary."""
    if settings.has("padded_vocab_size"):
        return settings.whole("padded_vocab_size")
    multiple = max(1, settings.whole("padding_multiple"))
    return -(-settings.whole("vocab_size") // multiple) * multiple


def _norm(settings: Settings) -> Norm:
    before = {settings.flag("norm_1"), settings.flag("norm_2")}
    after = {settings.flag("post_attention_norm"), settings.flag("post_mlp_norm")}
    if len(before) > 1 or len(after) > 1 or (before, after) == ({False}, {False}):
        raise settings.refused("norm_1", "our GPT has norms before both branches, after both, or both")
    return _NORMED[before.pop(), after.pop()]


def _perceptron(settings: Settings) -> dict[str, Any]:
    kinds = {"GptNeoxMLP": (False, None), "LLaMAMLP": (True, "silu"), "GemmaMLP": (True, None)}
    gated, activation = settings.one_of("mlp_class_name", kinds)
    return {"gated": gated, "activation": activation or settings.one_of("gelu_approximate", _GELU)}


def _window(settings: Settings) -> dict[str, Any]:
    layers = settings.whole("n_layer")
    if not settings.has("sliding_window_size"):
        return {}
    indices = settings.wholes("sliding_window_indices") if settings.has("sliding_window_indices") else [1] * layers
    banded = tuple(layer for layer, on in enumerate(indices[:layers]) if on)
    return {"band": settings.whole("sliding_window_size"), "banded": banded} if banded else {}


def _rotary(settings: Settings) -> Rotary:
    table = settings.table("rope_adjustments")
    given = frozenset(table.others(()))
    if given not in _SCALINGS:
        raise settings.refused("rope_adjustments", "our GPT has none, a factor, and Llama 3's four")
    scaling: Llama3Scaling | float | None = None
    condensed = settings.number("rope_condense_ratio")
    if _SCALINGS[given] == "llama3":
        if condensed != 1:
            raise settings.refused("rope_condense_ratio", "not together with rope_adjustments of Llama 3")
        scaling = Llama3Scaling(
            factor=table.number("factor"), low=table.number("low_freq_factor"), high=table.number("high_freq_factor"),
            context=table.whole("original_max_seq_len"),
        )  # fmt: skip
    elif (factor := condensed * (table.number("factor") if given else 1.0)) != 1.0:
        scaling = factor
    return Rotary(base=settings.number("rope_base"), share=settings.number("rotary_percentage"), scaling=scaling)


def _training(folder: Path, stored: Mapping[str, Any], config: GPTConfig) -> dict[str, Any]:
    """Return the steps of a pre-training, and its tokens as far as its hyperparameters tell them."""
    step = stored.get("step_count")
    if not isinstance(step, int):
        return {}
    try:
        raw = _yaml(folder / "hyperparameters.yaml") if (folder / "hyperparameters.yaml").is_file() else {}
    except CheckpointError:
        raw = {}
    train = raw.get("train")
    batch = train.get("global_batch_size") if isinstance(train, dict) else None
    length = (train.get("max_seq_length") or config.context) if isinstance(train, dict) else None
    if isinstance(batch, int) and isinstance(length, int) and not raw.get("initial_checkpoint_dir"):
        tokens = step * batch * length
        return {"step": step, "tokens": tokens, "flops": tokens * config.flops_per_token}
    return {"step": step}


FORMAT = Format(
    name="litgpt", known="litgpt's folder with lit_model.pth", recognises=recognises, opens=opens, saved=saved
)
