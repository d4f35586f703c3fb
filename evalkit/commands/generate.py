"""evalkit generate: let a model continue a text."""

from __future__ import annotations

import argparse

from evalkit.commands import options
from evalkit.commands.helping import group
from evalkit.errors import UsageError

SUMMARY = "Let a model continue a text."
EXAMPLES = """examples:
  evalkit generate --model nano --prompt "the red house = "
  evalkit generate --model nano --prompt "Once" --top-k 40 --temperature 0.8 --max-tokens 100 --seed 7
  evalkit generate --model nano --prompt "the red house = " --beams 4 --until '\\n'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--model", required=True)
    parser.add_argument("--prompt", required=True)
    decoding = group(parser, "decoding")
    decoding.add_argument("--top-k", type=int, help="1: greedy; 0: no limit (default: 40; 1 with --beams)")
    decoding.add_argument("--top-p", type=float, default=1.0)
    decoding.add_argument("--temperature", type=float, default=1.0)
    decoding.add_argument("--beams", type=int, default=1, help="width of a beam search (default: 1, none)")
    decoding.add_argument("--length-penalty", type=float, default=0.6, help="of the beam search (default: 0.6)")
    parser.add_argument("--max-tokens", type=int, default=64)
    decoding.add_argument(
        "--until", action="append", default=[], metavar="TEXT", help="stop before this text; \\n is a line break"
    )
    decoding.add_argument("--seed", type=int, default=0)
    options.add_tokenizer(parser)
    options.add_engine(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the prompt and, as it is decoded, the model's continuation."""
    from evalkit.types import Decoding, Request

    default = 40 if arguments.beams == 1 else 1
    decoding = Decoding(
        until=tuple(text.replace("\\n", "\n") for text in arguments.until if text), max_tokens=arguments.max_tokens,
        top_k=default if arguments.top_k is None else arguments.top_k, top_p=arguments.top_p,
        temperature=arguments.temperature, seed=arguments.seed,
        beams=arguments.beams, length_penalty=arguments.length_penalty,
    )  # fmt: skip
    engine = options.engine(arguments.model, arguments)
    ids = engine.tokenizer.encode(arguments.prompt) or [engine.tokenizer.end_of_text]
    if len(ids) + arguments.max_tokens > engine.context_length:
        raise UsageError(
            f"the prompt has {len(ids)} tokens and --max-tokens is {arguments.max_tokens}; "
            f"the model's context is {engine.context_length} tokens"
        )
    request = Request(kind="generate_until", task="generate", doc_id="0", context_ids=tuple(ids), decoding=decoding)
    print(arguments.prompt, end="", flush=True)
    for piece in engine.stream(request):
        print(piece, end="", flush=True)
    print()
