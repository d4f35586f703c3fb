"""Tales: a passage, and closing sentences that fall back on it. They carry the family cloze."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.world.cast import ANIMALS, FOODS, NAMES, facts_key, her
from evalkit.world.dice import Dice
from evalkit.world.lexicon import article

__all__ = ["GAPS", "Gap", "Tale", "tale"]

GAPS = ("sense", "thing", "friend")
"""What decides a gap: the sense of the sentence alone; which thing is the friend's; whose the thing is."""

_MEETINGS = (
    "One morning {} friends met in the park.",
    "On Sunday {} friends went to the lake.",
    "After school {} friends sat down in the garden.",
    "In the summer {} friends went to the beach.",
)
_MIDDLES = (
    "They talked and laughed until noon. Then it was time to go.",
    "They sang all afternoon. Then it was time to go.",
    "They sat in the sun for an hour.",
)
# what a friend may bring -> the sentence whose sense asks for it; every tale has one of each
_SENSES = (
    (FOODS, "{} was hungry and ate the", " at once."),
    (ANIMALS, "{} gave some water to the", " and smiled."),
    (("book", "map", "letter"), "{} sat down to read the", " in peace."),
    (("hat", "coat", "glove"), "{} was cold and put on the", " at once."),
    (("box", "bag", "basket"), "{} opened the", " and looked inside."),
)
_THING_GAPS = (
    ("{} took {}", " and went home."),
    ("{} looked for {}", " and ran home."),
    ("{} was proud and showed {}", " to everybody."),
)
_FRIEND_GAPS = (
    ("The {} was picked up by", " with a smile."),
    ("The {} was taken home by", " in a hurry."),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A sentence without one word: `before` + " " + a choice + `after`. kind: one of GAPS."""

    kind: str
    before: str
    after: str
    answer: str
    choices: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The sentence with the right word."""
        return f"{self.before} {self.answer}{self.after}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tale:
    """What three or four friends brought; five things are named in the passage.

    friends: for each friend, the sentences that may close the tale, one of each kind of gap.
    """

    key: str
    passage: str
    friends: tuple[tuple[Gap, ...], ...]

    def text(self, dice: Dice) -> str:
        """Return the tale, closed with one sentence for each friend."""
        return " ".join([self.passage, *(dice.pick(gaps).sentence for gaps in self.friends)])


def tale(dice: Dice) -> Tale:
    """Draw a tale."""
    count = dice.pick((3, 4))
    names = dice.some(NAMES, count)
    senses = dice.shuffled(_SENSES)
    things = [dice.pick(sense[0]) for sense in senses]
    brought = [f"{name} brought {article(thing)} {thing}." for name, thing in zip(names, things, strict=False)]
    extra = things[count:]
    brought.append(f"There was {' and '.join(f'{article(thing)} {thing}' for thing in extra)} in the grass.")
    opening = dice.pick(_MEETINGS).format("three" if count == 3 else "four")
    friends = []
    for i in range(count):
        named, before, after = things[i], *dice.pick(_THING_GAPS)
        thing = _gap("thing", before.format(names[i], her(names[i])), after, named, things)
        before, after = dice.pick(_FRIEND_GAPS)
        friend = _gap("friend", before.format(named), after, names[i], names)
        sense = _gap("sense", senses[i][1].format(dice.pick(names)), senses[i][2], named, things)
        friends.append((sense, thing, friend))
    pairs = [*zip(names, things, strict=False), ("grass", *sorted(extra))]
    return Tale(
        key=facts_key("cloze", *pairs),
        passage=" ".join([opening, *dice.shuffled(brought), dice.pick(_MIDDLES)]),
        friends=tuple(dice.shuffled(friends)),
    )


def _gap(kind: str, before: str, after: str, answer: str, choices: list[str]) -> Gap:
    return Gap(kind=kind, before=before, after=after, answer=answer, choices=tuple(choices))
