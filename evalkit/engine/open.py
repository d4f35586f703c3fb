"""open_model(): from a name, a folder or a live module to a model that can be evaluated.

Only the configuration and the tokenizer of a named model are read at first; its weights are loaded for the first
request that the cache cannot answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from evalkit.engine.base import Engine
from evalkit.engine.cached import CachedEngine
from evalkit.engine.calls import Description, Here, Placing, description
from evalkit.engine.compute import check_options, check_stride
from evalkit.errors import UsageError, check_whole
from evalkit.model.precision import DTYPES, INT8, default_dtype, short_dtype
from evalkit.plugins import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

    from evalkit.engine.batched import BatchedEngine
    from evalkit.engine.cache import ResponseCache
    from evalkit.model.checkpoint import Checkpoint, Vocabulary

log = logging.getLogger(__name__)

# The beginning of names of models that transformers runs.
HF = "hf:"


# Models that packages or the user registered: name -> a function that returns anything open_model accepts.
MODELS: Registry[Callable[[], Any]] = Registry("model", {}, group="evalkit.models")
# Engines that they registered: the NAME of `NAME:MODEL` -> a function that makes an engine from MODEL and the keywords
# dtype, device and batch_tokens.
ENGINES: Registry[Callable[..., Engine]] = Registry("engine", {}, group="evalkit.engines")


class MakesEngine(Protocol):
    """Makes the engine of one run, with a cache of responses or without."""

    def __call__(self, cache: ResponseCache | None, place: Placing = Here, /) -> CachedEngine:
        """Make it, to answer in this place."""
        ...


class Loader:
    """Loads an engine when it is first called, and keeps it; a copy in another process loads its own."""

    def __init__(self, load: Callable[[], Engine]):
        self._load = load
        self._engine: Engine | None = None

    def __call__(self) -> Engine:
        """Return the engine."""
        self._engine = self._engine or self._load()
        return self._engine

    def __reduce__(self) -> tuple[type[Loader], tuple[Callable[[], Engine]]]:
        return Loader, (self._load,)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model ready to be evaluated.

    name: as in results. engine: makes the engine of one run. training: what is known about the model's training
    (tokens, flops, held-out loss, ...), for reports.
    """

    name: str
    engine: MakesEngine
    training: Mapping[str, object]

    def __repr__(self) -> str:
        return f"<evalkit model {self.name}>"


def open_model(
    source: str | Path | nn.Module,
    *,
    tokenizer: Any = None,
    name: str | None = None,
    dtype: str | None = None,
    device: str = "cpu",
    batch_tokens: int | None = None,
    gpus: int = 1,
    every_window: bool = False,
    stride: int | None = None,
    context_length: int | None = None,
    end_of_text: str | int | None = None,
    begin: int | None = None,
    logits: Callable[[nn.Module, Tensor], Any] | None = None,
) -> Model:
    """Open a model: a name (`nano`, `gpt2`), a checkpoint, `hf:ID` or `hf:FOLDER`, or a live torch module.

    A checkpoint is a file or folder of any format that docs/checkpoints.md lists, or FOLDER@STEP; tokenizer: for one
    that has none of its own, or in place of it (a folder, a model's name, or a tokenizer).

    A live module is any module whose call with token ids (batch, positions) gives logits (batch, positions,
    vocabulary), or an object that holds them as `.logits`; `logits` is a function that calls it in another way. It
    needs its tokenizer (see evalkit.engine.encoders) and, if it does not define them itself, the number of tokens that
    it reads at once (context_length), the token that separates documents (end_of_text) and, for a module that was
    trained that way, the token with which every text began (begin). It is evaluated with its current weights, in its
    own dtype and on its own device, and is left as it was.

    name: the model's name in results (default: the source's name). dtype: fp32, bf16 or fp16, also by torch's names, or
    int8, whose scores are a little different and which some processors multiply fastest (default: bf16 if the hardware
    multiplies it faster and the model is large enough, else fp32). device: cpu or cuda.
    batch_tokens: tokens in a batch, which affects speed and memory, never a score. every_window: whether the token that
    begins a document is repeated before each window of a document longer than the context, not only before the first.
    stride: how many tokens each later window of such a document scores, after as much context as fits (default: as many
    as the model reads at once, so that windows do not overlap).
    gpus: over how many the layers of a model that transformers runs are split, in each worker or in this process.

    Raises UsageError for a source that cannot be opened, CheckpointError for files that are missing or damaged.
    """
    if isinstance(source, Model):
        return source
    if isinstance(source, str | Path):
        dtype = dtype and short_dtype(dtype)
        if (logits, context_length, end_of_text, begin) != (None, None, None, None):
            raise UsageError(
                f"context_length, end_of_text, begin and logits belong to a live module; {str(source)!r} has its own"
            )
        if str(source) in MODELS and (registered := MODELS[str(source)]()) is not source:
            return open_model(
                registered, tokenizer=tokenizer, name=name or str(source), dtype=dtype, device=device,
                batch_tokens=batch_tokens, gpus=gpus, every_window=every_window, stride=stride,
            )  # fmt: skip
        if _engine_of(str(source)):
            if every_window or stride:
                raise UsageError(f"{source}: this engine chooses its own windows; omit --begin and --stride")
            if tokenizer is not None:
                raise UsageError(f"{source}: this engine has its own tokenizer")
            return _of_engine(str(source), name, dtype=dtype, device=device, batch_tokens=batch_tokens, gpus=gpus)
        return _named(
            str(source), name, dtype=dtype, device=device, batch_tokens=batch_tokens, gpus=gpus,
            every_window=every_window, stride=stride, tokenizer=tokenizer,
        )  # fmt: skip
    if dtype is not None or device != "cpu" or gpus != 1:
        raise UsageError("dtype, device and gpus: a live module is evaluated in its own dtype and on its own device")
    if tokenizer is None:
        raise UsageError(f"open_model({type(source).__name__}, ...): a live module needs its tokenizer: tokenizer=...")
    return _live(
        source, tokenizer, name, batch_tokens=batch_tokens, every_window=every_window, stride=stride,
        context_length=context_length, end_of_text=end_of_text, begin=begin, logits=logits,
    )  # fmt: skip


def _live(
    module: nn.Module,
    tokenizer: Any,
    name: str | None,
    *,
    batch_tokens: int | None,
    every_window: bool,
    stride: int | None,
    context_length: int | None,
    end_of_text: str | int | None,
    begin: int | None,
    logits: Callable[[nn.Module, Tensor], Any] | None,
) -> Model:
    from torch import nn

    from evalkit.engine.encoders import encoder_of
    from evalkit.engine.live import LiveEngine, positions_of

    if not isinstance(module, nn.Module):
        raise UsageError(f"open_model: {type(module).__name__} is neither a name, a folder nor a torch module")
    encoder = encoder_of(tokenizer, end_of_text=end_of_text, begin=begin)
    label = name or type(module).__name__
    live = LiveEngine(
        module, encoder, name=label, positions=positions_of(module, given=context_length), logits=logits,
        batch_tokens=batch_tokens, every_window=every_window, stride=stride,
    )  # fmt: skip

    def engine(cache: ResponseCache | None, place: Placing = Here, /) -> CachedEngine:
        """Make an engine from the current weights."""
        current = live.now()
        device = live.network.device.type
        return CachedEngine(
            place(partial(_given, current), device=device), device=device, cache=cache, **description(current)
        )

    return Model(name=label, engine=engine, training={})


def _given(engine: Engine) -> Engine:
    return engine


def find(name: str) -> None:
    """Raise, before anything else is done, the error that open_model would raise for an unknown name."""
    from evalkit.model import resolve

    if name not in MODELS and not _engine_of(name):
        resolve.path_of(name)


def _engine_of(name: str) -> str:
    """Return the registered engine that a name begins with; an empty text if there is none."""
    prefix, colon, _ = name.partition(":")
    return prefix if colon and prefix in ENGINES else ""


def _of_engine(
    name: str, label: str | None, *, dtype: str | None, device: str, batch_tokens: int | None, gpus: int
) -> Model:
    """Open a model with a registered engine."""
    make = ENGINES[_engine_of(name)]
    load = Loader(partial(make, name.partition(":")[2], dtype=dtype, device=device, batch_tokens=batch_tokens))

    def engine(cache: ResponseCache | None, place: Placing = Here, /) -> CachedEngine:
        at = place(load, device=device, gpus=gpus)
        return CachedEngine(at, device=device.partition(":")[0], cache=cache, **at.describe())

    return Model(name=label or name, engine=engine, training={})


def _named(
    name: str,
    label: str | None,
    *,
    dtype: str | None,
    device: str,
    batch_tokens: int | None,
    gpus: int,
    every_window: bool,
    stride: int | None,
    tokenizer: Any,
) -> Model:
    """Open a model by name; for one that transformers runs, the weights are loaded as soon as an engine is made."""
    from evalkit.model import formats, resolve

    check_options(dtype=dtype, device=device, batch_tokens=batch_tokens)
    path = resolve.path_of(name)
    checkpoint, _ = native(name, path, tokenizer=tokenizer)
    check_whole("--gpus-per-worker", gpus)
    if gpus > 1 and (checkpoint or device.partition(":")[0] != "cuda"):
        raise UsageError(
            f"{name}: evalkit's own engine computes on one GPU; hf:{name} can be split over {gpus}" if checkpoint else
            f"{name}: {gpus} GPUs per worker need --device cuda"
        )  # fmt: skip
    if checkpoint:
        check_stride(stride, positions=checkpoint.config.context)
    result_name = label or _label(name, path)
    chosen = dtype or _default_dtype(checkpoint, device)

    load = Loader(
        partial(
            load_engine, name, label=result_name, dtype=chosen, device=device, batch_tokens=batch_tokens,
            every_window=every_window, stride=stride, tokenizer=tokenizer, split=gpus > 1,
        )
    )  # fmt: skip

    def engine(cache: ResponseCache | None, place: Placing = Here, /) -> CachedEngine:
        at = place(load, device=device, gpus=gpus)
        by_files = checkpoint and _described_by_files(checkpoint, result_name, chosen, every_window, stride)
        return CachedEngine(at, device=device.partition(":")[0], cache=cache, **(by_files or at.describe()))

    training = checkpoint.training if checkpoint else formats.transformers.training_of(path)
    return Model(name=result_name, engine=engine, training=training)


def _described_by_files(
    checkpoint: Checkpoint, label: str, dtype: str, every_window: bool, stride: int | None
) -> Description:
    """Describe an engine of ours from its files, without its weights."""
    from evalkit.model.folder import signature

    config, tokenizer = checkpoint.config, checkpoint.tokenizer
    identity = signature(
        config, name=label, content_hash=checkpoint.content_hash, dtype=DTYPES.get(dtype, dtype),
        stride=stride or config.context, every_window=every_window,
    )  # fmt: skip
    length = config.context - (tokenizer.begin is not None)
    return {"tokenizer": tokenizer, "context_length": length, "signature": identity}


def native(name: str, path: Path, *, tokenizer: Any = None) -> tuple[Checkpoint | None, str]:
    """Open a named model's checkpoint; (None, why) for one that transformers runs, whose reason is empty with `hf:`.

    tokenizer: in place of its own, as in open_model.
    """
    from evalkit.model import formats
    from evalkit.model.settings import NotNativeError

    reason = ""
    if not name.startswith(HF):
        try:
            return formats.open(path, vocabulary=vocabulary_of(tokenizer)), ""
        except NotNativeError as error:
            if not formats.transformers.recognises(path):
                raise
            reason = str(error)
    if tokenizer is not None:
        raise UsageError(f"{name}: transformers runs this model, with its own tokenizer")
    return None, reason


def vocabulary_of(tokenizer: Any) -> Vocabulary | None:
    """Return a tokenizer that the user gives for a checkpoint: a path, a model's name, or an object.

    None for None. Raises UsageError for an object that is not a tokenizer of evalkit, transformers or tokenizers.
    """
    from evalkit.engine.encoders import encoder_of
    from evalkit.model import formats, resolve
    from evalkit.model.checkpoint import Vocabulary
    from evalkit.tokenizer import Tokenizer

    if tokenizer is None or isinstance(tokenizer, Vocabulary):
        return tokenizer
    if isinstance(tokenizer, str | Path):
        return formats.vocabulary_at(resolve.tokenizer_path(str(tokenizer)))
    encoder = encoder_of(tokenizer)
    if not isinstance(encoder, Tokenizer):
        raise UsageError(f"tokenizer: {type(tokenizer).__name__} cannot be used with a checkpoint; give a folder")
    return Vocabulary(place=type(tokenizer).__name__, load=lambda: encoder)


def load_engine(
    name: str,
    *,
    label: str | None = None,
    dtype: str | None = None,
    device: str = "cpu",
    batch_tokens: int | None = None,
    every_window: bool = False,
    stride: int | None = None,
    tokenizer: Any = None,
    split: bool = False,
) -> BatchedEngine:
    """Load a named model with its weights: into our own GPT if it is one, else with transformers (see `native`).

    split: over all GPUs that this process sees, for models that transformers runs. The other options and errors are
    those of open_model.
    """
    from evalkit.model import resolve

    check_options(dtype=dtype, device=device, batch_tokens=batch_tokens)
    path = resolve.path_of(name)
    checkpoint, reason = native(name, path, tokenizer=tokenizer)
    import torch

    from evalkit.engine.gpt import GPTEngine
    from evalkit.model import int8, onednn, weights

    chosen = dtype or _default_dtype(checkpoint, device)
    torch_dtype = torch.float32 if chosen == INT8 else getattr(torch, DTYPES[chosen])
    label = label or _label(name, path)
    if checkpoint is None:
        if chosen == INT8:
            raise UsageError(f"{name}: transformers runs this model; --dtype int8 is for those of evalkit's own engine")
        if reason:
            log.info("%s; transformers runs it", reason)
        from evalkit.engine import hf

        return hf.load(
            path, name=label, dtype=torch_dtype, device=device, batch_tokens=batch_tokens, every_window=every_window,
            stride=stride, split=split,
        )  # fmt: skip
    model, own = weights.build(checkpoint, dtype=torch_dtype, device=device)
    if chosen == INT8:
        model = int8.packed(model)
    elif onednn.suits(model):
        model = onednn.packed(model)
    return GPTEngine(
        model, own, name=label, content_hash=checkpoint.content_hash, ends=checkpoint.ends, batch_tokens=batch_tokens,
        every_window=every_window, stride=stride,
    )  # fmt: skip


def _default_dtype(checkpoint: Checkpoint | None, device: str) -> str:
    """Return the number format in which a model is evaluated if none is requested; None: transformers runs it."""
    return default_dtype(checkpoint.config, device) if checkpoint else "fp32"


def _label(name: str, path: Path) -> str:
    """Return a model's name in results: its path's name, or the name by which it was found."""
    from evalkit.model import resolve

    plain = name.removeprefix(HF)
    label = resolve.label_of(plain, path)
    return f"{HF}{label}" if name != plain else label
