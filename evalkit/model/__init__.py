"""The built-in GPT: sizes (config), network (gpt), weights in and out (weights, tensors, families), names (resolve)."""
