"""The page of a ladder, as Markdown: models, loss, families and levels, in-context learning, controls, separation.

evalkit report-ladder RUN... --out reports/ladder.md --documents 75000
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from evalkit import world
from evalkit.report.ladder.scores import ROOM, Line, Rung, name_and_seed
from evalkit.report.models import ModelFacts
from evalkit.report.trends.scaling import leave_largest_out, power_law

_CURVE = "world_patterns"  # the task whose score is shown by the number of shots


def page(rungs: Sequence[Rung], lines: Sequence[Line], facts: Sequence[ModelFacts], *, command: str) -> str:
    """Return the page, all but the separation."""
    points = [line for line in lines if line.task != "world_lm"]
    zero = [line for line in points if line.source == "model" and line.shots == 0 and line.task != _CURVE]
    curve = [line for line in points if line.source == "model" and line.task == _CURVE]
    return "\n\n".join(
        [
            "# The ladder on the generated world",
            f"Made by `{command}`. Values are means over training seeds, with 95% intervals over documents and seeds.",
            "## Models",
            *_models(rungs, facts),
            "## Families and levels, no shots",
            _legend(),
            _scores(rungs, zero),
            "## In-context learning",
            'Hidden rules by the number of examples in the prompt; the rules of level "new" occur in no training text.',
            _scores(rungs, curve, by_shots=True),
            "## Controls and floors",
            "A control is the model on a changed input; the floor is chance or the best baseline without a model.",
            _controls(rungs, points),
        ]
    )


def _legend() -> str:
    low, high, _ = ROOM
    return (
        "rho: Spearman's correlation of score and size. Falls: rungs below the one before; (noise) where the "
        "intervals overlap. Room: of the range from floor to 100, the smallest rung has less than "
        f"{low:.0%} and the largest more than {high:.0%}."
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, ["---"] * len(header), *rows])


def _models(rungs: Sequence[Rung], facts: Sequence[ModelFacts]) -> Iterator[str]:
    facts_of = {rung.name: [f for f in facts if name_and_seed(f.name)[0] == rung.name and f.loss] for rung in rungs}
    losses = {name: [f.loss for f in trained if f.loss] for name, trained in facts_of.items()}
    tokens = {name_and_seed(f.name)[0]: f.tokens or 0 for f in facts}
    yield _table(
        ["rung", "parameters", "without embeddings", "tokens", "seeds", "held-out loss (nats per token)"],
        [
            [
                rung.name,
                f"{rung.parameters:,}",
                f"{rung.block_parameters:,}",
                f"{tokens[rung.name]:,}",
                str(len(losses[rung.name])),
                ", ".join(map(_loss, facts_of[rung.name])),
            ]
            for rung in rungs
        ],
    )
    mean = [sum(losses[rung.name]) / len(losses[rung.name]) for rung in rungs]
    for what, sizes in (
        ("parameters", [float(rung.parameters) for rung in rungs]),
        ("parameters without embeddings", [float(rung.block_parameters) for rung in rungs]),
    ):
        law = power_law(sizes, mean)
        constants = ", ".join(f"{name} = {law[name]:.3g}" for name in law.names)
        yield f"Loss against {what}: {law.form} with {constants} ({law.points} points{_warned(law.warning)})."
        for left in leave_largest_out([sizes], mean):
            yield (
                f"Without the largest rung it predicts {left.predicted:.3f} [{left.low:.3f}, {left.high:.3f}] for it; "
                f"measured {left.actual:.3f}, error {left.relative:+.1%}{_warned(left.warning)}."
            )


def _loss(facts: ModelFacts) -> str:
    """Write a held-out loss, with its standard error where that is recorded."""
    return f"{facts.loss:.3f}" + ("" if facts.loss_stderr is None else f" ± {facts.loss_stderr:.3f}")


def _warned(warning: str) -> str:
    return f"; {warning}" if warning else ""


def _scores(rungs: Sequence[Rung], lines: Sequence[Line], *, by_shots: bool = False) -> str:
    header = ["task", "level", *(["shots"] if by_shots else []), "metric", *(rung.name for rung in rungs)]
    rows = []
    for line in sorted(lines, key=lambda line: (line.task, line.level, line.shots)):
        first = [line.task, line.level or "**all**", *([str(line.shots)] if by_shots else []), line.metric]
        rows.append([*first, *(score.text() for score in line.scores), f"{line.spearman:.2f}", _notes(rungs, line)])
    return _table([*header, "rho", "notes"], rows)


def _notes(rungs: Sequence[Rung], line: Line) -> str:
    falls = [f"{rungs[i].name} falls{' (noise)' if noise else ''}" for i, noise in line.falls]
    return ", ".join([*falls, *(["room"] if line.leaves_room else []), *([line.stuck] if line.stuck else [])])


def _controls(rungs: Sequence[Rung], lines: Sequence[Line]) -> str:
    rows = []
    for line in sorted(lines, key=lambda line: (line.task, line.source, line.shots)):
        if line.source != "model":
            rows.append([line.task, line.source, str(line.shots), *(score.text() for score in line.scores)])
        elif not line.level and line.shots == 0:
            rows.append([line.task, "floor", "0", *(f"{score.floor:.1f}" for score in line.scores)])
    return _table(["task", "what", "shots", *(rung.name for rung in rungs)], rows)


def separation(documents: int) -> str:
    """Count what training text and held-out items share. documents: of the training text."""
    from evalkit.world.overlap import overlap

    shares = overlap(world.corpus(documents=documents))
    rows = [[name, "too short" if share is None else f"{share:.1%}"] for name, share in shares.items()]
    return "\n\n".join(
        [
            "## Separation",
            f"Share of the held-out items' 8-grams that occur in the {documents:,} training documents, as in Radford "
            "et al. 2019, Table 6. Sentences repeat, whole items never do: tests/world/test_separation.py counts none.",
            _table(["family", "8-grams in training text"], rows),
        ]
    )
