"""Laws, predictions and verdicts."""
