"""News: an article whose first sentence only sets the scene, and a summary that says who did what where.

Levels: "event" (one event), "salience" (two events; the summary is of the one that people talk about), "crowd" (the
police and somebody else count the people; the summary rounds what the police say).
"""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.world.dice import Dice
from evalkit.world.lexicon import article, words
from evalkit.world.people import People

__all__ = ["LEVELS", "Report", "report"]

_ROLES = words("baker teacher sailor painter doctor farmer singer lawyer judge tailor cook king queen")
# what happens -> what it can happen to
_DEEDS = {
    "opened": words("school library museum hotel theatre bridge shop"),
    "bought": words("castle boat farm house hotel shop island"),
    "sold": words("castle boat farm house shop car horse"),
    "found": words("ring horse coin letter map clock bear"),
    "stole": words("ring horse coin car clock boat flag"),
    "painted": words("church bridge tower boat school wall house"),
    "lost": words("ring letter coin map horse bag dog"),
    "built": words("tower bridge boat school wall house church"),
}
_SCENES = (
    "It was a {weather} {day} and the streets were quiet.",
    "The {day} began like any other day, {weather} and quiet.",
    "Nobody expected much on this {weather} {day}.",
    "People will remember this {weather} {day} for a long time.",
)
_WEATHERS = words("cold warm wet windy sunny grey")
_DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
_TOWN_LINES = (
    "Many people came to the market of {town}.",
    "In the town of {town} the bells were ringing.",
    "The people of {town} were still asleep.",
    "In {town} the shops were open.",
)
_QUOTES = (
    '"I cannot believe it," said the {role}.',
    '"I will never forget this day," said the {role}.',
    '"It was not easy," the {role} said later.',
)
_TALK = ("Everybody talked about the {role}.", "The whole town spoke of the {role}.")
_WITNESSES = (
    "A {other} saw everything.",
    "A {other} was the first to hear of it.",
    "A {other} told the police.",
)
_ENDS = (
    "More news will follow.",
    "The mayor did not want to say anything.",
    "In the evening there was music and cake.",
)

LEVELS = ("event", "salience", "crowd")


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """An article, by sentences, and its summary."""

    level: str
    sentences: tuple[str, ...]
    summary: str

    @property
    def key(self) -> str:
        """The canonical key: the summary names the whole event."""
        return f"summary:{self.summary}"

    @property
    def article(self) -> str:
        """The article as one paragraph."""
        return " ".join(self.sentences)


def report(dice: Dice, world: People, level: str) -> Report:
    """Draw an event and its article of five to seven sentences."""
    role, other, witness = dice.some(_ROLES, 3)
    event, rival = f"{role} {_deed(dice)}", f"{other} {_deed(dice)}"
    town = dice.pick(world.towns).name
    fill = {"role": role, "other": witness, "town": town, "weather": dice.pick(_WEATHERS), "day": dice.pick(_DAYS)}
    sentences = [dice.pick((f"Then {article(event)} {event}.", f"That day {article(event)} {event}."))]
    summary = f"{article(event).capitalize()} {event} in {town}."
    rest = [dice.pick(_QUOTES), dice.pick(_WITNESSES)]
    if level == "salience":
        sentences.append(f"{article(rival).capitalize()} {rival}.")
        rest = [dice.pick(_TALK), dice.pick((*_QUOTES, *_WITNESSES))]
    elif level == "crowd":
        seen, counted = _people_counted(dice), _people_counted(dice)
        sentences.append(f"The police counted {counted} people.")
        rest = [f'"I saw {seen} people," said the {witness}.', dice.pick(_QUOTES)]
        summary = f"{summary} About {round(counted, -1)} people came."
    if dice.chance(0.3):
        rest.append(dice.pick(_ENDS))
    lines = [dice.pick(_SCENES), dice.pick(_TOWN_LINES), *dice.shuffled(sentences), *dice.shuffled(rest[:2]), *rest[2:]]
    return Report(level=level, sentences=tuple(line.format(**fill) for line in lines), summary=summary)


def _deed(dice: Dice) -> str:
    deed = dice.pick(tuple(_DEEDS))
    what = dice.pick(_DEEDS[deed])
    return f"{deed} {article(what)} {what}"


def _people_counted(dice: Dice) -> int:
    """Draw a number between 16 and 94 that is nearest to one ten, and not that ten."""
    return 10 * (2 + dice.below(8)) + dice.pick((1, 2, 3, 4, -1, -2, -3, -4))
