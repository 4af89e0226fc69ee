"""Studies of many training runs: grids as data, runs that are not repeated, and their tables."""

from robust.sweep.cells import Cell, run_missing

__all__ = ["Cell", "run_missing"]
