"""Which runs are one model, which are seeds of one recipe, and how the others are named apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.errors import UsageError
from evalkit.model.record import facts
from evalkit.report.figures import shots, trend
from evalkit.report.measurements import read
from evalkit.report.pages import result_tables, samples
from evalkit.report.selection import Selection, select
from evalkit.runs.store import RunStore
from evalkit.types import Result

_ABOUT = {"parameters": "900", "block_parameters": "400", "context": "64", "stride": "64"}


def run(folder: Path, *, value=50.0, name="pico", content="a", dtype="float32", limit="all", size=900, **training):
    """Store a run of one task; the signature is as evalkit run writes it."""
    parts = {
        "task": "t.v1", "protocol": "plain", "shots": 0, "seeds": "1", "limit": limit, "data": "d",
        "model": f"{name}@{content}", "dtype": dtype, "evalkit": "1",
    }  # fmt: skip
    about = {**_ABOUT, "model": name, "hash": content, "dtype": dtype, "parameters": str(size)}
    known = {"corpus": "c", "tokens": 100, "flops": 5, "step": 10, "seed": 0, "loss": 2.0, "recipe": "r", **training}
    result = Result(
        model=name, task="t", family="qa", protocol="plain", shots=0, metric="acc", source="model", level="",
        value=value, low=value - 5, high=value + 5, n=90, failed=0, truncated=0, chance=25.0,
        signature="|".join(f"{k}:{v}" for k, v in parts.items()),
    )  # fmt: skip
    with RunStore(folder, {"model": about, "evalkit": "1"}, training=known) as store:
        store.finish([result], {})
    return folder


def selected(*runs: Path, **options) -> Selection:
    found, problems = read(runs)
    assert not problems
    return select(found, **options)


def cells(selection: Selection) -> list[dict[str, str]]:
    """The main table: a row per task, what stands under each model."""
    grid = result_tables.results(selection, {})
    texts = [[f"{entry.text} {entry.small}".strip() for entry in row] for row in grid.rows]
    names = [selection.labels[name] for name in selection.sizes]
    return [{k: v for k, v in zip(grid.header, row, strict=True) if k in ["task", *names]} for row in texts]


def test_one_folder_name_with_other_content_is_two_models(tmp_path):
    runs = [run(tmp_path / n, value=v, content=n, loss=x) for n, v, x in (("lrA", 11.7, 1.469), ("lrB", 10.0, 1.969))]
    selection = selected(*runs)
    assert selection.sizes == ["pico (lrA)", "pico (lrB)"]
    assert cells(selection) == [
        {"task": "t", "pico (lrA)": "11.7 [6.70, 16.7]", "pico (lrB)": "10.0 [5.00, 15.0]"},
    ]
    assert [row[-1].text for row in result_tables.models(selection).rows] == ["1.469", "1.969"]
    lines = trend._line(selection.final, "t", "c")
    assert [point[1] for point in lines] == [11.7, 10.0], "the figure averages them no more than the table"


def test_the_report_of_two_unlike_runs_never_says_seeds(tmp_path, capsys):
    run(tmp_path / "lrA", value=11.7, content="1", loss=1.469)
    run(tmp_path / "lrB", value=10.0, content="2", loss=1.969)
    out = tmp_path / "report"
    assert main(["report", str(tmp_path / "lrA"), str(tmp_path / "lrB"), "--out", str(out)]) == 0
    text = (out / "report.md").read_text()
    assert "2 models" in text and "seeds" not in text.replace("with other seeds", "") and "10.8" not in text


def test_trainings_that_differ_in_their_seed_alone_are_averaged(tmp_path):
    runs = [run(tmp_path / f"s{i}", value=40.0 + 10 * i, content=str(i), seed=i) for i in range(3)]
    selection = selected(*runs)
    assert cells(selection) == [{"task": "t", "pico": "50.0 [24.7, 75.3] 3 seeds"}]
    assert not selection.notes
    assert trend._line(selection.final, "t", "c") == [pytest.approx((900.0, 50.0, 24.66, 75.34), abs=0.01)]


@pytest.mark.parametrize(
    "unlike",
    [{"recipe": "other"}, {"tokens": 200}, {"fingerprint": "x"}, {"dtype": "bfloat16"}, {"seed": 0}, {"seed": None}],
)
def test_seeds_that_differ_in_more_are_not(tmp_path, unlike):
    first = (
        run(tmp_path / "first", content="1", fingerprint="f") if "fingerprint" in unlike else run(tmp_path / "first")
    )
    second = run(tmp_path / "second", **{"content": "2", "seed": 1, "fingerprint": "f", **unlike})
    assert selected(first, second).sizes == ["pico (first)", "pico (second)"]


def test_seeds_of_unrecorded_recipes_are_averaged_and_that_is_said(tmp_path):
    runs = [run(tmp_path / f"s{i}", content=str(i), seed=i, recipe="") for i in range(2)]
    [note] = selected(*runs).notes
    assert note.startswith("pico: averaged over training seeds")


def test_two_recipes_with_two_seeds_each_in_folders_of_their_own(tmp_path):
    runs = [
        run(tmp_path / lr / f"seed{i}" / "pico", content=f"{lr}{i}", seed=i, recipe="") for lr in "AB" for i in (0, 1)
    ]
    selection = selected(*runs)
    assert selection.sizes == ["pico (A)", "pico (B)"]
    assert all("2 seeds" in cell for cell in list(cells(selection)[0].values())[1:])


def test_paths_without_one_name_that_tells_are_given_from_where_they_part(tmp_path):
    runs = [run(tmp_path / a / b, content=a + b, recipe=a + b) for a, b in (("x", "1"), ("x", "2"), ("y", "1"))]
    assert selected(*runs).sizes == ["pico (x/1)", "pico (x/2)", "pico (y/1)"]


def test_checkpoints_of_two_trainings_of_one_name_stay_two_curves(tmp_path):
    runs = [
        run(tmp_path / lr / "eval" / f"step-{step}", content=f"{lr}{step}", recipe="", step=step, tokens=step * 10)
        for lr in "AB"
        for step in (10, 20)
    ]
    selection = selected(*runs)
    assert selection.sizes == ["pico (A)", "pico (B)"] and len(selection.final) == 2 and len(selection.main) == 4


def test_another_limit_is_another_row(tmp_path):
    selection = selected(run(tmp_path / "a", value=40.0), run(tmp_path / "b", value=60.0, limit="60"))
    assert cells(selection) == [
        {"task": "t (limit all)", "pico": "40.0 [35.0, 45.0]"},
        {"task": "t (limit 60)", "pico": "60.0 [55.0, 65.0]"},
    ]


def test_models_that_were_asked_otherwise_stand_in_one_row_with_a_note(tmp_path):
    selection = selected(
        run(tmp_path / "a", value=40.0), run(tmp_path / "b", value=60.0, limit="60", name="nano", content="b")
    )
    [row], [note] = cells(selection), selection.notes
    assert row["task"] == "t" and "limit all; limit 60" in note and "are not comparable" in note


def test_one_content_under_two_names_is_one_model_and_counts_once(tmp_path):
    selection = selected(run(tmp_path / "a"), run(tmp_path / "b", name="copy"))
    assert selection.sizes == ["pico"] and len(selection.main) == 1
    assert selection.notes == [f"{tmp_path / 'b'} repeats what another run says of pico, and counts once."]


def test_a_run_of_before_recipes_were_recorded_is_of_the_same_model(tmp_path):
    older = run(tmp_path / "older", limit="60", value=40.0, recipe="")
    bare = run(tmp_path / "bare", limit="30", value=30.0, recipe="", corpus="", tokens=None, flops=None, seed=None)
    selection = selected(older, bare, run(tmp_path / "newer"))
    assert selection.sizes == ["pico"] and {m.model.provenance.recipe for m in selection.main} == {"r"}
    assert {m.model.family for m in selection.main} == {"c"} and len(selection.main) == 3


def test_one_content_that_answered_otherwise_is_named_by_its_path(tmp_path):
    assert selected(run(tmp_path / "a"), run(tmp_path / "b", value=51.0)).sizes == ["pico (a)", "pico (b)"]


def test_two_number_types_are_two_models_and_the_table_says_which(tmp_path):
    selection = selected(run(tmp_path / "pico-1f"), run(tmp_path / "pico-2e", dtype="bfloat16", value=49.0))
    grid = result_tables.models(selection)
    assert grid.header[:2] == ["model", "run in"]
    assert [[entry.text for entry in row[:2]] for row in grid.rows] == [
        ["pico (1f)", "float32"], ["pico (2e)", "bfloat16"],
    ]  # fmt: skip


def test_a_digest_of_settings_in_a_folder_name_is_no_name_of_a_model(tmp_path):
    default, half = "pico-36d579f6", "pico-99acc665"  # as `evalkit run` names folders
    kinds = selected(run(tmp_path / default), run(tmp_path / half, dtype="bfloat16"))
    assert kinds.sizes == ["pico (bfloat16)", "pico (float32)"]
    steps = selected(
        run(tmp_path / "s" / default, step=10), run(tmp_path / "s" / half, step=20, content="b", recipe="x")
    )
    assert steps.sizes == ["pico (step 10)", "pico (step 20)"]
    alike = selected(run(tmp_path / "a" / default), run(tmp_path / "a" / half, content="b"))
    assert alike.sizes == ["pico (36d579f6)", "pico (99acc665)"], "nothing else is known to differ"


def test_labels_name_models_and_stay_whole(tmp_path):
    runs = [run(tmp_path / n, content=n) for n in ("a", "b")]
    selection = selected(*runs, labels={tmp_path / "a": "rate-1", tmp_path / "b": "rate-2"})
    assert [selection.labels[name] for name in selection.sizes] == ["rate-1", "rate-2"]
    with pytest.raises(UsageError, match="none of the given runs"):
        selected(*runs, labels={tmp_path / "c": "x"})


def test_a_label_without_a_name_is_refused(tmp_path, capsys):
    run(tmp_path / "a")
    assert main(["report", str(tmp_path / "a"), "--out", str(tmp_path / "r"), "--label", "x"]) == 2
    assert "give RUN=NAME" in capsys.readouterr().err


def test_one_corpus_name_with_two_tokenizers_is_two_ladders(tmp_path):
    runs = [
        run(
            tmp_path / word / f"m{i}", name=f"m{i}", content=f"{word}{i}", size=900 * i, fingerprint=word, recipe=str(i)
        )
        for word in ("bytes", "words")
        for i in (1, 2)
    ]
    assert {s.ladder for s in selected(*runs).series} == {"c (bytes)", "c (words)"}
    flat = [run(tmp_path / f"{word}{i}", name=f"f{i}", content=word + str(i), fingerprint=word * 4)
            for word in "ab" for i in (1, 2)]  # fmt: skip
    assert {s.ladder for s in selected(*flat).series} == {"c (aaaa)", "c (bbbb)"}
    older = run(tmp_path / "bytes" / "m3", name="m3", content="m3", size=2700, recipe="")
    assert {s.ladder for s in selected(*runs[:2], older).series} == {"c"}, "unsaid, and there is only one it can be"


def test_samples_stand_under_the_name_of_their_row(runs, tmp_path):
    from tests.report.conftest import make_run

    second = make_run(tmp_path / "second", "atto", 10_000, seed=1)
    selection = selected(runs / "atto", second)
    assert set(selection.labels.values()) == {"atto"}
    assert samples.collect(selection)[0].models == ["atto (seed 0)", "atto (seed 1)"]
    assert not isinstance(shots.figure(selection), str)


def test_the_recipe_of_a_training_is_all_but_its_seed():
    settings = {"seed": 3, "tokens": 5, "optim": {"clip": 1.0}, "model": {"d_model": 8, "band": None}}
    record = {
        "step": 1, "tokens": 2, "flops": 3, "validation_loss": 1.5, "settings": settings,
        "corpus": {"name": "world", "fingerprint": "f"},
    }  # fmt: skip
    first = facts(record)
    assert {k: first[k] for k in ("seed", "corpus", "fingerprint", "loss")} == {
        "seed": 3, "corpus": "world", "fingerprint": "f", "loss": 1.5,
    }  # fmt: skip
    assert facts({**record, "settings": {**settings, "seed": 4}})["recipe"] == first["recipe"]
    newer = {**settings, "fp8": False}  # a later version's option that is off
    assert facts({**record, "settings": newer})["recipe"] == first["recipe"]
    assert facts({**record, "settings": {**settings, "optim": {"clip": 2.0}}})["recipe"] != first["recipe"]
