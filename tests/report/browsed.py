"""The samples of a page as its browser unpacks them."""

from __future__ import annotations

import base64
import json
import zlib

from evalkit.report.pages import pieces


def unpacked(collected: pieces.Samples, group) -> list[dict]:
    """A group's documents, as the page's script unpacks them."""
    blocks = [collected.pieces[index] for index, _ in group["pieces"]]
    return [document for block in blocks for document in json.loads(zlib.decompress(base64.b64decode(block)))]
