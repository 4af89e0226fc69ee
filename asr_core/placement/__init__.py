"""Where gates go: automatic placement, targets by name, and what forbids a gate."""

from asr_core.placement.auto import Moved, Placement, no_place, place

__all__ = ["Moved", "Placement", "no_place", "place"]
