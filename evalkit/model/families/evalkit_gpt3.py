"""GPT-3 (Brown et al. 2020): GPT-2's layout with a `band` for every second layer.

transformers has no GPT-3. Stored as "gpt2" it would be loaded with dense attention and silently compute something else,
so it has a model_type that transformers refuses.
"""

from __future__ import annotations

from dataclasses import replace

from evalkit.model.families import gpt2

FAMILY = replace(
    gpt2.FAMILY,
    model_type="evalkit-gpt3",
    architecture="",
    known="GPT-3 (trained with evalkit; transformers has none)",
    sizes={**gpt2.FAMILY.sizes, "band": "band"},
)
