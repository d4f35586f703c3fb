"""Runs inside a Python that has lm_eval: its requests for some tasks, and its results with the model of answers.py.

    python theirs.py ROOT FOLDER OUT MODEL SHOTS LIMIT ITERATIONS NAME...

MODEL is hf:FOLDER or evalkit:FOLDER, lm_eval's model and a checkpoint for it, in fp32 on the processor; empty for the
model of answers.py. ROOT holds data sets in the hub's layout. FOLDER holds the task files; empty for lm_eval's own. OUT
gets JSON:
task -> requests ([document, arguments]), the model's answers to them, and metrics.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import answers  # beside this file, which is run as a script
import squad_metrics


def local_data(root: Path) -> None:
    """Let `datasets` find everything under a folder instead of on the hub."""
    import datasets

    load = datasets.load_dataset

    def placed(value):
        if isinstance(value, dict):
            return {key: placed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [placed(item) for item in value]
        return value.replace("hf://datasets/", f"{root}/")

    def local(path, name=None, **options):
        if "data_files" in options:
            options["data_files"] = placed(options["data_files"])
        folder = root / path
        return load(str(folder) if folder.is_dir() else path, name, **options)

    datasets.load_dataset = local


def model(name: str):
    """Make the model."""
    from lm_eval.api.model import LM

    kind, _, folder = name.partition(":")
    if kind == "hf":
        from lm_eval.models.huggingface import HFLM

        return HFLM(pretrained=folder, dtype="float32", device="cpu", batch_size=16)
    if kind == "evalkit":
        from evalkit.lm_eval.model import EvalkitLM

        return EvalkitLM(pretrained=folder, dtype="fp32")

    class Hashed(LM):
        def loglikelihood(self, requests, **_):
            return [answers.likelihood(*request.args) for request in requests]

        def loglikelihood_rolling(self, requests, **_):
            return [answers.likelihood("", request.args[0])[0] for request in requests]

        def generate_until(self, requests, **_):
            found = []
            for request in requests:
                text = answers.text(request.args[0])
                for stop in request.args[1]["until"]:
                    text = text.split(stop)[0] if stop else text
                found.append(text)
            return found

    return Hashed()


def asked_and_found(manager, name: str, *, asked, shots: int, limit: int, iterations: int) -> tuple[dict, dict]:
    """Return the tasks and the groups of one name: requests and metrics of each."""
    from lm_eval.evaluator import evaluate

    chosen = manager.load([name])
    for task in chosen["tasks"].values():
        if task.get_config("num_fewshot") != 0:
            task.set_config(key="num_fewshot", value=shots)
        task.set_fewshot_seed(seed=1234)
    found = evaluate(asked, chosen, limit=limit, bootstrap_iters=iterations, log_samples=False)["results"]
    tasks = {
        own: {
            "requests": [
                [i.doc_id, list(i.args[:1] if i.request_type == "generate_until" else i.args)] for i in task.instances
            ],
            "answers": [i.resps[0] for i in task.instances],
            "metrics": found[own],
        }
        for own, task in chosen["tasks"].items()
    }
    return tasks, {own: metrics for own, metrics in found.items() if own not in tasks}


def main() -> None:
    """Write what lm_eval asks and finds; of a task that it cannot run, its error."""
    root, folder, out, checkpoint, shots, limit, iterations, *names = sys.argv[1:]
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", DISABLE_MULTIPROC="1", TQDM_DISABLE="1")
    local_data(Path(root))
    squad_metrics.install()
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=folder or None, include_defaults=not folder)
    written: dict[str, dict] = {"tasks": {}, "groups": {}, "errors": {}}
    asked = model(checkpoint)
    for name in names:
        try:
            tasks, groups = asked_and_found(
                manager, name, asked=asked, shots=int(shots), limit=int(limit), iterations=int(iterations)
            )
            written["tasks"].update(tasks)
            written["groups"].update(groups)
        except Exception as error:
            written["errors"][name] = f"{type(error).__name__}: {error}"
    Path(out).write_text(json.dumps(written, default=str), encoding="utf-8")


if __name__ == "__main__":
    main()
