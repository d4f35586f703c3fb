"""YAML files: what is included, in which order, and what is wrong with them."""

from __future__ import annotations

import pytest

from evalkit.errors import DataError
from evalkit.lm_eval.tasks import files
from tests.lm_eval.made import write


def test_later_includes_win_over_earlier_and_own_keys_over_all(tmp_path):
    write(tmp_path, "one", "a: 1\nb: 1\nc: 1\ntask_list: [x]\n")
    write(tmp_path, "deep/two.yaml", "include: ../one\nb: 2\nc: 2\n")
    path = write(tmp_path, "own.yaml", "include: [one, deep/two]\nc: 3\n")  # the ending may be missing
    assert files.read(path) == {"a": 1, "b": 2, "c": 3}


def test_one_file_may_be_included_twice_on_different_ways(tmp_path):
    write(tmp_path, "base", "a: 1\n")
    write(tmp_path, "left", "include: base\n")
    write(tmp_path, "right", "include: base\n")
    assert files.read(write(tmp_path, "own.yaml", "include: [left, right]\n")) == {"a": 1}


def test_a_function_belongs_to_the_folder_of_the_file_that_names_it(tmp_path):
    write(tmp_path, "inner/base.yaml", "process_docs: !function code.change\n")
    found = files.read(write(tmp_path, "own.yaml", "include: inner/base.yaml\n"))["process_docs"]
    assert (found.path, str(found)) == (tmp_path / "inner" / "code.py", "!function code.change")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1\nb: 2\n", "own.yaml line 2: not valid YAML"),
        ("- 1\n", "own.yaml: expected keys and values, found list"),
        ("include: nowhere\n", "own.yaml: include: there is no .*nowhere"),
        ("include: 3\n", "own.yaml: include: expected a file's name, found 3"),
        ("include: other\n", r"include: the files include each other \(own.yaml -> other -> own.yaml\)"),
        ("a: !python/name:os.system\n", "own.yaml line 1: not valid YAML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, text, says):
    write(tmp_path, "other", "include: own.yaml\n")
    with pytest.raises(DataError, match=says) as caught:
        files.read(write(tmp_path, "own.yaml", text))
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(DataError, match=r"own\.yaml: not valid YAML"):
        files.read(path)
