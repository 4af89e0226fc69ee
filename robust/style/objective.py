"""The training objective of style networks, as a metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from asr_core.saving.checkpoint import load_meta
from robust.style.names import formula_of
from styletransfer.recipe import StyleRecipe
from styletransfer.zoo import StyleCheckpoint

_DEFAULTS = StyleRecipe()


@dataclass(frozen=True)
class Objective:
    """content_weight · content loss + style_weight · style loss.

    Attributes:
        content_weight: of the content loss.
        style_weight: of the style loss.
        source: where the weights come from, in words.
    """

    content_weight: float = _DEFAULTS.content_weight
    style_weight: float = _DEFAULTS.style_weight
    source: str = "defaults of training"

    @property
    def formula(self) -> str:
        """Such as "1 · content + 4 · style"."""
        return formula_of(self.content_weight, self.style_weight)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return asdict(self)


def objective_of(networks: Sequence[StyleCheckpoint]) -> Objective:
    """The weights that the first network with a recipe was trained with, or else the defaults."""
    found = [
        Objective(content, style, f"recipe of {network.path.name}")
        for network in networks
        if (weights := _weights(network)) is not None
        for content, style in [weights]
    ]
    if not found:
        return Objective()
    first = found[0]
    weights = first.content_weight, first.style_weight
    others = sum((o.content_weight, o.style_weight) != weights for o in found)
    if not others:
        return first
    return Objective(*weights, f"{first.source}; {others} networks were trained with others")


def _weights(network: StyleCheckpoint) -> tuple[float, float] | None:
    if network.path.suffix != ".safetensors":
        return None
    recipe = load_meta(network.path).get("recipe")
    if not isinstance(recipe, dict):
        return None
    content, style = recipe.get("content_weight"), recipe.get("style_weight")
    if not isinstance(content, int | float) or not isinstance(style, int | float):
        return None
    usable = 0 <= content < math.inf and 0 <= style < math.inf
    return (float(content), float(style)) if usable else None
