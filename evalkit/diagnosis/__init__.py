"""What evalkit has to work with on this machine, what is broken, and what would be slow."""
