"""Intervals and tests: one rule for each thing."""
