"""Processor, memory and devices: what there is, how fast it multiplies, and what of it goes unused."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalkit import machine
from evalkit.diagnosis.facts import Fact, Finding, Section, size
from evalkit.model.config import SIZES
from evalkit.model.precision import DTYPES, multiplies_bf16

# Features that decide the speed of matrix products, by Linux's flags.
_FEATURES = {
    "avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX-512 BF16", "amx_bf16": "AMX BF16", "asimd": "NEON",
    "sve": "SVE", "bf16": "Arm BF16",
}  # fmt: skip
# Models whose speed is estimated.
_MODELS = ("117M", "1542M")
# Below this share of the rate of fp32, products of bf16 are called slow.
_SLOW = 0.8
_PATIENCE = 50  # tokens per second below which reading is called slow


def processor(rates: Mapping[str, float]) -> Section:
    """Return cores, threads, features and measured rates. rates: operations per second, by dtype."""
    import torch

    name, flags = machine.processor()
    here, usable, threads = os.cpu_count() or 1, machine.cores(), torch.get_num_threads()
    features = [label for flag, label in _FEATURES.items() if flag in flags]
    facts = [
        Fact(name="model", value=name or "unknown"),
        Fact(name="cores", value={"machine": here, "usable": usable}, text=_of(usable, here)),
        Fact(name="threads", value=threads, text=f"{threads} of matrix products"),
        Fact(name="features", value=features, text=", ".join(features) or "none known"),
        *[Fact(name=dtype, value=rate, text=f"{rate / 1e9:,.0f} GFLOP/s") for dtype, rate in rates.items()],
    ]
    return Section(title="processor", facts=facts, findings=[*_threads(usable, threads), *_products(rates)])


def _of(usable: float, here: int) -> str:
    return f"{usable:g}" if usable == here else f"{usable:g} of the machine's {here} (affinity or quota)"


def _threads(usable: float, threads: int) -> list[Finding]:
    findings = []
    if threads > usable:
        findings.append(
            Finding(
                kind="slow", text=f"{threads} threads share {usable:g} cores and wait for one another",
                remedy=f"OMP_NUM_THREADS={max(1, int(usable))}",
            )
        )  # fmt: skip
    if threads < int(usable):
        variable = next((name for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if os.environ.get(name)), "")
        reason = f" ({variable}={os.environ[variable]})" if variable else ""
        findings.append(
            Finding(
                kind="slow", text=f"{threads} of {usable:g} cores {'is' if threads == 1 else 'are'} used{reason}",
                remedy=f"unset {variable}" if variable else f"OMP_NUM_THREADS={int(usable)}",
            )
        )  # fmt: skip
    with contextlib.suppress(OSError, AttributeError):  # not on Windows
        load = os.getloadavg()[0]
        if load > usable:
            findings.append(
                Finding(
                    kind="slow", text=f"other work keeps the machine busy: a load of {load:.1f} on {usable:g} cores",
                    remedy="wait for it; the rates above were measured beside it",
                )
            )  # fmt: skip
    return findings


def _products(rates: Mapping[str, float]) -> list[Finding]:
    """Return what follows from the rates of products on the processor."""
    findings = []
    fp32, bf16 = rates["fp32"], rates["bf16"]
    if bf16 < _SLOW * fp32:
        usual = "; it is left out by default" if not multiplies_bf16("cpu") else ""
        findings.append(
            Finding(
                kind="slow", text=f"products of bf16 run at {bf16 / fp32:.0%} of the rate of fp32{usual}",
                remedy="--dtype fp32" if multiplies_bf16("cpu") else "leave --dtype out",
            )
        )  # fmt: skip
    for name in _MODELS:
        tokens = max(rates.values()) / (2 * SIZES[name].parameters)
        if tokens < _PATIENCE:
            findings.append(
                Finding(
                    kind="slow",
                    text=f"on the processor GPT-2 {name} reads at most {tokens:,.0f} tokens per second",
                    remedy="a smaller model, --limit, or --device cuda",
                )
            )  # fmt: skip
    return findings


def memory() -> Section:
    """Return the memory, the limit of the control group, and which models do not fit."""
    amounts, limit = machine.memory(), machine.memory_limit()
    facts = []
    if amounts:
        facts += [Fact(name=n, value=v, text=size(v)) for n, v in zip(("total", "available"), amounts, strict=True)]
    facts.append(Fact(name="limit", value=limit, text="none" if limit is None else f"{size(limit)} (control group)"))
    findings = []
    room = min(filter(None, (amounts and amounts[1], limit)), default=None)
    if room is not None and amounts and limit is not None and limit < amounts[1]:
        findings.append(
            Finding(
                kind="note",
                text=f"the control group allows {size(limit)}, less than the machine has available; batches are "
                "planned by what is left of it",
                remedy="--batch-tokens, if a run is killed",
            )
        )  # fmt: skip
    large = [name for name in _MODELS if room is not None and 4 * SIZES[name].parameters > room]
    findings += [
        Finding(kind="note", text=f"GPT-2 {name} does not fit in fp32", remedy="--dtype bf16") for name in large
    ]
    return Section(title="memory", facts=facts, findings=findings)


def devices(*, nodes: Path = Path("/dev")) -> Section:
    """Return the accelerators that torch sees. nodes: where Linux lists those of the machine."""
    import torch

    facts = []
    present = (nodes / "nvidia0").exists() or (nodes / "kfd").exists()
    version = torch.version.cuda or getattr(torch.version, "hip", None)
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
            about: dict[str, Any] = {
                "name": torch.cuda.get_device_name(number), "memory": total, "free": free, "bf16": bf16
            }  # fmt: skip
            text = f"{about['name']}, {size(free)} of {size(total)} free, {'' if bf16 else 'no '}bf16"
            facts.append(Fact(name=f"cuda:{number}", value=about, text=text))
        for dtype, rate in rates("cuda:0").items():
            facts.append(Fact(name=f"cuda:0 {dtype}", value=rate, text=f"{rate / 1e12:,.1f} TFLOP/s"))
    else:
        facts.append(
            Fact(name="cuda", value=None, text="none" + (f" (torch is built for {version})" if version else ""))
        )
    apple = torch.backends.mps.is_available()
    facts.append(Fact(name="mps", value=apple, text="there, but evalkit does not use it" if apple else "none"))
    findings = []
    if present and not torch.cuda.is_available():
        why = "its driver does not answer" if version else "this build of torch is for processors alone"
        findings.append(
            Finding(
                kind="slow", text=f"the machine has a GPU that torch cannot use: {why}",
                remedy="nvidia-smi" if version else "install torch for CUDA (pytorch.org/get-started)",
            )
        )  # fmt: skip
    return Section(title="devices", facts=facts, findings=findings)


def rates(device: str = "cpu") -> dict[str, float]:
    """Measure the floating-point operations per second of large products, as the trainer does, by dtype."""
    import torch

    from evalkit.train.peak import matmul_peak

    return {name: matmul_peak(dtype=getattr(torch, DTYPES[name]), device=device) for name in ("fp32", "bf16")}
