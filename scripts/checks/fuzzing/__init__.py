"""Damaged inputs for ``scripts/checks/fuzz.py``: how they are made, and how they are watched."""
