"""How many threads a run takes on a machine that others use too."""

from __future__ import annotations

import os

import torch

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables by which a user says how many threads torch takes."""


def spare_cores() -> int:
    """Cores that this process may use and that are idle, by the load of the last minute; from 1.

    More threads than that make each other wait: four small trainings on two busy cores took four
    times as long with two threads each as with one.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        cores = os.cpu_count() or 1
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):
        load = 0.0
    return max(1, min(cores, round(cores - load)))


def leave_busy_cores() -> int:
    """Lower torch's threads to the idle cores, unless the user said how many; returns by how many.

    Sums over several threads are rounded differently, so results that are equal to the bit need
    equal numbers of threads.
    """
    if any(os.environ.get(name) for name in THREADS):
        return 0
    before = torch.get_num_threads()
    threads = min(before, spare_cores())
    torch.set_num_threads(threads)
    return before - threads
