"""The page of fine-tunings: training sets, the table beside zero-shot and the ablations, the K-shot curve.

evalkit report-finetuned RUN... --out reports/finetune.md
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import median
from types import MappingProxyType
from typing import Any

from evalkit.report.figures import canvas
from evalkit.report.finetuned.stored import Comparison, Tuned, Variant, gains, majority
from evalkit.report.pages.cells import EMPTY, Entry, Grid, markdown, number, words
from evalkit.stats.seeds import Spread, bracketed

# Radford et al. 2018, tables 2 and 5, 117M parameters: fine-tuned, and the same without pre-training where printed.
PAPER: Mapping[str, tuple[float, float | None]] = MappingProxyType(
    {
        "cola": (45.4, 18.9), "sst2": (91.3, 84.0), "mrpc": (82.3, 79.4), "stsb": (82.0, 30.9), "qqp": (70.3, 65.5),
        "mnli": (82.1, None), "mnli_mm": (81.4, None), "qnli": (88.1, 71.2), "rte": (56.0, 53.8), "snli": (89.9, None),
        "scitail": (88.3, None), "storycloze": (86.5, None), "race_middle": (62.9, None), "race_high": (57.4, None),
    }
)  # fmt: skip


def page(comparison: Comparison, *, command: str, figure: str, notes: Sequence[str] = ()) -> str:
    """Return the page. figure: the path of the curve's picture, or empty. notes: paragraphs to include."""
    first = comparison.variants[0]
    blocks = [
        f"# {first.base} fine-tuned as GPT-1",
        f"Made by\n\n```\n{command}\n```",
        " ".join(_about(first, comparison.runs)),
        *notes,
        "## Training",
        "Means over seeds of the pre-trained network; tokens a second are the median of the units by the wall clock, "
        "other load included.",
        markdown(_training(comparison)),
        "## Results",
        _CAPTION,
        markdown(_results(comparison)),
        *_verdicts(comparison),
    ]
    if any(tuned.counts for tuned in first.tasks.values()):
        blocks += ["## K examples", _K_CAPTION, *([f"![Score against examples]({figure})"] if figure else [])]
        blocks.append(markdown(_curves(comparison)))
    commands = "\n".join(_command(run) for run in comparison.runs)
    return "\n\n".join([*blocks, "## Runs", f"```\n{commands}\n```"]) + "\n"


_CAPTION = (
    "Values are means over seeds with 95% intervals over documents and seeds (Student's t), each seed in small type. "
    "Majority: the training set's most frequent class. Zero-shot: the model before fine-tuning under the protocol of "
    "`evalkit run`, with 95% intervals over documents. In italics: GPT-1 with 117M parameters (Radford et al. 2018, "
    "tables 2 and 5), fine-tuned / without pre-training; GLUE's hidden tests and full training sets."
)
_K_CAPTION = (
    "The older meaning of one-shot and few-shot: the model is fine-tuned on K training examples in all, drawn at "
    "random as the shots of a prompt are (means over draws, intervals over documents and draws). Beside it the same "
    "numbers of examples in the prompt of the same model, whose weights stay as they are. From scratch: without "
    "pre-training."
)


def _about(first: Variant, runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield short sentences on what was fine-tuned and how."""
    model, config = first.settings["model"], first.settings["finetune"]
    training = first.training
    corpus = f", trained on {training['tokens']:,} tokens of {training['corpus']}" if training.get("tokens") else ""
    loss = f" (held-out loss {training['loss']:.3f} nats per token)" if training.get("loss") else ""
    yield f"The model has {int(model['parameters']):,} parameters{corpus}{loss}."
    rates = {_rates(run["finetune"]) for run in runs if "finetune" in run}
    chosen = ", ".join(f"{rate:g}" for rate in sorted({rate for tried in rates for rate in tried}))
    if any(len(tried) > 1 for tried in rates):
        chosen = (
            f"one of {chosen}, as the commands below say, several of them tried per task on held-out training examples"
        )
    yield (
        f"Settings: learning rate {chosen} (the paper's is 6.25e-05, for 117M parameters), "
        f"batch {config['batch']}, {config['epochs']} epochs and at least {config['least_updates']} updates, "
        f"warm-up over {config['warmup']:.1%} of them, then linear to 0, dropout {config['dropout']} and "
        f"{config['head_dropout']} before the head, weight decay {config['weight_decay']}, "
        f"auxiliary loss x {config['auxiliary']}, {config['dtype']}."
    )
    yield f"Seeds {', '.join(map(str, first.settings['seeds']))}: new weights, order and dropout."


# Defaults of evalkit finetune; a command names only options that differ from them.
_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "epochs": 3, "batch": 32, "dropout": 0.1, "head_dropout": 0.1, "weight_decay": 0.01, "warmup": 0.002,
        "least_updates": 100, "dtype": "bf16", "limit": None, "limit_train": None, "draws": 5,
    }
)  # fmt: skip


def _command(settings: Mapping[str, Any]) -> str:
    """Write the command of a run, from its settings."""
    tasks, shots, seeds = (",".join(map(str, settings[name])) for name in ("tasks", "shots", "seeds"))
    config = settings.get("finetune")
    if config is None:
        limit = f" --limit {settings['limit']}" if settings["limit"] else ""
        return f"evalkit run --model {settings['model']['model']} --tasks {tasks} --shots {shots}{limit}"
    options = [f"--model {settings['model']['base']} --task {tasks} --shots {shots} --seeds {seeds}"]
    options.append(f"--learning-rate {','.join(f'{rate:g}' for rate in _rates(config))}")
    options += [] if config["pretrained"] else ["--no-pretraining"]
    options += [] if config["auxiliary"] else ["--no-auxiliary"]
    options += [f"--auxiliary {config['auxiliary']}"] if config["auxiliary"] not in (0, 0.5) else []
    values = {**config, **settings}
    options += [f"--{k.replace('_', '-')} {values[k]}" for k, default in _DEFAULTS.items() if values[k] != default]
    return f"evalkit finetune {' '.join(options)}"


def _rates(config: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the learning rate of a run's settings, or those that it chose from."""
    rate = config["learning_rate"]
    return tuple(rate) if isinstance(rate, list) else (rate,)


def _training(comparison: Comparison) -> Grid:
    rows = []
    first, *others = comparison.variants
    for tuned in first.tasks.values():
        units = _whole_units(tuned)
        speed = median([unit["tokens"] / max(1e-9, unit["seconds"]) for unit in units] or [math.nan])
        part = tuned.about.get("pool", "").replace(" of ", " / ")
        rows.append(
            [
                words(tuned.task),
                number(tuned.about["training"], f"{tuned.about['training']:,}", small=part),
                number(tuned.about["training_cut"], f"{tuned.about['training_cut']:,}"),
                *(_rate(variant.tasks.get(tuned.task)) for variant in (first, *others)),
                _mean(units, "updates", "{:,.0f}"),
                _mean(units, "tokens", "{:,.0f}"),
                _mean(units, "task_loss", "{:.3f}"),
                _mean(units, "lm_loss", "{:.3f}"),
                number(speed, "" if math.isnan(speed) else f"{speed:,.0f}"),
            ]
        )
    rates = ["rate", *(f"rate {variant.short.removeprefix('fine-tuned ')}" for variant in others)]
    header = ["task", "training examples", "cut", *rates, "updates", "tokens", "task loss", "LM loss", "tokens/s"]
    return Grid(name="training", title="Training", header=header, rows=rows)


def _whole_units(tuned: Tuned) -> list[Mapping[str, Any]]:
    return [unit for unit in tuned.units if unit["shots"] == tuned.about["training"]]


def _rate(tuned: Tuned | None) -> Entry:
    return words(", ".join(sorted({f"{unit['rate']:g}" for unit in _whole_units(tuned)}))) if tuned else EMPTY


def _mean(units: Sequence[Mapping[str, Any]], name: str, form: str) -> Entry:
    if not units:
        return EMPTY
    value = sum(unit[name] for unit in units) / len(units)
    return number(value, form.format(value))


def _results(comparison: Comparison) -> Grid:
    first, *others = comparison.variants
    rows = []
    for task, tuned in first.tasks.items():
        scores = [_whole(variant.tasks.get(task)) for variant in (first, *others)]
        base = majority(tuned)
        zero = comparison.prompted.get(task, {}).get(0)
        rows.append(
            [
                words(task),
                words(tuned.metric.name),
                number(tuned.about["documents"], f"{tuned.about['documents']:,}"),
                EMPTY if base is None else number(base, f"{base:.1f}"),
                EMPTY if zero is None else _prompted(zero, tuned),
                *scores[1:],
                scores[0],
                _printed(task),
            ]
        )
    header = ["task", "metric", "n", "majority", "zero-shot", *(v.short for v in others), first.short, "GPT-1"]
    return Grid(name="results", title="Results", header=header, rows=rows)


def _whole(tuned: Tuned | None) -> Entry:
    if tuned is None or tuned.whole is None:
        return EMPTY
    score = tuned.score(tuned.about["training"])
    return number(score.value, _text(score), small=", ".join(f"{value:.1f}" for value in score.per_seed))


def _text(score: Spread) -> str:
    return f"{score.value:.1f}{bracketed(score.low, score.high)}"


def _prompted(result: Any, tuned: Tuned) -> Entry:
    other = f", {result.metric}" if result.metric != tuned.metric.name else ""
    text = f"{result.value:.1f}{bracketed(result.low, result.high)}"
    return number(result.value, text, small=f"{result.protocol}{other}")


def _printed(task: str) -> Entry:
    if task not in PAPER:
        return EMPTY
    tuned, plain = PAPER[task]
    return number(tuned, f"{tuned}" + ("" if plain is None else f" / {plain}"), quoted=True)


def _verdicts(comparison: Comparison) -> Iterator[str]:
    """Yield, task by task, what fine-tuning and pre-training bring, and whether the intervals exclude 0."""
    first = comparison.variants[0]
    lines = []
    for tuned in first.tasks.values():
        differences = [("the majority class", tuned.over_majority())] if tuned.whole and tuned.majority else []
        differences += [(other.short, gain) for own, other, gain in gains(comparison) if own.task == tuned.task]
        gains_in_words = [f"{_gain(gain)} over {name}" for name, gain in differences]
        if gains_in_words:
            lines.append(f"- {tuned.task} ({tuned.metric.name}): {'; '.join(gains_in_words)}.")
    if lines:
        yield "Differences on the same documents, with 95% intervals over documents and the seeds of both:"
        yield "\n".join(lines)


def _gain(gain: Spread) -> str:
    sure = "" if gain.low > 0 or gain.high < 0 else ", not told apart"
    return f"{gain.value:+.1f}{bracketed(gain.low, gain.high, form='+.1f', note=sure)}"


def _curves(comparison: Comparison) -> Grid:
    """Return a row per task and number of examples."""
    rows = []
    for task, tuned in comparison.variants[0].tasks.items():
        prompted = comparison.prompted.get(task, {})
        for count in sorted({*tuned.counts, *prompted} if tuned.counts else ()):
            own = [v.tasks[task].score(count) if _has(v, task, count) else None for v in comparison.variants]
            rows.append(
                [
                    words(task),
                    words(tuned.metric.name),
                    number(count, str(count)),
                    *(EMPTY if score is None else number(score.value, _text(score)) for score in own),
                    _prompted(prompted[count], tuned) if count in prompted else EMPTY,
                ]
            )
    header = ["task", "metric", "K", *(variant.short for variant in comparison.variants), "in the prompt"]
    return Grid(name="curves", title="K examples", header=header, rows=rows)


def _has(variant: Variant, task: str, count: int) -> bool:
    return task in variant.tasks and count in variant.tasks[task].rows


def drawn(comparison: Comparison) -> canvas.Drawn | None:
    """Draw score against the number of examples, a panel per task; None where nothing was fine-tuned on K."""
    tasks = [task for task, tuned in comparison.variants[0].tasks.items() if tuned.counts]
    if not tasks:
        return None
    panels = [canvas.Panel(title=task, draw=partial(_panel, comparison, task)) for task in tasks]
    return canvas.render(canvas.Figure(name="finetune-shots", title="K examples", caption=_K_CAPTION, panels=panels))


def _panel(comparison: Comparison, task: str, axes: Any) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    lines: list[tuple[str, list[tuple[float, float, float, float]]]] = []
    for variant in comparison.variants:
        if task in variant.tasks:
            tuned = variant.tasks[task]
            scores = [(float(count), tuned.score(count)) for count in sorted(tuned.rows)]
            lines.append((variant.short, [(x, s.value, s.low, s.high) for x, s in scores]))
    prompted = sorted(comparison.prompted.get(task, {}).items())
    lines.append(("in the prompt", [(float(k), r.value, r.low, r.high) for k, r in prompted]))
    lines = [(name, points) for name, points in lines if points]
    axes.set_xscale("symlog", linthresh=1, linscale=0.8)
    ends = []
    for i, (name, points) in enumerate(lines):
        colour, marker = canvas.ordered(i, len(lines))
        canvas.errorbars(axes, points, colour, marker=marker)
        brief = name.replace("fine-tuned without pre-training", "from scratch").replace("fine-tuned without", "no")
        ends.append((*points[-1][:2], brief, colour))
    counts = sorted({x for _, points in lines for x, *_ in points})
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: canvas.count(value)))
    axes.set_xlim(-0.25, counts[-1] * 1.4)
    axes.set_xlabel("examples (K)")
    tuned = comparison.variants[0].tasks[task]
    axes.set_ylabel(canvas.axis_name(tuned.metric.name))
    canvas.label_ends(axes, ends)
