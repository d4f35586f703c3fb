"""From tasks and an engine to results, a file per step; never imports torch."""
