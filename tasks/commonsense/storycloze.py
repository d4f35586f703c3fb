"""StoryCloze: which of two endings suits a story of four sentences.

Paper: Mostafazadeh et al. 2016, "A Corpus and Cloze Evaluation for Deeper Understanding of Commonsense Stories",
https://arxiv.org/abs/1604.01696.
Link: https://cs.rochester.edu/nlp/rocstories (the files are sent on request).
Splits: the test set of spring 2016, 1,871 stories; shots from the validation set of the same year, 1,871 stories,
as in GPT-3. A document is a story, named by the release's identifier.

    document  {"story_id": "b929f263-...", "input_sentence_1": "My friends all love to go to the club to dance.", ...,
               "sentence_quiz1": "My friends decided to keep inviting me out as I am so much fun.",
               "sentence_quiz2": "The next weekend, I was asked to please stay home.", "answer_right_ending": 2}
    prompt    My friends all love to go to the club to dance. They think it's a lot of fun and always invite. ...
    target     The next weekend, I was asked to please stay home.
"""

from __future__ import annotations

from evalkit.data.formats import read_table
from evalkit.data.rows import choice_of
from evalkit.data.sources import BenchmarkSource, Hub, Release
from evalkit.harness.examples import choice_example
from evalkit.harness.task import Protocol, Task, document_per_row
from evalkit.types import Document, Example

_COLUMNS = {
    "InputStoryid": "story_id",
    **{f"InputSentence{i}": f"input_sentence_{i}" for i in range(1, 5)},
    "RandomFifthSentenceQuiz1": "sentence_quiz1",
    "RandomFifthSentenceQuiz2": "sentence_quiz2",
    "AnswerRightEnding": "answer_right_ending",
}


def _to_example(document: Document) -> Example:
    row = document.row
    choices = (row["sentence_quiz1"].strip(), row["sentence_quiz2"].strip())
    gold = choice_of(row["answer_right_ending"], choices, first=1)
    return choice_example(
        "choose the ending of the story",
        input=" ".join(row[f"input_sentence_{i}"].strip() for i in range(1, 5)),
        choices=choices,
        gold=gold,
    )


def _release(name: str) -> Release:
    return Release(files=(f"storycloze/{name}.csv",), read=read_table(_COLUMNS, delimiter=",", quoted=True))


TASKS = (
    Task(
        name="storycloze",
        family="commonsense",
        title="which of two endings suits a story (Mostafazadeh et al. 2016)",
        licence="for research",
        source=BenchmarkSource(
            name="storycloze",
            hub=Hub(id="LSDSem/story_cloze", config="2016", splits={"test": "test", "shots": "validation"}),
            releases={
                "test": _release("cloze_test_test__spring2016 - cloze_test_ALL_test"),
                "shots": _release("cloze_test_val__spring2016 - cloze_test_ALL_val"),
            },
        ),
        documents=document_per_row(id="story_id"),
        to_example=_to_example,
        protocols={
            "gpt3": Protocol(
                kind="choice",
                query="{input}",
                target=" {choice}",
                metrics=("acc_per_token", "acc", "acc_per_char", "acc_per_byte"),
                paper_shots=70,
            )
        },
    ),
)
