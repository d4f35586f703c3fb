from __future__ import annotations

import re

import pytest

from evalkit.world.dice import Dice
from evalkit.world.grammar import LEVELS, Clause, NounPhrase, clause, english, french
from evalkit.world.idioms import AGES, CLOCK, FEELINGS, MISS, NEEDS, PAINS, WEATHER
from evalkit.world.lexicon import ADJECTIVES, NOUNS, VERBS, Noun, Verb, article, elides, past_of, third_of
from evalkit.world.phrases import contracted
from evalkit.world.sentences import Relative

NOUN = {noun.english: noun for noun in NOUNS}
ADJECTIVE = {adjective.english: adjective for adjective in ADJECTIVES}
VERB = {verb.english: verb for verb in VERBS}


STATE = {state.english: state for state in (*AGES, *CLOCK, *FEELINGS, *WEATHER)}
HABIT = {verb.english: verb for verb in (*NEEDS, *PAINS)}


def phrase(text: str, *, plural: bool = False, relative: Relative | None = None) -> NounPhrase:
    """Build "the old bird" from its singular words."""
    *determiner, last = text.split()
    adjective = ADJECTIVE.get(determiner[-1]) if len(determiner) > 1 else None
    return NounPhrase(
        determiner=" ".join(determiner[:-1] if adjective else determiner),
        adjective=adjective,
        noun=NOUN[last],
        plural=plural,
        relative=relative,
    )


def place(preposition: str, in_french: str, noun: str) -> tuple[str, str, Noun]:
    return preposition, in_french, NOUN[noun]


HE, SHE, WE, ME, THEY, IT = (NounPhrase(pronoun=p) for p in ("he", "she", "we", "I", "they", "it"))
HIM, HER, THEM, US = (NounPhrase(pronoun=p) for p in ("him", "her", "them", "us"))

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
    (
        Clause(subject=HE, verb=VERB["swim"], tense="past", time=("yesterday", "hier")),
        "He swam yesterday.",
        "Il a nagé hier.",
    ),
    # aspirated h, partitives, de after a negation and after beaucoup
    (
        Clause(subject=phrase("the hedgehog"), verb=VERB["see"], object=phrase("the old hero")),
        "The hedgehog sees the old hero.",
        "Le hérisson voit le vieux héros.",
    ),
    (
        Clause(subject=WE, verb=VERB["drink"], object=phrase("some water")),
        "We drink some water.",
        "Nous buvons de l'eau.",
    ),
    (
        Clause(subject=SHE, verb=VERB["eat"], object=phrase("any meat"), negative=True),
        "She does not eat any meat.",
        "Elle ne mange pas de viande.",
    ),
    (
        Clause(subject=SHE, verb=VERB["buy"], object=phrase("any orange", plural=True), tense="past", negative=True),
        "She did not buy any oranges.",
        "Elle n'a pas acheté d'oranges.",
    ),
    (
        Clause(subject=phrase("many nurse", plural=True), verb=VERB["sing"]),
        "Many nurses sing.",
        "Beaucoup d'infirmières chantent.",
    ),
    (
        Clause(subject=phrase("all the horse", plural=True), quality=ADJECTIVE["royal"], degree="too"),
        "All the horses are too royal.",
        "Tous les chevaux sont trop royaux.",
    ),
    # contraction of a verb's preposition and of a direction
    (
        Clause(subject=HE, verb=VERB["obey"], object=phrase("the king")),
        "He obeys the king.",
        "Il obéit au roi.",
    ),
    (
        Clause(subject=HE, verb=VERB["answer"], object=phrase("the queen", plural=True), tense="past"),
        "He answered the queens.",
        "Il a répondu aux reines.",
    ),
    (
        Clause(subject=THEY, verb=VERB["come"], place=place("from", "de", "market"), tense="past"),
        "They came from the market.",
        "Ils sont venus du marché.",
    ),
    # être: the participle agrees with the subject
    (
        Clause(subject=phrase("the mother", plural=True), verb=VERB["go"], place=place("to", "à", "zoo"), tense="past"),
        "The mothers went to the zoo.",
        "Les mères sont allées au zoo.",
    ),
    (
        Clause(subject=phrase("the cow"), verb=VERB["die"], tense="past", negative=True),
        "The cow did not die.",
        "La vache n'est pas morte.",
    ),
    (
        Clause(subject=SHE, verb=VERB["get up"], tense="past", time=("at noon", "à midi")),
        "She got up at noon.",
        "Elle s'est levée à midi.",
    ),
    (
        Clause(subject=WE, verb=VERB["hurry"], negative=True),
        "We do not hurry.",
        "Nous ne nous dépêchons pas.",
    ),
    # states take the imparfait; comparisons; modal verbs
    (
        Clause(subject=WE, verb=VERB["want"], object=phrase("the cake"), tense="past"),
        "We wanted the cake.",
        "Nous voulions le gâteau.",
    ),
    (
        Clause(subject=SHE, quality=ADJECTIVE["big"], degree="as", than=phrase("the uncle")),
        "She is as big as the uncle.",
        "Elle est aussi grande que l'oncle.",
    ),
    (
        Clause(subject=HE, verb=VERB["call"], object=HER, modal="want"),
        "He wants to call her.",
        "Il veut l'appeler.",
    ),
    (
        Clause(subject=ME, verb=VERB["eat"], object=phrase("the soup"), modal="can", negative=True),
        "I cannot eat the soup.",
        "Je ne peux pas manger la soupe.",
    ),
    (
        Clause(subject=THEY, verb=VERB["open"], object=phrase("the box"), modal="just"),
        "They have just opened the box.",
        "Ils viennent d'ouvrir la boîte.",
    ),
    # relative clauses
    (
        Clause(
            subject=phrase("the man", relative=Relative(verb=VERB["see"], gap="subject", other=phrase("the dog"))),
            quality=ADJECTIVE["old"],
        ),
        "The man who sees the dog is old.",
        "L'homme qui voit le chien est vieux.",
    ),
    (
        Clause(
            subject=ME,
            verb=VERB["find"],
            object=phrase(
                "the letter", relative=Relative(verb=VERB["open"], gap="object", other=phrase("the king"), tense="past")
            ),
            tense="past",
        ),
        "I found the letter that the king opened.",
        "J'ai trouvé la lettre que le roi a ouverte.",
    ),
    (
        Clause(
            subject=phrase(
                "the key", plural=True, relative=Relative(verb=VERB["lose"], gap="object", other=HE, tense="past")
            ),
            quality=ADJECTIVE["heavy"],
            tense="past",
        ),
        "The keys that he lost were heavy.",
        "Les clés qu'il a perdues étaient lourdes.",
    ),
    (
        Clause(
            subject=phrase(
                "the cow", plural=True, relative=Relative(verb=VERB["follow"], gap="subject", other=phrase("a bee"))
            ),
            quality=ADJECTIVE["white"],
        ),
        "The cows that follow a bee are white.",
        "Les vaches qui suivent une abeille sont blanches.",
    ),
    # object pronouns
    (Clause(subject=HE, verb=VERB["see"], object=HER), "He sees her.", "Il la voit."),
    (
        Clause(subject=HE, verb=VERB["see"], object=HER, tense="past", negative=True),
        "He did not see her.",
        "Il ne l'a pas vue.",
    ),
    (Clause(subject=SHE, verb=VERB["help"], object=THEM, tense="past"), "She helped them.", "Elle les a aidés."),
    (Clause(subject=SHE, verb=VERB["answer"], object=THEM), "She answers them.", "Elle leur répond."),
    (
        Clause(subject=ME, verb=MISS, object=phrase("my dog")),
        "I miss my dog.",
        "Mon chien me manque.",
    ),
    (
        Clause(subject=phrase("the boy"), verb=MISS, object=HER, tense="past"),
        "The boy missed her.",
        "Elle manquait au garçon.",
    ),
    # idioms
    (Clause(subject=ME, state=STATE["hungry"]), "I am hungry.", "J'ai faim."),
    (Clause(subject=SHE, state=STATE["afraid"], tense="past"), "She was afraid.", "Elle avait peur."),
    (
        Clause(subject=HE, state=STATE["seventy-one years old"]),
        "He is seventy-one years old.",
        "Il a soixante et onze ans.",
    ),
    (
        Clause(subject=HE, state=STATE["eighty-one years old"], tense="future"),
        "He will be eighty-one years old.",
        "Il aura quatre-vingt-un ans.",
    ),
    (Clause(subject=IT, state=STATE["fine"]), "It is fine.", "Il fait beau."),
    (Clause(subject=IT, state=STATE["raining"], tense="past"), "It was raining.", "Il pleuvait."),
    (Clause(subject=IT, state=STATE["windy"], question=True), "Is it windy?", "Est-ce qu'il y a du vent ?"),
    (Clause(subject=IT, state=STATE["half past one"]), "It is half past one.", "Il est une heure et demie."),
    (
        Clause(subject=IT, state=STATE["a quarter to four"], negative=True),
        "It is not a quarter to four.",
        "Il n'est pas quatre heures moins le quart.",
    ),
    (
        Clause(subject=None, object=phrase("any cat", plural=True), place=place("on", "sur", "bridge"), negative=True),
        "There are not any cats on the bridge.",
        "Il n'y a pas de chats sur le pont.",
    ),
    (
        Clause(subject=None, object=phrase("a owl"), place=place("in", "dans", "garden"), tense="past"),
        "There was an owl in the garden.",
        "Il y avait une chouette dans le jardin.",
    ),
    (Clause(subject=ME, verb=HABIT["need"], object=phrase("the book")), "I need the book.", "J'ai besoin du livre."),
    (
        Clause(subject=SHE, verb=HABIT["feel like"], object=phrase("some bread"), tense="past"),
        "She felt like some bread.",
        "Elle avait envie de pain.",
    ),
    (
        Clause(subject=HE, verb=HABIT["have a toothache"], negative=True),
        "He does not have a toothache.",
        "Il n'a pas mal aux dents.",
    ),
]


@pytest.mark.parametrize(("meaning", "in_english", "in_french"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_both_languages(meaning: Clause, in_english: str, in_french: str) -> None:
    assert (english(meaning), french(meaning)) == (in_english, in_french)


VOWEL = r"(?!(?:hér|homard|hache|hamac|hamster|harpe|haricot|haie|hêtre|huit|yaourt|yacht))[aeiouyhàâéèêîôœ]"


def drawn(name: str, count: int, level: str | None = None) -> list[Clause]:
    dice = Dice(name, level)
    return [clause(dice, level) for _ in range(count)]


def test_french_never_leaves_a_vowel_that_elides() -> None:
    text = "\n".join(french(c) for c in drawn("elision", 8000))
    assert not re.findall(rf"\b(?:le|la|de|je|ne|que|ce|ma|sa|me|se) {VOWEL}\w*", text, flags=re.I)
    assert not re.findall(r"\b(?:de les|à le|à les|si il)\b", text)
    assert not re.findall(r"\bde le (?!\w+er\b|\w+ir\b|\w+re\b)\w+", text)
    assert not re.findall(r"\S\?|  ", text)
    assert all(form in text for form in (" ?", "l'", "n'", "qu'", "d'", " au ", " aux ", " du "))


def test_english_articles_agree_with_the_next_sound() -> None:
    text = "\n".join(english(c) for c in drawn("articles", 8000))
    assert not re.findall(r"\ba (?!uni|use)[aeiou]\w*|\ban (?!hour|honest)[^aeiou\s]\w*", text, flags=re.I)
    assert [article(w) for w in ("owl", "uniform", "useful", "key", "hourglass", "honey")] == "an a a a an a".split()


def test_a_meaning_has_one_english_sentence_and_its_key_names_it() -> None:
    found = clause(Dice("one"))
    assert found.key == f"translation:{english(found)}"


def test_the_english_determines_the_french_the_level_and_in_turn() -> None:
    to_french: dict[str, str] = {}
    to_english: dict[str, str] = {}
    levels: dict[str, str] = {}
    for level in LEVELS:
        for c in drawn("function", 5000, level):
            said, dit = english(c), french(c)
            assert to_french.setdefault(said, dit) == dit
            assert to_english.setdefault(dit, said) == said
            assert levels.setdefault(said, c.level) == level


def test_every_level_is_drawn_and_shows_what_it_is() -> None:
    found = drawn("levels", 3000)
    assert {c.level for c in found} == set(LEVELS)
    for c in found:
        words = [p.noun for p in (c.subject, c.object) if p and p.noun] + ([c.place[2]] if c.place else [])
        relatives = [p for p in (c.subject, c.object) if p and p.relative]
        assert bool(relatives) == (c.level == "relative")
        tail = any(word.rarity == 2 for word in (*words, *filter(None, (c.quality,))))
        if c.level == "simple":
            assert not (c.negative or c.question or tail)
        assert c.level != "rare" or tail or (c.verb is not None and c.verb.rarity == 2)


def test_frequent_words_are_drawn_more_often() -> None:
    ranks = [c.subject.noun.rank for c in drawn("zipf", 6000) if c.subject and c.subject.noun and c.level != "rare"]
    counts = [ranks.count(rank) for rank in (0, 8, 24)]
    assert counts[0] > 1.5 * counts[1] > 2 * counts[2]


def test_words_are_one_to_one() -> None:
    assert len({n.english for n in NOUNS}) == len({n.french for n in NOUNS}) == len(NOUNS) >= 450
    assert len({n.english_plural for n in NOUNS}) == len({n.french_plural for n in NOUNS}) == len(NOUNS)
    assert all(n.english != n.english_plural for n in NOUNS)
    assert len(ADJECTIVE) == len({a.masculine for a in ADJECTIVES}) == len(ADJECTIVES) >= 120
    assert len(VERB) == len({(v.infinitive, v.reflexive) for v in VERBS}) == len(VERBS) >= 150


def test_plurals_and_genders() -> None:
    plurals = "horse chevaux|cake gâteaux|jewel bijoux|nail clous|hospital hôpitaux|nut noix|game jeux|tyre pneus"
    for pair in plurals.split("|"):
        noun, plural = pair.split()
        assert NOUN[noun].french_plural == plural
    english_plurals = "knife knives|boy boys|baby babies|witch witches|goose geese|mango mangoes|piano pianos"
    for pair in english_plurals.split("|"):
        noun, plural = pair.split()
        assert NOUN[noun].english_plural == plural
    feminine = "water beach nurse sea mouse key nut flower spider coin photo answer".split()
    masculine = "tree museum cheese garlic eagle castle problem guard secret ghost".split()
    assert {NOUN[noun].gender for noun in feminine} == {"f"} and {NOUN[noun].gender for noun in masculine} == {"m"}


def test_adjectives_agree() -> None:
    for word, feminine in {
        "happy": "heureuse", "white": "blanche", "old": "vieille", "active": "active", "naive": "naïve",
        "ancient": "ancienne", "cruel": "cruelle", "proud": "fière", "worried": "inquiète", "mute": "muette",
        "fresh": "fraîche", "long": "longue", "soft": "douce", "false": "fausse", "kind": "aimable",
    }.items():  # fmt: skip
        assert ADJECTIVE[word].feminine == feminine
    assert [ADJECTIVE[w].masculine_plural for w in ("grey", "royal", "beautiful")] == ["gris", "royaux", "beaux"]


SPELLINGS = {
    # je, nous, ils in the present; il in the future; participle
    "eat": "mange mangeons mangent mangera mangé",
    "move": "déplace déplaçons déplacent déplacera déplacé",
    "clean": "nettoie nettoyons nettoient nettoiera nettoyé",
    "buy": "achète achetons achètent achètera acheté",
    "call": "appelle appelons appellent appellera appelé",
    "throw": "jette jetons jettent jettera jeté",
    "repeat": "répète répétons répètent répétera répété",
    "protect": "protège protégeons protègent protégera protégé",
    "choose": "choisis choisissons choisissent choisira choisi",
    "sell": "vends vendons vendent vendra vendu",
    "send": "envoie envoyons envoient enverra envoyé",
    "sew": "couds cousons cousent coudra cousu",
    "help": "aide aidons aident aidera aidé",
}


@pytest.mark.parametrize("verb", SPELLINGS)
def test_the_spelling_of_verbs(verb: str) -> None:
    found: Verb = VERB[verb]
    forms = [found.french[0], *found.french[2:], found.stem + "a", found.participle]
    assert " ".join(forms) == SPELLINGS[verb]


def test_english_verb_forms() -> None:
    assert [third_of(v) for v in ("cry", "go", "wash", "play", "look for", "have")] == [
        "cries", "goes", "washes", "plays", "looks for", "has",
    ]  # fmt: skip
    assert [past_of(v) for v in ("hurry", "like", "stay", "listen to")] == ["hurried", "liked", "stayed", "listened to"]


def test_contraction_and_the_aspirated_h() -> None:
    cases = {
        ("de", "le lac"): "du lac",
        ("de", "les lacs"): "des lacs",
        ("de", "l'eau"): "de l'eau",
        ("de", "de l'eau"): "d'eau",
        ("de", "des chats"): "de chats",
        ("près de", "le puits"): "près du puits",
        ("à", "le roi"): "au roi",
        ("à", "les rois"): "aux rois",
        ("à", "l'ami"): "à l'ami",
        ("de", "une pomme"): "d'une pomme",
        ("dans", "le parc"): "dans le parc",
    }
    assert {case: contracted(*case) for case in cases} == cases
    assert [elides(word) for word in ("homme", "hérisson", "haies", "huit amis", "hôpital", "yaourt", "œuf")] == [
        True, False, False, False, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["person", "animal", "thing", "food", "place"])
def test_nouns_are_complete(kind: str) -> None:
    found = [noun for noun in NOUNS if noun.kind == kind]
    assert len(found) >= 60
    assert all(noun.gender in "mf" and (kind != "place" or set(noun.tags) & set("inob")) for noun in found)
