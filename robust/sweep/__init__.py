"""Studies of many training runs: grids as data, runs that are not repeated, and their tables.

::

    outcome = run_sweep(load_sweep("delta").override(seeds=5), Path("runs/delta"), workers=2)
    print(outcome.page())
"""

from robust.sweep.files import load_sweep, read_sweep, shipped
from robust.sweep.grid import Claim, Paper, Sweep
from robust.sweep.results import Results
from robust.sweep.run import SweepOutcome, run_sweep
from robust.sweep.runs import Run, run_missing

__all__ = [
    "Claim",
    "Paper",
    "Results",
    "Run",
    "Sweep",
    "SweepOutcome",
    "load_sweep",
    "read_sweep",
    "run_missing",
    "run_sweep",
    "shipped",
]
