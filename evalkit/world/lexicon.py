"""The words: English and French nouns, adjectives, verbs and prepositions with their forms.

Tables are written one word per line; what is regular is derived, what is irregular is spelled out.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ADJECTIVES", "COLOURS", "NOUNS", "PREPOSITIONS", "VERBS",
    "Adjective", "Noun", "Verb", "article", "elides", "of_kind", "words",
]  # fmt: skip

VOWELS = "aeiouyàâéèêëîïôûùœh"  # every h of this lexicon is mute


@dataclass(frozen=True, kw_only=True, slots=True)
class Noun:
    """A noun. gender: "m" or "f" (French). sex: "m"/"f" where the English possessive is fixed, else "".

    kind: person, animal, thing, food or place. tags: letters; of places, the prepositions that suit them.
    """

    english: str
    french: str
    gender: str
    kind: str
    english_plural: str
    french_plural: str
    sex: str = ""
    tags: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Adjective:
    """An adjective. before: stands before the noun in French. liaison: masculine form before a vowel.

    kinds: first letters of the kinds of noun that it suits (l for places).
    """

    english: str
    masculine: str
    feminine: str
    liaison: str
    masculine_plural: str
    before: bool
    kinds: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verb:
    """A verb. french: present tense of je, il, nous, ils. stem: of the future. Participles take avoir.

    subjects, objects: letters of the kinds of noun that suit; objects "" for a verb without an object;
    an upper-case letter asks for a noun with that tag.
    """

    english: str
    third: str
    past: str
    french: tuple[str, str, str, str]
    participle: str
    stem: str
    subjects: str
    objects: str


# english | french | gender | plurals (English/French) if irregular | tags
# O: can be opened.  Places: i in, o on, n near, b behind and in front of.
_NOUNS = """
person
man|homme|m|men/|m
woman|femme|f|women/|f
boy|garçon|m||m
girl|fille|f||f
king|roi|m||m
queen|reine|f||f
brother|frère|m||m
sister|sœur|f||f
uncle|oncle|m||m
aunt|tante|f||f
prince|prince|m||m
princess|princesse|f|princesses/|f
child|enfant|m|children/
baker|boulanger|m
farmer|fermier|m
doctor|médecin|m
sailor|marin|m
painter|peintre|m
gardener|jardinier|m
friend|ami|m
neighbour|voisin|m
animal
dog|chien|m
cat|chat|m
horse|cheval|m|/chevaux
cow|vache|f
bird|oiseau|m|/oiseaux
mouse|souris|f|mice/
rabbit|lapin|m
goat|chèvre|f
duck|canard|m
wolf|loup|m|wolves/
fox|renard|m|foxes/
bear|ours|m
frog|grenouille|f
bee|abeille|f
hen|poule|f
pig|cochon|m
monkey|singe|m
donkey|âne|m
owl|chouette|f
spider|araignée|f
thing
ball|balle|f
box|boîte|f|boxes/|O
book|livre|m||O
key|clé|f
lamp|lampe|f
hat|chapeau|m|/chapeaux
bag|sac|m||O
cup|tasse|f
chair|chaise|f
knife|couteau|m|knives/couteaux
letter|lettre|f||O
ring|bague|f
watch|montre|f|watches/
umbrella|parapluie|m||O
boat|bateau|m|/bateaux
car|voiture|f
drum|tambour|m
basket|panier|m||O
bottle|bouteille|f||O
map|carte|f
mirror|miroir|m
clock|horloge|f
candle|bougie|f
shirt|chemise|f
coat|manteau|m|/manteaux
shoe|chaussure|f
doll|poupée|f
flag|drapeau|m|/drapeaux
stone|pierre|f
flower|fleur|f
toy|jouet|m
plate|assiette|f
glove|gant|m
scarf|écharpe|f|scarves/
rope|corde|f
bell|cloche|f
food
apple|pomme|f
cake|gâteau|m|/gâteaux
egg|œuf|m
pear|poire|f
orange|orange|f
lemon|citron|m
carrot|carotte|f
onion|oignon|m
tomato|tomate|f|tomatoes/
biscuit|biscuit|m
nut|noix|f
cherry|cerise|f|cherries/
mushroom|champignon|m
sausage|saucisse|f
cheese|fromage|m
place
house|maison|f|||inb
garden|jardin|m|||in
kitchen|cuisine|f|||i
school|école|f|||inb
market|marché|m|||n
station|gare|f|||inb
forest|forêt|f|||in
river|rivière|f|||n
mountain|montagne|f|||n
street|rue|f|||i
church|église|f|churches/||inb
bridge|pont|m|||on
park|parc|m|||in
library|bibliothèque|f|libraries/||inb
museum|musée|m|||inb
beach|plage|f|beaches/||on
farm|ferme|f|||n
shop|boutique|f|||inb
castle|château|m|/châteaux||inb
tower|tour|f|||inb
field|champ|m|||in
village|village|m|||in
island|île|f|||on
hospital|hôpital|m|/hôpitaux||inb
hotel|hôtel|m|||inb
theatre|théâtre|m|||inb
lake|lac|m|||n
"""

# english | masculine | feminine (default +e) | liaison/masculine plural if irregular | b: before noun | kinds
_ADJECTIVES = """
red|rouge|rouge|||ft
green|vert||||ft
blue|bleu||||t
yellow|jaune|jaune|||tf
black|noir||||ta
white|blanc|blanche|||ta
grey|gris||||ta
brown|brun||||ta
pink|rose|rose|||t
purple|violet|violette|||t
big|grand|||b|atfl
small|petit|||b|patfl
pretty|joli|||b|tl
young|jeune|jeune||b|pa
old|vieux|vieille|vieil/vieux|b|patl
new|nouveau|nouvelle|nouvel/nouveaux|b|tl
beautiful|beau|belle|bel/beaux|b|atl
good|bon|bonne||b|f
bad|mauvais|||b|f
heavy|lourd||||t
sad|triste|triste|||pa
happy|heureux|heureuse|||pa
tired|fatigué||||pa
clean|propre|propre|||tl
dirty|sale|sale|||tal
strong|fort||||pa
round|rond||||t
empty|vide|vide|||l
cold|froid||||f
hot|chaud||||f
quiet|calme|calme|||pal
brave|courageux|courageuse|||pa
rich|riche|riche|||p
poor|pauvre|pauvre|||p
famous|célèbre|célèbre|||pl
lazy|paresseux|paresseuse|||pa
clever|intelligent||||pa
angry|furieux|furieuse|||pa
"""

# english | past | French infinitive in -er, or je il nous ils participle stem | subjects | objects
_VERBS = """
eat|ate|manger|pa|f
see|saw|vois voit voyons voient vu verr|pa|patl
like|liked|aimer|p|patfl
carry|carried|porter|p|tf
find|found|trouver|pa|patf
buy|bought|achète achète achetons achètent acheté achèter|p|tf
sell|sold|vends vend vendons vendent vendu vendr|p|tf
watch|watched|regarder|pa|patl
wash|washed|laver|p|ta
draw|drew|dessiner|p|patfl
open|opened|ouvre ouvre ouvrons ouvrent ouvert ouvrir|p|O
close|closed|fermer|p|O
lose|lost|perds perd perdons perdent perdu perdr|p|t
hide|hid|cacher|pa|tf
follow|followed|suis suit suivons suivent suivi suivr|pa|pa
call|called|appelle appelle appelons appellent appelé appeller|p|pa
help|helped|aider|p|pa
break|broke|casser|pa|t
keep|kept|garder|p|tf
paint|painted|peins peint peignons peignent peint peindr|p|tl
cut|cut|couper|p|f
prepare|prepared|préparer|p|f
push|pushed|pousser|pa|t
pull|pulled|tirer|pa|t
forget|forgot|oublier|p|tf
hear|heard|entends entend entendons entendent entendu entendr|pa|pa
choose|chose|choisis choisit choisissons choisissent choisi choisir|p|tf
take|took|prends prend prenons prennent pris prendr|pa|tf
want|wanted|veux veut voulons veulent voulu voudr|p|tfa
visit|visited|visiter|p|l
sleep|slept|dors dort dormons dorment dormi dormir|pa|
sing|sang|chanter|p|
work|worked|travailler|p|
run|ran|cours court courons courent couru courr|pa|
swim|swam|nager|pa|
dance|danced|danser|p|
cry|cried|pleurer|p|
laugh|laughed|ris rit rions rient ri rir|p|
wait|waited|attends attend attendons attendent attendu attendr|pa|
play|played|jouer|pa|
jump|jumped|sauter|pa|
"""

# name -> English, French, letter among a place's tags
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
    """Say whether le, la, de, je, ne, que lose their vowel before this French word."""
    return word[0].lower() in VOWELS


def article(word: str) -> str:
    """Return "a" or "an" for the English word that follows."""
    return "an" if word[0].lower() in "aeiou" and not word.startswith("uni") else "a"


def _cells(line: str, count: int) -> list[str]:
    cells = line.split("|")
    return cells + [""] * (count - len(cells))


def _plural(singular: str) -> str:
    """Return the regular French plural."""
    return singular if singular[-1] in "sx" else singular + "s"


def _nouns() -> tuple[Noun, ...]:
    found: list[Noun] = []
    kind = ""
    for line in _NOUNS.split("\n")[1:-1]:
        if "|" not in line:
            kind = line
            continue
        english, french, gender, plurals, *rest = _cells(line, 6)
        irregular_english, _, irregular_french = plurals.partition("/")
        found.append(
            Noun(
                english=english,
                french=french,
                gender=gender,
                kind=kind,
                english_plural=irregular_english or english + "s",
                french_plural=irregular_french or _plural(french),
                sex=rest[0] if kind == "person" else "",
                tags="" if kind == "person" else rest[0] + rest[1],
            )
        )
    return tuple(found)


def _adjectives() -> tuple[Adjective, ...]:
    found = []
    for line in _ADJECTIVES.split("\n")[1:-1]:
        english, masculine, feminine, irregular, before, kinds = _cells(line, 6)
        liaison, _, plural = irregular.partition("/")
        found.append(
            Adjective(
                english=english,
                masculine=masculine,
                feminine=feminine or masculine + "e",
                liaison=liaison or masculine,
                masculine_plural=plural or _plural(masculine),
                before=before == "b",
                kinds=kinds,
            )
        )
    return tuple(found)


def _third(base: str) -> str:
    """Return the English third person singular."""
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ies"
    return base + ("es" if base.endswith(("s", "x", "ch", "sh")) else "s")


def _conjugated(cell: str) -> tuple[tuple[str, str, str, str], str, str]:
    """Return the French present (je, il, nous, ils), participle and future stem from a table's cell."""
    forms = cell.split()
    if len(forms) > 1:
        return (forms[0], forms[1], forms[2], forms[3]), forms[4], forms[5]
    stem = cell[:-2]
    we = stem + ("eons" if stem.endswith("g") else "ons")
    return (stem + "e", stem + "e", we, stem + "ent"), stem + "é", cell


def _verbs() -> tuple[Verb, ...]:
    found = []
    for line in _VERBS.split("\n")[1:-1]:
        english, past, cell, subjects, objects = _cells(line, 5)
        present, participle, stem = _conjugated(cell)
        found.append(
            Verb(
                english=english,
                third=_third(english),
                past=past,
                french=present,
                participle=participle,
                stem=stem,
                subjects=subjects,
                objects=objects,
            )
        )
    return tuple(found)


NOUNS = _nouns()
ADJECTIVES = _adjectives()
VERBS = _verbs()
COLOURS = tuple(adjective.english for adjective in ADJECTIVES[:10])

_LETTERS = {"p": "person", "a": "animal", "t": "thing", "f": "food", "l": "place"}


def of_kind(letters: str) -> tuple[Noun, ...]:
    """Return the nouns of the kinds named by their letters (p, a, t, f, l), or with a tag (O)."""
    kinds = {_LETTERS[letter] for letter in letters if letter in _LETTERS}
    return tuple(n for n in NOUNS if n.kind in kinds or ("O" in letters and n.kind == "thing" and "O" in n.tags))
