"""Automatic placement: where ASR goes in a model that nobody listed."""

from asr_core.placement.auto import Placement, no_place, place

__all__ = ["Placement", "no_place", "place"]
