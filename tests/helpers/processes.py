"""Functions run by several processes that find each other as under torchrun."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def together(count: int, function: Callable[..., Any], folder: Path, *args: Any) -> list[Any]:
    """Call ``function(*args)`` in ``count`` processes; what each gives, by rank.

    Forked, since importing torch takes longer than all the rest. What they give has to be tensors
    in plain containers.
    """
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
