"""CORE, the mean of centred accuracies over 22 tasks (Li et al. 2024, DataComp-LM), as nanochat computes it."""
