"""Damaged inputs for ``scripts/fuzz.py``: what they are made of, and how they are watched."""
