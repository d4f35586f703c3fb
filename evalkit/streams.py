"""Standard output and error that survive being closed, and that print untrusted text safely."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TextIO, cast

from evalkit.sinks import terminal

if TYPE_CHECKING:
    from rich.console import Console


# Our own characters, for terminals that have only ASCII.
_ASCII = str.maketrans({"±": "+/-", "×": "x", "→": "->", "…": "...", "–": "-", "’": "'", "“": '"', "”": '"'})


class Lasting:
    """A text stream that discards its output once it can no longer be written (head, a closed terminal, a full disk).

    plain: control characters are replaced.
    """

    def __init__(self, inner: TextIO, *, plain: bool = True, faults: list[OSError] | None = None):
        self._inner, self._plain, self._faults = inner, plain, [] if faults is None else faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def styled(self) -> Lasting:
        """The same stream for rich, whose own control sequences are wanted."""
        return Lasting(self._inner, plain=False, faults=self._faults)

    @property
    def lost(self) -> OSError | None:
        """Why output is discarded; None while it is written."""
        return self._faults[0] if self._faults else None

    def write(self, text: str) -> int:
        """Write a text, and return its number of characters."""
        cleaned = terminal(text) if self._plain else text
        self._try(lambda: self._inner.write(cleaned))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is buffered."""
        self._try(self._inner.flush)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except UnicodeEncodeError as error:  # a terminal that lacks these characters
            text = error.object.translate(_ASCII)
            escaped = text.encode(self._inner.encoding, "backslashreplace").decode(self._inner.encoding)
            self._inner.write(escaped)
        except (OSError, ValueError) as error:  # ValueError: closed by someone
            self._faults.append(error if isinstance(error, OSError) else OSError(errno.EBADF, str(error)))
            self._turn_off()

    def _turn_off(self) -> None:
        """Redirect the descriptor to os.devnull, so that buffered text makes no later flush fail."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._inner.fileno())
            os.close(nowhere)
            self._inner.flush()


@contextlib.contextmanager
def lasting() -> Iterator[Lasting]:
    """Make standard output and error `Lasting` while the block runs; yield standard output.

    Closed descriptors are first opened to os.devnull; otherwise the next opened file would take their place.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number, which is this one
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as stack:
        out, err = (
            Lasting(stream or stack.enter_context(open(os.devnull, "w", encoding="utf-8")))  # noqa: PTH123
            for stream in before
        )
        sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
        try:
            yield out
        finally:
            out.flush()
            err.flush()
            sys.stdout, sys.stderr = before


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Return a console on standard output or error that prints texts without their control characters.

    With NO_COLOR in the environment (no-color.org) it has no styles, bold ones included.
    """
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Safe(Console):
        """Cleans the text but not the styling sequences; columns keep their widths."""

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(terminal(segment.text, mark=""), segment.style)

    stream = sys.stderr if stderr else sys.stdout
    plain = bool(os.environ.get("NO_COLOR"))
    return Safe(file=getattr(stream, "styled", stream), width=width, color_system=None if plain else "auto")
