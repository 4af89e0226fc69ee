"""The fields of a style network's run: those of its recipe, of the noise, and its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from pydantic import Field

from asr_core import limits
from asr_core.saving.schema import Name, Number, Several, Text, parse, record
from robust.norm_noise.training import TrainNoise
from robust.training.run_file import check_fields, train_noise
from styletransfer.images.drawn import STYLE_WEIGHTS
from styletransfer.losses.choose import AUTO, EMBEDDED, VGG16
from styletransfer.recipe import StyleRecipe

DEFAULT_NORM = "bn+asr"
_LEAST, _MOST = limits.STROKE_SIZES


@record
@dataclass(frozen=True, kw_only=True)
class Own:
    """Fields of a run file beside those of the recipe and the noise; see ``StyleRun``."""

    style: Name
    images: Several[Text] = ()
    loss_network: Text = AUTO
    stroke_size: Annotated[Number, Field(ge=_LEAST, le=_MOST)] = 1.0


OWN = tuple(each.name for each in fields(Own))
_RECIPE = tuple(each.name for each in fields(StyleRecipe))
FIELDS = (*OWN, "noise", "severity", *_RECIPE)
"""What a run file of a style network may say."""
_PRECISIONS = {"no": "float32", "bf16": "bfloat16"}
"""The words of the option, which are those of the other commands."""


def read_fields(said: Mapping[str, Any]) -> tuple[Own, TrainNoise, StyleRecipe]:
    """What a run file or options say, and what follows.

    Of ``size`` follows ``coarse_size``, of noise a batch size, of a drawn style its weight.

    Raises:
        InputError: an unknown field, or a value that no run can have.
    """
    said = _of_today(said)
    check_fields(said, FIELDS)
    own = parse(Own, {name: said[name] for name in OWN if name in said})
    noise = train_noise(said)
    recipe = {name: said[name] for name in _RECIPE if name in said}
    if "precision" in recipe:
        recipe["precision"] = _PRECISIONS.get(str(recipe["precision"]), recipe["precision"])
    recipe |= noise.batch_size(recipe.pop("batch_size", None))
    if "size" in recipe and "coarse_size" not in recipe:
        recipe["coarse_size"] = StyleRecipe.coarse_size_for(recipe["size"])
    if own.style in STYLE_WEIGHTS:
        recipe.setdefault("style_weight", STYLE_WEIGHTS[own.style])
    return own, noise, StyleRecipe(**{"norm": DEFAULT_NORM, **recipe})


def _of_today(said: Mapping[str, Any]) -> dict[str, Any]:
    """Fields under today's names: run files of before have VGG16's file, or "cached", or none."""
    given = dict(said)
    if "vgg_weights" in given:
        old = given.pop("vgg_weights")
        now = EMBEDDED if old is None else VGG16 if old == "cached" else old
        given.setdefault("loss_network", now)
    return given
