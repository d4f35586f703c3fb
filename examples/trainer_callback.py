"""Evaluate inside transformers' Trainer: a callback that scores the model every few hundred steps.

pip install 'evalkit[hf]' accelerate
python examples/trainer_callback.py --steps 300 --every 100
"""

from __future__ import annotations

import argparse
from typing import Any

import transformers

import evalkit


class EvaluationCallback(transformers.TrainerCallback):  # type: ignore[misc,unused-ignore]
    """Adds the model to a learning curve every so many steps, and its scores to the Trainer's log.

    The curve evaluates the same documents at every step, as many as fit into its time, and goes on after a restart
    of the training. Only the first process evaluates.
    """

    def __init__(self, curve: evalkit.LearningCurve, tokenizer: Any, *, every: int) -> None:
        self.curve, self.tokenizer, self.every = curve, tokenizer, every
        self.model: evalkit.Model | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Evaluate when it is due, and at the end."""
        due = state.global_step % self.every == 0 or state.global_step == state.max_steps
        if not due or not state.is_world_process_zero:
            return
        if self.model is None:
            self.model = evalkit.open_model(kwargs["model"], tokenizer=self.tokenizer, name="trained")
        tokens = state.num_input_tokens_seen or None  # with include_num_input_tokens_seen=True
        run = self.curve.add(self.model, step=state.global_step, tokens=tokens)
        scores = {f"eval_{task}": value for task, value in run.scores().items()}
        state.log_history.append({"step": state.global_step, **scores})
        print(f"step {state.global_step}: " + ", ".join(f"{name} {value:.1f}" for name, value in scores.items()))


class Windows:
    """A generated text as a dataset of the Trainer: windows of 128 tokens."""

    def __init__(self, tokenizer: Any, *, documents: int = 300, length: int = 128) -> None:
        from evalkit import world

        end = tokenizer.eos_token_id
        ids = [token for text in world.corpus(documents=documents) for token in [*tokenizer(text)["input_ids"], end]]
        self.windows = [ids[start : start + length] for start in range(0, len(ids) - length, length)]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return {"input_ids": self.windows[index], "labels": self.windows[index]}


def main(steps: int, every: int, out: str = "runs/trainer", *, seconds: float = 10.0) -> evalkit.LearningCurve:
    """Train a small Llama on the generated world; return its learning curve."""
    from evalkit.model import resolve

    tokenizer = transformers.AutoTokenizer.from_pretrained(resolve.path_of("nano"))
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=256, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    curve = evalkit.LearningCurve(out, ["world_cloze", "world_lastword", "world_qa"], seconds=seconds)
    trainer = transformers.Trainer(
        model=transformers.LlamaForCausalLM(config),
        args=transformers.TrainingArguments(
            output_dir=f"{out}/checkpoints", max_steps=steps, per_device_train_batch_size=16, learning_rate=1e-3,
            report_to=[], save_strategy="no", disable_tqdm=True, use_cpu=True, include_num_input_tokens_seen=True,
        ),
        train_dataset=Windows(tokenizer),
        callbacks=[EvaluationCallback(curve, tokenizer, every=every)],
    )  # fmt: skip
    trainer.train()
    return curve


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--every", type=int, default=100)
    main(**vars(parser.parse_args()))
