"""Learning curves: the scores of a model's steps, from inside a training loop or from the checkpoints in a folder."""
