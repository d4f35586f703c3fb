"""A step's sequences spread over threads of one core each.

The kernels of a small model are too short to be split among cores one by one: most of the time the threads would wait
for each other. Here each thread takes some of the sequences through the whole forward and backward pass, and they
synchronise once, to sum the gradients. Where the products are in bf16, the blocks' matrices are rounded once per step
for all threads, and the gradients stay in bf16 until they are summed: the same bits as by autocast, with less traffic.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from evalkit.model.gpt import Linear


class Lanes:
    """Computes gradients of a loss in `count` threads; with one, it is a plain `backward`.

    dtype: of the products of the loss.
    """

    def __init__(self, model: nn.Module, *, count: int, dtype: torch.dtype = torch.float32):
        self._parameters = list(model.parameters())
        self._dtype = dtype
        layers = [part for part in model.modules() if isinstance(part, Linear)]
        self._layers = layers if count > 1 and dtype != torch.float32 else []
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

        with self._rounded() as leaves:

            def lane(inputs: Tensor, targets: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
                loss = loss_of(inputs, targets) * (scale * len(inputs) / len(inputs_BT))
                return loss.detach(), torch.autograd.grad(loss, leaves)

            lanes = list(self._pool.map(lane, inputs_BT.chunk(self._count), targets_BT.chunk(self._count)))
        grads = self._pool.map(_sum, zip(*(grads for _, grads in lanes), strict=True))
        for parameter, grad in zip(self._parameters, grads, strict=True):
            parameter.grad = grad if parameter.grad is None else parameter.grad + grad
        total = lanes[0][0]
        for loss, _ in lanes[1:]:
            total = total + loss
        return total

    @contextlib.contextmanager
    def _rounded(self) -> Iterator[list[Tensor]]:
        """Let the layers multiply with matrices in the products' dtype; yield what the gradients are taken by."""
        assert self._pool is not None
        weights = [layer.weight for layer in self._layers]
        copies = self._pool.map(lambda weight: nn.Parameter(weight.detach().to(self._dtype)), weights)
        rounded = dict(zip(weights, copies, strict=True))
        try:
            for layer in self._layers:
                layer.weight = rounded[layer.weight]
            yield [rounded.get(parameter, parameter) for parameter in self._parameters]
        finally:
            for layer, weight in zip(self._layers, weights, strict=True):
                layer.weight = weight


def _sum(grads: tuple[Tensor, ...]) -> Tensor:
    """Add the lanes' gradients of a parameter in fp32."""
    first, *others = grads
    total = first.float()
    for grad in others:
        total.add_(grad)
    return total
