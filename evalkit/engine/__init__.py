"""Engines answer requests behind one Protocol (base): our GPT (gpt), transformers' models (hf), a fake for tests."""
