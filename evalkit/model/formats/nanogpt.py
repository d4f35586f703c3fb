"""nanoGPT's ckpt.pt (github.com/karpathy/nanoGPT, train.py): one pickle with weights, shape, settings and optimizer.

The network is GPT-2's, biases optional, with the exact GELU (nn.GELU; before July 2023 nanoGPT used its approximation,
which the file does not say). The tokenizer is not in the file: see `_vocabulary`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import CheckpointError, UsageError
from evalkit.model import vocabularies
from evalkit.model.checkpoint import Checkpoint, Format, Vocabulary, content_of
from evalkit.model.config import GPT2, GPTConfig
from evalkit.model.pickled import texts_in, value_in
from evalkit.model.pieces import Names, pieces, unwrapped
from evalkit.model.saved import Saved, whole
from evalkit.model.settings import Settings

if TYPE_CHECKING:
    from evalkit.model.tensors import Source

_BLOCK = "transformer.h.N."
TENSORS: Names = {
    "tokens": "transformer.wte",
    "positions": "transformer.wpe",
    "blocks.N.norm_1": f"{_BLOCK}ln_1",
    "blocks.N.attention.qkv": f"{_BLOCK}attn.c_attn",
    "blocks.N.attention.out": f"{_BLOCK}attn.c_proj",
    "blocks.N.norm_2": f"{_BLOCK}ln_2",
    "blocks.N.up": f"{_BLOCK}mlp.c_fc",
    "blocks.N.down": f"{_BLOCK}mlp.c_proj",
    "norm": "transformer.ln_f",
    "output": "lm_head",
}
_KNOWN = {"n_layer", "n_head", "n_embd", "block_size", "vocab_size", "bias", "dropout"}
_BIASES = ("qkv", "out", "mlp", "norm")
# Masks, which nanoGPT stores on old versions of torch.
_MASK = ".attn.bias"
_META = "meta.pkl"
# GPT-2's vocabulary, and the size to which nanoGPT pads it.
_GPT2 = (GPT2["117M"].vocab_size, 50304)


def recognises(path: Path) -> bool:
    """Whether a file is a pickle with nanoGPT's keys."""
    return path.is_file() and texts_in(path) >= {"model", "model_args", "n_embd", "block_size"}


def saved(path: Path) -> Saved | None:
    """Return the file, which is overwritten in place: its list of contents, at its end, is written last."""
    if not whole(path):
        return None
    step = value_in(path, "iter_num")
    characters = [file for place in _places(path, value_in(path, "dataset")) if (file := place / _META).is_file()][:1]
    facts = {"step": step} if isinstance(step, int) else {}
    return Saved(files=[path], finished=True, tokenizer=characters, facts=facts)


def opens(path: Path, *, vocabulary: Vocabulary | None = None) -> Checkpoint:
    """Open a file. Other settings than nanoGPT's own, which a changed nanoGPT may have, are refused."""
    from evalkit.model import tensors

    stored = tensors.unpickled(path)
    state = tensors.plain(stored, path, within=("model",))
    if not isinstance(stored.get("model_args"), dict):
        raise CheckpointError(f"{path}: model_args is missing or no table")
    names = {key: name for key, name in unwrapped(state, path).items() if not name.endswith(_MASK)}
    untied = tensors.differ(*(state[key] for key, name in names.items() if name in (_EMBEDDING, _OUTPUT)))
    config = _config(
        Settings(stored["model_args"], path, defaults={"dropout": 0.0}, within="model_args"), names, untied
    )
    if not untied and _EMBEDDING in names.values():
        names = {key: name for key, name in names.items() if name != _OUTPUT}
    given = stored.get("config")
    settings = given if isinstance(given, dict) else {}
    vocabulary = vocabulary or _vocabulary(path, config.vocab_size, settings)

    def source(_: Sequence[Any]) -> Source:
        return tensors.Renamed(tensors.Files([path], within=("model",)), names)

    return Checkpoint(
        path=path, format=FORMAT.name, config=config, vocabulary=vocabulary,
        pieces=lambda shapes: pieces(config, shapes, names=TENSORS), source=source,
        content=lambda: content_of([path], vocabulary), training=_training(stored, settings, config),
    )  # fmt: skip


_EMBEDDING, _OUTPUT = f"{TENSORS['tokens']}.weight", f"{TENSORS['output']}.weight"


def _config(settings: Settings, names: Mapping[str, str], untied: bool) -> GPTConfig:
    settings.refuse("nanoGPT itself has no such setting; evaluate a changed nanoGPT as a live module (docs/python.md)",
                    *settings.others(_KNOWN))  # fmt: skip
    biased = settings.flag("bias") if settings.has("bias") else "transformer.ln_f.bias" in names.values()
    try:
        return GPTConfig(
            n_layer=settings.whole("n_layer"), n_head=settings.whole("n_head"), d_model=settings.whole("n_embd"),
            context=settings.whole("block_size"), vocab_size=settings.whole("vocab_size"),
            activation="gelu", biases=_BIASES if biased else (), untied=untied,
        )  # fmt: skip
    except UsageError as error:
        raise CheckpointError(f"{settings.path}: {error}") from error


def _vocabulary(path: Path, size: int, settings: Mapping[str, Any]) -> Vocabulary:
    """Find the tokenizer: in the file's folder, as meta.pkl in it or where nanoGPT keeps its data sets, or GPT-2's."""
    if found := vocabularies.beside(path):
        return found
    places = _places(path, settings.get("dataset"))
    for place in places:
        if (place / _META).is_file():
            return vocabularies.of_characters(place / _META)
    if size in _GPT2:
        return vocabularies.gpt2(path)
    return vocabularies.missing(
        path, size=size, looked=f"there is no {' nor '.join(str(place / _META) for place in places)}"
    )


def _places(path: Path, name: object) -> list[Path]:
    """Return the folders where the characters may be; name: of the data set."""
    dataset = Path(str(name or ""))
    if not dataset.parts or dataset.is_absolute() or ".." in dataset.parts:
        return [path.parent]
    # nanoGPT is started in its own folder, where it writes out/ckpt.pt and reads data/NAME.
    return [path.parent, path.absolute().parent.parent / "data" / dataset, Path("data") / dataset]


def _training(stored: Mapping[str, Any], settings: Mapping[str, Any], config: GPTConfig) -> dict[str, Any]:
    """Return what is known: the steps, and the tokens if the training began with random weights."""
    from torch import Tensor

    facts: dict[str, Any] = {}
    step, loss, dataset = stored.get("iter_num"), stored.get("best_val_loss"), settings.get("dataset")
    each = [settings.get(name) for name in ("gradient_accumulation_steps", "batch_size", "block_size")]
    sizes = [size for size in each if isinstance(size, int)]
    if not isinstance(step, int) or step < 1:
        return facts
    facts["step"] = step
    if len(sizes) == len(each) and not str(settings.get("init_from")).startswith("gpt2"):
        facts["tokens"] = step * math.prod(sizes)
        facts["flops"] = facts["tokens"] * config.flops_per_token
    if isinstance(dataset, str):
        facts["corpus"] = dataset
    # nanoGPT notes the loss of the weights that it writes.
    number = loss.item() if isinstance(loss, Tensor) and loss.ndim == 0 and loss.device.type == "cpu" else loss
    if isinstance(number, float) and math.isfinite(number):
        facts["loss"] = number
    return facts


FORMAT = Format(name="nanogpt", known="nanoGPT's ckpt.pt", recognises=recognises, opens=opens, saved=saved)
