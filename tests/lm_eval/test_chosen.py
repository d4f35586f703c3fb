"""Paths and names -> tasks: groups, tags, overrides, and code that runs only when it is trusted."""

from __future__ import annotations

import pytest

from evalkit.errors import DataError, UsageError
from evalkit.harness import catalog
from evalkit.lm_eval import tasks as lm_eval
from tests.lm_eval.made import write


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of task files: two tasks with a tag, the second by its include, and groups."""
    write(tmp_path, "_base", more="tag: [pair, more]\n")
    write(tmp_path, "one.yaml", "include: _base\ntask: one\n")
    write(tmp_path, "deep/two.yaml", '"include": "../_base"\n"task": "two"  # a remark\n')
    write(tmp_path, "deep/three.yaml", more="task: three\ntag: other\n")
    write(tmp_path, "all.yaml", "group: all\ntask: [pair, inner]\naggregate_metric_list: {metric: acc}\n")
    inner = "group: inner\ntask:\n  - task: three\n    num_fewshot: 2\n  - one\ntarget_delimiter: '~'\n"
    write(tmp_path, "inner.yaml", inner + "aggregate_metric_list: [{metric: acc_norm, weight_by_size: false}]\n")
    monkeypatch.setenv("EVALKIT_LM_EVAL_TASKS", str(tmp_path))
    return tmp_path


def chosen(word: str) -> dict:
    return {task.name: task for task in lm_eval.choose(word)}


def test_a_path_a_name_a_tag_and_a_glob(folder):
    assert list(chosen(str(folder / "one.yaml"))) == ["one"]
    assert list(chosen("lm-eval:two")) == ["two"]
    assert list(chosen("lm-eval:pair")) == ["one", "two"]
    assert list(chosen("lm-eval:t*")) == ["two", "three"] or list(chosen("lm-eval:t*")) == ["three", "two"]
    assert [task.name for task, _ in catalog.choose(["lm-eval:three", "world_qa"])] == ["three", "world_qa"]


def test_a_group_has_its_tasks_and_they_know_their_groups(folder):
    tasks = chosen("lm-eval:all")
    assert list(tasks) == ["one", "two", "three"]
    groups = {name: {group.name: dict(group.metrics) for group in task.groups} for name, task in tasks.items()}
    assert groups["two"] == {"all": {"acc": True}}
    assert groups["three"] == {"all": {"acc": True}, "inner": {"acc_norm": False}}
    assert groups["one"] == groups["three"]


def test_a_metric_of_a_group_that_its_tasks_lack_is_told(folder, caplog):
    group = "group: typo\ntask: [one, three]\naggregate_metric_list:\n"
    write(folder, "typo.yaml", group + "  - metric: accuracy\n  - {metric: acc, filter_list: [strict]}\n")
    write(folder, "other.yaml", more="task: other\nmetric_list: [{metric: acc_norm}]\n")
    write(folder, "some.yaml", "group: some\ntask: [one, other]\naggregate_metric_list: [{metric: acc}]\n")
    chosen("lm-eval:all")
    assert "the metric" not in caplog.text
    chosen("lm-eval:typo")
    assert "group typo: none of its tasks has the metric 'accuracy' (there are: acc, acc_norm)" in caplog.text
    assert "group typo: none of its tasks has the metric 'acc' under the filter ['strict'] (there are:" in caplog.text
    assert chosen("lm-eval:some")["one"].groups[0].metrics == {"acc": True}
    assert "group some: only 1 of its 2 tasks have the metric 'acc' (there are: acc, acc_norm)" in caplog.text


def test_what_a_group_says_is_said_of_its_tasks(folder):
    config = chosen("lm-eval:inner")["three"].notes["lm_eval"]["config"]
    assert (config["num_fewshot"], config["target_delimiter"]) == (2, "~")


def test_names_that_are_nowhere(folder, monkeypatch):
    with pytest.raises(UsageError, match="unknown task of lm-evaluation-harness 'tow'; did you mean 'two'"):
        chosen("lm-eval:tow")
    with pytest.raises(UsageError, match="there is no such file"):
        chosen(str(folder / "four.yaml"))
    with pytest.raises(DataError, match="neither task nor group"):
        chosen(str(write(folder, "part.yaml", "test_split: test\n")))
    write(folder, "circle.yaml", "group: circle\ntask: [round]\n")
    write(folder, "round.yaml", "group: round\ntask: [circle]\n")
    monkeypatch.setenv("EVALKIT_LM_EVAL_TASKS", str(folder / "nowhere"))
    with pytest.raises(UsageError, match=r"EVALKIT_LM_EVAL_TASKS names .*nowhere, which is not a folder"):
        chosen("lm-eval:one")


def test_groups_that_hold_each_other(tmp_path, monkeypatch):
    write(tmp_path, "circle.yaml", "group: circle\ntask: [round]\n")
    write(tmp_path, "round.yaml", "group: round\ntask: [circle]\n")
    monkeypatch.setenv("EVALKIT_LM_EVAL_TASKS", str(tmp_path))
    with pytest.raises(DataError, match=r"the groups contain each other .circle -> round -> circle"):
        chosen("lm-eval:circle")


def test_an_imported_task_and_another_of_its_name(folder):
    path = write(folder, "qa.yaml", more="task: world_qa\n")
    with pytest.raises(UsageError, match="two tasks are called world_qa, one of them imported"):
        catalog.choose(["world_qa", str(path)])


def test_code_runs_only_when_it_is_trusted(tmp_path):
    mark = tmp_path / "ran"
    (tmp_path / "code.py").write_text(f"open({str(mark)!r}, 'w').close()\ndef text(row):\n    return 'a'\n")
    path = write(tmp_path, "own.yaml", more="doc_to_text: !function code.text\n")
    with pytest.raises(UsageError, match=r"doc_to_text is code: code.text in .*code.py; .*--trust-task-code"):
        lm_eval.choose(str(path))
    assert not mark.exists()
    assert [task.name for task in lm_eval.choose(str(path), trusted=True)] == ["made"]
    assert mark.exists()


@pytest.mark.parametrize(
    ("code", "name", "says"),
    [
        ("", "code.text", "doc_to_text: !function code.text: .*code.py defines no text"),
        ("", "nowhere.text", "doc_to_text: !function nowhere.text: there is no .*nowhere.py"),
        ("", "text", "doc_to_text: !function text: expected module.function"),
        ("import nowhere_at_all\ndef text(row): ...\n", "code.text", "code.text cannot be loaded .ModuleNotFoundError"),
        ("text = 3\n", "code.text", "text is not a function but int"),
    ],
)
def test_code_that_cannot_be_had(tmp_path, code, name, says):
    (tmp_path / "code.py").write_text(code)
    path = write(tmp_path, "own.yaml", more=f"doc_to_text: !function {name}\n")
    with pytest.raises(DataError, match=says):
        lm_eval.choose(str(path), trusted=True)


def test_names_that_a_module_makes_itself_are_not_doubted(tmp_path):
    (tmp_path / "code.py").write_text("globals()['text'] = lambda row: 'a'\n")
    path = write(tmp_path, "own.yaml", more="doc_to_text: !function code.text\n")
    assert lm_eval.choose(str(path), trusted=True)


def test_code_that_models_write_does_not_run(tmp_path):
    with pytest.raises(UsageError, match="unsafe_code: scoring would run code that the model wrote"):
        lm_eval.choose(str(write(tmp_path, "own.yaml", more="unsafe_code: true\n")), trusted=True)
