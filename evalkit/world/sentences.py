"""Sentences in both languages from one shared meaning: who does what to what, where, when.

A Clause is language-free; `english` and `french` write it. Tenses, agreement of participles, the place of object
pronouns, negation, qui and que, and the space before a French question mark are decided here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evalkit.world.lexicon import Adjective, Noun, Verb, elides
from evalkit.world.phrases import PRONOUNS, NounPhrase, agreed, contracted, english_phrase, french_phrase

__all__ = ["MODALS", "Clause", "Place", "Relative", "State", "Tense", "english", "french"]

Tense = Literal["present", "past", "future"]
Place = tuple[str, str, Noun]
"""Preposition in English and in French, and the place."""

_FUTURE = ("ai", "a", "ons", "ont")
_IMPERFECT = ("ais", "ait", "ions", "aient")
_AVOIR = ("ai", "a", "avons", "ont")
_ETRE = ("suis", "est", "sommes", "sont")
# French verb of a state -> tense -> forms of je, il, nous, ils; impersonal ones have one form
_STATES: dict[str, dict[Tense, tuple[str, ...]]] = {
    "être": {
        "present": _ETRE,
        "past": ("étais", "était", "étions", "étaient"),
        "future": ("serai", "sera", "serons", "seront"),
    },
    "avoir": {
        "present": _AVOIR,
        "past": ("avais", "avait", "avions", "avaient"),
        "future": ("aurai", "aura", "aurons", "auront"),
    },
    "faire": {"present": ("fait",) * 4, "past": ("faisait",) * 4, "future": ("fera",) * 4},
    "pleuvoir": {"present": ("pleut",) * 4, "past": ("pleuvait",) * 4, "future": ("pleuvra",) * 4},
    "neiger": {"present": ("neige",) * 4, "past": ("neigeait",) * 4, "future": ("neigera",) * 4},
    "y avoir": {"present": ("y a",) * 4, "past": ("y avait",) * 4, "future": ("y aura",) * 4},
}
_REFLEXIVE = ("me", "se", "nous", "se")
# name -> English after I, English of he, French forms and what stands before the infinitive
MODALS = {
    "can": ("can", "can", ("peux", "peut", "pouvons", "peuvent"), ""),
    "must": ("must", "must", ("dois", "doit", "devons", "doivent"), ""),
    "going": ("am going to", "is going to", ("vais", "va", "allons", "vont"), ""),
    "want": ("want to", "wants to", ("veux", "veut", "voulons", "veulent"), ""),
    "just": ("have just", "has just", ("viens", "vient", "venons", "viennent"), "de"),
}
_DEGREES = {"": "", "very": "très ", "too": "trop ", "as": "aussi "}


@dataclass(frozen=True, kw_only=True, slots=True)
class Relative:
    """A relative clause. gap: what the antecedent is in it, its subject or its object; other: the other one."""

    verb: Verb
    gap: Literal["subject", "object"]
    other: NounPhrase | None = None
    tense: Tense = "present"


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What is said with "to be" in English and with another verb in French: hungry, avoir faim."""

    english: str
    verb: str
    french: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clause:
    """One statement or yes/no question.

    verb None: the subject has a quality or is in a state; subject None: there is the object.
    degree: of the quality, "", very, too or as (then `than` names the other). modal: "" or a name in MODALS (present).
    place: preposition in English and French, and the place. time: an adverb in English and French. level: see grammar.
    """

    subject: NounPhrase | None
    verb: Verb | None = None
    quality: Adjective | None = None
    state: State | None = None
    degree: str = ""
    than: NounPhrase | None = None
    object: NounPhrase | None = None
    place: Place | None = None
    tense: Tense = "present"
    modal: str = ""
    negative: bool = False
    question: bool = False
    time: tuple[str, str] | None = None
    level: str = "simple"

    @property
    def key(self) -> str:
        """The canonical key of its content."""
        return f"translation:{english(self)}"


def _sentence(words: list[str], mark: str) -> str:
    text = " ".join([word for word in words if word])
    return text[0].upper() + text[1:] + mark


# English


def _english_be(tense: Tense, bare: bool, first: bool) -> tuple[str, str]:
    """Return the finite form of "to be" and what follows it."""
    if tense == "future":
        return "will", "be"
    if tense == "past":
        return ("were" if bare else "was"), ""
    return ("am" if first else "are" if bare else "is"), ""


def _english_verb(verb: Verb, tense: Tense, bare: bool, support: bool) -> tuple[str, str]:
    """Return the auxiliary (may be empty) and the verb form. support: a form of "do" is needed."""
    if tense == "future":
        return "will", verb.english
    if support:
        return ("did" if tense == "past" else "do" if bare else "does"), verb.english
    if tense == "past":
        return "", verb.past
    return "", verb.english if bare else verb.third


def _english_modal(verb: Verb, modal: str, bare: bool, first: bool, support: bool) -> tuple[str, str]:
    """Return the finite form, and the rest with the verb."""
    if modal == "want":
        rest = f"to {verb.english}"
        if support:
            return ("do" if bare else "does"), f"want {rest}"
        return "", f"{'want' if bare else 'wants'} {rest}"
    if modal == "just":
        return ("have" if bare else "has"), f"just {verb.done}"
    if modal == "going":
        return ("am" if first else "are" if bare else "is"), f"going to {verb.english}"
    return modal, verb.english


def _english_full(phrase: NounPhrase) -> str:
    """Write a phrase with its relative clause."""
    text, relative = english_phrase(phrase), phrase.relative
    if relative is None:
        return text
    other = relative.other
    if relative.gap == "object":
        assert other is not None
        words = _english_verb(relative.verb, relative.tense, other.many or other.pronoun == "I", False)
        return f"{text} that {english_phrase(other)} {' '.join(words).strip()}"
    who = "who" if phrase.noun and phrase.noun.kind == "person" else "that"
    verb = " ".join(_english_verb(relative.verb, relative.tense, phrase.plural, False)).strip()
    return f"{text} {who} {verb} {english_phrase(other)}" if other else f"{text} {who} {verb}"


def _english_core(clause: Clause) -> tuple[str, str, str]:
    """Return subject, finite part and rest."""
    subject, verb = clause.subject, clause.verb
    if subject is None:
        assert clause.object is not None
        auxiliary, rest = _english_be(clause.tense, clause.object.plural, False)
        return "there", auxiliary, rest
    first = subject.pronoun == "I"
    bare = subject.many or (first and (verb is not None or clause.modal != ""))
    if verb is None:
        auxiliary, rest = _english_be(clause.tense, subject.many, first)
    elif clause.modal:
        auxiliary, rest = _english_modal(verb, clause.modal, bare, first, clause.negative or clause.question)
    else:
        auxiliary, rest = _english_verb(verb, clause.tense, bare, clause.negative or clause.question)
    return _english_full(subject), auxiliary, rest


def english(clause: Clause) -> str:
    """Write the clause in English, capitalised and with its final mark."""
    subject, auxiliary, rest = _english_core(clause)
    negation = "not" if clause.negative else ""
    if negation and auxiliary == "can":
        auxiliary, negation = "cannot", ""
    words = [auxiliary, subject, negation, rest] if clause.question else [subject, auxiliary, negation, rest]
    if clause.state:
        words.append(clause.state.english)
    if clause.quality:
        words += [clause.degree, clause.quality.english]
    if clause.than:
        words.append(f"as {english_phrase(clause.than)}")
    if clause.object:
        words.append(_english_full(clause.object))
    if clause.place:
        words.append(f"{clause.place[0]} the {clause.place[2].english}")
    if clause.time:
        words.append(clause.time[0])
    return _sentence(words, "?" if clause.question else ".")


# French


def _clitic(pronoun: str, word: str) -> str:
    """Put an object pronoun before a word: l'a, me voit."""
    if pronoun in ("me", "se", "le", "la") and elides(word):
        return f"{pronoun[0]}'{word}"
    return f"{pronoun} {word}"


def _participle(participle: str, feminine: bool, plural: bool) -> str:
    if feminine:
        return participle + ("es" if plural else "e")
    return participle + "s" if plural and participle[-1] != "s" else participle


def _simple(verb: Verb, tense: Tense, person: int) -> str:
    """Return the present, future or imparfait."""
    if tense == "present":
        return verb.french[person]
    if tense == "future":
        return verb.stem + _FUTURE[person]
    stem = verb.imperfect
    if person == 2 and stem[-2:] == "ge":
        stem = stem[:-1]
    return stem + _IMPERFECT[person]


def _verb_group(
    verb: Verb,
    tense: Tense,
    subject: NounPhrase,
    *,
    modal: str = "",
    pronoun: str = "",
    ahead: NounPhrase | None = None,
) -> tuple[str, str]:
    """Return the finite verb with its pronouns (what negation surrounds) and the rest.

    pronoun: a French object pronoun. ahead: the direct object where it stands before the verb; the participle agrees.
    """
    person = subject.person
    if verb.reflexive:
        pronoun, ahead = _REFLEXIVE[person], subject
    if modal:
        _, _, forms, link = MODALS[modal]
        infinitive = _clitic(pronoun, verb.infinitive) if pronoun else verb.infinitive
        if link:
            infinitive = contracted(link, infinitive) if not pronoun else f"{link} {infinitive}"
        return forms[person], infinitive
    if tense == "past" and not verb.state:
        finite = (_ETRE if verb.being else _AVOIR)[person]
        agrees = subject if verb.being else ahead
        rest = verb.participle
        if agrees is not None:
            rest = _participle(rest, agrees.feminine, agrees.many)
    else:
        finite, rest = _simple(verb, tense, person), verb.tail
    return (_clitic(pronoun, finite) if pronoun else finite), rest


def _subject_and_verb(who: str, finite: str, negative: bool) -> str:
    if negative:
        finite = ("n'" if elides(finite) else "ne ") + finite + " pas"
    return f"j'{finite}" if who == "je" and elides(finite) else f"{who} {finite}"


def _french_full(phrase: NounPhrase) -> str:
    """Write a phrase with its relative clause."""
    text, relative = french_phrase(phrase), phrase.relative
    if relative is None:
        return text
    verb, other = relative.verb, relative.other
    if relative.gap == "subject":
        finite, rest = _verb_group(verb, relative.tense, phrase)
        words = [text, "qui", finite, rest]
        if other:
            words.append(
                contracted(verb.preposition, french_phrase(other)) if verb.preposition else french_phrase(other)
            )
        return " ".join([word for word in words if word])
    assert other is not None
    finite, rest = _verb_group(verb, relative.tense, other, ahead=phrase)
    tail = _subject_and_verb(french_phrase(other), finite, False) + (f" {rest}" if rest else "")
    return f"{text} qu'{tail}" if elides(tail) else f"{text} que {tail}"


def _french_place(place: Place) -> str:
    _, preposition, noun = place
    definite = f"l'{noun.french}" if elides(noun.french) else f"{'le' if noun.gender == 'm' else 'la'} {noun.french}"
    return contracted(preposition, definite)


def _french_core(clause: Clause) -> list[str]:
    """Return the subject with the verb, the rest of the verb, and the object."""
    subject, verb, thing = clause.subject, clause.verb, clause.object
    if subject is None:
        assert thing is not None
        return [_subject_and_verb("il", _STATES["y avoir"][clause.tense][1], clause.negative), _french_full(thing)]
    if verb is None:
        state = clause.state
        finite = _STATES[state.verb if state else "être"][clause.tense][subject.person]
        start = _subject_and_verb(_french_full(subject), finite, clause.negative)
        return [start, state.french if state else ""]
    if verb.inverse:
        assert thing is not None
        subject, thing = thing, subject
    pronoun = ""
    if thing is not None and thing.noun is None:
        forms = PRONOUNS[_OBJECTIVE.get(thing.pronoun, thing.pronoun)]
        pronoun = forms.indirect if verb.preposition else forms.clitic
    ahead = thing if pronoun and not verb.preposition else None
    finite, rest = _verb_group(verb, clause.tense, subject, modal=clause.modal, pronoun=pronoun, ahead=ahead)
    words = [_subject_and_verb(_french_full(subject), finite, clause.negative), rest]
    if thing is not None and not pronoun:
        text = _french_full(thing)
        words.append(contracted(verb.preposition, text) if verb.preposition else text)
    return words


_OBJECTIVE = {"I": "me", "we": "us", "they": "them"}


def french(clause: Clause) -> str:
    """Write the clause in French, capitalised and with its final mark."""
    words = _french_core(clause)
    if clause.question:
        words[0] = f"est-ce qu'{words[0]}" if elides(words[0]) else f"est-ce que {words[0]}"
    if clause.quality:
        assert clause.subject is not None
        form = agreed(clause.quality, feminine=clause.subject.feminine, plural=clause.subject.many)
        words.append(_DEGREES[clause.degree] + form)
    if clause.than:
        words.append(f"que {french_phrase(clause.than)}")
    if clause.place:
        words.append(_french_place(clause.place))
    if clause.time:
        words.append(clause.time[1])
    return _sentence(words, " ?" if clause.question else ".")
