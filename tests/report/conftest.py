"""An invented ladder of five sizes, one of them with checkpoints, one model of them wicked."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.runs.store import RunStore
from evalkit.types import Cell, Prompt, Record, Response, Result

SIZES = {"atto": 10_000, "femto": 40_000, "pico": 160_000, "nano": 640_000, "micro": 2_560_000}
WICKED = "</script><script>document.title = 'pwned'</script><img src=x onerror=\"document.title = 'pwned'\">"

# Leaves a text, an attribute in either quotes, a comment, a data island, CDATA, a style.
ESCAPES = (
    "</script></style></title>]]>--><script>document.title = 'pwned'</script>"
    "\" onload=\"document.title = 'pwned'\" ' onload='document.title = 1' x='<img src=x onerror=\"document.title = 1\">"
    '<a href="javascript:document.title = 1">'
)


def record(model: str, task: str, shots: int, number: int, *, right: bool) -> Record:
    """One document of a choice task, or of a task that generates."""
    said = "wicked " + WICKED if number == 0 else f"answer {number if right else -number}"
    choice = task == "reading_a"
    options = (" yes", " no")
    return Record(
        cell=Cell(task=task, protocol="plain", shots=shots, seed=1),
        doc_id=f"{task}-{number}",
        cluster="",
        level=("easy", "hard")[number % 2],
        prompt=Prompt(contexts=(f"Passage {number} of <b>{task}</b> & more.\nQ: really?\nA:",), shots=shots),
        continuations=options if choice else (),
        responses=tuple(Response(loglikelihood=-1.0 - i, tokens=2) for i in range(2))
        if choice
        else (Response(text=said),),
        gold="yes" if choice else f"answer {number}",
        prediction=("yes" if right else "no") if choice else said,
        scores={"acc" if choice else "exact_match": [float(right)]},
    )


def result(model: str, task: str, metric: str, shots: int, value: float, **more: object) -> Result:
    """An aggregate with an interval of four points."""
    fields = {
        "model": model, "task": task, "family": "reading" if task == "reading_a" else "qa" if task == "qa_b" else "lm",
        "protocol": "plain", "shots": shots, "metric": metric, "source": "model", "level": "", "value": value,
        "low": value - 2, "high": value + 2, "n": 400, "failed": 0, "truncated": 0,
        "chance": 50.0 if metric == "acc" else None, "signature": "invented",
    }  # fmt: skip
    return Result(**{**fields, **more})  # type: ignore[arg-type]


def make_run(folder: Path, model: str, size: int, *, tokens: int = 10**8, step: int = 100, seed: int = 0) -> Path:
    """Store a run of an invented model whose scores follow its size and its tokens."""
    x = math.log10(size) + 0.5 * math.log10(tokens / 10**8)
    loss = 0.5 + 400 * size**-0.5 / 10 + 0.1 * (10**8 / tokens) ** 0.3
    settings = {"model": {"model": model, "parameters": str(size), "block_parameters": str(size)}, "shots": [0, 1, 4]}
    results = []
    for shots in (0, 1, 4):
        right = 50 + 8 * (x - 4) + 2 * shots
        results += [result(model, "reading_a", "acc", shots, right)]
        results += [
            result(model, "reading_a", "acc", shots, right + d, level=level) for level, d in (("easy", 5), ("hard", -5))
        ]
        results += [result(model, "qa_b", "exact_match", shots, 5 + 10 * (x - 4) + shots)]
        results += [result(model, "qa_b", "exact_match", shots, 4.0, source="baseline:majority")]
    results += [
        result(model, "lm_c", "ppl_word", 0, math.exp(loss), low=math.exp(loss) * 0.97, high=math.exp(loss) * 1.03)
    ]
    with RunStore(folder, settings) as store:
        for task in ("reading_a", "qa_b"):
            for shots in (0, 1, 4):
                strong = size > 10**5
                store.append(record(model, task, shots, i, right=strong or i % 3 == 0) for i in range(12))
        store.finish(results, {})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["training"] = {
        "corpus": "invented", "tokens": tokens, "flops": 6 * size * tokens, "step": step, "loss": loss, "seed": seed,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the ladder, checkpoints of `nano`, one run that was stopped and one that is broken."""
    root = tmp_path_factory.mktemp("runs")
    for name, size in SIZES.items():
        make_run(root / name, name, size)
    for step in (10, 20, 40, 60, 80):
        make_run(root / f"nano-{step}", "nano", SIZES["nano"], tokens=step * 10**6, step=step)
    make_run(root / "stopped", "zepto", 5_000)
    (root / "stopped" / "results.json").unlink()
    make_run(root / "broken", "zepto", 5_000)
    (root / "broken" / "manifest.json").write_text('{"settings": {')
    return root


@pytest.fixture(scope="session")
def report(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of these runs, made once by the command."""
    out = tmp_path_factory.mktemp("report")
    assert main(["report", str(runs), "--out", str(out), "--title", "The <i>invented</i> ladder"]) == 0
    return out


@pytest.fixture(scope="session")
def wicked_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report in which whatever a run names has a script in it: models, corpora, tasks, levels, protocols, texts."""
    runs, out = tmp_path_factory.mktemp("wicked-runs"), tmp_path_factory.mktemp("wicked")
    for number, size in enumerate(list(SIZES.values())[:3]):
        model, task = f"m{number}{ESCAPES}", f"t{ESCAPES}"
        about = {"model": model, "parameters": str(size), "block_parameters": str(size)}
        fields = {"family": f"f{ESCAPES}", "protocol": f"p{ESCAPES}", "signature": ESCAPES}
        with RunStore(runs / str(number), {"model": about, "shots": [0]}) as store:
            store.append(
                replace(record(model, "reading_a", 0, i, right=i % 2 == 0), doc_id=f"{i}{ESCAPES}", level=ESCAPES,
                        gold=ESCAPES, prediction=ESCAPES, cell=Cell(task=task, protocol=f"p{ESCAPES}", shots=0, seed=1))
                for i in range(4)
            )  # fmt: skip
            found = [result(model, task, "acc", 0, 50.0 + number, level=level, **fields) for level in ("", ESCAPES)]
            found += [result(model, f"lm{ESCAPES}", "ppl_word", 0, 50.0 - number, **fields)]
            found += [result(model, task, "acc", 0, 50.0, source=f"baseline:{ESCAPES}", **fields)]
            store.finish(found, {})
        manifest = json.loads((runs / str(number) / "manifest.json").read_text())
        manifest["training"] = {"corpus": f"c{ESCAPES}", "tokens": 10**8, "flops": size * 10**8, "step": 1, "loss": 3.0}
        (runs / str(number) / "manifest.json").write_text(json.dumps(manifest))
    assert main(["report", str(runs), "--out", str(out), "--title", f"Title {ESCAPES}"]) == 0
    return out
