"""The trainer: text to tokens (corpus), batches, optimizers, and the loop."""
