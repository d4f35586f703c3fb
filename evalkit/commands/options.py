"""What several commands share: how option values are read, and the options of an engine."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import UsageError, unknown
from evalkit.files import cache_folder

if TYPE_CHECKING:
    from rich.console import Console

    from evalkit.engine.batched import BatchedEngine
    from evalkit.engine.cache import ResponseCache
    from evalkit.engine.cached import CachedEngine
    from evalkit.harness.sources import DataPaths
    from evalkit.tokenizer import Tokenizer

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def integers(text: str, option: str) -> tuple[int, ...]:
    """Parse whole numbers with commas between. Raises UsageError."""
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise UsageError(f"{option} {text!r}: expected whole numbers with commas between, for example 0,1,4") from None


def share(text: str, option: str) -> float:
    """Parse a share, as 5% or 0.05. Raises UsageError for what is not between 0 and 1."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"{option} {text!r}: expected a share, for example 5% or 0.05")
    return value


def add_max_failed(parser: argparse.ArgumentParser) -> None:
    """Add --max-failed."""
    parser.add_argument(
        "--max-failed",
        default="5%",
        metavar="SHARE",
        help="failed items that a task may have at each number of shots; beyond it the exit code is 1 and the table "
        "marks the score (default: 5%%)",
    )


def shots(text: str) -> tuple[tuple[int, ...], bool]:
    """Parse counts of shots, among them perhaps "paper": return the numbers, and whether the paper's is wanted."""
    words = text.split(",")
    numbers = ",".join(word for word in words if word.strip() != "paper")
    if numbers:
        try:
            return integers(numbers, "--shots"), numbers != text
        except UsageError:
            raise UsageError(f"--shots {text!r}: expected whole numbers or paper, for example 0,1,paper") from None
    return (), True


def count(text: str, option: str) -> int:
    """Parse 20M, 300k, 1.5B or a plain number."""
    unit = {"k": 1e3, "m": 1e6, "b": 1e9}.get(text[-1:].lower(), 1)
    try:
        value = int(float(text[:-1] if unit > 1 else text) * unit)
    except (ValueError, OverflowError):
        value = 0
    if value < 1:
        raise UsageError(f"{option} {text!r}: expected a count such as 20M, 300k or 5000")
    return value


def data(arguments: argparse.Namespace) -> DataPaths:
    """Return where benchmark data lies: --data and the environment."""
    from evalkit.harness.sources import DataPaths

    return DataPaths.from_user(arguments.data, os.environ)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the option that lets task files of lm-evaluation-harness run their Python code."""
    parser.add_argument(
        "--trust-task-code", action="store_true", help="let the `!function` code of lm-eval's task files run"
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a model computes."""
    parser.add_argument(
        "--dtype",
        help="fp32, bf16 or fp16: of weights and matrix products (default: bf16 for models from GPT-1's size on, where "
        "the hardware multiplies it faster, else fp32; hf: models fp32)",
    )
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument(
        "--batch-tokens", type=int, help="tokens in a batch: speed and memory, never a score (default: found by itself)"
    )


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Add the options of the cache."""
    parser.add_argument(
        "--no-cache", action="store_true",
        help="neither read nor write responses of other runs (in EVALKIT_CACHE, default ~/.cache/evalkit)",
    )  # fmt: skip


def engine(name: str, arguments: argparse.Namespace) -> BatchedEngine:
    """Load a model into an engine: transformers' for hf:, ours for all else."""
    folder = _checked_folder(name, arguments)
    import torch

    from evalkit.engine import hf
    from evalkit.engine.gpt import GPTEngine
    from evalkit.model import onednn, weights

    check_device(arguments.device)
    dtype = getattr(torch, DTYPES[dtype_of(name, folder, arguments)])
    label = _label(name, folder)
    if name.startswith("hf:"):
        return hf.load(folder, name=label, dtype=dtype, device=arguments.device, batch_tokens=arguments.batch_tokens)
    model, tokenizer = weights.load(folder, dtype=dtype, device=arguments.device)
    return GPTEngine(
        onednn.packed(model) if onednn.suits(model) else model,
        tokenizer,
        name=label,
        content_hash=weights.content_hash(folder),
        batch_tokens=arguments.batch_tokens,
    )


def check_dtype(dtype: str | None) -> None:
    """Raise UsageError for a number format that there is not; None is the default."""
    if dtype is not None and dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)


def dtype_of(name: str, folder: Path, arguments: argparse.Namespace) -> str:
    """Return the number format that a model in a folder is evaluated in, without importing torch for a processor."""
    if arguments.dtype is not None:
        return str(arguments.dtype)
    if name.startswith("hf:"):
        return "fp32"
    from evalkit.model.layouts import read_config
    from evalkit.model.precision import default_dtype

    return default_dtype(read_config(folder), arguments.device)


def cached_engine(name: str, arguments: argparse.Namespace, cache: ResponseCache | None) -> CachedEngine:
    """Announce an engine that is loaded when the cache does not know an answer; of hf: models, it is loaded at once."""
    from evalkit.engine.cached import CachedEngine

    folder = _checked_folder(name, arguments)
    device = arguments.device.partition(":")[0]
    if name.startswith("hf:"):
        ready = engine(name, arguments)
        return CachedEngine(
            lambda: ready, tokenizer=ready.tokenizer, context_length=ready.context_length,
            signature=ready.signature(), device=device, cache=cache,
        )  # fmt: skip
    from evalkit.model import layouts
    from evalkit.model.folder import content_hash, signature
    from evalkit.tokenizer import Tokenizer

    if device != "cpu":
        check_device(arguments.device)
    config = layouts.read_config(folder)
    dtype = DTYPES[dtype_of(name, folder, arguments)]
    known = signature(
        config, name=_label(name, folder), content_hash=content_hash(folder), dtype=dtype, stride=config.context
    )
    return CachedEngine(
        lambda: engine(name, arguments), tokenizer=Tokenizer.load(folder), context_length=config.context,
        signature=known, device=device, cache=cache,
    )  # fmt: skip


def cache(arguments: argparse.Namespace) -> ResponseCache | None:
    """Open the cache of responses where the user wants it; None for --no-cache and EVALKIT_CACHE=off."""
    from evalkit.engine.cache import ResponseCache

    folder = cache_folder()
    if arguments.no_cache or folder is None:
        return None
    return ResponseCache(folder, limit=_bytes(os.environ.get("EVALKIT_CACHE_SIZE", "1G"), "EVALKIT_CACHE_SIZE"))


def _bytes(text: str, option: str) -> int:
    """Parse 500M, 2G or a plain number of bytes."""
    power = "KMG".find(text[-1:].upper()) + 1 if text else 0
    try:
        return int(float(text[:-1] if power else text) * 1024**power)
    except (ValueError, OverflowError):
        raise UsageError(f"{option}={text!r}: expected a size such as 500M, 2G or a number of bytes") from None


def _checked_folder(name: str, arguments: argparse.Namespace) -> Path:
    """Return a model's folder, when the options of its engine are allowed."""
    from evalkit.model import resolve

    check_dtype(arguments.dtype)
    if arguments.batch_tokens is not None and arguments.batch_tokens < 1:
        raise UsageError(f"--batch-tokens must be at least 1, not {arguments.batch_tokens}")
    return resolve.folder_of(name)


def _label(name: str, folder: Path) -> str:
    """Return what a model is called in results: its folder's name, or the name under which it was found."""
    plain = name.removeprefix("hf:")
    label = folder.name if Path(plain).is_dir() else plain
    return f"hf:{label}" if name != plain else label


def tokenizer(name: str | None) -> Tokenizer | None:
    """Load the tokenizer of a folder or of a model; none for no name."""
    if name is None:
        return None
    from evalkit.model import resolve
    from evalkit.tokenizer import Tokenizer

    return Tokenizer.load(resolve.folder_of(name))


def training(name: str) -> dict[str, object]:
    """Return what a checkpoint's training.json says and reports use (see model/record.py).

    Nothing where there is none, or a broken one.
    """
    from evalkit.errors import CheckpointError
    from evalkit.files import read_json
    from evalkit.model import record, resolve

    try:
        return record.facts(read_json(resolve.folder_of(name) / "training.json", CheckpointError))
    except (CheckpointError, KeyError, TypeError):  # another trainer's record, or none: facts for reports only
        return {}


def check_device(device: str) -> None:
    """Raise UsageError for a device that this machine lacks."""
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise unknown("device", device, ("cpu", "cuda"))
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"device {device!r}: this machine has no CUDA device (allowed here: cpu)")


def console() -> Console:
    """Return a console as wide as the terminal; a file or a pipe gets whole lines."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 400)
