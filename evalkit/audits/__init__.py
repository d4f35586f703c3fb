"""Which benchmark can tell models of a size apart: signal and noise, agreement, documents, and which metric tells."""
