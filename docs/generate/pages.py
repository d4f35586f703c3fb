"""Every generated page, by its place on the site, in the order of the navigation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from docs.generate import commands, models, python_api, tasks


@cache
def pages() -> Mapping[str, str]:
    """Return the text of each page."""
    return MappingProxyType({**commands.pages(), **python_api.pages(), **tasks.pages(), **models.pages()})
