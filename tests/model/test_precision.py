"""The number format of a model when the user names none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evalkit.engine.compute import check_options
from evalkit.engine.open import open_model
from evalkit.errors import UsageError
from evalkit.model import precision, resolve
from evalkit.model.config import GPT1, GPT2, LADDER


@pytest.fixture(autouse=True)
def hardware():
    """What is said of the hardware is asked again, and not kept for other tests."""
    precision.multiplies_bf16.cache_clear()
    yield
    precision.multiplies_bf16.cache_clear()


@pytest.mark.parametrize("flags", ["fpu avx512_bf16 sse", "flags : amx_bf16", "Features : fp asimd bf16"])
def test_wide_models_are_bf16_where_the_processor_has_it(monkeypatch, flags):
    monkeypatch.setattr(Path, "read_text", lambda self, **options: flags)
    assert {precision.default_dtype(config, "cpu") for config in (*GPT1.values(), *GPT2.values())} == {"bf16"}
    assert {precision.default_dtype(config, "cpu") for config in LADDER.values()} == {"fp32"}


def test_elsewhere_all_are_fp32_trainings_too(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda self, **options: "fpu avx512f bf16x sse")
    assert precision.default_dtype(GPT2["117M"], "cpu") == precision.training_dtype("cpu") == "fp32"
    precision.multiplies_bf16.cache_clear()

    def absent(self, **options):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    assert precision.default_dtype(GPT2["117M"], "cpu") == "fp32"


@pytest.mark.parametrize("supported", [True, False])
def test_a_gpu_is_asked(monkeypatch, supported):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert precision.default_dtype(GPT2["117M"], "cuda:0") == ("bf16" if supported else "fp32")


def test_what_the_user_says_stands():
    nano = resolve.path_of("nano")
    for asked, name, dtype in [
        ("fp16", "nano", "float16"),
        ("bf16", f"hf:{nano}", "bfloat16"),
        (None, f"hf:{nano}", "float32"),
    ]:
        assert open_model(name, dtype=asked).engine(None).signature()["dtype"] == dtype
    with pytest.raises(UsageError, match="unknown dtype 'fp8'"):
        check_options(dtype="fp8", device="cpu", batch_tokens=None)


def test_int8_is_refused_where_it_is_not_computed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(UsageError, match="int8 computes on processors; with --device cuda:0 use bf16"):
        check_options(dtype="int8", device="cuda:0", batch_tokens=None)
    monkeypatch.setattr(Path, "read_text", lambda self, **_: "flags : fpu avx2 avx512_bf16\n")
    with pytest.raises(UsageError, match="this processor has no such products"):
        check_options(dtype="int8", device="cpu", batch_tokens=None)
    monkeypatch.setattr(Path, "read_text", lambda self, **_: "flags : fpu avx_vnni\n")
    check_options(dtype="int8", device="cpu", batch_tokens=None)
