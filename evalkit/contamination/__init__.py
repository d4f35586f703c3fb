"""How much of a benchmark was in the training text, as GPT-2 and GPT-3 measured it, and what that did to its scores.

tasks -> TaskText       texts of the scored documents, their 8-grams and N-grams     documents.py
corpus -> chunks        files, datasets, a built corpus                              corpora.py
chunks -> Sightings     which grams of the tests occur: one pass over the corpus     search.py
chunks -> Index         Bloom filters of the corpus's 8-grams, made once             index.py
Sightings -> Overlap    shares, clean and dirty documents, matched passages          verdicts.py
run + Overlap -> Split  scores on clean and dirty documents                          scores.py
all -> tables, files    page.py, texts.py, figure.py

Without a corpus, a model is asked:
documents -> OrderTest     is their published order likelier than others?             orders.py
texts -> Comparison        are they more familiar than texts that it has not read?    membership.py
both -> Evidence -> tables, files                                                     evidence.py, evidence_page.py
"""
