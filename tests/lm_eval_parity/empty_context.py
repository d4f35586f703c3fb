"""What an empty context is, against lm-evaluation-harness: whole texts, and options without their question.

    python -m tests.lm_eval_parity.empty_context --lm-eval-python PYTHON --model FOLDER

FOLDER holds a model in transformers' layout whose tokenizer names a beginning and an end of text that differ, and adds
neither (SmolLM2's, other chat models'). Prints lm-eval's values, ours, and ours after the end of text; exit code 1
where one of ours differs by more than a ten-thousandth.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import evalkit

TEXTS = (
    "The harbour was quiet when the boats came in, and nobody spoke.",
    "Two plus two is four. Four plus four is eight.",
    "Nobody had told the gardener that the house was to be sold in the spring.",
)
QUESTIONS = (
    ("The capital of France is", ("Paris", "London", "a red apple"), 0),
    ("Water is made of hydrogen and", ("oxygen", "sand", "music"), 0),
    ("One plus one is", ("five", "two", "ten"), 1),
)
_TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
metadata: {{version: 1}}
"""
_KINDS = {
    "whole_texts": 'output_type: loglikelihood_rolling\ndoc_to_text: ""\ndoc_to_target: "{{text}}"\n',
    "options_alone": 'output_type: multiple_choice\ndoc_to_text: "{{query}}"\ndoc_to_choice: "{{options}}"\n'
    'doc_to_target: "{{gold}}"\nmetric_list: [{metric: acc}, {metric: acc_mutual_info}]\n',
}


def write(folder: Path) -> list[Path]:
    """Write the task files and their rows."""
    rows = {
        "whole_texts": [{"text": text} for text in TEXTS],
        "options_alone": [{"query": query, "options": options, "gold": gold} for query, options, gold in QUESTIONS],
    }
    files = []
    for name, kind in _KINDS.items():
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows[name]), encoding="utf-8")
        files.append(folder / f"{name}.yaml")
        files[-1].write_text(_TASK.format(name=name, rows=data) + kind, encoding="utf-8")
    return files


def theirs(python: Path, model: Path, folder: Path) -> dict[tuple[str, str], float]:
    """Return lm-eval's values by task and metric."""
    out = folder / "theirs"
    words = ["--model", "hf", "--model_args", f"pretrained={model.absolute()},dtype=float32", "--device", "cpu"]
    words += ["--tasks", *_KINDS, "--include_path", str(folder), "--output_path", str(out)]
    command = [str(python.absolute()), "-m", "lm_eval", "run", *words]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub"), "TQDM_DISABLE": "1"}
    subprocess.run(command, check=True, cwd=folder, env={**os.environ, **offline}, capture_output=True)
    [path] = out.rglob("results_*.json")
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    return {
        (task, key.removesuffix(",none")): float(value)
        for task, values in results.items()
        for key, value in values.items()
        if key.endswith(",none") and "stderr" not in key
    }


def ours(model: Path, files: list[Path], out: Path, *, empty: str | None) -> dict[tuple[str, str], float]:
    """Return our values, shares as shares."""
    tasks = evalkit.load_tasks(list(map(str, files)), empty_context=empty)  # type: ignore[arg-type]
    run = evalkit.evaluate(evalkit.open_model(str(model), dtype="fp32"), tasks, out=out, cache=False)
    return {(r.task, r.metric): r.value / (100 if r.metric.startswith("acc") else 1) for r in run.results}


def main() -> int:
    """Compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lm-eval-python", type=Path, required=True, help="a Python that has lm_eval 0.4.13")
    parser.add_argument("--model", type=Path, required=True, metavar="FOLDER")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = write(folder)
        expected = theirs(arguments.lm_eval_python, arguments.model, folder)
        found, ended = (ours(arguments.model, files, folder / str(empty), empty=empty) for empty in (None, "end"))
    print(f"{'task':14} {'metric':16} {'lm-eval':>10} {'evalkit':>10} {'after the end of text':>22}")
    for key, value in expected.items():
        print(f"{key[0]:14} {key[1]:16} {value:10.4f} {found[key]:10.4f} {ended[key]:22.4f}")
    return int(any(abs(found[key] / value - 1) > 1e-4 for key, value in expected.items() if value))


if __name__ == "__main__":
    sys.exit(main())
