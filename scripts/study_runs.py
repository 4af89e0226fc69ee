from robust.sweep import Cell, run_missing

__all__ = ["Cell", "run_missing"]
