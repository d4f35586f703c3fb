"""The words: English and French nouns, adjectives, verbs and prepositions with their forms.

The tables are text, in nouns.py, adjectives.py and verbs.py; what is regular is derived here, what is irregular is
spelled out there. The order of a table is that of frequency, so that a draw can follow Zipf's law.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from evalkit.world.adjectives import ADJECTIVE_TABLE, COLOUR_COUNT
from evalkit.world.nouns import NOUN_TABLE
from evalkit.world.verbs import VERB_TABLE

__all__ = [
    "ADJECTIVES", "COLOURS", "LETTERS", "NOUNS", "PREPOSITIONS", "VERBS",
    "Adjective", "Noun", "Verb", "article", "elides", "of_kind", "past_of", "suits", "third_of", "words",
]  # fmt: skip

VOWELS = frozenset("aeiouyàâéèêëîïôûùœh")
ASPIRATED = frozenset("héros hérisson homard hache hamac hamster harpe haricot haie hêtre huit yaourt yacht".split())
ASPIRATED_FORMS = ASPIRATED | {f"{word}s" for word in ASPIRATED}

# Rarity of a word: 0 frequent, 1 common, 2 in the tail; shares of its table (of a noun: of its kind).
FREQUENT, COMMON = 0.1, 0.35


@dataclass(frozen=True, kw_only=True, slots=True)
class Noun:
    """A noun. gender: "m" or "f" (French). sex: "m"/"f" where the English possessive is fixed, else "".

    kind: person, animal, thing, furniture, clothes, food, drink, plant, vehicle, place or word.
    tags: letters, explained in nouns.py. rank: place by frequency in its kind, from 0. rarity: 0, 1 or 2.
    """

    english: str
    french: str
    gender: str
    kind: str
    english_plural: str
    french_plural: str
    sex: str = ""
    tags: str = ""
    rank: int = 0
    rarity: int = 0

    @property
    def mass(self) -> bool:
        """Whether it is not counted: some bread."""
        return "U" in self.tags


@dataclass(frozen=True, kw_only=True, slots=True)
class Adjective:
    """An adjective. before: stands before the noun in French. liaison: masculine form before a vowel.

    kinds: letters of the kinds of noun that it suits, as in of_kind.
    """

    english: str
    masculine: str
    feminine: str
    liaison: str
    masculine_plural: str
    before: bool
    kinds: str
    rank: int = 0
    rarity: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Verb:
    """A verb. french: present tense of je, il, nous, ils. stem: of the future. done: the English participle.

    subjects, objects: letters of the kinds of noun that suit; objects "" for a verb without an object.
    preposition: before the French object. being: forms the passé composé with être. reflexive: se, s'.
    state: its past is the imparfait. motion: takes a place to or from. tail: what follows the French verb ("besoin").
    inverse: the French subject is the English object (miss, manquer à).
    """

    english: str
    third: str
    past: str
    done: str
    infinitive: str
    french: tuple[str, str, str, str]
    participle: str
    stem: str
    subjects: str
    objects: str
    preposition: str = ""
    being: bool = False
    reflexive: bool = False
    state: bool = False
    motion: bool = False
    tail: str = ""
    inverse: bool = False
    rank: int = 0
    rarity: int = 0

    @property
    def imperfect(self) -> str:
        """The stem of the imparfait, before -ais, -ait, -aient."""
        return self.french[2][:-3]


# letter among a place's tags -> English, French
PREPOSITIONS = {
    "i": (("in", "dans"),),
    "o": (("on", "sur"),),
    "n": (("near", "près de"),),
    "b": (("behind", "derrière"), ("in front of", "devant")),
}


def words(text: str) -> tuple[str, ...]:
    """Return the words of a list that is written as one line."""
    return tuple(text.split())


def elides(word: str) -> bool:
    """Say whether le, la, de, je, ne, que lose their vowel before this French word (or phrase)."""
    if word[0].lower() not in VOWELS:
        return False
    return word[0] not in "hyHY" or word.partition(" ")[0].lower() not in ASPIRATED_FORMS


def article(word: str) -> str:
    """Return "a" or "an" for the English word that follows."""
    if word.startswith(("hour", "honest")):
        return "an"
    return "an" if word[0].lower() in "aeiou" and not word.startswith(("uni", "use")) else "a"


def third_of(english: str) -> str:
    """Return the English third person singular; only the first word changes ("looks for")."""
    base, space, rest = english.partition(" ")
    if base == "have":
        return f"has{space}{rest}"
    if base[-1] == "y" and base[-2] not in "aeiou":
        return f"{base[:-1]}ies{space}{rest}"
    return base + ("es" if base.endswith(("s", "x", "ch", "sh", "o")) else "s") + space + rest


def past_of(english: str) -> str:
    """Return the regular English past."""
    base, space, rest = english.partition(" ")
    if base[-1] == "y" and base[-2] not in "aeiou":
        return f"{base[:-1]}ied{space}{rest}"
    return base + ("d" if base[-1] == "e" else "ed") + space + rest


def _english_plural(noun: str) -> str:
    if noun[-1] == "y" and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def _french_plural(word: str) -> str:
    if word[-1] in "sxz":
        return word
    if word.endswith(("eau", "au", "eu")) and word != "bleu":
        return word + "x"
    return word[:-2] + "aux" if word.endswith("al") else word + "s"


def _feminine(masculine: str) -> str:
    if masculine[-1] == "e":
        return masculine
    for ending, feminine in (("eux", "euse"), ("if", "ive"), ("ïf", "ïve"), ("er", "ère")):
        if masculine.endswith(ending):
            return masculine[: -len(ending)] + feminine
    return masculine + (masculine[-1] + "e" if masculine.endswith(("el", "en", "on", "et")) else "e")


def _rarity(rank: int, count: int) -> int:
    return 0 if rank < FREQUENT * count else 1 if rank < COMMON * count else 2


def _noun(entry: str, kind: str, rank: int, count: int) -> Noun:
    english, french, gender, *rest = entry.split()
    tags = "".join(part[1:] for part in rest if part[0] == "+")
    plurals = next((part for part in rest if "/" in part), "/")
    irregular_english, _, irregular_french = plurals.partition("/")
    return Noun(
        english=english,
        french=french,
        gender=gender,
        kind=kind,
        english_plural=irregular_english or _english_plural(english),
        french_plural=irregular_french or _french_plural(french),
        sex=tags.lower() if kind == "person" else "",
        tags="" if kind == "person" else tags + "U" * ("-" in rest),
        rank=rank,
        rarity=_rarity(rank, count),
    )


def _nouns() -> tuple[Noun, ...]:
    entries: dict[str, list[str]] = {}
    for line in NOUN_TABLE.strip().split("\n"):
        if " " not in line:
            kind = line
            entries[kind] = []
        else:
            entries[kind] += line.split(" | ")
    return tuple(
        _noun(entry, kind, rank, len(of_it)) for kind, of_it in entries.items() for rank, entry in enumerate(of_it)
    )


def _adjective(entry: str, rank: int, count: int) -> Adjective:
    english, forms, *before, kinds = entry.split()
    masculine, feminine, liaison = [*forms.split(":"), "", ""][:3]
    return Adjective(
        english=english,
        masculine=masculine,
        feminine=feminine or _feminine(masculine),
        liaison=liaison or masculine,
        masculine_plural=_french_plural(masculine),
        before=bool(before),
        kinds=kinds,
        rank=rank,
        rarity=_rarity(rank, count),
    )


def _adjectives() -> tuple[Adjective, ...]:
    entries = [entry for line in ADJECTIVE_TABLE.strip().split("\n") for entry in line.split(" | ")]
    return tuple(_adjective(entry, rank, len(entries)) for rank, entry in enumerate(entries))


_GRAVE = re.compile(r"[eé](?=(?:[bcdfglmnprstv]|ch|gn|[bcdfgptv][lr])er$)")
_DOUBLED = ("appeler", "jeter")


def _conjugated(cell: str) -> tuple[str, tuple[str, str, str, str], str, str]:
    """Return the French infinitive, present (je, il, nous, ils), participle and future stem from a table's cell."""
    forms = cell.split()
    if len(forms) > 1:
        return forms[0], (forms[1], forms[2], forms[3], forms[4]), forms[5], forms[6]
    stem, ending = cell[:-2], cell[-2:]
    if ending == "re":
        return cell, (stem + "s", stem, stem + "ons", stem + "ent"), stem + "u", stem + "r"
    if ending == "ir":
        return cell, (stem + "is", stem + "it", stem + "issons", stem + "issent"), stem + "i", cell
    strong, future = stem, cell
    if cell in _DOUBLED:  # appelle, jette
        strong, future = stem + stem[-1], stem + stem[-1] + "er"
    elif stem[-1] == "y":  # nettoie, effraie
        strong, future = stem[:-1] + "i", stem[:-1] + "ier"
    elif _GRAVE.search(cell):  # achète, répète; in the future only e changes
        strong = _GRAVE.sub("è", cell)[:-2]
        future = cell if "é" in stem[-3:] else strong + "er"
    we = stem[:-1] + "ç" if stem[-1] == "c" else stem + "e" if stem[-1] == "g" else stem
    return cell, (strong + "e", strong + "e", we + "ons", strong + "ent"), stem + "é", future


def _verb(line: str, rank: int, count: int) -> Verb:
    english, pasts, cell, subjects, objects, preposition, flags = [*line.split("|"), "", ""][:7]
    past, _, done = (pasts or past_of(english)).partition("/")
    infinitive, present, participle, stem = _conjugated(cell)
    return Verb(
        english=english,
        third=third_of(english),
        past=past,
        done=done or past,
        infinitive=infinitive,
        french=present,
        participle=participle,
        stem=stem,
        subjects=subjects,
        objects=objects,
        preposition=preposition,
        being="e" in flags,
        reflexive="r" in flags,
        state="s" in flags,
        motion="m" in flags,
        rank=rank,
        rarity=_rarity(rank, count),
    )


def _verbs() -> tuple[Verb, ...]:
    lines = VERB_TABLE.strip().split("\n")
    return tuple(_verb(line, rank, len(lines)) for rank, line in enumerate(lines))


NOUNS = _nouns()
ADJECTIVES = _adjectives()
VERBS = _verbs()
COLOURS = tuple(adjective.english for adjective in ADJECTIVES[:COLOUR_COUNT])

# kind of noun -> its letter
LETTERS = {
    "person": "p", "animal": "a", "thing": "t", "furniture": "u", "clothes": "c", "food": "f", "drink": "d",
    "plant": "g", "vehicle": "v", "place": "l", "word": "w",
}  # fmt: skip


def suits(letters: str, noun: Noun) -> bool:
    """Say whether the letters name the noun: its kind, a tag, k for food that is counted, N for what can be entered."""
    if LETTERS[noun.kind] in letters or any(tag in letters for tag in noun.tags if tag.isupper()):
        return True
    counted = "k" in letters and noun.kind == "food" and not noun.mass
    return counted or ("N" in letters and noun.kind == "place" and "i" in noun.tags)


def of_kind(letters: str) -> tuple[Noun, ...]:
    """Return the nouns that the letters name (see suits)."""
    return tuple(noun for noun in NOUNS if suits(letters, noun))
