"""styletransfer.recipe: the schedule, and numbers that cannot be trained with."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_core.errors import InputError
from styletransfer.recipe import StyleRecipe


def test_the_learning_rate_rises_linearly_and_falls_as_a_cosine_to_a_twentieth() -> None:
    recipe = StyleRecipe(steps=400, warmup=10, lr=1e-3)
    rates = [recipe.learning_rate(step) for step in range(400)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[4] == pytest.approx(5e-4, rel=1e-3)
    assert rates[200] == pytest.approx(1e-3 * (0.05 + 0.95 / 2))  # the cosine's middle
    assert rates[100] == pytest.approx(1e-3 * (0.05 + 0.95 * (2 + math.sqrt(2)) / 4))
    assert rates[-1] == pytest.approx(5e-5, rel=1e-3)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)


@given(st.integers(1, 2000), st.integers(0, 100), st.floats(1e-6, 1.0))
def test_the_learning_rate_is_positive_and_never_above_the_given(
    steps: int, warmup: int, lr: float
) -> None:
    recipe = StyleRecipe(steps=steps, warmup=warmup, lr=lr)
    for step in {0, steps // 2, steps - 1}:
        assert 0 < recipe.learning_rate(step) <= lr


def test_the_first_steps_are_coarse() -> None:
    recipe = StyleRecipe(steps=100, coarse_share=0.75)
    assert [recipe.crop_size(step) for step in range(100)] == [128] * 75 + [256] * 25


@pytest.mark.parametrize(("share", "coarse"), [(0.0, 0), (0.5, 5), (0.51, 6), (1.0, 10)])
def test_the_coarse_share_counts_steps(share: float, coarse: int) -> None:
    recipe = StyleRecipe(steps=10, coarse_share=share)
    assert sum(recipe.crop_size(step) == recipe.coarse_size for step in range(10)) == coarse


@given(st.integers(16, 512).map(lambda quarter: 4 * quarter))
def test_every_size_has_a_coarse_size(size: int) -> None:
    coarse = StyleRecipe.coarse_size_for(size)
    StyleRecipe(size=size, coarse_size=coarse)
    assert coarse == 64 or size / 2 - 4 < coarse <= size / 2


def test_the_default_sizes_belong_together() -> None:
    assert StyleRecipe.coarse_size_for(StyleRecipe.size) == StyleRecipe.coarse_size


def test_a_recipe_is_plain_data() -> None:
    recipe = StyleRecipe(norm="bn+asr", seed=3, width=8)
    assert StyleRecipe(**json.loads(json.dumps(recipe.as_dict()))) == recipe


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("steps", 0, "steps is 0; it must be"),
        ("batch_size", 0, "batch_size is 0; it must be"),
        ("width", -1, "width is -1; it must be"),
        ("size", 130, "size is 130; it must be"),
        ("size", 60, "size is 60; it must be"),
        ("coarse_size", 32, "coarse_size is 32; it must be"),
        ("coarse_size", 512, "coarse_size 512 is above size 256"),
        ("coarse_share", 1.5, r"coarse_share is 1\.5; it must be"),
        ("coarse_share", math.nan, "coarse_share is nan"),
        ("lr", 0.0, r"lr is 0\.0"),
        ("lr", math.nan, "lr is nan"),
        ("lr", math.inf, "lr is inf"),
        ("clip", -1.0, r"clip is -1\.0"),
        ("blocks", -1, "blocks is -1; it must be"),
        ("warmup", -1, "warmup is -1; it must be"),
        ("style_weight", -1.0, r"style_weight is -1\.0; it must be"),
        ("content_weight", math.nan, "content_weight is nan"),
        ("tv_weight", math.inf, "tv_weight is inf"),
    ],
)
def test_numbers_out_of_range_are_refused(field: str, value: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        StyleRecipe(**{field: value})  # type: ignore[arg-type]
