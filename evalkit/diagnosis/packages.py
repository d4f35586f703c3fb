"""Versions of evalkit, Python and packages; what the extras that are not installed would add."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib import import_module, metadata
from importlib.util import find_spec
from types import MappingProxyType

from evalkit import __version__
from evalkit.diagnosis.facts import Fact, Finding, Section
from evalkit.extras import EXTRAS

# The packages that every installation has, and their modules.
NEEDED: Mapping[str, str] = MappingProxyType(
    {
        "torch": "torch",
        "numpy": "numpy",
        "tokenizers": "tokenizers",
        "safetensors": "safetensors",
        "scipy": "scipy",
        "sacrebleu": "sacrebleu",
        "rouge-score": "evalkit.metrics.rouge",  # which imports of the package what it needs, quickly
        "huggingface-hub": "huggingface_hub",
        "jinja2": "jinja2",
        "pyyaml": "yaml",
        "rich": "rich",
        "shtab": "shtab",
    }
)
# What each extra is for.
ADDS: Mapping[str, str] = MappingProxyType(
    {
        "report": "reports with figures, forecasts, data frames",
        "hub": "datasets of the hub, parquet",
        "hf": "models that transformers runs (hf:ID)",
        "corpus": "corpora from raw text",
        "gguf": "checkpoints in GGUF",
        "ray": "workers on several processes, GPUs or machines",
        "s3": "run folders at URLs",
        "tensorboard": "event files of trainings and watched runs",
        "wandb": "logging to Weights & Biases",
        "mlflow": "logging to MLflow",
    }
)


def section() -> Section:
    """Return the versions. Broken: a package that every run needs cannot be imported."""
    facts = [
        Fact(name="evalkit", value=__version__),
        Fact(name="python", value=platform.python_version(), text=f"{platform.python_version()} ({sys.executable})"),
        Fact(name="system", value=platform.platform()),
    ]
    findings: list[Finding] = []
    versions = {}
    for name, module in NEEDED.items():
        try:
            versions[name] = metadata.version(name)
            import_module(module)
        except Exception as error:  # an extension module may fail in any way
            reason = str(error).partition("\n")[0]
            findings.append(
                Finding(
                    kind="broken", text=f"the package {name} cannot be imported: {reason}",
                    remedy=f"pip install --force-reinstall {name}",
                )
            )  # fmt: skip
    facts.append(
        Fact(name="packages", value=versions, text=", ".join(f"{name} {version}" for name, version in versions.items()))
    )
    return Section(title="versions", facts=[*facts, *_extras()], findings=findings)


def _extras() -> list[Fact]:
    """Return, for each extra, what of it is installed, and what it would add."""
    facts = []
    for extra, adds in ADDS.items():
        modules = [module for module, name in EXTRAS.items() if name == extra]
        missing = [module for module in modules if find_spec(module) is None]
        text = "installed" if not missing else f"not installed (lacks {', '.join(missing)}): {adds}"
        facts.append(Fact(name=f"[{extra}]", value={"installed": not missing, "missing": missing}, text=text))
    return facts
