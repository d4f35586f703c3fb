"""The engine against lm-evaluation-harness: the same weights, the same requests, both tools in one run."""
