"""News: an article whose first sentence only sets the scene, and a summary that names who, what and where."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.world.dice import Dice
from evalkit.world.lexicon import article, words
from evalkit.world.people import People

__all__ = ["Report", "report"]

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """An article, by sentences, and its summary."""

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


def report(dice: Dice, world: People) -> Report:
    """Draw an event and its article of five or six sentences."""
    role, other = dice.some(_ROLES, 2)
    deed = dice.pick(tuple(_DEEDS))
    what = dice.pick(_DEEDS[deed])
    town = dice.pick(world.towns).name
    event = f"{role} {deed} {article(what)} {what}"
    fill = {
        "role": role,
        "other": other,
        "town": town,
        "weather": dice.pick(_WEATHERS),
        "day": dice.pick(_DAYS),
    }
    body = [
        dice.pick(_TOWN_LINES),
        dice.pick((f"Then a {event}.", f"That day a {event}.", f"There a {event}.")),
    ]
    rest = dice.shuffled([dice.pick(_QUOTES), dice.pick(_WITNESSES)])
    if dice.chance(0.5):
        rest.append(dice.pick(_ENDS))
    sentences = tuple(line.format(**fill) for line in [dice.pick(_SCENES), *body, *rest])
    return Report(sentences=sentences, summary=f"A {event} in {town}.")
