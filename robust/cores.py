"""How many threads a run takes on a machine that others use too."""

from __future__ import annotations

import os


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
