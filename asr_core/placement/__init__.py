"""Automatic placement: where ASR goes in a model that nobody listed."""

from asr_core.placement.auto import Moved, Placement, no_place, place

__all__ = ["Moved", "Placement", "no_place", "place"]
