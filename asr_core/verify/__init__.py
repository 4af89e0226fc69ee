"""Checks of one model against another: parity, and the module where outputs first differ."""
