"""Fine-tuning: it learns, its losses are those of the paper, units resume, draws stay, folders are read back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from evalkit.data.sources import DataPaths
from evalkit.errors import CheckpointError, DataError, StoreError, UsageError
from evalkit.harness import catalog
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.runs.store import read_records
from evalkit.tokenizer import Tokenizer
from evalkit.train.finetune import batches
from evalkit.train.finetune import model as models
from evalkit.train.finetune import run as runs
from evalkit.train.finetune.data import prepare
from evalkit.train.finetune.loop import FinetuneConfig, judge, losses, train
from evalkit.train.finetune.run import Base, Settings, finetune
from tests.train.made_tasks import WORDS, write

SHAPE = GPTConfig(n_layer=1, d_model=32, n_head=2, context=48, vocab_size=300)
FAST = FinetuneConfig(learning_rate=1e-2, epochs=12, least_updates=10, dtype="fp32")
QUIET = {"dropout": 0.0, "head_dropout": 0.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return DataPaths(root=write(tmp_path_factory.mktemp("made")))


@pytest.fixture(scope="module")
def base():
    gpt = GPT(SHAPE)
    gpt.initialize(torch.Generator().manual_seed(0))
    tokenizer = Tokenizer.train([" ".join(WORDS)] * 5, vocab_size=300)
    return Base(gpt=gpt.eval().requires_grad_(False), tokenizer=tokenizer, label="tiny", digest="0")


@pytest.fixture(scope="module")
def task_data(base, data):
    def load(name, **limits):
        [task] = catalog.select([name])
        return prepare(task, base.tokenizer, data, first_special=300, context=48, **limits)

    return load


def built(base, data, **changes):
    options = {"seed": 0, "pretrained": True, "dropout": 0.0, "head_dropout": 0.0} | changes
    return models.build(base.gpt, data.head(data.training), **options)


@pytest.mark.parametrize(
    ("name", "metric", "least"), [("sst2", "acc", 90), ("cola", "mcc", 80), ("stsb", "pearson", 50)]
)
def test_a_task_that_can_be_learnt_is_learnt(name, metric, least, base, task_data, tmp_path):
    longer = replace(FAST, epochs=20)
    results = finetune(base, [task_data(name)], Settings(config=longer), tmp_path, training={})
    [found] = [r for r in results if r.metric == metric and r.source == "model" and not r.level]
    assert found.value > least
    assert (found.model, found.protocol, found.shots) == ("tiny fine-tuned", "finetuned", 96)


def test_the_majority_class_is_the_baseline(base, task_data, tmp_path):
    results = finetune(base, [task_data("sst2", limit_train=3)], Settings(config=FAST), tmp_path, training={})
    [found] = [r for r in results if r.source == "baseline:majority"]
    assert found.value == 50.0
    assert "pool:3/96" in found.signature


def test_the_losses_are_those_of_the_paper(base, task_data):
    data = task_data("mrpc")
    model = built(base, data).eval()
    batch = batches.collate(data.training, [0, 1, 2], device="cpu")
    task_loss, lm_loss = losses(model, data.form, batch, FinetuneConfig(dtype="fp32", **QUIET))
    scores, nats = [], []
    for place in (0, 1, 2):
        total = torch.zeros(SHAPE.d_model)
        for sequence in data.training[place].sequences:
            tokens = torch.from_numpy(sequence.astype(np.int64))[None]
            states = model.hidden(tokens)
            total += states[0, -1]
            nats.append(F.cross_entropy(model.unembed(states)[0, :-1], tokens[0, 1:], reduction="none"))
        scores.append(model.head.weight @ total)
    targets = torch.tensor([int(data.training[place].target) for place in (0, 1, 2)])
    torch.testing.assert_close(task_loss, F.cross_entropy(torch.stack(scores), targets))
    torch.testing.assert_close(lm_loss, torch.cat(nats).mean())
    without = losses(model, data.form, batch, FinetuneConfig(dtype="fp32", auxiliary=0.0))
    assert (without[0].item(), without[1].item()) == (task_loss.item(), 0.0)


def test_the_order_of_a_pair_does_not_matter(base, task_data):
    data = task_data("mrpc")
    model = built(base, data)
    turned = [type(e)(sequences=e.sequences[::-1], target=e.target) for e in data.scored]
    config = FinetuneConfig(dtype="fp32")
    for one, other in zip(
        judge(model, data.form, data.scored, config), judge(model, data.form, turned, config), strict=True
    ):
        assert [a.loglikelihood for a in one] == pytest.approx([b.loglikelihood for b in other], abs=1e-5)


def test_new_parameters_are_three_embeddings_and_a_head_without_bias(base, task_data):
    model = built(base, task_data("sst2"))
    assert torch.equal(model.tokens.weight[:300], base.gpt.tokens.weight)
    ours = sum(p.numel() for p in model.parameters())
    assert ours == sum(p.numel() for p in base.gpt.parameters()) + 3 * 32 + 2 * 32
    drawn = built(base, task_data("sst2"), pretrained=False, seed=3)
    assert not torch.equal(drawn.blocks[0].up.weight, base.gpt.blocks[0].up.weight)


def test_a_batch_never_changes_an_answer(base, task_data):
    data = task_data("sst2")
    model, config = built(base, data), FinetuneConfig(dtype="fp32")
    together = judge(model, data.form, data.scored, config)
    for place, alone in enumerate(data.scored):
        [answers] = judge(model, data.form, [alone], config)
        told = [a.loglikelihood for a in together[place]]
        assert [a.loglikelihood for a in answers] == pytest.approx(told, abs=1e-5)


def test_an_epoch_has_every_example_once_and_lengths_are_alike(task_data):
    data = task_data("sst2").training
    drawn = batches.shuffled(data, size=8, seed=1)
    epochs = [[next(drawn) for _ in range(12)] for _ in range(2)]
    for epoch in epochs:
        assert sorted(place for batch in epoch for place in batch) == list(range(96))
        assert all(data[batch[-1]].longest - data[batch[0]].longest <= 3 for batch in epoch)
    assert epochs[0] != epochs[1]


def test_a_stopped_run_goes_on_and_ends_the_same(base, task_data, tmp_path, monkeypatch):
    data, settings = task_data("sst2"), Settings(config=FAST, seeds=(0, 1), keep="none")
    finetune(base, [data], settings, tmp_path / "whole", training={})
    trained = []

    def stop_at_the_second(*given, **more):
        trained.append(more["label"])
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(*given, **more)

    monkeypatch.setattr(runs, "train", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        finetune(base, [data], settings, tmp_path / "broken", training={})
    finetune(base, [data], settings, tmp_path / "broken", training={})
    assert [label.partition(" ")[0] for label in trained] == ["sst2-all-seed0", "sst2-all-seed1", "sst2-all-seed1"]
    for name in ("records.jsonl", "results.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes()
    with pytest.raises(StoreError, match="finetune"):
        finetune(base, [data], Settings(seeds=(0, 1), keep="none"), tmp_path / "whole", training={})


def test_draws_are_stable_and_nested(base, task_data, tmp_path):
    data = task_data("sst2")
    targets = [[e.target for e in data.draw(count, seed=0)] for count in (4, 20)]
    assert targets[0] == targets[1][:4]
    first, second = (data.draw(20, seed=seed) for seed in (0, 1))
    assert [id(e) for e in first] == [id(e) for e in data.draw(20, seed=0)] != [id(e) for e in second]
    assert len({id(e) for e in first}) == 20
    settings = Settings(config=FAST, shots=(1, 4), draws=2)
    finetune(base, [data], settings, tmp_path, training={})
    cells = {(r.cell.shots, r.cell.seed) for r in read_records(tmp_path)}
    assert cells == {(1, 0), (1, 1), (4, 0), (4, 1)}
    units = [json.loads(line) for line in (tmp_path / "units.jsonl").read_text().splitlines()]
    assert [u["updates"] for u in units] == [12, 12, 12, 12]
    with pytest.raises(UsageError, match="sst2 has 96 training examples"):
        finetune(base, [data], Settings(shots=(96,)), tmp_path / "more", training={})


@pytest.mark.parametrize("untied", [False, True])
def test_a_stored_model_is_judged_the_same_again(untied, base, task_data, tmp_path):
    data = task_data("stsb")
    if untied:
        gpt = GPT(replace(SHAPE, untied=True))
        gpt.initialize(torch.Generator().manual_seed(0))
        base = replace(base, gpt=gpt)
    [first, *_] = finetune(base, [data], Settings(config=FAST), tmp_path / "run", training={})
    folder = tmp_path / "run/checkpoints/stsb-all-seed0"
    model, _, about = models.load(folder)
    assert len(model.output_matrix) == 303 and (model.output is None) != untied
    [again, *_] = runs.judge_again(model, data, about, tmp_path / "again")
    assert (again.value, again.n, again.shots) == (first.value, first.n, 96)
    (folder / "head.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match=r"head\.safetensors"):
        models.load(folder)
    with pytest.raises(CheckpointError, match="holds no fine-tuned model"):
        models.load(tmp_path)


def test_the_rate_is_chosen_on_held_out_training_examples(base, task_data, tmp_path):
    data = task_data("sst2")
    settings = Settings(config=FAST, rates=(1e-6, 1e-2))
    finetune(base, [data], settings, tmp_path, training={})
    chosen = json.loads((tmp_path / "rates.json").read_text())["sst2"]
    assert chosen["chosen"] == 1e-2
    assert chosen["held_out"]["0.01"] > chosen["held_out"]["1e-06"]
    assert json.loads((tmp_path / "units.jsonl").read_text())["rate"] == 1e-2
    with pytest.raises(UsageError, match="hold"):
        Settings(rates=(1e-6, 1e-2), shots=(8,))


def test_wrong_values():
    values = {"batch": 0, "learning_rate": 0.0, "auxiliary": -1.0, "dropout": 1.0, "epochs": 0, "warmup": 1.0}
    for name, wrong in values.items():
        with pytest.raises(UsageError, match=name):
            FinetuneConfig(**{name: wrong})
    with pytest.raises(UsageError, match="zero-shot"):
        Settings(shots=(0,))
    with pytest.raises(UsageError, match="draws"):
        Settings(draws=0)


def test_labels_that_name_no_class_fail_and_are_not_trained_on(base, tmp_path, caplog):
    root = write(tmp_path / "made")
    for name, places in (("train", (3, 4)), ("dev", (0, 1, 2))):
        path = root / f"glue/CoLA/in_domain_{name}.tsv"
        lines = path.read_text().splitlines()
        for place in places:
            lines[place] = lines[place].replace(f"\t{place % 2}\t", "\t-1\t")
        path.write_text("\n".join(lines) + "\n")
    [task] = catalog.select(["cola"])
    found = prepare(task, base.tokenizer, DataPaths(root=root), first_special=300, context=48)
    assert (len(found.documents), len(found.unlabelled), len(found.training), found.available) == (41, 3, 94, 94)
    assert "cola: 3 of 44 labels name no choice and are failed items (row " in caplog.text
    assert "cola: 2 of 96 labels name no choice and are left out (row 4 of its shots data" in caplog.text
    config = replace(FAST, epochs=1)
    results = finetune(base, [found], Settings(config=config, keep="none"), tmp_path / "out", training={})
    own = [r for r in results if r.source == "model" and not r.level]
    assert {(r.n, r.failed) for r in own} == {(41, 3)}
    failed = [r for r in read_records(tmp_path / "out") if r.error]
    assert len(failed) == 3 and all(not r.scores and "the label '-1' names none" in r.error for r in failed)


@pytest.mark.parametrize("name", ["sst2", "stsb"])
@pytest.mark.parametrize("weight", [float("inf"), float("nan")])
def test_answers_that_are_no_finite_numbers_fail(name, weight, base, task_data):
    data = task_data(name)
    model = built(base, data)
    with torch.no_grad():
        model.head.weight[:] = weight
    cell = runs.Unit(data=data, shots=None, seed=0).cell
    records = list(runs.records(data, cell, judge(model, data.form, data.scored, FAST)))
    assert len(records) == len(data.documents)
    assert all("not a finite number" in r.error and not r.scores and not r.prediction for r in records)


def test_without_a_training_split_there_is_no_fine_tuning(base, tmp_path):
    path = tmp_path / "stsa.binary.dev"
    path.write_text("1 fine\n0 poor\n")
    [task] = catalog.select(["sst2"])
    room = {"first_special": 300, "context": 48}
    with pytest.raises(DataError, match="sst2: there is no training split"):
        prepare(task, base.tokenizer, DataPaths(named={"sst2": path}), **room)
