"""placing(): where engines answer, in this process or in workers on a cluster of Ray, which is started if need be."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from evalkit import costs
from evalkit.engine.base import Engine
from evalkit.engine.calls import Here, Placing
from evalkit.engine.cluster import Crew
from evalkit.engine.compute import check_threads
from evalkit.engine.workers import Workers
from evalkit.errors import UsageError, check_whole
from evalkit.extras import require

log = logging.getLogger(__name__)

# Bytes for calls and answers on their way; what does not fit is kept on the disk.
_STORE = 256 << 20


@contextmanager
def placing(*, workers: int | None = None, address: str | None = None, threads: int | None = None) -> Iterator[Placing]:
    """Say where engines answer while the block runs: in this process, or in workers on Ray.

    workers: how many; None for this process unless there is an address, and then as many as the cluster has GPUs or
    nodes. address: of a running cluster; None for one on this machine that ends with the block. threads: of matrix
    products, in each worker (default: 1) or in this process (default: torch's own number, which is then not recorded).

    Raises UsageError where Ray is not installed or its address does not answer.
    """
    check_threads(threads)
    if workers is None and address is None:
        yield partial(Here, threads=threads)
        return
    check_whole("--workers", workers)
    threads = threads or 1
    with connected(address, cpus=(workers or 1) * threads):
        crews: dict[tuple[str, int], Crew] = {}

        def place(make: Callable[[], Engine], /, *, device: str, gpus: int = 1) -> Workers:
            kind = device, gpus
            if kind not in crews:
                number = workers or number_for(device, gpus=gpus)
                crews[kind] = Crew(device=device, number=number, threads=threads, gpus=gpus)
                costs.use(device, count=number * gpus, cores=number * threads)
            return Workers(crews[kind], make)

        try:
            yield place
        finally:
            for crew in crews.values():
                crew.close()


def number_for(device: str, *, gpus: int = 1) -> int:
    """Return how many workers a cluster has room for: one per `gpus` GPUs, or per machine."""
    import ray

    on_gpu = device.partition(":")[0] == "cuda"
    return (int(ray.cluster_resources().get("GPU", 0)) // gpus if on_gpu else len(ray.nodes())) or 1


@contextmanager
def connected(address: str | None, *, cpus: int) -> Iterator[Any]:
    """Connect to a cluster, or start one on this machine; leave one that the user has connected to as it is.

    cpus: of a cluster that is started here. Raises UsageError where Ray is not installed or its address does not
    answer.
    """
    # Read when Ray is imported: nobody is told that it is used here, and a worker keeps the devices it can see.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = require("ray", "--workers and --ray")
    if ray.is_initialized():
        yield ray
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if address is None:
        options |= {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": _STORE}
    _check_address(address)
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    began = time.monotonic()
    try:
        ray.init(address=address or "local", **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_cluster(address, error) from None
    log.debug("connected to Ray after %.1f s", time.monotonic() - began)
    # Ray prints on standard output that a worker died, in spite of log_to_driver.
    ray._private.worker._worker_logs_enabled = False
    try:
        if main:
            signal.signal(signal.SIGTERM, handler)  # Ray's own would end the process with another code
        yield ray
    finally:
        ray._private.worker._worker_logs_enabled = True
        ray.shutdown()


def _check_address(address: str | None) -> None:
    """Raise UsageError for an address at which nobody listens: Ray itself would wait for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise _no_cluster(address, error) from None


def _no_cluster(address: str | None, error: Exception) -> UsageError:
    reason = str(error).strip().partition("\n")[0]
    where = f"--ray {address}: no cluster of Ray answers there" if address else "--workers: Ray does not start"
    return UsageError(f"{where} ({reason})")
