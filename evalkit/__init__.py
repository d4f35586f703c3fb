"""evalkit: zero-shot and few-shot evaluation of GPTs, from the benchmark file to the scaling trend.

Importing evalkit has no effects and does not import torch.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
