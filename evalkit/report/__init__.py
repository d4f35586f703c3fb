"""Reports read stored runs only; they never touch a model."""
