"""Studies of many training runs: grids as data, runs that are made once, and their tables.

::

    outcome = run_sweep(load_sweep("delta").override(seeds=5), Path("runs/delta"), workers=2)
    print(outcome.page())
"""

from robust.sweep.files import load_sweep
from robust.sweep.grid import Sweep
from robust.sweep.results import Results
from robust.sweep.run import SweepOutcome, run_sweep
from robust.sweep.runs import Run, run_missing

__all__ = [
    "Results",
    "Run",
    "Sweep",
    "SweepOutcome",
    "load_sweep",
    "run_missing",
    "run_sweep",
]
