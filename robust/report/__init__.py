"""What people look at, made from data: tables for every medium."""

from robust.report.table import Cell, Table

__all__ = ["Cell", "Table"]
