"""evalkit schema: the JSON schemas of evalkit's own files."""

from __future__ import annotations

import argparse
import json

SUMMARY = "Print the JSON schema of one of evalkit's files, or list them."
EXAMPLES = """examples:
  evalkit schema
  evalkit schema record > record.schema.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="manifest, record, results, baseline or forecast; nothing: list them"
    )


def run(arguments: argparse.Namespace) -> None:
    """Print a schema, or the names of all."""
    from evalkit.runs.formats import SCHEMAS, schema

    if arguments.name is None:
        print("\n".join(f"{name:9} {what}" for name, what in SCHEMAS.items()))
    else:
        print(json.dumps(schema(arguments.name), indent=2, ensure_ascii=False))
