"""Muon by shape takes the steps of torch's Muon, and goes on from its state."""

from __future__ import annotations

import copy

import pytest
import torch

from evalkit.train.muon import Muon

SHAPES = [(16, 16), (64, 16), (16, 64), (16, 16), (64, 16), (8, 24)]
SETTINGS = {"lr": 0.02, "weight_decay": 0.1, "adjust_lr_fn": "original"}


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    return ours, [torch.nn.Parameter(parameter.detach().clone()) for parameter in ours]


def take_steps(optimizers_and_parameters, *, seed):
    for optimizer, parameters in optimizers_and_parameters:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(3):
            for parameter in parameters:
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step()


def moved_alike(ours, theirs, start):
    for mine, other, before in zip(ours, theirs, start, strict=True):
        with torch.no_grad():
            # Newton-Schulz is in bf16: a batched product may round in another order.
            assert (mine - other).norm() < 0.01 * (other - before).norm()


def test_the_steps_are_torchs(pair):
    ours, theirs = pair
    start = [parameter.detach().clone() for parameter in ours]
    take_steps([(Muon(ours, **SETTINGS), ours), (torch.optim.Muon(theirs, **SETTINGS), theirs)], seed=1)
    moved_alike(ours, theirs, start)


def test_a_state_of_torchs_goes_on(pair):
    ours, theirs = pair
    other = torch.optim.Muon(theirs, **SETTINGS)
    take_steps([(other, theirs)], seed=1)
    mine = Muon(ours, **SETTINGS)
    mine.load_state_dict(copy.deepcopy(other.state_dict()))  # torch shares the tensors otherwise
    for parameter, source in zip(ours, theirs, strict=True):
        parameter.data.copy_(source)
    start = [parameter.detach().clone() for parameter in ours]
    take_steps([(mine, ours), (other, theirs)], seed=2)
    moved_alike(ours, theirs, start)


def test_a_parameter_without_a_gradient_stays(pair):
    ours, _ = pair
    before = ours[0].detach().clone()
    for parameter in ours[1:]:
        parameter.grad = torch.ones_like(parameter)
    Muon(ours, **SETTINGS).step()
    assert torch.equal(ours[0], before)
