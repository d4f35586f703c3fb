"""Messages of the command line on standard error: one line each, each warning once, optionally as JSON.

The modules of evalkit use logging as any library does; only the command line decides where messages go.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from evalkit.errors import cannot
from evalkit.sinks import terminal

LEVELS = ("debug", "info", "warning", "error")
# Attributes of every LogRecord; any other was passed as `extra` and belongs to the message.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@contextmanager
def messages(level: str, json_to: str | None) -> Iterator[None]:
    """Show our messages from this level up, and the warnings of others, while the block runs.

    json_to: "-" for JSON lines instead of text, or a file to append them to as well.

    Raises StoreError when the file cannot be written.
    """
    root, ours = logging.getLogger(), logging.getLogger("evalkit")
    with ExitStack() as stack:
        for handler in _handlers(json_to, stack):
            handler.addFilter(_Once())
            root.addHandler(handler)
            stack.callback(root.removeHandler, handler)
        stack.callback(ours.setLevel, ours.level)
        ours.setLevel(level.upper())
        stack.callback(setattr, warnings, "showwarning", warnings.showwarning)
        warnings.showwarning = _warned
        yield


def _handlers(json_to: str | None, stack: ExitStack) -> list[logging.Handler]:
    if json_to == "-":
        return [_Stderr(_AsJSON())]
    if json_to is None:
        return [_Stderr(_AsText())]
    try:
        lines = _File(json_to, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise cannot("write", Path(json_to), error) from error
    stack.callback(lines.close)
    lines.setFormatter(_AsJSON())
    return [_Stderr(_AsText()), lines]


class _Stderr(logging.Handler):
    """Prints to the current sys.stderr, which a progress bar may have replaced."""

    def __init__(self, formatter: logging.Formatter):
        super().__init__()
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        print(terminal(self.format(record)), file=sys.stderr, flush=True)


class _File(logging.FileHandler):
    """Appends to a file; when it can no longer be written (a full disk, a closed pipe), the command goes on."""

    _failed = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Warn once instead of printing a traceback for every message."""
        if not self._failed:
            self._failed = True
            print(f"evalkit: warning: no more messages go to {self.baseFilename}", file=sys.stderr)

    def close(self) -> None:
        """Close the file; on a full disk, unwritten lines are lost."""
        with suppress(OSError):
            super().close()


class _Once(logging.Filter):
    """Lets each warning through once."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[tuple[str, str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        message = (record.name, record.getMessage())
        new = message not in self._seen
        self._seen.add(message)
        return new


class _AsText(logging.Formatter):
    """The message, with its level unless that is info."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno == logging.INFO else f"evalkit: {record.levelname.lower()}: {text}"


class _AsJSON(logging.Formatter):
    """A JSON object: time, level, logger, message, and any `extra` of the message."""

    def format(self, record: logging.LogRecord) -> str:
        body: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _USUAL},
        }
        if record.exc_info:
            body["traceback"] = self.formatException(record.exc_info)
        return json.dumps(body, ensure_ascii=False, default=str)


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: object = None,
) -> None:
    logging.getLogger("py.warnings").warning(
        "%s: %s", category.__name__, message, extra={"where": f"{filename}:{lineno}"}
    )
