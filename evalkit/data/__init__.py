"""Files and hub rows to documents: where rows come from, and how they are read."""
