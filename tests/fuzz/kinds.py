"""The kinds of input that a user can hand over, each with what evalkit does with it."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from evalkit.comparison import baseline, comparable, comparison, evidence, history
from evalkit.engine.cache import ResponseCache
from evalkit.errors import StoreError
from evalkit.harness.aggregate import aggregate
from evalkit.lm_eval import samples as lm_eval_samples
from evalkit.report import measurements
from evalkit.runs import store
from evalkit.runs.stored import checksum
from evalkit.types import Response
from tests.fuzz import checkpoints, datasets, hostile, taskfiles, trainers
from tests.fuzz.damage import resealed
from tests.fuzz.trial import Kind


def _run_folder(folder: Path) -> None:
    from tests.comparison.made import Made, binary, write_run

    tasks = {"a": Made(scores=binary("0110111010")), "b": Made(scores=binary("011"), metrics=("acc",))}
    for name in ("base", "new"):
        write_run(folder / name, tasks, model=name)


def _unbound(folder: Path) -> None:
    """Write runs whose results hold no digest of their records: those of any record may be read."""
    _run_folder(folder)
    for path in folder.rglob("results.json"):
        raw = json.loads(path.read_text())
        del raw["records"], raw["checksum"]
        path.write_text(json.dumps(raw | {"checksum": checksum(raw)}, indent=1))


def _all_of(folder: Path) -> object:
    """Read what calibration and the exports read of a run, and compare it."""
    run = store.open_run(folder / "new")
    return len(list(run.records())), _report(folder), _compare(folder)


def _report(folder: Path) -> list[str]:
    """Read as `evalkit report` does; what it names as left out is what it refuses."""
    return [repr(found) for found in _measured(folder)]


def _samples(folder: Path) -> list[str]:
    """Read the records for a report's samples. A line may be missing, none may be another one."""
    found, good = ([repr(r) for r in store.read_records(folder / name)] for name in ("new", "base"))
    assert set(found) <= set(good), "a record that was never written"
    return found


def _measured(path: Path) -> list[measurements.Measurement]:
    found, problems = measurements.read([path])
    for problem in problems:
        raise StoreError(f"{problem.path}: {problem.reason}")
    measurements.series(found)
    return found


def _compare(folder: Path) -> list[str]:
    """Compare as `evalkit compare` does, with few resamples."""
    settings = comparison.Settings(resamples=100)
    base, new = evidence.read_run(folder / "base"), evidence.read_run(folder / "new")
    found, _ = comparison.compare(base, new, settings)
    return [repr(finding) for finding in found.findings]


def _recomputed(folder: Path) -> list[str]:
    """Read a run's results: what is accepted is what its records give."""
    run = store.open_run(folder / "new")
    found = [repr(result) for result in run.results]
    again = [repr(result) for result in aggregate(run.records(), run.settings)]
    assert found == again, "a wrong number: the results are not those of the records"
    return found


def _resume(folder: Path) -> int:
    """Go on with a run: a line that is damaged is left out, to be computed again."""
    good = {repr(record) for record in store.read_records(folder / "base")}
    with store.RunStore(folder / "new", store.read_manifest(folder / "new")["settings"]) as opened:
        kept = {repr(record) for record in store.read_records(folder / "new")}
        assert kept <= good, "a record that was never written"
        return len(opened.done)


def _baseline(folder: Path) -> None:
    _run_folder(folder)
    baseline.save(evidence.read_run(folder / "base"), folder / "base.json")


def _read_baseline(folder: Path) -> list[str]:
    found = baseline.read(folder / "base.json")
    return [repr(sheet) for sheet in found.sheets.values()]


def _history(folder: Path) -> object:
    """Read a baseline, compare it and its run, and follow it over time."""
    run, kept = baseline.read(folder / "base"), baseline.read(folder / "base.json")
    found, _ = comparison.compare(run, kept, comparison.Settings(resamples=100, allow=tuple(comparable.FIELDS)))
    return len(found.findings), history.as_csv([run, kept], history.trends([run, kept], all_metrics=True))


def _lm_eval(folder: Path) -> None:
    from tests.report.test_lm_eval import NEW, OLD

    (folder / "old.json").write_text(json.dumps(OLD))
    (folder / "results_2024.json").write_text(json.dumps(NEW, indent=2))
    rows = [
        {
            "doc_id": i, "target": "1", "arguments": {"gen_args_0": {"arg_0": f"Q {i}", "arg_1": " no"},
            "gen_args_1": {"arg_0": f"Q {i}", "arg_1": " yes"}}, "resps": [[[-1.5, "False"]], [[-0.5, "True"]]],
            "filtered_resps": [[-1.5, "False"], [-0.5, "True"]], "acc": 1.0, "metrics": ["acc"],
        }
        for i in range(4)
    ]  # fmt: skip
    rows[1] |= {"arguments": [["Q", {"until": ["\n"]}]], "filtered_resps": ["x"]}
    (folder / "samples_gsm8k_2024.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _read_lm_eval(folder: Path) -> object:
    found = [m for name in ("old.json", "results_2024.json") for m in _measured(folder / name)]
    return found, list(lm_eval_samples.read_samples(folder / "samples_gsm8k_2024.jsonl", "gsm8k"))


_KEYS = [bytes([i]) * 16 for i in range(40)]


def _cache(folder: Path) -> None:
    cache = ResponseCache(folder, now=lambda: 0.0)
    cache.put({key: Response(loglikelihood=-float(i), tokens=i, text=f"é {i}") for i, key in enumerate(_KEYS)})
    cache.close()


def _read_cache(folder: Path) -> list[Response]:
    """Ask, answer what is not known, and ask again: a damaged cache costs its contents, never a number."""
    for path in folder.glob("*.sqlite?*"):  # set aside by the one before
        path.unlink()
    cache = ResponseCache(folder, now=lambda: 0.0)
    known = cache.get(_KEYS)
    fresh = {key: Response(loglikelihood=-float(i), tokens=i, text=f"é {i}") for i, key in enumerate(_KEYS)}
    cache.put({key: response for key, response in fresh.items() if key not in known})
    again = cache.get(_KEYS)
    cache.close()
    return [(fresh | known | again)[key] for key in _KEYS]


def _corpus(folder: Path) -> None:
    from evalkit.corpus import shards
    from evalkit.tokenizer import Tokenizer

    texts = [f"A page with the number {i}." for i in range(80)]
    shards.of_texts(texts, Tokenizer.train(texts, vocab_size=270), folder, name="made", validation=0.2)


def _read_corpus(folder: Path) -> object:
    """Open as a training does, which verifies nothing it has not read, then as `evalkit corpus verify`."""
    from evalkit.corpus import shards

    corpus = shards.load(folder)
    shards.load_tokenizer(folder)
    shards.verify(folder)
    return asdict(corpus.info), np.asarray(corpus.train[:]).tolist(), np.asarray(corpus.validation[:]).tolist()


KINDS = (
    Kind(name="config.json", make=checkpoints.write, read=checkpoints.load, files=["config.json"]),
    Kind(
        name="settings of families",
        make=checkpoints.write_families,
        read=checkpoints.load_families,
        files=["*config.json"],
    ),
    Kind(name="safetensors", make=checkpoints.write, read=checkpoints.load, files=["*.safetensors"]),
    Kind(name="shards' index", make=checkpoints.write_shards, read=checkpoints.load, files=["*.index.json"]),
    Kind(name="pytorch_model.bin", make=checkpoints.write_pickle, read=checkpoints.load, files=["*.bin"]),
    Kind(name="tokenizer.json", make=checkpoints.write, read=checkpoints.tokenize, files=["tokenizer.json"]),
    Kind(name="vocab and merges", make=checkpoints.write_pair, read=checkpoints.tokenize, files=["vocab*", "merges*"]),
    Kind(
        name="training.json", make=checkpoints.write, read=checkpoints.facts, files=["training.json", "metrics.jsonl"]
    ),
    Kind(name="nanoGPT's ckpt.pt", make=trainers.nanogpt, read=trainers.load, files=["ckpt.pt"]),
    Kind(name="nanoGPT's meta.pkl", make=trainers.nanogpt, read=trainers.load, files=["meta.pkl"]),
    Kind(name="llm.c's file", make=trainers.llmc, read=trainers.load, files=["*.bin"]),
    Kind(name="litgpt's folder", make=trainers.litgpt, read=trainers.load, files=["*.yaml", "*.pth"]),
    Kind(name="nanochat's files", make=trainers.nanochat, read=trainers.load, files=["*.pt", "meta*.json"]),
    Kind(name="nanochat's tokenizer.pkl", make=trainers.nanochat, read=trainers.load, files=["*.pkl"]),
    Kind(name=".metadata", make=trainers.distributed, read=trainers.load, files=[".metadata"]),
    Kind(name="parts of ranks", make=trainers.distributed, read=trainers.load, files=["*.distcp", "params.json"]),
    Kind(name="state.pt", make=checkpoints.write_state, read=checkpoints.read_state, files=["state.pt"]),
    *(
        Kind(
            name=f"rows{ending}",
            make=partial(datasets.write_table, ending=ending),
            read=datasets.read_table,
            whole=ending[1:] in datasets.CHECKED,
        )
        for ending in datasets.ENDINGS
    ),
    Kind(
        name="rules of a tokenizer",
        make=checkpoints.write,
        read=checkpoints.tokenize,
        files=["tokenizer.json"],
        damage=hostile.rules,
    ),
    Kind(
        name="tokens added to it",
        make=checkpoints.write_added,
        read=checkpoints.tokenize,
        files=["added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"],
    ),
    Kind(name="pages and archives", make=datasets.write_pages, read=datasets.read_texts),
    Kind(name="text of a corpus", make=datasets.write_texts, read=datasets.read_texts),
    *(
        Kind(
            name=f"release of {name}",
            make=datasets.write_releases,
            read=partial(datasets.load_task, name),
            files=[file],
        )
        for name, file in datasets.RELEASES.items()
    ),
    Kind(name="run: manifest.json", make=_run_folder, read=_report, files=["manifest.json"]),
    Kind(name="run: results.json", make=_run_folder, read=_report, files=["results.json"], whole=True),
    Kind(name="run: records.jsonl", make=_run_folder, read=_samples, files=["new/records.jsonl"]),
    Kind(name="run, resumed", make=_run_folder, read=_resume, files=["new/*.json*"]),
    Kind(name="run, compared", make=_run_folder, read=_compare, files=["records.jsonl", "results.json"], whole=True),
    Kind(name="results of records", make=_run_folder, read=_recomputed, files=["new/*.json*"], whole=True),
    Kind(name="runs that differ", make=_run_folder, read=_compare, files=["manifest.json"]),
    *(
        Kind(name=f"sealed again: {file}", make=_unbound, read=_all_of, files=[f"new/{file}"], damage=resealed)
        for file in ("records.jsonl", "results.json", "manifest.json")
    ),
    Kind(name="sealed again: baseline", make=_baseline, read=_history, files=["base.json"], damage=resealed),
    Kind(name="baseline", make=_baseline, read=_read_baseline, files=["base.json"], whole=True),
    Kind(name="lm-eval results", make=_lm_eval, read=_read_lm_eval),
    Kind(
        name="lm-eval task file", make=taskfiles.write_yaml, read=taskfiles.load_yaml, files=["*.yaml"], task="made_own"
    ),
    Kind(
        name="hostile templates",
        make=taskfiles.write_yaml,
        read=taskfiles.load_yaml,
        files=["own.yaml"],
        task="made_own",
        damage=hostile.template,
    ),
    Kind(
        name="hostile YAML",
        make=taskfiles.write_yaml,
        read=taskfiles.load_yaml,
        files=["own.yaml"],
        task="made_own",
        damage=hostile.graph,
    ),
    Kind(name="lm-eval data", make=taskfiles.write_yaml, read=taskfiles.load_yaml, files=["*.jsonl"], task="made_own"),
    Kind(
        name="task file in Python",
        make=taskfiles.write_python,
        read=taskfiles.load_python,
        files=["*.py"],
        task="capitals",
    ),
    Kind(name="corpus folder", make=_corpus, read=_read_corpus),
    Kind(name="response cache", make=_cache, read=_read_cache, files=["responses.sqlite"], whole=True),
)


def real(data: Path) -> tuple[Kind, ...]:
    """Return the kinds whose good files are benchmarks' own, as far as a folder of EVALKIT_DATA has them."""
    return tuple(
        Kind(
            name=f"real {name}",
            make=partial(datasets.copy_release, data, file),
            read=partial(datasets.load_task, name),
            files=[Path(file).name],
            task=name,
        )
        for name, file in datasets.REAL.items()
        if (data / file).is_file()
    )
