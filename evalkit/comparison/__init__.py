"""Two stored runs against each other: paired tests, verdicts with known error rates, and what CI reads of them."""
