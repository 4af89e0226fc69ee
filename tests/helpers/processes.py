"""Functions run by several processes that find each other as under torchrun."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]


def together(count: int, function: Callable[..., Any], folder: Path, *args: Any) -> list[Any]:
    """Call ``function(*args)`` in ``count`` processes; what each gives, by rank.

    Forked, since importing torch takes longer than all the rest. What they give has to be tensors
    in plain containers. Where an earlier test has left autograd with threads of its own, which no
    fork survives, the whole test runs in a fresh process instead.
    """
    if not _autograd_survives_a_fork():
        test = os.environ["PYTEST_CURRENT_TEST"].rsplit(" ", 1)[0]
        line = [sys.executable, "-m", "pytest", "-n", "0", "-m", "", test]
        alone = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
        assert alone.returncode == 0, alone.stdout
        pytest.skip("it passed in a process of its own")
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=_work, args=(rank, count, port, function, folder, args))
        for rank in range(count)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(1200)
        if worker.exitcode is None:
            worker.kill()
    failed = [path.read_text() for path in sorted(folder.glob("error-*.txt"))]
    assert not failed, "\n".join(failed)
    assert [worker.exitcode for worker in workers] == [0] * count
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(count)]


def _autograd_survives_a_fork() -> bool:
    def step() -> None:
        torch.ones(1, requires_grad=True).sum().backward()

    child = multiprocessing.get_context("fork").Process(target=step)
    child.start()
    child.join()
    return child.exitcode == 0


def _work(
    rank: int, count: int, port: int, function: Callable[..., Any], folder: Path, args: Any
) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(count),
        LOCAL_WORLD_SIZE=str(count),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        OMP_NUM_THREADS="1",
    )
    try:
        torch.save(function(*args), folder / f"{rank}.pt")
    except BaseException:
        (folder / f"error-{rank}.txt").write_text(traceback.format_exc())
        raise
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
