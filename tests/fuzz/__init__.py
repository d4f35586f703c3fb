"""Damaged and hostile files for every reader of evalkit: `python -m tests.fuzz --inputs 20000` prints what became."""
