"""Import of lm-evaluation-harness: both formats, samples, and the real files of Pythia."""

from __future__ import annotations

import json
import math

import pytest

from evalkit.errors import StoreError
from evalkit.report import lm_eval, published
from evalkit.report.lm_eval_samples import read_samples, sample_files
from evalkit.report.measurements import read, series

OLD = {
    "results": {
        "sciq": {"acc": 0.601, "acc_stderr": 0.015493193313162906, "acc_norm": 0.552},
        "lambada_openai": {"ppl": 142.4, "ppl_stderr": 6.0},
    },
    "versions": {"sciq": 0, "lambada_openai": 0},
    "config": {"model_args": "pretrained=EleutherAI/pythia-v1.1-1b-bf16,revision=step1000", "num_fewshot": 5},
}
NEW = {
    "results": {
        "gsm8k": {
            "alias": "gsm8k",
            "exact_match,strict-match": 0.5,
            "exact_match_stderr,strict-match": "N/A",
            "exact_match,flexible-extract": 0.75,
            "exact_match_stderr,flexible-extract": 0.01,
        },
        "wikitext": {"word_perplexity,none": 20.5, "word_perplexity_stderr,none": "N/A", "alias": "wikitext"},
    },
    "versions": {"gsm8k": 3.0},
    "n-shot": {"gsm8k": 8, "wikitext": 0},
    "n-samples": {"gsm8k": {"original": 1319, "effective": 100}},
    "higher_is_better": {"gsm8k": {"exact_match": True}, "wikitext": {"word_perplexity": False}},
    "config": {"model": "hf", "model_args": {"pretrained": "org/toy-2b"}, "model_num_parameters": 2_000_000},
}


def test_the_old_format(tmp_path):
    acc, norm, ppl = lm_eval.read(OLD, tmp_path / "x.json")
    assert (acc.task, acc.metric, acc.shots, acc.n, acc.chance, acc.unit) == ("sciq", "acc", 5, 1000, 25.0, "%")
    assert acc.value == pytest.approx(60.1) and acc.stderr == pytest.approx(1.5493, abs=1e-3)
    assert norm.metric == "acc_per_char" and math.isnan(norm.low) and norm.n == 0
    assert (ppl.metric, ppl.value, ppl.higher_is_better, ppl.ceiling) == ("ppl", 142.4, False, None)
    assert (acc.model.name, acc.model.family, acc.model.step) == ("pythia-1b", "pythia", 1000)
    assert acc.model.tokens == 2_097_152_000 and acc.model.parameters == 1_011_781_632


def test_the_format_of_today(tmp_path):
    strict, flexible, ppl = lm_eval.read(NEW, tmp_path / "x.json")
    assert (strict.metric, flexible.metric) == ("exact_match (strict-match)", "exact_match (flexible-extract)")
    assert (strict.value, strict.n, strict.shots, strict.higher_is_better) == (50.0, 100, 8, True)
    assert math.isnan(strict.low) and flexible.low == pytest.approx(75 - 1.96, abs=1e-3)
    assert (ppl.metric, ppl.value, ppl.higher_is_better, ppl.scale) == ("ppl_word_lm_eval", 20.5, False, 1)
    assert (ppl.model.name, ppl.model.family, ppl.model.parameters) == ("toy-2b", "toy", 2_000_000)


def test_name_and_step_from_the_file_where_the_arguments_lack_them(tmp_path):
    raw = {**OLD, "config": {"model_args": "use_accelerate=True", "num_fewshot": 0}}
    facts = lm_eval.model_facts(raw, tmp_path / "pythia-70m" / "zero-shot" / "70m_step512.json")
    assert facts.name == "pythia-70m"
    assert (facts.step, facts.tokens) == (512, 512 * published.PYTHIA_STEP)


@pytest.mark.parametrize("spoiled", [{"results": {}}, {"results": {"sciq": 3}}, {"config": []}, {"versions": []}])
def test_anything_else_is_one_clear_error(tmp_path, spoiled):
    with pytest.raises(StoreError, match=r"x\.json"):
        lm_eval.read({**OLD, **spoiled}, tmp_path / "x.json")


def test_the_total_of_mmlu_is_the_mean_over_documents(tmp_path):
    subjects = {f"hendrycksTest-{i}": (n, right) for i, (n, right) in enumerate([(100, 30), *[(11, 5)] * 56])}
    rows = {
        name: {"acc": right / n, "acc_stderr": math.sqrt(right / n * (1 - right / n) / (n - 1))}
        for name, (n, right) in subjects.items()
    }
    total = lm_eval.read({**OLD, "results": rows, "versions": {}}, tmp_path / "x.json")[-1]
    assert (total.task, total.n) == ("mmlu", 716)
    assert total.value == pytest.approx(100 * 310 / 716)
    rows.popitem()
    assert all(m.task != "mmlu" for m in lm_eval.read({**OLD, "results": rows}, tmp_path / "x.json"))


def test_published_sizes_add_up():
    for size in published.PYTHIA.values():  # two matrices, of a vocabulary padded to a multiple of 128
        assert (size.parameters - size.blocks) % (2 * size.width * 128) == 0
        per_block = 12 * size.width**2 + 13 * size.width
        assert size.blocks == size.layers * per_block + 2 * size.width


CHOICE = {
    "doc_id": 7,
    "target": "1",
    "arguments": {
        "gen_args_1": {"arg_0": "Q", "arg_1": " no"},
        "gen_args_0": {"arg_0": "Q", "arg_1": " yes"},
    },
    "resps": [[["-2.5", "False"]], [["-1.5", "True"]]],
    "filtered_resps": [["-2.5", "False"], ["-1.5", "True"]],
    "metrics": ["acc"],
    "acc": 1.0,
}
GENERATED = {
    "doc_id": 0,
    "target": "Paris",
    "arguments": [["Capital?", {"until": ["\n"]}]],
    "resps": [["Rome\nx"]],
    "filtered_resps": ["Rome"],
    "exact_match": 0.0,
}


def test_samples_become_records(tmp_path):
    path = tmp_path / "samples_boolq_2024-01-01T00-00-00.jsonl"
    path.write_text(json.dumps(CHOICE) + "\n" + json.dumps(GENERATED) + "\n")
    results = tmp_path / "results_2024-01-01T00-00-00.json"
    assert sample_files(results) == {"boolq": path}
    choice, generated = read_samples(path, "boolq", shots=2)
    assert (choice.prompt.contexts, choice.continuations) == (("Q",), (" yes", " no"))
    assert [(r.loglikelihood, r.is_greedy) for r in choice.responses] == [(-2.5, False), (-1.5, True)]
    assert (choice.prediction, choice.gold, choice.scores, choice.cell.shots) == (" no", " no", {"acc": (1.0,)}, 2)
    assert (generated.prediction, generated.gold, generated.scores) == ("Rome", "Paris", {"exact_match": (0.0,)})
    path.write_text(json.dumps(CHOICE) + '\n{"doc_id": 1}\n')
    with pytest.raises(StoreError, match="line 2"):
        list(read_samples(path, "boolq"))


def test_the_real_files_of_pythia(data_dir):
    folder = data_dir / "pythia-evals"
    found, problems = read([folder / "pythia-70m", folder / "pythia-1b-bf16"])
    assert not problems and {m.model.name for m in found} == {"pythia-70m", "pythia-1b"}
    assert len({m.origin for m in found}) == 84
    steps = {m.model.step for m in found if m.shots == 0}
    assert len(steps) == 27 and {0, 143_000} <= steps and len({m.model.step for m in found if m.shots == 5}) == 15
    [sciq] = [s for s in series(found) if (s.task, s.metric, s.shots) == ("sciq", "acc", 0)]
    assert [round(m.value, 1) for m in sciq.points] == [60.1, 84.0] and {m.n for m in sciq.points} == {1000}
    [mmlu] = [s for s in series(found) if (s.task, s.metric, s.shots) == ("mmlu", "acc", 5)]
    assert {m.n for m in mmlu.points} == {14042}
