"""The run folder: its journal, its settings and its results."""
