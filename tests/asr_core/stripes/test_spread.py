"""asr_core.stripes.spread: deviation and η² are those of an analysis of variance."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import f_oneway

from asr_core.errors import InputError
from asr_core.stripes import permuted, spread, stripe_score, typical


def gates(images: int, channels: int, seed: int, *, noise: float = 0.1) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    means = torch.rand(channels, generator=random)
    return means + noise * torch.randn(images, channels, generator=random)


@given(st.integers(2, 30), st.integers(2, 20), st.integers(0, 99))
def test_it_is_that_of_an_analysis_of_variance(images: int, channels: int, seed: int) -> None:
    """F of scipy's one-way analysis, with channels as groups, gives η² by its definition."""
    values = gates(images, channels, seed)
    found = spread(values)
    f = f_oneway(*values.double().numpy().T).statistic
    between, within = channels - 1, channels * (images - 1)
    assert found.eta2 == pytest.approx(f * between / (f * between + within), rel=1e-6)
    assert found.deviation == pytest.approx(np.std(values.double().numpy(), axis=0).mean())
    assert found.eta2 == pytest.approx(1 / (1 + stripe_score(values)))


def test_stripes_and_their_opposite() -> None:
    stripes = torch.rand(8).expand(5, 8)
    assert spread(stripes).eta2 == pytest.approx(1)
    assert spread(stripes).deviation == pytest.approx(0, abs=1e-9)
    assert spread(stripes.T).eta2 == pytest.approx(0, abs=1e-9)
    assert spread(torch.full((4, 4), 0.3)).eta2 is None


def test_a_few_odd_images_are_left_out() -> None:
    values = gates(100, 16, 0, noise=0.001)
    odd = values.clone()
    odd[[3, 50, 97]] += 2.0
    assert spread(odd).deviation > 100 * spread(values).deviation
    assert len(typical(odd)) == 95
    assert spread(typical(odd)).deviation < 1.1 * spread(values).deviation
    assert torch.equal(typical(values, 0), values)
    assert len(typical(values[:2])) == 2


def test_a_permutation_leaves_chance_alone() -> None:
    values = gates(200, 32, 1, noise=0.001)
    assert spread(values).eta2 > 0.99
    mixed = permuted(values, seed=3)
    assert torch.equal(mixed.sort(1).values, values.sort(1).values), "of each image the same gates"
    assert torch.equal(mixed, permuted(values, seed=3))
    assert spread(mixed).eta2 == pytest.approx(1 / 200, abs=0.005)


@pytest.mark.parametrize("values", [torch.rand(1, 4), torch.rand(4), torch.rand(2, 3, 4)])
@pytest.mark.parametrize("figure", [spread, typical, permuted])
def test_other_shapes_are_refused(values: torch.Tensor, figure: object) -> None:
    with pytest.raises(InputError, match=rf"\({values.shape[0]},"):
        figure(values)  # type: ignore[operator]


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_shares_out_of_range_are_refused(share: float) -> None:
    with pytest.raises(InputError, match=str(share)):
        typical(torch.rand(4, 4), share)
