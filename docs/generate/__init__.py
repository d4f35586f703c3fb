"""Pages that are made at build time from what they describe, and the links of all pages.

mkdocs runs hook.py, which needs no plugin for that. It is code beside the pages, not in the package: a reader of the
code finds both in one place, and users do not install it.
"""
