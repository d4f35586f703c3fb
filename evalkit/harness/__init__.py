"""The corridor, a file per step; it is handed an engine and tasks, and never imports torch."""
