"""Evaluate inside Lightning's Trainer: a callback that scores the network every few hundred steps.

pip install lightning
python examples/lightning_callback.py --steps 300 --every 100
"""

from __future__ import annotations

import argparse
from typing import Any

try:
    from lightning.pytorch import Callback  # type: ignore[import-not-found,unused-ignore]
except ImportError:  # Lightning takes any object with the hooks of a callback that it calls

    class Callback:  # type: ignore[no-redef,unused-ignore]
        """The hooks that are used here."""


import evalkit


class EvaluationCallback(Callback):  # type: ignore[misc,unused-ignore]
    """Adds a network to a learning curve every so many optimizer steps, and logs the scores with the Trainer's loggers.

    network: the attribute of the LightningModule that holds the network whose call gives logits. options: how it is
    opened (see evalkit.open_model): its tokenizer, context_length, logits. Only the first process evaluates.
    """

    def __init__(self, curve: evalkit.LearningCurve, *, every: int, network: str = "model", **options: Any) -> None:
        self.curve, self.every, self.network, self.options = curve, every, network, options
        self.model: evalkit.Model | None = None
        self.last = 0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Evaluate when it is due; with accumulated gradients several batches belong to one step."""
        step = trainer.global_step
        if step % self.every or step == self.last or not trainer.is_global_zero:
            return
        self.last = step
        if self.model is None:
            network = getattr(pl_module, self.network)
            self.model = evalkit.open_model(network, name=type(pl_module).__name__, **self.options)
        scores = self.curve.add(self.model, step=step).scores()
        for logger in trainer.loggers:
            logger.log_metrics({f"eval/{task}": value for task, value in scores.items()}, step=step)
        print(f"step {step}: " + ", ".join(f"{task} {value:.1f}" for task, value in scores.items()))


def main(steps: int, every: int, out: str = "runs/lightning", *, seconds: float = 10.0) -> evalkit.LearningCurve:
    """Train a small GPT on the generated world; return its learning curve."""
    import torch
    from lightning.pytorch import LightningModule, Trainer
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset

    from evalkit import world
    from evalkit.engine.encoders import encoder_of
    from evalkit.model.config import GPTConfig
    from evalkit.model.gpt import GPT

    tokenizer, length = encoder_of("nano"), 128

    class Training(LightningModule):  # type: ignore[misc,unused-ignore]
        """A GPT and its loss."""

        def __init__(self) -> None:
            super().__init__()
            shape = GPTConfig(n_layer=2, d_model=64, n_head=4, context=256, vocab_size=tokenizer.size)
            self.model = GPT(shape)
            self.model.initialize(torch.Generator().manual_seed(0))

        def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
            [tokens] = batch
            logits = self.model(tokens[:, :-1])
            return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

    ids = [token for text in world.corpus(documents=300) for token in [*tokenizer.encode(text), tokenizer.end_of_text]]
    windows = torch.tensor(ids[: len(ids) // length * length]).reshape(-1, length)
    curve = evalkit.LearningCurve(out, ["world_cloze", "world_lastword"], seconds=seconds)
    trainer = Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        callbacks=[EvaluationCallback(curve, every=every, tokenizer=tokenizer)],
    )  # fmt: skip
    trainer.fit(Training(), DataLoader(TensorDataset(windows), batch_size=16))
    return curve


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--every", type=int, default=100)
    main(**vars(parser.parse_args()))
