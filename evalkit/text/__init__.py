"""Text without models: answer normalisers, sentence splitting, de-tokenisers and units of length."""
