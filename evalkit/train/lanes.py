"""A step's sequences spread over threads of one core each.

The kernels of a small model are too short to be split among cores one by one: most of the time the threads would wait
for each other. Here each thread takes some of the sequences through the whole forward and backward pass, and they
synchronise once, to sum the gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn


class Lanes:
    """Computes gradients of a loss in `count` threads; with one, it is a plain `backward`."""

    def __init__(self, model: nn.Module, *, count: int):
        self._parameters = list(model.parameters())
        self._count = count
        # PyTorch's number of threads is set per thread: the caller's is not changed.
        self._pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) if count > 1 else None

    def backward(
        self, loss_of: Callable[[Tensor, Tensor], Tensor], inputs_BT: Tensor, targets_BT: Tensor, *, scale: float = 1.0
    ) -> Tensor:
        """Add the gradients of `scale` times the mean loss to the parameters' gradients; return that product, detached.

        The same number of lanes gives the same bits: their gradients are added in the order of the sequences.
        """
        if self._pool is None:
            loss = loss_of(inputs_BT, targets_BT) * scale
            loss.backward()
            return loss.detach()

        def lane(inputs: Tensor, targets: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            loss = loss_of(inputs, targets) * (scale * len(inputs) / len(inputs_BT))
            return loss.detach(), torch.autograd.grad(loss, self._parameters)

        first, *others = self._pool.map(lane, inputs_BT.chunk(self._count), targets_BT.chunk(self._count))
        total, grads = first[0], list(first[1])
        for loss, lane_grads in others:
            total = total + loss
            torch._foreach_add_(grads, list(lane_grads))
        for parameter, grad in zip(self._parameters, grads, strict=True):
            parameter.grad = grad if parameter.grad is None else parameter.grad + grad
        return total
