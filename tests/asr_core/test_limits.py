"""asr_core.limits: numbers from outside, checked before anything is made of them."""

import math
import resource
from typing import Any

import pytest
from torch import nn

from asr_core import insert_asr, limits
from asr_core.data.folder.workers import check_workers
from asr_core.errors import InputError
from asr_core.recipes import load_recipe
from styletransfer.network import StyleNetwork
from styletransfer.recipe import StyleRecipe


@pytest.mark.parametrize("value", [0, 10, -1, True, 5.0, "5", None, math.nan, 10**26])
def test_only_whole_numbers_in_the_range_pass(value: Any) -> None:
    assert limits.whole("n", 1, 1, 9) == 1
    assert limits.whole("n", 9, 1, 9) == 9
    with pytest.raises(InputError, match=r"^n is .*; it must be a whole number from 1 to 9$"):
        limits.whole("n", value, 1, 9)


def test_a_batch_is_limited_as_a_whole() -> None:
    limits.check_batch(1024, 224)
    with pytest.raises(InputError, match="65536 images of 8192 × 8192 are 13194139533312 numbers"):
        limits.check_batch(limits.BATCH, limits.SIDE)


RECIPE = load_recipe("resnet11-embedded")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: insert_asr(nn.Linear(2, 2), targets="", delta=10**9), f"to {limits.DELTA}"),
        (lambda: StyleNetwork(width=10**6), f"to {limits.WIDTH}"),
        (lambda: StyleNetwork(blocks=10**6), f"to {limits.BLOCKS}"),
        (lambda: StyleRecipe(size=10**6), f"to {limits.SIDE}"),
        (lambda: StyleRecipe(batch_size=10**9), f"to {limits.BATCH}"),
        (lambda: StyleRecipe(batch_size=10**4, size=8192, coarse_size=64), "at most 2147483648"),
        (lambda: StyleRecipe(steps=10**12), f"to {limits.STEPS}"),
        (lambda: RECIPE.override(epochs=10**9), f"to {limits.EPOCHS}"),
        (lambda: RECIPE.override(batch_size=10**9), f"to {limits.BATCH}"),
        (lambda: check_workers(10**6), f"to {limits.WORKERS}"),
    ],
)
def test_numbers_that_are_too_large_cost_a_line(make: Any, said: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=f"{said}"):
        make()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, "kilobytes"
