"""Where a learning curve's lines go besides its own file: TensorBoard's event files, and Weights & Biases.

Both are given every line that they lack, so that a kill between two of them loses nothing.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from evalkit.errors import StoreError, UsageError
from evalkit.extras import require
from evalkit.files import digest, make_folder, read_json, write_atomic
from evalkit.train.log import board, check_tensorboard

Line = Mapping[str, Any]


class Board(Protocol):
    """Shows the lines of a curve."""

    def show(self, lines: Sequence[Line]) -> None:
        """Show all lines up to now, of which some may be shown already."""
        ...

    def close(self) -> None:
        """Finish the files."""
        ...


def boards(out: Path, *, tensorboard: bool, wandb: str | None) -> list[Board]:
    """Return the boards that are wanted. wandb: the name of a project, or None.

    Raises UsageError for a package that is not installed.
    """
    if tensorboard:
        check_tensorboard()
    chosen: list[Board] = [TensorBoard(out / "tensorboard")] if tensorboard else []
    return chosen + ([WeightsAndBiases(out, project=wandb)] if wandb else [])


class TensorBoard:
    """Event files in a folder of their own; those of an earlier start are replaced."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._writer: Any = None
        self._shown: list[Line] = []

    def show(self, lines: Sequence[Line]) -> None:
        """Write the lines that this object has not written yet; all of them anew where one of those was replaced."""
        if self._writer is None or self._shown != list(lines[: len(self._shown)]):
            self.close()
            for path in make_folder(self._folder).glob("events.out.tfevents.*"):
                path.unlink()
            self._writer, self._shown = board(self._folder, -1), []
        for line in lines[len(self._shown) :]:
            for name, value in numbers(line).items():
                self._writer.add_scalar(name, value, line["step"])
        self._shown = list(lines)
        self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        if self._writer:
            self._writer.close()


class WeightsAndBiases:
    """A run of a project, always the same one for a folder. wandb's own settings say where it goes (WANDB_MODE, ...).

    Raises UsageError if the package is not installed.
    """

    def __init__(self, out: Path, *, project: str):
        self._wandb, self._out, self._project = require("wandb", "runs of --wandb"), out, project
        self._sent = out / "wandb.json"
        self._run: Any = None

    def show(self, lines: Sequence[Line]) -> None:
        """Send the lines that no start has sent yet; one that was sent just before a kill may be sent twice."""
        sent = self._read_sent()
        for line in lines:
            if (mark := [line["step"], line.get("hash")]) not in sent:
                self._run = self._run or self._begin()
                self._run.log({"step": line["step"], **numbers(line)})
                sent.append(mark)
                write_atomic(self._sent, json.dumps(sent) + "\n")

    def _begin(self) -> Any:
        try:
            return begin_wandb(self._wandb, self._out, project=self._project)
        except Exception as error:  # no login, no network: the library raises many kinds
            raise UsageError(f"--wandb {self._project}: {str(error).partition(chr(10))[0]}") from error

    def _read_sent(self) -> list[list[Any]]:
        """Return step and hash of the lines that were sent."""
        with contextlib.suppress(StoreError):
            sent = read_json(self._sent, StoreError)
            return sent if isinstance(sent, list) else []
        return []

    def close(self) -> None:
        """Finish the run of this process."""
        if self._run:
            self._run.finish()


def begin_wandb(wandb: Any, folder: Path, *, project: str, config: Mapping[str, Any] | None = None) -> Any:
    """Begin the run of a folder, or go on with it; offline it is kept in the folder. Raises whatever wandb raises."""
    place = folder.resolve()
    run = wandb.init(
        project=project, id=digest(str(place)), name=place.name, resume="allow", dir=str(folder), config=config
    )
    run.define_metric("*", step_metric="step")
    return run


def numbers(line: Line) -> dict[str, float]:
    """Return what of a line can be drawn."""
    return {
        name: float(value)
        for name, value in line.items()
        if name != "step" and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
