"""From nanoGPT's ckpt.pt of 10 million parameters to a score on ARC-easy: evalkit's way, and lm-evaluation-harness's.

    EVALKIT_DATA=FOLDER python -m tests.benchmarks.measure_from_nanogpt --lm-eval-python PYTHON [--rounds 3]

FOLDER holds arc/easy-validation.jsonl, and GPT-2's tokenizer in gpt2-bpe/. PYTHON has lm_eval 0.4.13 and transformers.
Both ways are commands, each a process of its own, alternating; the time of each is that of all its commands, with the
start of Python, and the least of the rounds counts. lm-eval gets the fastest of several batch sizes. The weights are
random: time does not depend on them, and both scores must be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from evalkit.tokenizer import Tokenizer

SHAPE = {
    "n_layer": 6,
    "n_head": 5,
    "n_embd": 160,
    "block_size": 1024,
    "vocab_size": 50304,
    "bias": False,
    "dropout": 0.0,
}

# What someone with nanoGPT's file has to write to evaluate it with lm-eval.
CONVERT = """
import sys
import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

source, tokenizer, target = sys.argv[1:]
stored = torch.load(source, map_location="cpu", weights_only=True)
shape = stored["model_args"]
state = {name.removeprefix("_orig_mod."): tensor for name, tensor in stored["model"].items()}
model = GPT2LMHeadModel(
    GPT2Config(
        n_layer=shape["n_layer"], n_head=shape["n_head"], n_embd=shape["n_embd"], n_positions=shape["block_size"],
        vocab_size=shape["vocab_size"], activation_function="gelu",
    )
)
own = model.state_dict()
for name in own:
    if name not in state:
        assert name.endswith(".bias"), name
        own[name].zero_()
    else:
        transposed = name.endswith(("attn.c_attn.weight", "c_proj.weight", "c_fc.weight"))
        own[name].copy_(state[name].t() if transposed else state[name])
model.save_pretrained(target)
AutoTokenizer.from_pretrained(tokenizer).save_pretrained(target)
"""

# lm-eval's own arc_easy, on a local file.
TASK = """
task: arc_easy_local
dataset_path: json
dataset_kwargs: {{data_files: {{validation: {file}}}}}
output_type: multiple_choice
validation_split: validation
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_target: "{{{{choices.label.index(answerKey)}}}}"
doc_to_choice: "{{{{choices.text}}}}"
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0}}
"""


def checkpoint(path: Path) -> int:
    """Write a file as nanoGPT's train.py does, with AdamW's state; return the number of parameters."""
    width, inner = SHAPE["n_embd"], 4 * SHAPE["n_embd"]
    shapes = {"wte.weight": (SHAPE["vocab_size"], width), "wpe.weight": (SHAPE["block_size"], width)}
    for i in range(SHAPE["n_layer"]):
        matrices = {"attn.c_attn": (3 * width, width), "attn.c_proj": (width, width), "mlp.c_fc": (inner, width)}
        matrices["mlp.c_proj"] = (width, inner)
        shapes |= {f"h.{i}.{name}.weight": shape for name, shape in matrices.items()}
        shapes |= {f"h.{i}.{name}.weight": (width,) for name in ("ln_1", "ln_2")}
    shapes["ln_f.weight"] = (width,)
    generator = torch.Generator().manual_seed(0)
    state = {
        f"transformer.{name}": torch.ones(shape) if len(shape) == 1 else torch.randn(shape, generator=generator) * 0.05
        for name, shape in shapes.items()
    }
    moments = {i: {"exp_avg": tensor * 0, "exp_avg_sq": tensor * 0} for i, tensor in enumerate(state.values())}
    parameters = sum(tensor.numel() for tensor in state.values())
    state["lm_head.weight"] = state["transformer.wte.weight"]
    config = {"dataset": "openwebtext", "gradient_accumulation_steps": 40, "batch_size": 12, "block_size": 1024}
    torch.save(
        {"model": state, "optimizer": {"state": moments, "param_groups": []}, "model_args": SHAPE, "iter_num": 2000,
         "best_val_loss": torch.tensor(4.0), "config": config},
        path,
    )  # fmt: skip
    return parameters


class Spent(NamedTuple):
    """Seconds, by the clock and of processors; the latter depend less on what else the machine does."""

    clock: float
    processor: float


def timed(commands: Sequence[Sequence[str]], environment: Mapping[str, str], folder: Path) -> tuple[Spent, str]:
    """Run commands one after the other; return the seconds of all and what they print."""
    printed, began, before = "", time.perf_counter(), _processor()
    for command in commands:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")
        printed += done.stdout
    return Spent(time.perf_counter() - began, _processor() - before), printed


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure both ways, and print them as commands and seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lm-eval-python", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("EVALKIT_DATA"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", default="1,8,32,64", help="lm-eval's batch sizes (default: 1,8,32,64)")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("--data or EVALKIT_DATA: where are the benchmark files?")
    data = Path(arguments.data).resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        parameters = checkpoint(folder / "ckpt.pt")
        (folder / "gpt2").mkdir()
        Tokenizer.load(data / "gpt2-bpe").save(folder / "gpt2", context=1024)
        (folder / "convert.py").write_text(CONVERT)
        (folder / "tasks").mkdir()
        (folder / "tasks" / "arc.yaml").write_text(TASK.format(file=data / "arc" / "easy-validation.jsonl"))
        python, batches = arguments.lm_eval_python.absolute(), arguments.batches.split(",")
        measure(folder, data, python, batches, rounds=arguments.rounds, parameters=parameters)


def measure(folder: Path, data: Path, python: Path, batches: Sequence[str], *, rounds: int, parameters: int) -> None:
    """Run both ways in turn."""
    ours = [["evalkit", *"run --model ckpt.pt --tokenizer gpt2 --tasks arc_easy --protocol lm-eval".split(),
             *"--dtype fp32 --out run".split()]]  # fmt: skip
    convert = ["python", "convert.py", "ckpt.pt", "gpt2", "converted"]
    score = ["python", *"-m lm_eval run --model hf --model_args pretrained=converted,dtype=float32".split(),
             *"--device cpu --tasks arc_easy_local --include_path tasks --output_path theirs".split()]  # fmt: skip
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hub"), "TQDM_DISABLE": "1"}
    environment = {**os.environ, **offline, "EVALKIT_CACHE": "off", "EVALKIT_DATA": str(data)}

    def at(command: Sequence[str]) -> list[str]:
        programs = {"evalkit": str(Path(sys.executable).parent / "evalkit"), "python": str(python)}
        return [programs[command[0]], *command[1:]]

    seconds: dict[str, list[Spent]] = {"evalkit": [], **{f"lm-eval, batches of {batch}": [] for batch in batches}}
    for _ in range(rounds):
        shutil.rmtree(folder / "run", ignore_errors=True)
        spent, printed = timed([at(command) for command in ours], environment, folder)
        seconds["evalkit"].append(spent)
        for batch in batches:
            shutil.rmtree(folder / "converted", ignore_errors=True)
            theirs = [at(convert), [*at(score), "--batch_size", batch]]
            spent, their_words = timed(theirs, environment, folder)
            seconds[f"lm-eval, batches of {batch}"].append(spent)
    best = min((name for name in seconds if name != "evalkit"), key=lambda name: min(seconds[name]))
    batch = best.rpartition(" ")[2]
    print(f"{parameters:,} parameters; ARC-easy validation, 570 documents; the least of {rounds} rounds\n")
    for words, name, commands in (
        ("evalkit", "evalkit", ours),
        ("lm-eval", best, [convert, [*score, "--batch_size", batch]]),
    ):
        least = min(seconds[name])
        print(f"{words}: {least.clock:.1f} s ({least.processor:.1f} s of processors)")
        print("\n".join(f"    {shlex.join(command)}" for command in commands))
    print(f"\n{min(seconds[best]).clock / min(seconds['evalkit']).clock:.1f} times as fast")
    print({name: [round(value.clock, 1) for value in values] for name, values in seconds.items()})
    compare(folder, printed, their_words)


def compare(folder: Path, ours: str, theirs: str) -> None:
    """Print both scores with what each says of its uncertainty; they must be equal."""
    [written] = sorted((folder / "theirs").rglob("results_*.json"))[-1:]
    metrics = json.loads(written.read_text())["results"]["arc_easy_local"]
    print(f"lm-eval: acc {metrics['acc,none']:.4f}, stderr {metrics['acc_stderr,none']:.4f}")
    stored = json.loads((folder / "run" / "results.json").read_text())["results"]
    [acc] = [r for r in stored if r["metric"] == "acc" and r["source"] == "model" and not r.get("level")]
    print(f"evalkit: acc {acc['value']:.2f}%, interval [{acc['low']:.2f}, {acc['high']:.2f}]")
    assert abs(acc["value"] / 100 - metrics["acc,none"]) < 1e-9, "the scores differ"


if __name__ == "__main__":
    main()
