"""A process of one of the tools: its answer, its time and its largest resident set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


class Process:
    """Runs ours.py or theirs.py with a job; one with "rounds" answers once for each call of `answer`, after `ready`."""

    def __init__(self, python: str, script: str, job: dict[str, Any], *, threads: int | None = None):
        self._folder = tempfile.TemporaryDirectory()
        asked, self._result = Path(self._folder.name) / "job.json", Path(self._folder.name) / "result.json"
        asked.write_text(json.dumps(job), encoding="utf-8")
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        if threads:
            environment["OMP_NUM_THREADS"] = str(threads)
        self._command = [python, str(_HERE / script), str(asked), str(self._result)]
        self._log = (Path(self._folder.name) / "log.txt").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            self._command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )

    def ready(self) -> None:
        """Wait until its model is loaded."""
        self._wait()

    def answer(self) -> None:
        """Let it answer once, and wait for it."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._wait()

    def finish(self) -> tuple[float, dict[str, Any]]:
        """Let it end; return the MiB of its largest resident set, and what it wrote."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.stdout.read()
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if self._process.returncode:
            self._fail()
        unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
        result = json.loads(self._result.read_text(encoding="utf-8"))
        self._folder.cleanup()
        return usage.ru_maxrss / unit, result

    def _wait(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if line == "done\n":
                return
        self._process.wait()
        self._fail()

    def _fail(self) -> None:
        self._log.seek(0)
        sys.exit(f"{' '.join(self._command)} failed:\n{self._log.read()[-3000:]}")
