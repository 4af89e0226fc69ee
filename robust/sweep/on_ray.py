"""Runs of a study on the machines of a Ray cluster (an extra)."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import math
import os
import socket
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from asr_core.errors import InputError
from robust.sweep import engine

MARK = ".sweep-"
"""What the names of :func:`_mark`'s files begin with."""


class OnRay(engine.Engine):
    """An engine whose runs are Ray tasks."""

    def __init__(self, ray: Any, *, mark: Path, workers: int, gpus: float) -> None:
        super().__init__()
        self.workers = workers
        self._ray = ray
        self._mark = mark
        # Tasks carry our functions with them: importing them there would import torch.
        ray.cloudpickle.register_pickle_by_value(engine)
        # No retries: a restarted run might find its lost self still in the folder.
        self._task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(engine.failure_elsewhere)

    def _begin(self, command: Sequence[str]) -> Any:
        return self._task.remote(list(command), os.getcwd(), str(self._mark))

    def _end(self, job: Any) -> str:
        try:
            problem: str = self._ray.get(job)
            return problem
        except self._ray.exceptions.RayError as error:
            # For a task's own exception, Ray's message is the traceback.
            return f"Ray: {_line(getattr(error, 'cause', None) or error)}"

    def _stop(self, job: Any) -> None:
        self._ray.cancel(job)


@contextlib.contextmanager
def on_ray(
    folder: Path,
    *,
    workers: int | None = None,
    device: str = "auto",
    address: str | None = None,
) -> Iterator[OnRay]:
    """Yield an engine on a Ray cluster.

    A run is a Ray task of one CPU that starts the same command as on this machine: ``folder``, the
    working folder, the data and this Python must be in the same places on all machines; Ray's own
    Python there needs no package of ours. If the cluster has GPUs, a run on device "auto" gets one
    of them, or a share that lets ``workers`` runs go at a time. A run that is lost with its machine
    is a failure. If Ray is started here, its dashboard and usage statistics are off.

    Args:
        folder: that of the study, on a disk that all machines share.
        workers: runs at a time; by default one for each GPU of the cluster, or else for each CPU.
        device: "cpu", or another to use the cluster's GPUs.
        address: HOST:PORT of the cluster, or "auto" for that of this machine. By default Ray
            decides: RAY_ADDRESS, a cluster of this machine, or else a new one on this machine,
            which ends with the context. A connection that this process already has is used and
            left open.

    Raises:
        InputError: Ray is not installed, or there is no cluster at ``address``.
    """
    if importlib.util.find_spec("ray") is None:
        raise InputError("engine 'ray' needs Ray: pip install 'robust-asr[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = importlib.import_module("ray")
    with _connected(ray, address), _mark(folder) as mark:
        has = ray.cluster_resources()
        gpus = has.get("GPU", 0.0) if device != "cpu" else 0.0
        workers = workers or max(1, int(gpus or has.get("CPU", 0.0)))
        yield OnRay(ray, mark=mark, workers=workers, gpus=gpu_share(gpus, workers))


def gpu_share(gpus: float, workers: int) -> float:
    """A run's share of a GPU, so that ``workers`` runs fit on ``gpus``.

    Ray counts in steps of 1e-4, and splits no share over two GPUs.
    """
    if not gpus:
        return 0.0
    a_gpu = math.ceil(workers / gpus)
    return math.floor(1e4 / a_gpu) / 1e4


@contextlib.contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    with _silent(ray):
        try:
            try:
                _check_answers(address)
                # Ray puts the working folder on its workers' path: it must exist there.
                with contextlib.chdir(os.path.dirname(os.__file__)):
                    ray.init(
                        address=address,
                        include_dashboard=False,
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                    )
            except (OSError, RuntimeError, ValueError, OverflowError) as error:
                where = "here" if address is None else f"at {address!r}"
                raise InputError(
                    f"no Ray cluster {where}: {_line(error)}; `ray start` makes one (if it asks "
                    "for a token, set RAY_AUTH_MODE=token), and without an address Ray looks for "
                    "one or makes its own"
                ) from None
            yield
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _silent(ray: Any) -> Iterator[None]:
    """Keep Ray's notes on lost workers off stdout, for which it has no option."""
    worker = ray._private.worker
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = True


def _check_answers(address: str | None) -> None:
    """Raise if nothing answers: Ray would try for minutes, and write to the terminal."""
    if address in (None, "auto"):
        address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = str(address).removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


@contextlib.contextmanager
def _mark(folder: Path) -> Iterator[Path]:
    """Yield a new file by which other machines recognise the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # A new name, because networked disks remember which files were missing.
    mark = Path(os.path.realpath(folder)) / f"{MARK}{uuid.uuid4().hex}"
    mark.touch()
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def _line(error: BaseException) -> str:
    """The first line of Ray's long explanation."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
