"""A protocol like the one that ships, with arms that any backbone has, and scores made up."""

from __future__ import annotations

from typing import Any

import numpy as np
from finished import DATA

from asr_core.saving.text_files import read_toml
from robust.protocol.declared import SHIPPED, Declaration, Protocol
from robust.protocol.scores import Score

IMAGES = 1800


def protocol(**changes: Any) -> Protocol:
    """The endpoints that ship, on small networks."""
    whole = read_toml(SHIPPED)
    whole["data"] = "embedded"
    whole["training"] = {"recipe": "resnet11-embedded"}
    whole["arms"]["frozen"] = {"mode": "asr", "attention": "const"}
    whole["noise"]["severities"] = ["0.1", "0.2", "0.4"]
    return Protocol.from_dict({**whole, **changes})


def declared(seeds: int, **changes: Any) -> Declaration:
    """Its declaration, on a data set of 1,800 test images."""
    return Declaration.from_dict(
        {
            "protocol": protocol(**changes).as_dict(),
            "sha256": "0" * 64,
            "data": DATA,
            "seeds": seeds,
        }
    )


def scores(percent: dict[str, np.ndarray]) -> list[Score]:
    """Clean accuracies of arms by seed; "before" and "after" are those of freezing live ones."""
    found = []
    for name, values in percent.items():
        arm, on, detail = (
            ("live", "freezing", name) if name in ("before", "after") else (name, "clean", "")
        )
        found += [
            Score(arm, seed, on, detail, "test", float(value) / 100, IMAGES)
            for seed, value in enumerate(values)
        ]
    return found
