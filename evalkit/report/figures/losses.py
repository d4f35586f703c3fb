"""The loss of one training against the tokens seen, drawn from its log."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evalkit.files import read_log, write_atomic
from evalkit.report.figures import canvas

_Points = Sequence[tuple[int, float]]  # tokens, nats per token


def write(out: Path) -> list[Path]:
    """Draw OUT/metrics.jsonl into OUT/loss.svg and OUT/loss.png, and return their paths."""
    drawn = canvas.render(figure(read_log(out / "metrics.jsonl"), name=out.resolve().name))
    write_atomic(out / "loss.svg", drawn.svg)
    write_atomic(out / "loss.png", drawn.png)
    return [out / "loss.svg", out / "loss.png"]


def figure(rows: Sequence[dict[str, Any]], *, name: str) -> canvas.Figure:
    """Return the figure of a log's rows."""
    training = [(row["tokens"], row["loss"]) for row in rows]
    held_out = [(row["tokens"], row["validation_loss"]) for row in rows if row.get("validation_loss") is not None]
    return canvas.Figure(
        name="loss",
        title=f"Loss of {name}",
        caption="Training loss, a mean since the point before; held-out loss at checkpoints. Nats per token.",
        panels=[canvas.Panel(title=name, draw=partial(_panel, training, held_out))],
    )


def _panel(training: _Points, held_out: _Points, axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter

    ends = []
    for points, label, colour, marker in (
        (training, "training", canvas.BLUE, None),
        (held_out, "held out", canvas.VERMILION, "o"),
    ):
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, marker=marker, lw=1.2)
            ends.append((*points[-1], label, colour))
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: canvas.count(value)))
    axes.set_xlabel("tokens seen")
    axes.set_ylabel("nats per token")
    if canvas.wide([value for _, value in training]):
        canvas.log_scores(axes, [value for _, value in (*training, *held_out)])
    canvas.label_ends(axes, ends)
