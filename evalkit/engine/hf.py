"""The engine of transformers' causal language models: any architecture, local or from the hub.

Shapes as in model/gpt.py. transformers is an optional dependency.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from evalkit.engine.batched import BatchedEngine, ScoredSpans, Span
from evalkit.engine.budget import MOST
from evalkit.engine.generation import Prompt, Reading
from evalkit.engine.hf_network import Network
from evalkit.engine.network_reading import reading
from evalkit.engine.network_scoring import score
from evalkit.errors import CheckpointError
from evalkit.extras import require
from evalkit.files import check_regular, hash_files
from evalkit.model import onednn
from evalkit.model.folder import begin_setting
from evalkit.tokenizer import Tokenizer
from evalkit.tokenizer.files import check_rules

# The settings in which architectures store how many positions they read, the usual name first.
_POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx", "max_sequence_length")
# For models without positions (state spaces, ALiBi) whose files give no length: what most were trained on.
_DEFAULT_POSITIONS = 2048
# Values of the (positions, vocabulary) matrix held at once, for models that compute logits at every position.
_LOGITS = 1 << 28
_HASHED = ("config.json", "generation_config.json", "tokenizer*", "vocab*", "merges.txt", "*.model", "*.safetensors",
           "added_tokens.json", "special_tokens_map.json",
           "pytorch_model*.bin")  # fmt: skip


class HFEngine(BatchedEngine):
    """Runs a causal model of transformers; batch_tokens and stride as in BatchedEngine."""

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        *,
        name: str,
        content_hash: str,
        positions: int,
        batch_tokens: int | None = None,
        stride: int | None = None,
        every_window: bool = False,
    ):
        stops = getattr(model.generation_config, "eos_token_id", None)  # chat models end a turn with a special token
        ends = {tokenizer.end_of_text, *([stops] if isinstance(stops, int) else stops or [])}
        limit = batch_tokens or MOST
        onednn.replace_products(model)
        self._network = Network(model)
        super().__init__(
            tokenizer, positions=positions, device=model.device, ends=ends, batch_tokens=limit, stride=stride,
            every_window=every_window, vocabulary=self._network.vocabulary,
        )  # fmt: skip
        self._name, self._hash = name, content_hash
        if not self._network.splits:
            self._batch_tokens = min(limit, max(1, _LOGITS // self._network.vocabulary))

    def signature(self) -> Mapping[str, str]:
        """Return name, content hash, architecture, library, dtype, parameters, positions, stride and first token."""
        import transformers

        model = self._network.model
        return {
            "model": self._name,
            "hash": self._hash,
            "architecture": type(model).__name__,
            "library": f"transformers {transformers.__version__}",
            "dtype": str(model.dtype).removeprefix("torch."),
            "parameters": str(sum(p.numel() for p in model.parameters())),
            "context": str(self._positions),
            "stride": str(self._stride),
            "first": str(self._first),
            **begin_setting(every_window=self._every_window),
        }

    def _score(self, spans: Sequence[Span]) -> Iterator[ScoredSpans]:
        return score(self._network, spans, batch_tokens=self._batch_tokens)

    @property
    def _reader(self) -> Network:
        return self._network

    def _reading(self, prompts: Sequence[Prompt]) -> Reading:
        return reading(self._network, prompts, batch_tokens=self._batch_tokens)


def load(
    folder: Path,
    *,
    name: str,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    batch_tokens: int | None = None,
    every_window: bool = False,
    stride: int | None = None,
    split: bool = False,
) -> HFEngine:
    """Load a folder in transformers' layout into an engine; code that comes with a model is never run.

    split: distribute the layers over all GPUs that this process sees (accelerate's device_map), instead of `device`.

    Raises UsageError if transformers is not installed, CheckpointError for a folder that cannot be read, weights that
    do not match the configuration, and models that are not causal decoders.
    """
    transformers = require("transformers", "models that transformers runs")
    if split:
        require("accelerate", "models that are split over GPUs")
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder / 'config.json'} is missing")
    for path in _decisive(folder):
        check_regular(path, CheckpointError)
    transformers.utils.logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if config.is_encoder_decoder:
            raise CheckpointError(f"{folder}: {config.model_type} is an encoder-decoder; only decoders can be scored")
        if (rules := folder / "tokenizer.json").is_file():
            check_rules(rules)
        fast = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model, report = transformers.AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=dtype, trust_remote_code=False, output_loading_info=True,
            **({"device_map": "auto"} if split else {}),
        )  # fmt: skip
    except CheckpointError:
        raise
    except Exception as error:  # the library raises many kinds of errors for broken files
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(f"{folder} cannot be read by transformers: {lines[0]}") from error
    if report["missing_keys"]:
        raise CheckpointError(f"{folder}: the weights lack {', '.join(sorted(report['missing_keys'])[:3])}")
    return HFEngine(
        (model if split else model.to(device)).requires_grad_(False),
        _tokenizer(fast, folder),
        name=name,
        content_hash=hash_files(*_decisive(folder))[:16],
        positions=_positions(config, fast),
        batch_tokens=batch_tokens,
        every_window=every_window,
        stride=stride,
    )


def _decisive(folder: Path) -> list[Path]:
    """Return the files of a folder that can decide its scores."""
    return sorted({path for pattern in _HASHED for path in folder.glob(pattern)})


def _tokenizer(fast: Any, folder: Path) -> Tokenizer:
    """Return our tokenizer around one of transformers."""
    backend = getattr(fast, "backend_tokenizer", None)
    if backend is None:
        raise CheckpointError(
            f"{folder}: no tokenizer.json, and the tokenizer's other files cannot be converted to one"
        )
    end = fast.eos_token or fast.bos_token
    if end is None:
        raise CheckpointError(f"{folder}: the tokenizer names no end-of-text token (eos_token)")
    return Tokenizer(backend, end_of_text=end, begin=fast.bos_token)


def _positions(config: Any, fast: Any) -> int:
    """Return how many tokens the model reads at once."""
    text = config.get_text_config()
    lengths = [value for name in _POSITIONS if isinstance(value := getattr(text, name, None), int) and value > 0]
    if lengths:
        return lengths[0]
    length = int(fast.model_max_length)
    return length if length < 10**9 else _DEFAULT_POSITIONS  # transformers writes 10**30 for "unknown"
