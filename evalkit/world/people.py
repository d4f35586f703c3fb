"""The invented people and towns, their facts, and the entries and questions about them.

A Zipf-like popularity decides how often a person is written about, so that closed-book questions about the
head and the tail of the list measure what a model of a given size remembers.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from evalkit.world.dice import Dice, held_out
from evalkit.world.lexicon import article, words

__all__ = [
    "BOYS",
    "GIRLS",
    "LEVELS",
    "RELATIONS",
    "Fact",
    "People",
    "Person",
    "Town",
    "answer",
    "entry",
    "guide",
    "people",
]

GIRLS = words(
    "Ada Anna Clara Dora Ella Eva Gina Ida Iris Jane Julia Kate Lena "
    "Lily Lucy Mary Mia Nina Nora Olga Rosa Ruth Sara Tina Vera"
)
BOYS = words(
    "Adam Alex Ben Carl Dan David Emil Erik Felix Frank Hugo Ivan Jack "
    "John Karl Leo Luke Mark Max Oscar Paul Peter Sam Tom Victor"
)

_STARTS = words(
    "Mor Vel Tar Ker Bal Sor Dan Fen Gal Har Lin Nor Pel Ros Tam "
    "Wes Bran Cor Del Hol Bru Cas Dor Fal Gren Jen Kal Lam Mer Nel"
)
_ENDS = words(
    "en ick ov ers ini well man son ard ell ing ette eau ova sen "
    "ley ber dale field gate holm land ling low mont ney ridge stad ton wick"
)
_TOWN_STARTS = words("Ald Bir Cast Dun Elm Fal Glen Hart Ives Kirk")
_TOWN_ENDS = words("by ton ford mouth")

_VALUES = {
    "profession": words(
        "baker teacher sailor painter doctor farmer singer lawyer judge tailor miner pilot poet dancer writer"
    ),
    "instrument": words("flute piano violin guitar drum harp trumpet organ cello horn banjo lute"),
    "animal": words("cat dog horse parrot rabbit goat duck turtle hen snake pony mouse"),
}
_RIVERS = words("Arrow Blackwater Clyde Dove Eden Fern Grey Hazel")
_GOODS = words("wool glass ships paper silk salt wine clocks")

RELATIONS = {
    "birthplace": ("Where was {} born?", "What is the birthplace of {}?", "What is the home town of {}?"),
    "profession": ("What is the job of {}?", "What is the profession of {}?", "What does {} work as?"),
    "instrument": ("What does {} play?", "Which instrument does {} play?", "What is the instrument of {}?"),
    "animal": ("Which animal does {} have?", "What is the pet of {}?", "What is the favourite animal of {}?"),
}
_TOWN_RELATIONS = {
    "river": ("Which river flows through {}?", "On which river does {} lie?"),
    "goods": ("What is {} known for?", "What is made in {}?"),
}

# {0}: name or pronoun, {1}: the fact, {2}: its article
_STATEMENTS = {
    "birthplace": ("{0} was born in {1}.", "{0} comes from {1}."),
    "profession": ("{0} is {2} {1}.", "{0} works as {2} {1}."),
    "instrument": ("{0} plays the {1}.", "{0} is known for playing the {1}."),
    "animal": ("{0} has {2} {1}.", "{0} lives with {2} {1}."),
}
# {0}: name; these say the relation in the words of the questions
_DESCRIPTIONS = {
    "birthplace": ("The birthplace of {0} is {1}.", "The home town of {0} is {1}."),
    "profession": ("The job of {0} is {1}.", "The profession of {0} is {1}."),
    "instrument": ("The instrument of {0} is the {1}.",),
    "animal": ("The pet of {0} is a {1}.", "The favourite animal of {0} is the {1}."),
}

LEVELS = {"head": 100, "middle": 300, "tail": len(_STARTS) * len(_ENDS)}
"""Level -> the rank below which people belong to it."""

# A person's chance to be written about falls with the rank to this power (Zipf's law).
_ZIPF = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """A person. rank: 0 is the most written about. facts: relation -> value."""

    name: str
    surname: str
    sex: str
    rank: int
    facts: dict[str, str]

    @property
    def level(self) -> str:
        """How well known the person is: one of LEVELS."""
        return next(level for level, rank in LEVELS.items() if self.rank < rank)


@dataclass(frozen=True, kw_only=True, slots=True)
class Town:
    """A town and its facts (river, goods)."""

    name: str
    facts: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """A person and a relation that can be asked for."""

    person: Person
    relation: str

    @property
    def key(self) -> str:
        """The canonical key of the question, whatever its wording."""
        return f"qa:{self.person.name}/{self.relation}"

    @property
    def answer(self) -> str:
        """The value."""
        return self.person.facts[self.relation]

    def question(self, dice: Dice) -> str:
        """Return the question in one of its wordings."""
        return dice.pick(RELATIONS[self.relation]).format(self.person.name)


@dataclass(frozen=True, kw_only=True, slots=True)
class People:
    """Everybody, by rank, and the towns. reach: cumulated popularity."""

    persons: tuple[Person, ...]
    towns: tuple[Town, ...]
    reach: tuple[float, ...]

    def meet(self, dice: Dice) -> Person:
        """Draw a person by popularity."""
        return self.persons[bisect(self.reach, dice.fraction() * self.reach[-1])]

    def facts(self) -> list[Fact]:
        """Return every (person, relation)."""
        return [Fact(person=person, relation=relation) for person in self.persons for relation in RELATIONS]


@lru_cache(maxsize=4)
def people(seed: int) -> People:
    """Return the people and towns of the world with this seed."""
    dice = Dice("people", seed)
    names = [start + end for start in _TOWN_STARTS for end in _TOWN_ENDS]
    towns = tuple(Town(name=n, facts={"river": dice.pick(_RIVERS), "goods": dice.pick(_GOODS)}) for n in names)
    surnames = dice.shuffled([start + end for start in _STARTS for end in _ENDS])
    persons = []
    for rank, surname in enumerate(surnames):
        sex = dice.pick("mf")
        facts = {"birthplace": dice.pick(names)}
        facts |= {relation: dice.pick(values) for relation, values in _VALUES.items()}
        name = f"{dice.pick(GIRLS if sex == 'f' else BOYS)} {surname}"
        persons.append(Person(name=name, surname=surname, sex=sex, rank=rank, facts=facts))
    weights = (1 / (rank + 1) ** _ZIPF for rank in range(len(persons)))
    return People(persons=tuple(persons), towns=towns, reach=tuple(accumulate(weights)))


def entry(dice: Dice, person: Person) -> str:
    """Write an encyclopedia entry that states every fact about a person."""
    facts = person.facts
    pronoun = "She" if person.sex == "f" else "He"
    if dice.chance(0.4):
        job = facts["profession"]
        sentences = [f"{person.name} is {article(job)} {job} from {facts['birthplace']}."]
        rest = ["instrument", "animal"]
    else:
        first = dice.pick(("birthplace", "profession"))
        sentences = [_state(dice, first, person.name, facts[first])]
        rest = [relation for relation in RELATIONS if relation != first]
    for relation in dice.shuffled(rest):
        value = facts[relation]
        if dice.chance(0.5):
            sentences.append(dice.pick(_DESCRIPTIONS[relation]).format(person.name, value))
        else:
            who = dice.pick((pronoun, person.name, person.surname))
            sentences.append(_state(dice, relation, who, value))
    return " ".join(sentences)


def _state(dice: Dice, relation: str, who: str, value: str) -> str:
    return dice.pick(_STATEMENTS[relation]).format(who, value, article(value))


def guide(dice: Dice, town: Town) -> str:
    """Write what a guide book says about a town."""
    first = dice.pick(("{} is a town on the river {}.", "{} is an old town. The river {} flows through it."))
    goods = dice.pick(("It is known for its {}.", "Its people make {}.", "The town is known for its {}."))
    return f"{first.format(town.name, town.facts['river'])} {goods.format(town.facts['goods'])}"


def answer(dice: Dice, world: People) -> tuple[str, str]:
    """Draw a question that training may ask, about a person or a town, and its answer."""
    if dice.chance(0.1):
        town = dice.pick(world.towns)
        relation = dice.pick(tuple(_TOWN_RELATIONS))
        return dice.pick(_TOWN_RELATIONS[relation]).format(town.name), town.facts[relation]
    while True:
        fact = Fact(person=world.meet(dice), relation=dice.pick(tuple(RELATIONS)))
        if not held_out(fact.key):
            return fact.question(dice), fact.answer
