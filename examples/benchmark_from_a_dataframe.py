"""A benchmark of one's own from a pandas DataFrame: a generated answer, and the same as a multiple choice.

python examples/benchmark_from_a_dataframe.py --model nano
"""

from __future__ import annotations

import argparse

import pandas as pd

import evalkit

CAPITALS = pd.DataFrame(
    {
        "country": ["France", "Italy", "Spain", "Portugal", "Austria", "Norway", "Greece", "Poland"],
        "capital": ["Paris", "Rome", "Madrid", "Lisbon", "Vienna", "Oslo", "Athens", "Warsaw"],
    }
)


def main(model: str) -> evalkit.Run:
    """Evaluate a model with and without solved examples in the prompt."""
    open_answer = evalkit.task_from_rows(
        "capitals", CAPITALS, query="Q: What is the capital of {country}?\nA:", answer="capital"
    )
    choice = evalkit.task_from_rows(
        "capitals_choice",
        CAPITALS,
        query="The capital of {country} is",
        answer="capital",
        choices=list(CAPITALS["capital"]),
    )
    return evalkit.evaluate(model, [open_answer, choice], shots=[0, 2])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="nano")
    print(main(parser.parse_args().model))
