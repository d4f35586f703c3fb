"""The documentation: pages, and in generate/ what makes the rest of the site."""
