"""The parity report: evalkit and lm-evaluation-harness with the same model, task files and documents.

    python -m tests.lm_eval_parity.report --lm-eval-python PYTHON --data FOLDER

writes reports/lm-eval-parity.md. lm-evaluation-harness runs the model by transformers, evalkit by its own GPT, or by
transformers too:

    python -m tests.lm_eval_parity.report --lm-eval-python PYTHON --data FOLDER --model FOLDER --engines native,hf \\
        --shots 0 --limit 40 --out PAGE.md arc_easy piqa hellaswag winogrande openbookqa lambada_openai boolq sst2
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from evalkit.commands import options
from evalkit.files import write_atomic
from evalkit.model import resolve, weights
from tests.lm_eval_parity import squad_metrics
from tests.lm_eval_parity.__main__ import TASKS
from tests.lm_eval_parity.compare import ITERATIONS, LIKELIHOOD, Compared, Setup, compare

# Values made of log-likelihoods in fp32 may differ by this, relatively.
VALUE = 1e-5

# What runs the model there: without and with --adapter.
_BY = {False: "transformers", True: "its model `evalkit`"}

# Why lm_eval fails, by a part of what it says.
_CAUSES = {
    "Answer is not a string": "it cannot write a shot with several right choices; evalkit writes the first",
}

# Times that the model's positions are repeated: prompts with five shots need more than the bundled models' 256.
_TIMES = 4


def main() -> int:
    """Ask both programs, write the report; 1 where anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.lm_eval_parity.report", description=__doc__)
    parser.add_argument("--lm-eval-python", type=Path, required=True, help="a Python that has lm_eval 0.4.13")
    parser.add_argument("--data", type=Path, default=os.environ.get("EVALKIT_DATA"), help="benchmark files")
    parser.add_argument("--copies", type=Path, help="keep the copies of the data sets here")
    parser.add_argument(
        "--model", default="micro", help="a bundled model, or a folder in transformers' layout (default: micro)"
    )
    parser.add_argument("--engines", default="native", help="what runs it here: native, hf or both (default: native)")
    parser.add_argument(
        "--adapter", action="store_true", help="there, too, evalkit runs the model: lm_eval's `evalkit`"
    )
    parser.add_argument("--shots", default="0,5")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("reports/lm-eval-parity.md"))
    parser.add_argument("tasks", nargs="*", help="lm-eval's names (default: 25 tasks, and MMLU with its groups)")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("--data or EVALKIT_DATA: where are the benchmark files?")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.model).resolve()
        if not folder.is_dir():
            folder = Path(temporary) / "model"
            write_model(arguments.model, folder)
        setup = Setup(
            python=arguments.lm_eval_python,
            root=arguments.copies or Path(temporary) / "data",
            limit=arguments.limit,
            model=f"{'evalkit' if arguments.adapter else 'hf'}:{folder}",
        )
        setup.write_copies(Path(arguments.data))
        squad_metrics.install()
        found: list[Compared] = []
        counts = [int(shots) for shots in arguments.shots.split(",")]
        for done, shots in enumerate(counts, start=1):
            found += _ask(setup, folder, arguments.tasks or TASKS, shots, engines=arguments.engines.split(","))
            text = page(found, counts=counts[:done], arguments=arguments)
            write_atomic(arguments.out, text)
            print(f"{shots} shots: {arguments.out}", flush=True)
    return int(any(map(differs, found)))


def write_model(name: str, folder: Path) -> None:
    """Write a bundled model as transformers reads it, in fp32 and with room for longer prompts."""
    weights.export(resolve.path_of(name), folder, dtype=torch.float32)
    lengthen(folder)


def lengthen(folder: Path) -> None:
    """Repeat a model's table of positions, so that it reads prompts several times as long (not any better)."""
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    (name,) = [name for name in state if name.endswith("wpe.weight")]
    state[name] = state[name].repeat(_TIMES, 1)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config |= {key: len(state[name]) for key in ("n_positions", "n_ctx")}
    (folder / "config.json").write_text(json.dumps(config, indent=2), "utf-8")


def _ask(setup: Setup, folder: Path, names: Sequence[str], shots: int, *, engines: Sequence[str]) -> list[Compared]:
    """Ask both programs at one number of shots, evalkit with each of its engines."""
    theirs = setup.theirs(names, shots=shots)
    found: list[Compared] = []
    for engine in engines:
        name = f"hf:{folder}" if engine == "hf" else str(folder)
        loaded = options.engine(name, argparse.Namespace(dtype="fp32", device="cpu", batch_tokens=None, tokenizer=None))
        compared = compare(theirs, names, shots=shots, root=setup.root, limit=setup.limit, engine=loaded, close=VALUE)
        found += [replace(one, task=f"hf: {one.task}" if engine == "hf" else one.task) for one in compared]
    return found


def differs(one: Compared) -> bool:
    """Whether anything is not equal within what fp32 allows."""
    return bool(one.differences) or one.flips > 0 or not one.likelihood <= LIKELIHOOD


def page(found: Sequence[Compared], *, counts: Sequence[int], arguments: argparse.Namespace) -> str:
    """Write the report."""
    unequal = [one for one in found if differs(one)]
    requests = sum(one.requests for one in found)
    model, limit, adapter = arguments.model, arguments.limit, arguments.adapter
    folder = Path(model).is_dir()
    what = "The model" if folder else "The bundled model"
    longer = "" if folder else f", its table of positions repeated {_TIMES} times for longer prompts"
    here = {"native": "evalkit's own GPT", "hf": "evalkit by transformers (`hf:`)"}
    engines = arguments.engines.split(",")
    options_given = [
        f"--model {model}", f"--limit {limit}", f"--shots {','.join(str(shots) for shots in counts)}",
        *([f"--engines {arguments.engines}"] if engines != ["native"] else []),
        *(["--adapter"] if adapter else []), *arguments.tasks,
    ]  # fmt: skip
    lines = [
        "# evalkit beside lm-evaluation-harness 0.4.13",
        "",
        f"{what} {Path(model).name if folder else model} in fp32 on a processor{longer}, run by {_BY[adapter]} there "
        f"and by {' and '.join(here[engine] for engine in engines)} here; the same task files and local copies of "
        f"the data sets, the first {limit} documents of each task. Made by",
        f"`python -m tests.lm_eval_parity.report --lm-eval-python PYTHON --data FOLDER {' '.join(options_given)}`.",
        "",
        f"- {len(found)} comparisons (a task or a group at a number of shots), {requests:,} requests; "
        f"{len(found) - len(unequal)} without any difference.",
        f"- Prompts and continuations are compared byte by byte. Two log-likelihoods may differ by {LIKELIHOOD:g} "
        f"nats, those beyond 1,000 nats by a millionth (the largest difference, of the latter in thousands of the "
        f"value: {max(one.likelihood for one in found):.1e}); greedy flags and generated texts "
        f"are equal or counted; values and standard errors, with {ITERATIONS:,} resamples, are equal within {VALUE:g} "
        "of their size.",
        "",
        "| task | shots | requests | metrics | largest difference | other answers | differences |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
        *(_row(one) for one in found),
    ]
    return "\n".join(lines) + "\n"


def _row(one: Compared) -> str:
    said = "; ".join(one.differences).replace("|", "\\|").replace("\n", " ") or "none"
    said += "".join(f" ({cause})" for part, cause in _CAUSES.items() if part in said)
    figures = f"{one.requests:,} | {one.metrics} | {one.likelihood:.1e} | {one.flips}"
    return f"| {one.task} | {one.shots} | {figures} | {said} |"


if __name__ == "__main__":
    sys.exit(main())
