"""Keys of a task file: what they mean, and what is refused."""

from __future__ import annotations

import pytest

from evalkit.errors import DataError
from evalkit.lm_eval.tasks import files
from evalkit.lm_eval.tasks.taskfile import TaskFile, parse
from tests.lm_eval.made import TASK, write


def parsed(folder, more: str = "", *, text: str = TASK) -> TaskFile:
    path = write(folder, "own.yaml", text, more=more)
    return parse(files.read(path), path)


GENERATE = TASK.replace("multiple_choice", "generate_until").replace("    doc_to_choice: options\n", "")


def test_what_a_file_does_not_say(tmp_path):
    file = parsed(tmp_path)
    assert (file.target_delimiter, file.fewshot_delimiter, file.repeats) == (" ", "\n\n", 1)
    assert [entry.name for entry in file.metrics] == ["acc", "acc_norm"]
    assert (file.scored_split, file.pool_split, [*file.filters]) == ("test", "test", ["none"])


def test_generation_is_greedy_until_a_shot_ends(tmp_path):
    plain = parsed(tmp_path, 'fewshot_delimiter: "\\n"\n', text=GENERATE).decoding
    assert (plain.until, plain.max_tokens, plain.top_k) == (("\n",), 256, 1)
    cold = parsed(tmp_path, "generation_kwargs: {do_sample: true, max_tokens: 7, until: [a, '', b]}\n", text=GENERATE)
    assert (cold.decoding.until, cold.decoding.max_tokens, cold.decoding.top_k) == (("a", "b"), 7, 50)
    warm = parsed(tmp_path, "generation_kwargs: {temperature: '0.7', top_k: 3}\n", text=GENERATE).decoding
    assert (warm.temperature, warm.top_k) == (0.7, 3)
    greedy = parsed(tmp_path, "generation_kwargs: {temperature: 0.7, do_sample: false}\n", text=GENERATE).decoding
    assert greedy.top_k == 1


def test_shots_are_written_as_the_task_unless_the_file_says_otherwise(tmp_path):
    file = parsed(tmp_path, "fewshot_split: dev\nfewshot_config: {sampler: first_n, target_delimiter: ''}\n")
    assert (file.shots.split, file.shots.sampler) == ("dev", "first_n")
    assert (file.shots.doc_to_text, file.shots.target_delimiter) == (file.doc_to_text, "")


def test_a_key_that_nobody_knows_is_reported_and_ignored(tmp_path, capsys):
    parsed(tmp_path, "doc_to_txt: word\n")
    assert "own.yaml: doc_to_txt is not known and has no effect" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("output_type: guess\n", "output_type: expected one of generate_until, .*, found 'guess'"),
        ("doc_to_text:\n", "doc_to_text is missing; a task with output_type multiple_choice needs it"),
        ("doc_to_choice:\n", "doc_to_choice is missing"),
        ("dataset_path:\n", "dataset_path is missing"),
        ("test_split:\n", "test_split and validation_split are both missing"),
        ('doc_to_text: "{{word"\n', "doc_to_text: not a valid template"),
        ("doc_to_text: [word]\n", r"doc_to_text: expected a column, a template or a function, found \['word'\]"),
        ("description: 3\n", "description: expected a text, found 3"),
        ("num_fewshot: many\n", "num_fewshot: expected a whole number from 0 up, found 'many'"),
        ("process_docs: code.change\n", "process_docs: expected a !function"),
        ("dataset_kwargs: rows\n", "dataset_kwargs: expected keys and values"),
        ("doc_to_image: picture\n", "doc_to_image: not supported .its documents have images"),
        ("metric_list: [{metric: acc, aggregation: maximum}]\n", "acc: aggregation 'maximum' is not known"),
        ("metric_list: [{name: acc}]\n", "metric_list: expected entries with the key metric"),
        ("metric_list: [{metric: wit}]\n", "metric 'wit' of the `evaluate` library is not known"),
        ("filter_list: [{name: a, filter: [{function: polish}]}]\n", "filter_list: a: filter 'polish' is not known"),
        ("filter_list: [{name: a, filter: [{function: regex, group: 1}]}]\n", "regex has no option 'group'"),
        (
            "filter_list: [{name: a, filter: [{function: regex, regex_pattern: '('}]}]\n",
            "not a valid regular expression",
        ),
        ("fewshot_config: {sampler: balanced}\n", "fewshot_config.sampler: expected one of default, first_n"),
        ("fewshot_config: {pool: train}\n", "fewshot_config.pool is not known"),
        ("fewshot_config: {samples: [3]}\n", "fewshot_config.samples: expected a list of documents"),
    ],
)
def test_what_is_wrong_names_file_and_key(tmp_path, more, says):
    with pytest.raises(DataError, match=f"own.yaml: {says}|own.yaml: .*{says}") as caught:
        parsed(tmp_path, more)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("said", ["{until: 3}", "{max_gen_toks: few}", "{temperature: warm}"])
def test_generation_kwargs_of_another_kind(tmp_path, said):
    with pytest.raises(DataError, match=r"own\.yaml: generation_kwargs\."):
        parsed(tmp_path, f"generation_kwargs: {said}\n", text=GENERATE)
