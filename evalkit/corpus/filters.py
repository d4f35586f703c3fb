"""Filters of single documents: extraction of a page's text, length, language."""

from __future__ import annotations

from evalkit.corpus.clean import clean
from evalkit.corpus.formats import Raw
from evalkit.corpus.recipe import Recipe
from evalkit.errors import UsageError
from evalkit.extras import require

# A long document's language is identified from this many characters at each of three places.
_EXCERPT = 1000


def text_of(raw: Raw) -> str:
    """Return a document's text, cleaned; for a page its main text as found by trafilatura, or an empty text."""
    if isinstance(raw.content, str):
        return clean(raw.content)
    extract = require("trafilatura", "HTML pages").extract
    return clean(extract(raw.content, include_comments=False) or "")


def reason_against(text: str, raw: Raw, recipe: Recipe) -> str:
    """Return the name of the filter that a document fails, or an empty text."""
    if not text:
        return "empty" if isinstance(raw.content, str) else "page without main text"
    if len(text) < recipe.min_characters:
        return "too short"
    if recipe.max_characters is not None and len(text) > recipe.max_characters:
        return "too long"
    if recipe.languages and language_of(text) not in recipe.languages:
        return "other language"
    return ""


def language_of(text: str) -> str:
    """Return the ISO 639-1 code of a text's likeliest language."""
    if len(text) > 3 * _EXCERPT:
        quarters = (len(text) * part // 4 for part in (1, 2, 3))
        text = "\n".join(text[start : start + _EXCERPT] for start in quarters)
    return str(require("py3langid", "language filters").classify(text)[0])


def check_languages(codes: tuple[str, ...]) -> None:
    """Raise UsageError for a language code that py3langid does not know."""
    if codes:
        supported = {code for code, _ in require("py3langid", "language filters").rank("a")}
        for code in codes:
            if code not in supported:
                raise UsageError(f"unknown language {code!r} (allowed: {', '.join(sorted(supported))})")
