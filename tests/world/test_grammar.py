from __future__ import annotations

import re

import pytest

from evalkit.world.dice import Dice
from evalkit.world.grammar import Clause, NounPhrase, clause, english, french
from evalkit.world.lexicon import ADJECTIVES, NOUNS, VERBS, article

NOUN = {noun.english: noun for noun in NOUNS}
ADJECTIVE = {adjective.english: adjective for adjective in ADJECTIVES}
VERB = {verb.english: verb for verb in VERBS}


def phrase(text: str, *, plural: bool = False) -> NounPhrase:
    """Build "the old bird" from its singular words."""
    determiner, *adjective, noun = text.split()
    return NounPhrase(
        determiner=determiner,
        adjective=ADJECTIVE[adjective[0]] if adjective else None,
        noun=NOUN[noun],
        plural=plural,
    )


HE, SHE, WE, ME, THEY = (NounPhrase(pronoun=p) for p in ("he", "she", "we", "I", "they"))

CASES = [
    # elision, contraction, liaison
    (
        Clause(subject=phrase("the owl"), verb=VERB["eat"], object=phrase("a old egg")),
        "The owl eats an old egg.",
        "La chouette mange un vieil œuf.",
    ),
    (
        Clause(subject=phrase("my aunt"), verb=VERB["work"], place=("near", "près de", NOUN["lake"])),
        "My aunt works near the lake.",
        "Ma tante travaille près du lac.",
    ),
    (
        Clause(subject=phrase("this bird"), verb=VERB["sleep"], place=("near", "près de", NOUN["church"])),
        "This bird sleeps near the church.",
        "Cet oiseau dort près de l'église.",
    ),
    (
        Clause(subject=ME, verb=VERB["like"], object=phrase("my umbrella")),
        "I like my umbrella.",
        "J'aime mon parapluie.",
    ),
    (Clause(subject=ME, verb=VERB["like"], object=phrase("my scarf")), "I like my scarf.", "J'aime mon écharpe."),
    # agreement and plurals
    (
        Clause(subject=phrase("the horse", plural=True), quality=ADJECTIVE["old"]),
        "The horses are old.",
        "Les chevaux sont vieux.",
    ),
    (
        Clause(subject=phrase("some small cat", plural=True), verb=VERB["play"]),
        "Some small cats play.",
        "De petits chats jouent.",
    ),
    (
        Clause(subject=phrase("some black wolf", plural=True), verb=VERB["play"]),
        "Some black wolves play.",
        "Des loups noirs jouent.",
    ),
    (Clause(subject=SHE, quality=ADJECTIVE["happy"]), "She is happy.", "Elle est heureuse."),
    (
        Clause(subject=WE, verb=VERB["eat"], object=phrase("three nut", plural=True)),
        "We eat three nuts.",
        "Nous mangeons trois noix.",
    ),
    # tenses, negation, questions
    (
        Clause(subject=HE, verb=VERB["see"], object=phrase("her dog"), tense="past", negative=True),
        "He did not see her dog.",
        "Il n'a pas vu son chien.",
    ),
    (
        Clause(subject=phrase("the girl"), verb=VERB["buy"], object=phrase("her pear"), tense="future"),
        "The girl will buy her pear.",
        "La fille achètera sa poire.",
    ),
    (
        Clause(subject=THEY, verb=VERB["wash"], object=phrase("our cup"), question=True),
        "Do they wash our cup?",
        "Est-ce qu'ils lavent notre tasse ?",
    ),
    (
        Clause(subject=phrase("the box"), quality=ADJECTIVE["red"], tense="past", question=True),
        "Was the box red?",
        "Est-ce que la boîte était rouge ?",
    ),
    (Clause(subject=ME, quality=ADJECTIVE["angry"], negative=True), "I am not angry.", "Je ne suis pas furieux."),
    (Clause(subject=HE, verb=VERB["swim"], tense="past", time=True), "He swam yesterday.", "Il a nagé hier."),
]


@pytest.mark.parametrize(("meaning", "in_english", "in_french"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_both_languages(meaning: Clause, in_english: str, in_french: str) -> None:
    assert (english(meaning), french(meaning)) == (in_english, in_french)


def test_french_never_leaves_a_vowel_that_elides() -> None:
    dice = Dice("elision")
    text = "\n".join(french(clause(dice)) for _ in range(3000))
    assert not re.findall(r"\b(?:le|la|de|je|ne|que|ce|ma|sa) [aeiouyhàâéèêîôœ]\w*", text, flags=re.I)
    assert not re.findall(r"\b(?:de le|de les|à le|si il)\b", text)
    assert not re.findall(r"\S\?", text)
    assert " ?" in text and "l'" in text and "n'" in text


def test_english_articles_agree_with_the_next_sound() -> None:
    dice = Dice("articles")
    text = "\n".join(english(clause(dice)) for _ in range(3000))
    assert not re.findall(r"\ba [aeiou]\w*|\ban [^aeiou\s]\w*", text, flags=re.I)
    assert (article("owl"), article("uniform"), article("key")) == ("an", "a", "a")


def test_a_meaning_has_one_english_sentence_and_its_key_names_it() -> None:
    drawn = clause(Dice("one"))
    assert drawn.key == f"translation:{english(drawn)}"


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.english)
def test_nouns_are_complete(noun: object) -> None:
    assert noun.gender in "mf" and noun.kind in ("person", "animal", "thing", "food", "place")  # type: ignore[attr-defined]
    assert noun.kind != "place" or noun.tags  # type: ignore[attr-defined]
