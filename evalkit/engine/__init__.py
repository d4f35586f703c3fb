"""Engines answer requests: the built-in GPT (gpt) and a fake for tests (fake), behind one Protocol (base)."""
