"""Gates: a model against a base, read in waves of documents until each task is decided, at one rate of false alarms."""
