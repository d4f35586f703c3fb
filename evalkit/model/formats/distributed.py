"""Folders of torch.distributed.checkpoint: torchtitan's Llama, nanoGPT's GPT-2, transformers' networks, our own.

Such a folder holds tensors only. What their shapes do not say (heads, rotary positions, context) is read from a file in
it or in one of the two folders above it: params.json or config.json, of torchtitan (titan.py) or of transformers; for
nanoGPT's network params.json says n_head.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import CheckpointError, UsageError
from evalkit.model import families, titan, vocabularies
from evalkit.model.checkpoint import Checkpoint, Format, Vocabulary, content_of
from evalkit.model.config import GPTConfig
from evalkit.model.distributed import METADATA, Distributed
from evalkit.model.formats import nanogpt
from evalkit.model.pieces import Names, Piece, Shape, pieces
from evalkit.model.saved import Saved
from evalkit.model.settings import Settings
from evalkit.tokenizer.files import ALL as TOKENIZER
from evalkit.tokenizer.files import FILES

if TYPE_CHECKING:
    from evalkit.model.tensors import Source

_SETTINGS = ("params.json", "config.json")
_STEP = re.compile(r"(?:.*(?:step|iter|checkpoint|ckpt)[-_]?)?(\d{1,18})")
_LAYER = re.compile(r"\.(\d+)\.")
# Parts of names that wrappers of modules add, and first parts of names of a training's other state.
_WRAPPERS = {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}
_STATES = re.compile(r"(optim|lr_|sched|dataloader|train_state|rng|ema\b|freqs_cis)")
_BLOCK = "norm_1 attention.qkv attention.out attention.norm_q attention.norm_k norm_2 up gate down"
_BLOCK += " output_norm_1 output_norm_2"
_OWN = ("tokens", "positions", "embedding_norm", *(f"blocks.N.{name}" for name in _BLOCK.split()), "norm", "output")

Sizes = Mapping[str, Shape]


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """How a network may be stored. config: from the shapes of its tensors; buffers: endings of names of others."""

    names: Names
    config: Callable[[Sizes], GPTConfig]
    buffers: tuple[str, ...] = ()


def recognises(path: Path) -> bool:
    """Whether a folder has an index and parts."""
    return (path / METADATA).is_file() and any(path.glob("*.distcp"))


def saved(path: Path) -> Saved | None:
    """Return the parts, the settings and the index, which is written when all ranks have written their parts."""
    index = path / METADATA
    lengths = _lengths(path, index.stat().st_mtime_ns)
    if not all((path / name).stat().st_size >= length for name, length in lengths.items()):
        return None
    place = _place(path)
    settings = [place] if place else []  # opening says what is missing
    folder = next((at for at in (path, *(place.parent for place in settings)) if _has_tokenizer(at)), path)
    tokenizer = [file for name in TOKENIZER if (file := folder / name).is_file()]
    return Saved(files=[*sorted(path.glob("*.distcp")), *settings, index], finished=True, tokenizer=tokenizer)


@lru_cache(maxsize=1024)
def _lengths(folder: Path, modified: int) -> Mapping[str, int]:
    """Return how long each file of parts must be. modified: when the index was written, so that it is read once."""
    return Distributed(folder).lengths


def opens(path: Path, *, vocabulary: Vocabulary | None = None) -> Checkpoint:
    """Open a folder."""
    stored, settings = Distributed(path), _settings(path)
    layouts = _layouts(settings)
    layout, found = next(
        ((layout, found) for layout in layouts if (found := _weights(stored.shapes, layout))), (None, {})
    )
    if layout is None:
        raise CheckpointError(f"{path / METADATA}: no token embedding; looked for {_looked_for(layouts)}")
    config = layout.config({new: stored.shapes[name] for name, new in found.items()})
    output = next((name for name, new in found.items() if new == f"{layout.names['output']}.weight"), None)
    if not config.untied and output is not None:
        embedding = next(name for name, new in found.items() if new == f"{layout.names['tokens']}.weight")
        if _differ(stored, embedding, output):  # the files count, as in transformers' folders
            config = replace(config, untied=True)
        else:
            found = {name: new for name, new in found.items() if name != output}
    own = vocabulary or _vocabulary(path, settings, config.vocab_size)
    files = [path / METADATA, settings.path, *sorted(path.glob("*.distcp"))]

    def parts(shapes: Mapping[str, Shape]) -> Iterator[Piece]:
        return pieces(config, shapes, names=layout.names)

    return Checkpoint(
        path=path, format=FORMAT.name, config=config, vocabulary=own, pieces=parts,
        source=lambda pieces: _renamed(stored, found), content=lambda: content_of(files, own),
        training=_training(path, stored), about={"settings": str(settings.path)},
    )  # fmt: skip


def _training(path: Path, stored: Distributed) -> dict[str, int]:
    """Return the step that a folder is named after, and the tokens that torchtitan counted."""
    named, facts = _STEP.fullmatch(path.resolve().name), dict[str, int]()
    if named:
        facts["step"] = int(named[1])
    try:
        tokens = stored.number("train_state.ntokens_seen")
    except CheckpointError:  # facts for reports only
        return facts
    return facts if tokens is None else {**facts, "tokens": tokens}


def _differ(stored: Distributed, *names: str) -> bool:
    from evalkit.model import tensors

    return tensors.differ(*(tensor for _, tensor in stored.read(names)))


def _renamed(stored: Distributed, names: Mapping[str, str]) -> Source:
    from evalkit.model import tensors

    return tensors.Renamed(stored, names)


def _settings(path: Path) -> Settings:
    """Read the file that says what the tensors do not."""
    place = _place(path)
    if place is None:
        raise CheckpointError(
            f"{path}: its tensors do not say how many heads the model has, nor its rotary positions; put a file beside "
            f"them (or one or two folders above): the config.json of transformers, or of torchtitan "
            f"(--debug.save_config_file config.json), or params.json: {titan.EXAMPLE}; of nanoGPT's network "
            f'{{"n_head": ...}}'
        )
    return Settings.read(place)


def _place(path: Path) -> Path | None:
    above = (path, *path.resolve().parents[:2])
    return next((place / name for place in above for name in _SETTINGS if (place / name).is_file()), None)


def _layouts(settings: Settings) -> list[_Layout]:
    """Return the layouts that go with the settings."""
    if not settings.has("model_type"):
        return [
            _Layout(names=titan.NAMES, config=lambda sizes: titan.config(settings, sizes, _layers(sizes))),
            _Layout(names=nanogpt.TENSORS, config=partial(_nanogpt, settings)),
        ]
    kind = settings.text("model_type")
    if kind not in families.FAMILIES:
        raise settings.refused("model_type", f"our GPT has {', '.join(families.FAMILIES)}")
    family = families.FAMILIES[kind]

    def config(sizes: Sizes) -> GPTConfig:
        return family.config(settings)

    named = [family.tensors, *([titan.NAMES] if kind == "llama" else []), {name: name for name in _OWN}]
    return [_Layout(names=names, config=config, buffers=family.buffers) for names in named]


def _looked_for(layouts: list[_Layout]) -> str:
    return ", ".join(f"{layout.names['tokens']}.weight" for layout in layouts)


def _weights(stored: Sizes, layout: _Layout) -> dict[str, str]:
    """Map the stored names of a network's tensors to those of the layout; empty for another layout."""
    plain = {name: ".".join(part for part in name.split(".") if part not in _WRAPPERS) for name in stored}
    end = f"{layout.names['tokens']}.weight"
    prefixes = [name[: -len(end)] for name in plain.values() if name == end or name.endswith(f".{end}")]
    prefix = min(prefixes, key=len, default=None)
    if prefix is None:
        return {}
    inside = {name: new[len(prefix) :] for name, new in plain.items() if new.startswith(prefix)}
    kept = {name: new for name, new in inside.items() if "." in new and not _STATES.match(new)}
    rename = titan.plain if layout.names is titan.NAMES else str
    return {name: rename(new) for name, new in kept.items() if not new.endswith(layout.buffers or ("\0",))}


def _layers(sizes: Sizes) -> int:
    return 1 + max((int(match[1]) for name in sizes if (match := _LAYER.search(name))), default=-1)


def _nanogpt(settings: Settings, sizes: Sizes) -> GPTConfig:
    """Return the shape of nanoGPT's network, of which the tensors say all but the number of heads."""
    for name in ("transformer.wte.weight", "transformer.wpe.weight"):
        if len(sizes.get(name, ())) != 2:
            raise CheckpointError(f"{settings.path}: the checkpoint beside it has no matrix {name}")
    vocab_size, d_model = sizes["transformer.wte.weight"]
    groups = {"qkv": "attn.c_attn", "out": "attn.c_proj", "mlp": "mlp.c_fc", "norm": "ln_1"}
    biases = tuple(group for group, name in groups.items() if f"transformer.h.0.{name}.bias" in sizes)
    try:
        return GPTConfig(
            n_layer=_layers(sizes), d_model=d_model, n_head=settings.whole("n_head"), vocab_size=vocab_size,
            context=sizes["transformer.wpe.weight"][0], activation="gelu", biases=biases,
        )  # fmt: skip
    except UsageError as error:
        raise CheckpointError(f"{settings.path}: {error}") from error


def _vocabulary(path: Path, settings: Settings, size: int) -> Vocabulary:
    """Return the tokenizer in the folder, or beside the settings."""
    places = dict.fromkeys((path, settings.path.parent))
    for place in places:
        if _has_tokenizer(place):
            return Vocabulary.of(place)
    return vocabularies.missing(path, size=size, looked=f"no tokenizer.json in {', '.join(map(str, places))}")


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in FILES)


FORMAT = Format(
    name="distributed",
    known="a folder of torch.distributed.checkpoint",
    recognises=recognises,
    opens=opens,
    saved=saved,
)
