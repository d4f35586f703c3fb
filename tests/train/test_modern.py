"""Training today's decoders: sizes, gradients, Muon's parts, exact resume, several processes, the record."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from processes import CONFIG, SHAPE, corpus_in, ended, start
from torch.nn import functional as F

from evalkit.cli import main
from evalkit.model import record, weights
from evalkit.model.config import LADDER, SIZES, GPTConfig, Rotary, modern
from evalkit.model.gpt import GPT
from evalkit.model.rms_norm import RMSNorm
from evalkit.model.rotary import rotate, rotation_at
from evalkit.train.log import read_metrics
from evalkit.train.loop import Trainer, train
from evalkit.train.loss import linear_cross_entropy
from evalkit.train.optim import OptimConfig, Optimizers
from evalkit.train.presets import MODERN, PRESETS, preset

MODEL = dataclasses.replace(modern(SHAPE), n_head=4, n_kv_head=2, d_head=8)  # grouped keys: parts of unequal size
GIVEN = dataclasses.replace(CONFIG, model=MODEL)
ADAMW = dataclasses.replace(GIVEN, optim=OptimConfig(muon_lr=0.0, adam_lr=3e-3))


@pytest.mark.parametrize("size", SIZES)
def test_a_modern_size_has_the_parameters_of_the_gpt(size):
    plain, built = SIZES[size], modern(SIZES[size])
    assert built.block_parameters == pytest.approx(plain.block_parameters, rel=0.02)
    tables = (plain.vocab_size + plain.context) * plain.d_model
    assert plain.parameters - tables == plain.block_parameters
    assert built.parameters == built.block_parameters + plain.vocab_size * plain.d_model
    assert modern(built) == built


def test_every_rung_has_a_preset_of_the_same_budget():
    assert MODERN.keys() == LADDER.keys()
    for size in SIZES:
        assert preset(size, "modern").tokens == preset(size).tokens == PRESETS[size].tokens


@pytest.mark.parametrize("width", [16, 128])
def test_the_gradients_of_the_norm_are_torchs(width):
    generator = torch.Generator().manual_seed(0)
    norm = RMSNorm(width, eps=1e-6)
    with torch.no_grad():
        norm.weight.copy_(torch.rand(width, generator=generator) + 0.5)
    x = torch.randn(3, 5, 2, width, generator=generator).requires_grad_()
    toward = torch.randn(3, 5, 2, width, generator=generator)
    inputs = [x, norm.weight]
    expected = F.rms_norm(x, (width,), norm.weight, 1e-6)
    torch.testing.assert_close(norm(x), expected)
    assert "_RMSNorm" in type(norm(x).grad_fn).__name__
    ours, theirs = (torch.autograd.grad(y, inputs, toward) for y in (norm(x), expected))
    for mine, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, right, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        assert torch.equal(norm(x), expected)
    turned = norm(x.transpose(1, 2))  # a gradient that is not contiguous
    mine = torch.autograd.grad(turned.transpose(1, 2), inputs, toward)
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_of_the_rotation_is_autograds(share, dtype):
    rotation = rotation_at(torch.arange(9), dataclasses.replace(MODEL, d_head=16, rotary=Rotary(share=share)))
    assert rotation
    x = torch.randn(2, 9, 3, 16, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    toward = torch.randn(2, 9, 3, 16, generator=torch.Generator().manual_seed(1)).to(dtype)
    half = int(8 * share)
    first, second, rest = x.split((half, half, 16 - 2 * half), -1)
    cosines, sines = rotation.cosines[..., half:], rotation.sines[..., half:]
    plain = torch.cat([first * cosines - second * sines, second * cosines + first * sines, rest], -1).to(dtype)
    tolerance = 1e-6 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(rotate(x, rotation), plain, atol=tolerance, rtol=tolerance)
    with torch.no_grad():
        torch.testing.assert_close(rotate(x, rotation), plain, atol=tolerance, rtol=tolerance)
    grads = [torch.autograd.grad(y, x, toward)[0] for y in (rotate(x, rotation), plain)]
    torch.testing.assert_close(*grads, atol=tolerance, rtol=tolerance)


def test_muon_takes_queries_keys_and_values_apart():
    model = GPT(MODEL)
    optimizers = Optimizers(model, OptimConfig(muon_lr=0.02), schedule=OptimConfig().over((0, 10)))
    muon, adam = (member for member, _ in optimizers._members)
    shapes = [tuple(parameter.shape) for group in muon.param_groups for parameter in group["params"]]
    assert shapes.count((32, 32)) == 2 * 2 and shapes.count((16, 32)) == 2 * 2  # queries and out; keys and values
    tables, vectors = (group["params"] for group in adam.param_groups)
    assert [tuple(parameter.shape) for parameter in tables] == [(300, 32)]
    assert {parameter.ndim for parameter in vectors} == {1} and len(vectors) == 4 * 2 + 1
    assert (adam.param_groups[0]["weight_decay"], adam.param_groups[1]["weight_decay"]) == (0.1, 0.0)
    before = model.blocks[0].attention.qkv.weight.detach().clone()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    model.blocks[0].attention.qkv.weight.grad[32:48] = torch.randn(16, 32)
    optimizers.step(0)
    moved = (model.blocks[0].attention.qkv.weight - before * (1 - 0.02 * 0.1 * optimizers.schedule.rate(0))).abs()
    assert moved[32:48].mean() > 100 * moved[:32].mean() and moved[48:].max() < 1e-6


def test_initial_weights():
    model = GPT(MODEL).requires_grad_(False)
    model.initialize(torch.Generator().manual_seed(0))
    block = model.blocks[0]
    assert block.attention.qkv.weight.std() == pytest.approx(0.02, rel=0.1)
    assert block.down.weight.std() == pytest.approx(0.02 / 2, rel=0.1)
    assert all((part.weight == 1).all() for part in model.modules() if isinstance(part, RMSNorm))


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_resumed_training_ends_with_the_same_bits(dtype, words, tmp_path):
    given = dataclasses.replace(GIVEN, dtype=dtype)
    whole = train(given, *words, tmp_path / "whole")
    broken = Trainer(given, *words, tmp_path / "broken")
    (tmp_path / "broken").mkdir()
    for _ in range(7):
        broken._one_step()
    broken.save()
    again = train(given, *words, tmp_path / "broken", resume=True)
    for ours, theirs in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    losses = [row["loss"] for row in read_metrics(tmp_path / "whole")]
    assert losses[-1] < losses[0] - 0.5
    stored, _ = weights.load(tmp_path / "whole")
    assert stored.config == MODEL
    for ours, theirs in zip(whole.parameters(), stored.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "changes", [{"accumulate": 4}, {"recompute": True}, {"dtype": "bf16"}], ids=["accumulate", "recompute", "bf16"]
)
def test_how_a_step_is_computed_changes_rounding_only(changes, words, tmp_path):
    train(ADAMW, *words, tmp_path / "plain")
    train(dataclasses.replace(ADAMW, **changes), *words, tmp_path / "other")
    plain, other = ([row["loss"] for row in read_metrics(tmp_path / name)] for name in ("plain", "other"))
    assert other == pytest.approx(plain, abs=2e-2 if "dtype" in changes else 2e-5)


@pytest.mark.parametrize("split", [False, True], ids=["ddp", "fsdp"])
def test_two_processes_train_as_one_does(split, tmp_path):
    folder = corpus_in(tmp_path / "corpus")
    together = dataclasses.replace(ADAMW, shard=split)
    assert ended([*start(folder, tmp_path / "one", ADAMW), *start(folder, tmp_path / "two", together, ranks=2)]) == [
        0, 0, 0,
    ]  # fmt: skip
    one, two = ([row["loss"] for row in read_metrics(tmp_path / name)] for name in ("one", "two"))
    assert two == pytest.approx(one, abs=2e-5)


def test_capped_logits_have_the_loss_of_their_softmax():
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(70, 16, generator=generator).requires_grad_()
    matrix = torch.randn(130, 16, generator=generator).requires_grad_()
    targets = torch.randint(0, 130, (70,), generator=generator)
    expected = F.cross_entropy(3 * torch.tanh(F.linear(states, matrix) / 3), targets)
    loss = linear_cross_entropy(states, matrix, targets, dtype=torch.float32, cap=3.0)
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(
        torch.autograd.grad(loss, [states, matrix]), torch.autograd.grad(expected, [states, matrix]), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_at_the_command_line(words_folder, tmp_path, capsys):
    asked = ["train", "--size", "pico", "--corpus", str(words_folder), "--context", "32", "--tokens", "2560"]
    assert main([*asked, "--arch", "modern", "--out", str(tmp_path / "modern")]) == 0
    assert main([*asked, "--out", str(tmp_path / "gpt2")]) == 0
    made, plain = (json.loads((tmp_path / name / "training.json").read_text()) for name in ("modern", "gpt2"))
    assert GPTConfig.of(made["settings"]["model"]) == modern(GPTConfig.of(plain["settings"]["model"]))
    assert record.facts(made)["ladder"] == "words (modern)" and "ladder" not in record.facts(plain)
    capsys.readouterr()
    assert main([*asked, "--arch", "llama", "--out", str(tmp_path / "other")]) == 2
    assert "unknown arch 'llama'" in capsys.readouterr().err
    assert main([*asked, "--arch", "modern", "--resume", "--out", str(tmp_path / "gpt2")]) == 2
    assert "other settings (epsilon: 1e-05 -> 1e-06; norm_kind: layer -> rms" in capsys.readouterr().err
    assert main(["train", "--from", str(tmp_path / "modern"), "--arch", "modern", "--tokens", "1k",
                 "--corpus", str(words_folder), "--out", str(tmp_path / "other")]) == 2  # fmt: skip
    assert "--arch is the model's with --from" in capsys.readouterr().err
    assert main(["models", "nano"]) == 0
    assert f"--size nano --arch modern: {MODERN['nano'].text()}" in capsys.readouterr().out


def test_a_shape_of_an_older_record_has_the_same_recipe():
    settings = {"model": dataclasses.asdict(SHAPE), "seed": 0, "tokens": 9}
    older = {name: settings["model"][name] for name in record._FIRST}
    assert record._recipe(settings) == record._recipe({**settings, "model": older})
    built = {**settings, "model": json.loads(json.dumps(dataclasses.asdict(MODEL)))}
    assert record._recipe(built) not in (record._recipe(settings), record._recipe({**settings, "tokens": 8}))
    assert record._recipe(built) == record._recipe({**settings, "model": dataclasses.asdict(MODEL)})


def test_transformers_reads_it(words, tmp_path):
    transformers = pytest.importorskip("transformers")
    trained = train(dataclasses.replace(GIVEN, model=modern(SHAPE)), *words, tmp_path).eval()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(theirs).__name__ == "Qwen3ForCausalLM"
    tokens = torch.randint(0, 300, (2, 32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(trained(tokens), theirs(tokens).logits, atol=1e-5, rtol=1e-5)
