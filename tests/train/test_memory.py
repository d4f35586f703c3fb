"""Freed memory comes back without new pages."""

from __future__ import annotations

import platform
import resource

import pytest
import torch

from evalkit.train.memory import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is told")
def test_a_freed_block_is_taken_again_as_it_is():
    keep_freed_memory()
    megabytes = 40  # more than the allocator keeps by itself, whatever was freed before

    def faults(count):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(count):
            torch.ones(megabytes << 18)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults(8)  # a block needs a little more room than it leaves, so the first ones do not fit into each other's
    assert faults(8) < 2 * (megabytes << 20) // resource.getpagesize()
