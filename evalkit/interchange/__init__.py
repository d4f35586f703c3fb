"""Exchange with other programs: Every Eval Ever's records, runs of lm-evaluation-harness, experiment trackers."""
