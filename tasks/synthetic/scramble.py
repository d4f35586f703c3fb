r"""Word scrambling: GPT-3's five tasks, finding the word behind a jumble of letters.

Paper: Brown et al. 2020, "Language Models are Few-Shot Learners", section 3.9.2, https://arxiv.org/abs/2005.14165.
Link: https://github.com/openai/gpt-3/tree/master/data.
Splits: 10,000 words each in the released files; shots from the same words.
Where count_1w.txt is there instead (https://norvig.com/ngrams: a word, a tab, its count, the most frequent first),
its first 10,000 words of more than 4 and fewer than 15 letters are scrambled with a fixed seed, as section 3.9.2 says.
The released files hold words of 6 to 15 letters (5 to 15 in A1), in an order without frequencies.

    cl  letters cycled: the word turned by 1 to all but one of its letters   "asinoc" is casino
    a1  anagrams of all but the first and the last letter                    "skicts" is sticks
    a2  anagrams of all but the first and the last two letters               "volwskagen" is volkswagen
    ri  one of space . / ! put between any two letters                       "d.o m i!n a n.t" is dominant
    rw  the word reversed                                                    "taefed" is defeat

    document  {"context": "\nasinoc =", "completion": " casino"}
    prompt    Please unscramble the letters into a word, and write that word:
              asinoc =
    target     casino
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from evalkit.data.sources import BenchmarkSource, Hub, Row, read_lines, released
from evalkit.errors import DataError
from evalkit.harness.task import Protocol, Task
from evalkit.types import Decoding, Document, Example

_COUNT = 10_000


class _Kind(NamedTuple):
    """A task: its file, its title, and what it does to a word."""

    file: str
    title: str
    scramble: Callable[[str, random.Random], str]


def _cycle(word: str, rng: random.Random) -> str:
    turn = rng.randrange(1, len(word))
    return word[turn:] + word[:turn]


def _shuffle(word: str, rng: random.Random, *, ends: int) -> str:
    """Shuffle what lies between the ends, until it is another word if that can be."""
    middle = list(word[ends:-ends])
    shuffled = middle[:]
    while shuffled == middle and len(set(middle)) > 1:
        rng.shuffle(shuffled)
    return word[:ends] + "".join(shuffled) + word[-ends:]


def _insert(word: str, rng: random.Random) -> str:
    return word[0] + "".join(rng.choice(" ./!") + letter for letter in word[1:])


def _reverse(word: str, rng: random.Random) -> str:
    return word[::-1]


_KINDS: Mapping[str, _Kind] = {
    "cl": _Kind("cycle_letters_in_word", "cycled letters", _cycle),
    "a1": _Kind("mid_word_1_anagrams", "anagrams between the first and last letter", partial(_shuffle, ends=1)),
    "a2": _Kind("mid_word_2_anagrams", "anagrams between the first and last two letters", partial(_shuffle, ends=2)),
    "ri": _Kind("random_insertion_in_word", "punctuation between the letters", _insert),
    "rw": _Kind("reversed_words", "reversed words", _reverse),
}


def _frequent(path: Path) -> Iterator[str]:
    """Yield a frequency list's words that the paper would take, the most frequent first."""
    for number, line in read_lines(path):
        word, tab, count = line.partition("\t")
        if not (word and tab and count.strip().isdigit()):
            raise DataError(f"{path} line {number}: expected a word, a tab and its count")
        if word.isalpha() and 4 < len(word) < 15:
            yield word


def _made(name: str, paths: Sequence[Path]) -> Iterator[Row]:
    """Scramble the 10,000 most frequent words; the same on every machine."""
    rng = random.Random(f"{name}/1")
    for word in islice(_frequent(paths[0]), _COUNT):
        yield {"context": f"\n{_KINDS[name].scramble(word, rng)} =", "completion": f" {word}"}


def _to_example(document: Document) -> Example:
    row = document.row
    # The hub's contexts open with the description; the jumble is what the last line has before ' ='.
    jumble, equals, rest = row["context"].rpartition("\n")[2].rpartition(" =")
    if not (jumble and equals and row["completion"].strip()) or rest.strip():
        raise ValueError("expected a jumble and ' =' in context, and a word in completion")
    return Example(task="unscramble the letters into a word", input=jumble, output=row["completion"].strip())


def _task(name: str) -> Task:
    kind = _KINDS[name]
    return Task(
        name=f"scramble_{name}",
        family="synthetic",
        title=f"the word behind {kind.title} (Brown et al. 2020)",
        source=BenchmarkSource(
            name=f"scramble_{name}",
            hub=Hub(id="EleutherAI/unscramble", config=kind.file, splits={"test": "validation"}),
            releases=released(f"gpt3/{kind.file}.jsonl"),
            samples=released("norvig/count_1w.txt", read=partial(_made, name)),
        ),
        to_example=_to_example,
        protocols={
            "gpt3": Protocol(
                kind="generate",
                description="Please unscramble the letters into a word, and write that word:",
                query="\n{input} =",
                separator="",
                metrics=("verbatim_match",),
                decoding=Decoding(until=("\n",), max_tokens=16, beams=4, length_penalty=0.6),
                paper_shots=100,
            )
        },
    )


TASKS = tuple(_task(name) for name in _KINDS)
