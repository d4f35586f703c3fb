"""Forecasts of scores: observations of a ladder in, values with bands out for models that were not observed."""
