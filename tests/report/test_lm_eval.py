"""Import of lm-evaluation-harness: both formats, samples, and the real files of Pythia."""

from __future__ import annotations

import json
import math

import pytest

from evalkit.cli import main
from evalkit.errors import StoreError
from evalkit.lm_eval import results as lm_eval
from evalkit.lm_eval.samples import read_samples, sample_files
from evalkit.report import published
from evalkit.report.measurements import read, series
from evalkit.report.pages import paper_tables, result_tables
from evalkit.report.selection import select

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


def written(tmp_path, results, **more):
    """Read a file of today's format with these results; more: other keys of it."""
    return lm_eval.read({**NEW, "results": results, "n-shot": {}, "n-samples": {}, **more}, tmp_path / "x.json")


GROUP = {
    "results": {name: {"acc,none": 0.5} for name in ("mmlu", "mmlu_stem", "mmlu_anatomy", "mmlu_law")},
    "group_subtasks": {"mmlu": ["mmlu_stem", "mmlu_law"], "mmlu_stem": ["mmlu_anatomy"], "mmlu_law": []},
}


@pytest.mark.parametrize(
    ("counts", "commanded", "expected"),
    [
        ({"mmlu_anatomy": 5, "mmlu_law": 5}, None, 5),
        ({"mmlu_anatomy": 5, "mmlu_law": 5}, 0, 5),
        ({"mmlu_anatomy": 5, "mmlu_law": 0}, 5, None),
        ({"mmlu_anatomy": 5}, None, None),
        ({"mmlu": 3, "mmlu_anatomy": 5, "mmlu_law": 5}, None, 3),
        ({}, 2, 2),
        ({}, None, None),
    ],
)
def test_a_group_has_its_members_shots_or_none(tmp_path, counts, commanded, expected):
    config = {**NEW["config"], "num_fewshot": commanded}
    found = written(tmp_path, **{**GROUP, "n-shot": counts}, config=config)
    assert [m.shots for m in found if m.task == "mmlu"] == [expected]


def test_unknown_shots_stand_as_such_and_last(tmp_path):
    path = tmp_path / "x.json"
    raw = {**NEW, **GROUP, "n-shot": {"mmlu_anatomy": 5, "mmlu_law": 0}, "n-samples": {}, "higher_is_better": {}}
    path.write_text(json.dumps(raw))
    selection = select(read([path])[0])
    [row] = result_tables.results(selection, {}).rows
    assert (row[0].text, row[2].text, row[2].key) == ("mmlu", "?", None) and selection.shots == [0, 5]
    assert all(grid.name != "h1-zero" or not grid.rows for grid in paper_tables.by_setting(selection))
    assert main(["report", str(path), "--out", str(tmp_path / "out")]) == 0
    assert "| mmlu | acc | ? |" in (tmp_path / "out" / "report.md").read_text()


def test_bounds_end_where_the_metric_does(tmp_path):
    results = {
        "sciq": {"acc,none": 0.99, "acc_stderr,none": 0.0069},
        "lambada": {"perplexity,none": 1.5, "perplexity_stderr,none": 0.5},
        "wmt": {"bleu,none": 99.0, "bleu_stderr,none": 2.0},
        "cola": {"mcc,none": -0.99, "mcc_stderr,none": 0.05},
    }
    acc, ppl, bleu, mcc = written(tmp_path, results)
    assert (acc.low, acc.high) == (pytest.approx(97.648, abs=1e-3), 100.0)  # 100.35 as the file has it
    assert (ppl.low, bleu.high, mcc.low) == (1.0, 100.0, -1.0)


def test_an_error_of_nought_is_no_certainty(tmp_path):
    results = {
        name: {"acc,none": value, "acc_stderr,none": 0.0}
        for name, value in (("none", 0.0), ("all", 1.0), ("half", 0.5), ("few", 0.0), ("unknown", 0.0))
    }
    counts = {
        name: {"original": 9, "effective": n} for name, n in (("none", 50), ("all", 50), ("half", 50), ("few", 1))
    }
    none, every, half, few, unknown = written(tmp_path, results, **{"n-samples": counts})
    z = 1.959964**2
    assert (none.low, none.high) == (0.0, pytest.approx(100 * z / (50 + z), rel=0.3))
    assert (every.low, every.high) == (pytest.approx(100 - none.high), 100.0)
    assert all(math.isnan(m.low) and math.isnan(m.high) for m in (half, few, unknown))


@pytest.mark.parametrize(
    ("spoiled", "where"),
    [
        ({"results": {"sciq": {"acc,none": "0.5"}}}, "results.sciq.acc,none is '0.5', not a number"),
        ({"results": {"sciq": {"acc": "0.5"}}}, "results.sciq.acc is '0.5'"),
        ({"results": {"sciq": {"acc": True}}}, "results.sciq.acc is True"),
        ({"results": {"sciq": {"acc,none": [0.5]}}}, r"results.sciq.acc,none is \[0.5\]"),
        ({"results": {"sciq": {"acc": 0.5, "acc_stderr": "x"}}}, "results.sciq.acc_stderr is 'x'"),
        ({"results": {"sciq": {"acc": 0.5, "acc_stderr": -1}}}, "at least 0"),
        ({"results": {"sciq": {"acc": 10**400}}}, "of this size"),
        ({"results": {"sciq": [1]}}, r"results.sciq is \[1\], not an object"),
        ({"n-shot": {"gsm8k": "five"}}, "n-shot.gsm8k is 'five', not a whole number"),
        ({"n-shot": {"gsm8k": True}}, "n-shot.gsm8k is True"),
        ({"n-shot": {"gsm8k": 1.5}}, "n-shot.gsm8k is 1.5"),
        ({"n-shot": [5]}, r"n-shot is \[5\], not an object"),
        ({"n-samples": {"gsm8k": 5}}, "n-samples.gsm8k is 5, not an object"),
        ({"n-samples": {"gsm8k": {"effective": "many"}}}, "n-samples.gsm8k.effective is 'many'"),
        ({"group_subtasks": {"gsm8k": "x"}}, "group_subtasks.gsm8k is 'x', not a list"),
        ({"config": {"model_args": 5}}, "config.model_args is 5"),
        ({"config": {"model_num_parameters": "2B"}}, "config.model_num_parameters is '2B'"),
        ({"config": {"num_fewshot": []}, "n-shot": {}}, "config.num_fewshot"),
    ],
)
def test_a_value_of_another_type_is_named(tmp_path, spoiled, where):
    with pytest.raises(StoreError, match=where):
        lm_eval.read({**NEW, **spoiled}, tmp_path / "x.json")


def test_what_a_tasks_code_puts_beside_its_metrics_is_left_alone(tmp_path):
    [acc] = written(tmp_path, {"sciq": {"acc,none": 0.5, "samples": [1], "note": "x", "acc_stderr,none": "N/A"}})
    assert acc.value == 50.0


def test_two_imports_of_one_name_are_told_apart(tmp_path):
    for name, dtype, value in (("half", "float16", 0.4), ("full", "float32", 0.6)):
        raw = {**NEW, "results": {"gsm8k": {"exact_match,none": value}}}
        raw["config"] = {**NEW["config"], "model_args": {"pretrained": "org/toy-2b", "dtype": dtype}}
        (tmp_path / f"{name}.json").write_text(json.dumps(raw))
    selection = select(read([tmp_path])[0])
    assert selection.sizes == ["toy-2b (full.json)", "toy-2b (half.json)"]
    (tmp_path / "half.json").write_text((tmp_path / "full.json").read_text())
    assert select(read([tmp_path])[0]).sizes == ["toy-2b"]


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
