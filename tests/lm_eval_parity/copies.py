"""Local copies of the data sets that lm-eval's task files name, in the hub's layout, from the files in EVALKIT_DATA.

A copy has the columns that the hub's data set has as far as a task reads them. The rows are the benchmarks' own where
they are at hand. Where a split is missing, rows of another stand in for it, and where a whole data set is, rows of
OpenBookQA do: prompts and scores can then be compared between two programs, but no score of a model means anything.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from evalkit.data.sources import DataPaths
from evalkit.harness import catalog
from evalkit.lm_eval.tasks import files

Row = dict[str, Any]

# Enough for 100 documents with shots from elsewhere, and read in no time.
_ROWS = 400


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One configuration of a data set.

    path, config: as task files name them. source: the bundled task whose rows it has. splits: split -> "test" or
    "shots", evalkit's names of a source's rows. change: rows of the source -> rows with the hub's columns.
    stand_in: the rows are another benchmark's.
    """

    path: str
    config: str = "default"
    source: str
    splits: Mapping[str, str]
    change: Callable[[Iterable[Row]], Iterator[Row]] = field(default=iter)
    stand_in: bool = False

    def write(self, data: DataPaths, root: Path) -> None:
        """Write its splits as parquet, unless they are there already."""
        import pyarrow
        from pyarrow import parquet

        for split, role in self.splits.items():
            path = root / self.path / self.config / f"{split}-00000-of-00001.parquet"
            if path.exists():
                continue
            rows = list(islice(self.change(self._rows(data, role)), _ROWS))
            path.parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(pyarrow.Table.from_pylist(rows), path)

    def _rows(self, data: DataPaths, role: str) -> Iterator[Row]:
        source = catalog.bundled()[self.source].source
        rows = [dict(row) for row in islice(source.rows("test" if role == "test" else "shots", data), 4 * _ROWS)]
        # A source without a pool of its own gives the scored rows; turned round, other ones come first.
        same = role == "shots" and source.fingerprint("shots", data) == source.fingerprint("test", data)
        yield from reversed(rows) if same else rows


def _hellaswag(rows: Iterable[Row]) -> Iterator[Row]:
    """Divide the context in two as the hub does: what the last sentence begins with is the second part."""
    for row in rows:
        first, _, last = row["ctx"].rpartition(". ")
        yield {
            "ind": row["ind"], "activity_label": row["activity_label"], "ctx_a": f"{first}." if first else row["ctx"],
            "ctx_b": last if first else "", "ctx": row["ctx"], "endings": row["endings"], "label": str(row["label"]),
        }  # fmt: skip


def _piqa(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        yield {key: row[key] for key in ("goal", "sol1", "sol2")} | {"label": int(row["label"])}


def _boolq(rows: Iterable[Row]) -> Iterator[Row]:
    for i, row in enumerate(rows):
        yield {"question": row["question"], "passage": row["passage"], "idx": i, "label": int(row["answer"])}


def _rte(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        label = row["label"] if isinstance(row["label"], int) else ("entailment", "not_entailment").index(row["label"])
        yield {"premise": row["premise"], "hypothesis": row["hypothesis"], "idx": row["idx"], "label": label}


def _cb(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        names = ("entailment", "contradiction", "neutral")
        label = row["label"] if isinstance(row["label"], int) else names.index(row["label"])
        yield {"premise": row["premise"], "hypothesis": row["hypothesis"], "idx": row["idx"], "label": label}


def _coqa(rows: Iterable[Row]) -> Iterator[Row]:
    """Write a story's questions and answers as EleutherAI/coqa has them: each further person's answers by a number."""
    for row in rows:
        questions, others = row["questions"], row["additional_answers"]
        yield {
            "id": row["id"], "source": row["source"], "story": row["story"],
            "questions": {"input_text": questions, "turn_id": list(range(1, len(questions) + 1))},
            "answers": {"input_text": row["answers"]["input_text"]},
            "additional_answers": {str(i): {"input_text": texts} for i, texts in enumerate(others)},
        }  # fmt: skip


def _race(rows: Iterable[Row]) -> Iterator[Row]:
    """Make one row of each article with its questions, written as the text of a list."""
    articles: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        articles[row["article"]].append({key: row[key] for key in ("question", "answer", "options")})
    for article, problems in articles.items():
        yield {"article": article, "problems": str(problems)}


def _sciq(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        right = row["choices"]["label"].index(row["answerKey"])
        wrong = [text for i, text in enumerate(row["choices"]["text"]) if i != right]
        yield {
            "question": row["question_stem"], "support": "", "correct_answer": row["choices"]["text"][right],
            **{f"distractor{i}": text for i, text in enumerate(wrong, start=1)},
        }  # fmt: skip


def _gsm8k(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        yield {"question": row["question"], "answer": row["answer"][0]}


def _sst2(rows: Iterable[Row]) -> Iterator[Row]:
    for i, row in enumerate(rows):
        yield {"sentence": row["sentence"], "label": int(row["label"]), "idx": i}


def _mmlu(subject: str, place: int) -> Callable[[Iterable[Row]], Iterator[Row]]:
    """Give each subject some rows of OpenBookQA, not as many as the one before it, so that weights matter."""

    def change(rows: Iterable[Row]) -> Iterator[Row]:
        for row in islice(rows, place, place + 6 + place % 11):
            answer = row["choices"]["label"].index(row["answerKey"])
            yield {
                "question": row["question_stem"],
                "subject": subject,
                "choices": row["choices"]["text"],
                "answer": answer,
            }

    return change


_VALID = {"train": "shots", "validation": "test"}
_TRAINED = {"train": "shots", "test": "test"}
_TEST = {"train": "shots", "validation": "shots", "test": "test"}
_SUPERGLUE = "aps/super_glue"

COPIES: tuple[Copy, ...] = (
    Copy(path="Rowan/hellaswag", source="hellaswag", splits=_VALID, change=_hellaswag),
    Copy(path="allenai/ai2_arc", config="ARC-Easy", source="arc_easy", splits=_TEST),
    Copy(path="allenai/ai2_arc", config="ARC-Challenge", source="arc_challenge", splits=_TEST),
    Copy(path="baber/piqa", source="piqa", splits=_VALID, change=_piqa),
    Copy(path=_SUPERGLUE, config="boolq", source="boolq", splits=_VALID, change=_boolq),
    Copy(path=_SUPERGLUE, config="copa", source="copa", splits=_VALID),
    Copy(path=_SUPERGLUE, config="cb", source="cb", splits=_VALID, change=_cb),
    Copy(path=_SUPERGLUE, config="rte", source="rte", splits=_VALID, change=_rte),
    Copy(path="allenai/winogrande", config="winogrande_xl", source="winogrande", splits=_VALID),
    Copy(path="EleutherAI/lambada_openai", source="lambada", splits={"test": "test"}),
    Copy(path="EleutherAI/wikitext_document_level", config="wikitext-2-raw-v1", source="wikitext2", splits=_TEST),
    Copy(path="EleutherAI/coqa", source="coqa", splits=_VALID, change=_coqa),
    Copy(path="google-research-datasets/nq_open", source="nq_open", splits=_VALID),
    Copy(path="mandarjoshi/trivia_qa", config="rc.nocontext", source="triviaqa", splits=_VALID),
    Copy(path="stanfordnlp/web_questions", source="webquestions", splits=_TRAINED),
    Copy(path="wmt/wmt14", config="fr-en", source="wmt14_fr_en", splits=_TEST),
    Copy(
        path="EleutherAI/unscramble", config="mid_word_1_anagrams", source="scramble_a1", splits={"validation": "test"}
    ),
    Copy(path="EleutherAI/unscramble", config="reversed_words", source="scramble_rw", splits={"validation": "test"}),
    Copy(path="nyu-mll/glue", config="sst2", source="sst2", splits=_VALID, change=_sst2),
    Copy(path="allenai/openbookqa", config="main", source="openbookqa", splits=_TEST),
    Copy(path="lighteval/winograd_wsc", config="wsc273", source="winograd", splits={"test": "test"}),
    Copy(path="EleutherAI/race", config="high", source="race_high", splits={"test": "test"}, change=_race),
    Copy(path="openai/gsm8k", config="main", source="nq_open", splits=_TRAINED, change=_gsm8k, stand_in=True),
    Copy(path="allenai/sciq", source="openbookqa", splits=_TEST, change=_sciq, stand_in=True),
)

# Files that task files name one by one: place under the root -> the bundled task whose rows they are.
_FILES = {
    "EleutherAI/arithmetic/data/single_digit_three_ops.jsonl": "arithmetic_1dc",
    "EleutherAI/arithmetic/data/two_digit_addition.jsonl": "arithmetic_2da",
    "EleutherAI/arithmetic/data/three_digit_subtraction.jsonl": "arithmetic_3ds",
}


def copies(task_files: Path) -> list[Copy]:
    """List all copies; MMLU's subjects are those that lm-eval's files name."""
    subjects = [str(files.read(path)["dataset_name"]) for path in sorted(task_files.glob("mmlu/default/mmlu_*.yaml"))]
    splits = {"dev": "shots", "test": "test"}
    return [*COPIES] + [
        Copy(path="cais/mmlu", config=s, source="openbookqa", splits=splits, change=_mmlu(s, i), stand_in=True)
        for i, s in enumerate(subjects)
    ]


def write_all(data: Path, root: Path, *, task_files: Path) -> None:
    """Write every copy that is not there yet under `root`, and the README that tells `datasets` its configurations.

    data: the folder of benchmark files. task_files: lm-eval's.
    """
    places, wanted = DataPaths(root=data), copies(task_files)
    for copy in wanted:
        copy.write(places, root)
    for path in dict.fromkeys(copy.path for copy in wanted):
        _write_readme(root / path, [copy for copy in wanted if copy.path == path])
    for name, task in _FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        rows = islice(catalog.bundled()[task].source.rows("test", places), _ROWS)
        (root / name).write_text("".join(json.dumps(dict(row)) + "\n" for row in rows), encoding="utf-8")


def _write_readme(folder: Path, copies: list[Copy]) -> None:
    lines = ["---", "configs:"]
    for copy in copies:
        lines += [f"- config_name: {copy.config}", "  data_files:"]
        for split in copy.splits:
            lines += [f"  - split: {split}", f"    path: {copy.config}/{split}-*.parquet"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]), encoding="utf-8")
