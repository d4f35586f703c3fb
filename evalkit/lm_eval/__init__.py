"""All that concerns lm-evaluation-harness: its tasks, results, samples, standard errors, and evalkit as its model."""
