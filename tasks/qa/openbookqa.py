"""OpenBookQA: multiple-choice questions that need a fact of elementary science and common knowledge.

Paper: Mihaylov et al. 2018, "Can a Suit of Armor Conduct Electricity?", https://arxiv.org/abs/1809.02789.
Splits: test, 500 questions, or validation (500) if only that is there; shots from train (4,957), otherwise from the
scored split. The fact that the question rests on is not shown.
GPT-3 compares the probability of an ending after the question with that after the bare "Answer:" (section 2.4).

    document  {"id": "8-376", "question_stem": "Frilled sharks and angler fish live far beneath ...", "choices":
               {"text": ["Deep sea animals", "fish", ...], "label": ["A", "B", "C", "D"]}, "answerKey": "A"}
    prompt    Frilled sharks and angler fish live far beneath the surface of the ocean, which is why they are known as
    target     Deep sea animals
"""

from __future__ import annotations

from evalkit.data.formats import stem_questions
from evalkit.data.sources import BenchmarkSource, Hub, released
from evalkit.harness.examples import lettered_question
from evalkit.harness.task import Protocol, Task

_read = stem_questions("question_stem")

TASKS = (
    Task(
        name="openbookqa",
        family="qa",
        title="elementary science and common knowledge, multiple choice (Mihaylov et al. 2018)",
        licence="Apache 2.0 (allenai/OpenBookQA)",
        source=BenchmarkSource(
            name="openbookqa",
            hub=Hub(id="allenai/openbookqa", config="main", splits={"test": "test", "shots": "train"}),
            releases=released("openbookqa/Main/test.jsonl", shots="openbookqa/Main/train.jsonl", read=_read),
            samples=released("openbookqa/validation.jsonl"),
        ),
        to_example=lettered_question("question_stem", task="complete or answer the question of elementary science"),
        protocols={
            "gpt3": Protocol(
                kind="choice",
                query="{input}",
                target=" {choice}",
                metrics=("acc", "acc_per_token", "acc_per_char", "acc_per_byte"),
                answer_context="Answer:",
                paper_shots=100,
            ),
            "lm-eval": Protocol(
                kind="choice",
                query="{input}",
                target=" {choice}",
                metrics=("acc", "acc_per_char", "acc_per_byte"),
            ),
        },
    ),
)
