"""How many files of a folder can be imported, why the rest cannot, and how names are found without parsing them all."""

from __future__ import annotations

from evalkit.cli import main
from evalkit.lm_eval.tasks.check import check_folder
from evalkit.lm_eval.tasks.index import index
from tests.lm_eval.made import write


def test_files_are_counted_and_causes_brought_together(tmp_path, capsys):
    write(tmp_path, "good.yaml")
    write(tmp_path, "group.yaml", "group: some\ntask: [made]\n")
    write(tmp_path, "part.yaml", "test_split: test\n")
    for name in ("a", "b"):
        write(tmp_path, f"deep/{name}.yaml", more="doc_to_image: picture\n")
    write(tmp_path, "broken.yaml", "a: [\n")
    report = check_folder(tmp_path)
    assert (report.files, report.tasks, report.groups, report.parts, report.share) == (6, 1, 1, 1, 0.5)
    assert [len(messages) for messages in report.causes.values()] == [2, 1]
    assert main(["tasks", "--check-lm-eval", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "6 files: 1 tasks, 1 groups, 1 parts of others, 3 that cannot be imported; 50.00% can" in told
    assert "    2  doc_to_image: not supported (its documents have images)" in told
    assert main(["tasks", "--check-lm-eval", str(tmp_path / "nowhere")]) == 2


def test_names_are_found_however_they_are_written(tmp_path):
    write(tmp_path, "base", "tag:\n  - inherited\n")
    write(tmp_path, "one.yaml", "task: one # the first\ninclude: base\ntag: [a, 'b']\n")
    write(tmp_path, "two.yaml", "\"task\": 'two'\ninclude:\n  - base\n")
    write(tmp_path, "three.yaml", "task:\n  - one\n  - two\ngroup: three\n")
    write(tmp_path, "z/one.yaml", "task: one\ntag: late\n")
    found = index((tmp_path,))
    assert dict(found.tasks) == {"one": tmp_path / "one.yaml", "two": tmp_path / "two.yaml"}
    assert dict(found.groups) == {"three": tmp_path / "three.yaml"}
    tags = {tag: [path.name for path in paths] for tag, paths in found.tags.items() if tag != "late"}
    assert tags == {"a": ["one.yaml"], "b": ["one.yaml"], "inherited": ["two.yaml"]}
