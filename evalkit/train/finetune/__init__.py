"""GPT-1's supervised stage (Radford et al. 2018, sections 3.2, 3.3 and 4.1): a training set and a linear head."""
