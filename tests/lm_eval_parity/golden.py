"""Writes what lm_eval makes of the made-up task files in tests/golden/lm_eval, for tests that need no lm_eval.

python -m tests.lm_eval_parity.golden PYTHON
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.lm_eval_parity.compare import Setup

FOLDER = Path(__file__).parent.parent / "golden" / "lm_eval"
NAMES = [f"made_{name}" for name in ("targets", "translate", "cloze", "pages", "own", "samples", "group")]
SHOTS = (0, 3)
LIMIT = 12

if __name__ == "__main__":
    setup = Setup(python=Path(sys.argv[1]), root=FOLDER, folder=FOLDER.resolve(), limit=LIMIT)
    found = {shots: setup.theirs(NAMES, shots=shots) for shots in SHOTS}
    (FOLDER / "golden.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
