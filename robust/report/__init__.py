"""What people look at, made from data: tables for every medium.

Nothing is imported here: the command line needs :mod:`robust.report.escape` before torch is there.
"""
