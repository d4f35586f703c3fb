"""The page of fine-tunings."""
