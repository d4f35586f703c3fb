"""Everything that was planted is found, nothing else, whatever the form of the corpus and the number of processes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from evalkit.cli import main
from evalkit.contamination import corpora, documents, search, verdicts
from evalkit.contamination.documents import gram_length
from evalkit.corpus import shards, sources
from evalkit.corpus.word_hashes import WORD
from evalkit.data.sources import DataPaths
from evalkit.errors import NoDataError, UsageError
from evalkit.harness import catalog
from evalkit.harness.loaded import ImportedTask
from evalkit.tokenizer import Tokenizer
from evalkit.types import Document, Example


def judge(data, corpus, work, *, tasks=("lambada",), jobs=1):
    texts = documents.read(catalog.select(tasks), data)
    training = corpora.open_training([str(corpus)])
    sightings = search.search(training, documents.sought(texts), work, jobs=jobs)
    return [verdicts.judge(task, sightings) for task in texts]


def counted(text, n):
    """The runs of n words of a text, spelt out."""
    words = [word.lower() for word in WORD.findall(text)]
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def test_all_that_was_planted_is_found_and_nothing_else(planted, tmp_path):
    data, corpus, ids = planted
    [overlap] = judge(data, corpus, tmp_path / "work")
    assert {verdict.document for verdict in overlap.verdicts if verdict.dirty} == ids
    assert overlap.n == 13 and overlap.documents == 60
    for verdict in overlap.verdicts:
        assert verdict.share == (1.0 if verdict.document in ids else 0.0)
    assert overlap.share == pytest.approx(1 / 3) == overlap.mean_share


def test_counts_are_those_of_sets_of_words(planted, tmp_path):
    data, corpus, _ = planted
    rows = [json.loads(line) for line in (tmp_path / "lambada.jsonl").read_text().splitlines()]
    pages = [json.loads(line)["text"] for path in sorted(corpus.iterdir()) for line in path.read_text().splitlines()]
    known = {n: {run for page in pages for run in counted(page, n)} for n in (8, 13)}
    [overlap] = judge(data, corpus, tmp_path / "work")
    tests = {run for row in rows for run in counted(row["text"], 8)}
    assert (overlap.overlap_seen, overlap.overlap) == (len(tests & known[8]), len(tests))
    for verdict, row in zip(overlap.verdicts, rows, strict=True):
        assert verdict.seen == sum(run in known[13] for run in counted(row["text"], 13))
        assert verdict.runs == len(counted(row["text"], 13))


def test_a_run_does_not_go_from_one_document_to_the_next(planted, tmp_path):
    data, corpus, _ = planted
    words = json.loads((tmp_path / "lambada.jsonl").read_text().splitlines()[1])["text"].split()
    halves = [" ".join(words[:7]), " ".join(words[7:14])]
    (corpus / "z.jsonl").write_text("".join(json.dumps({"text": half}) + "\n" for half in halves))
    [overlap] = judge(data, corpus, tmp_path / "work")
    assert overlap.verdicts[1].overlap_seen == 0


def test_the_passage_and_where_it_stands(planted, tmp_path):
    data, corpus, _ = planted
    [overlap] = judge(data, corpus, tmp_path / "work")
    verdict = overlap.verdicts[21]
    row = json.loads((tmp_path / "lambada.jsonl").read_text().splitlines()[21])
    assert verdict.passage == row["text"]
    assert (verdict.source, verdict.training_document) == ("1.jsonl", 105)
    assert not overlap.verdicts[22].passage and overlap.verdicts[22].training_document == -1


def test_the_same_files_for_any_number_of_processes_and_after_an_interruption(planted, tmp_path, monkeypatch):
    data, corpus, _ = planted
    monkeypatch.setattr(sources, "PART", 40_000)
    judge(data, corpus, tmp_path / "one")
    judge(data, corpus, tmp_path / "two", jobs=2)
    names = sorted(path.name for path in (tmp_path / "one").glob("chunk-*"))
    assert len(names) > 3

    def contents(folder: Path):
        return [(folder / name).read_bytes() for name in names]

    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    (tmp_path / "two" / names[1]).unlink()
    monkeypatch.setattr(search, "joined", _only_once(search.joined))
    judge(data, corpus, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    with pytest.raises(UsageError, match="unfinished search of another corpus"):
        judge(data, corpus / "0.jsonl", tmp_path / "two")


def _only_once(function):
    left = [None]

    def once(chunk):
        left.pop()
        return function(chunk)

    return once


def test_a_built_corpus_is_read_through_its_tokenizer(planted, tmp_path, monkeypatch):
    data, corpus, ids = planted
    pages = [json.loads(line)["text"] for path in sorted(corpus.iterdir()) for line in path.read_text().splitlines()]
    tokenizer = Tokenizer.train(iter(pages), vocab_size=300)
    shards.of_texts(pages, tokenizer, tmp_path / "built", name="built", validation=0.0)
    monkeypatch.setattr(corpora, "TOKENS", 10_000)
    [overlap] = judge(data, tmp_path / "built", tmp_path / "work")
    assert {verdict.document for verdict in overlap.verdicts if verdict.dirty} == ids
    assert overlap.verdicts[21].training_document == 105
    assert len(list((tmp_path / "work").glob("chunk-*"))) > 3


def test_what_a_task_shares_with_its_own_training_split(tmp_path):
    folder = tmp_path / "sst2"
    folder.mkdir()
    shared = "one two three four five six seven eight nine"
    rows = {"validation": [shared, "ten words that are in no other split of this task"], "train": [f"x {shared} y"]}
    for split, texts in rows.items():
        (folder / f"{split}.jsonl").write_text(
            "".join(json.dumps({"sentence": t, "label": 1, "idx": i}) + "\n" for i, t in enumerate(texts))
        )
    [task] = documents.read(catalog.select(["sst2"]), DataPaths(named={"sst2": folder}))
    seen, of = int(task.in_own_train.sum()), len(task.in_own_train)
    assert seen == 2 and of > 3


def test_tasks_of_another_tool_are_read_by_their_own_rules(planted):
    data, _, _ = planted

    class Theirs(ImportedTask):
        def load(self, settings, data):
            example = Example(task="", input="one two three four five", output="six seven eight nine")
            return SimpleNamespace(documents=[(Document(id="7", row={}), example)])

    plain = catalog.select(["lambada"])[0]
    [task] = documents.read([Theirs(**{name: getattr(plain, name) for name in plain.__dataclass_fields__})], data)
    assert (task.ids, task.lengths.tolist(), len(task.runs[8].values), task.in_own_train) == (["7"], [9], 2, None)


def test_a_task_without_a_split_of_its_own_has_no_such_figure(planted):
    data, _, _ = planted
    [task] = documents.read(catalog.select(["lambada"]), data)
    assert task.in_own_train is None


def test_n_is_the_fifth_percentile_within_bounds():
    assert gram_length(np.arange(1, 101) * 2, synthetic=False) == 11  # 11.9
    assert gram_length(np.full(50, 5), synthetic=False) == 8
    assert gram_length(np.full(50, 5), synthetic=True) == 5
    assert gram_length(np.full(50, 1), synthetic=True) == 2
    assert gram_length(np.full(50, 90), synthetic=True) == 13


def test_options_are_looked_for_too():
    example = Example(task="", input="The cat", output="sat", choices=("sat", "flew"))
    assert documents.texts_of(example) == ["The cat sat", "sat", "flew"]


def test_the_command_prints_a_table_and_writes_every_verdict(planted, tmp_path, capsys):
    _, corpus, ids = planted
    out = tmp_path / "out"
    command = ["contamination", str(corpus), "--tasks", "lambada", "--data", f"lambada={tmp_path / 'lambada.jsonl'}"]
    assert main([*command, "--out", str(out), "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "33.33%" in printed and "1.20%" in printed and "43%" in printed
    page = (out / "contamination.md").read_text()
    assert "| lambada | 60 |" in page and "--jobs" not in page
    rows = (out / "contamination.csv").read_text().splitlines()
    assert len(rows) == 61 and sum(",dirty," in row for row in rows) == len(ids)
    raw = json.loads((out / "contamination.json").read_text())
    assert raw["tasks"][0]["dirty"] == len(ids) and raw["corpus_documents"] == 300
    assert not (out / "unfinished").exists()


def test_a_task_without_data_is_left_out_with_a_warning(planted, caplog, monkeypatch):
    data, _, _ = planted

    def missing(*_, **__):
        raise NoDataError("no data for copa")

    tasks = catalog.select(["lambada", "copa"])
    monkeypatch.setattr(type(tasks[1].source), "_load_hub", missing)
    assert [task.name for task in documents.read(tasks, data)] == ["lambada"]
    assert "left out: no data for copa" in caplog.text
    with pytest.raises(NoDataError, match="copa"):
        documents.read(tasks[1:], data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tasks", "lambda"], "did you mean 'lambada'"),
        (["--tasks", "lambada", "--jobs", "0"], "--jobs must be at least 1"),
        (["--tasks", "world_qa", "--runs", "nowhere"], "there is no run folder nowhere"),
    ],
)
def test_wrong_options_are_told_in_one_line(planted, caplog, options, message):
    _, corpus, _ = planted
    assert main(["contamination", str(corpus), *options]) == 2
    assert message in caplog.text


def test_the_papers_tables_name_our_tasks():
    from evalkit.papers.contamination import contaminations, overlaps

    assert {*contaminations(), *overlaps()} <= catalog.bundled().keys()
    row = contaminations()["piqa"]
    assert (row.n, row.dirty, row.clean, row.change) == (8, 526, 1312, -4.0)
    assert all(row.dirty + row.clean == row.documents for row in contaminations().values())
    own = [row.own for row in overlaps().values() if row.own is not None]
    assert sum(own) / len(own) == pytest.approx(5.9, abs=0.05)  # the paper's own means
    assert sum(overlaps()[name].webtext for name in overlaps() if name != "lambada") / 6 == pytest.approx(3.2, abs=0.05)
