"""Sums of the official scripts' scores on the items of tests/metrics/test_official.py, to be pinned there.

    EVALKIT_DATA=DATA python -m tests.official_scores FOLDER

FOLDER holds triviaqa_evaluation.py (github.com/mandarjoshi90/triviaqa, evaluation/), drop_eval.py and squad2_eval.py
(github.com/allenai/allennlp-reading-comprehension, allennlp_rc/eval/) and QuAC's scorer.py as scorer.py. None of them
is part of this project.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.metrics import test_official as items


def load(folder: Path, name: str) -> Any:
    """Import a script; what it imports beside the standard library and is not there is not needed."""
    sys.path.insert(0, str(folder))
    package = ModuleType("utils")
    for part in ("dataset_utils", "utils"):
        module = ModuleType(f"utils.{part}")
        sys.modules[module.__name__] = module
        setattr(package, part, module)
    sys.modules.setdefault("utils", package)
    return importlib.import_module(name)


def main(folder: Path, data: Path) -> None:
    """Print the sums."""
    trivia, drop, squad, quac = (
        load(folder, name) for name in ("triviaqa_evaluation", "drop_eval", "squad2_eval", "scorer")
    )
    sums: dict[str, float] = {}

    def add(name: str, value: float) -> None:
        sums[name] = sums.get(name, 0.0) + float(value)

    for example, text in items.triviaqa_items(data):
        add("triviaqa", trivia.metric_max_over_ground_truths(trivia.exact_match_score, text, example.answers))
    for example, text in items.drop_items(data):
        scores = [drop.get_metrics(text.split("; "), answer.split("; ")) for answer in example.answers]
        add("drop_em", max(em for em, _ in scores))
        add("drop_f1", max(f1 for _, f1 in scores))
    for example, text in items.squad2_items(data):
        said, *answers = ("" if answer == "unanswerable" else answer for answer in (text, *example.answers))
        answers = [answer for answer in answers if squad.normalize_answer(answer)] or [""]
        add("squad2_f1", max(squad.compute_f1(answer, said) for answer in answers))
        add("squad2_em", max(squad.compute_exact(answer, said) for answer in answers))
    for example, text in items.quac_items(data):
        answers = quac.handle_cannot(list(example.answers))
        if quac.leave_one_out(answers) >= 0.4:
            add("quac_f1", quac.leave_one_out_max(text, answers, ""))
            add("quac_counted", 1)
    for name, value in sums.items():
        print(f'    "{name}": {value:.6f},')


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(os.environ["EVALKIT_DATA"]))
