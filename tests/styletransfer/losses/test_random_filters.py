"""styletransfer.losses.random_filters: fixed by a seed, three quarters of them blind to colour."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from torch import Tensor

from styletransfer.losses.random_filters import RandomFilters


def picture(size: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_equal_seeds_give_equal_filters_and_others_do_not() -> None:
    assert torch.equal(RandomFilters().filters, RandomFilters(seed=0).filters)
    assert not torch.allclose(RandomFilters().filters, RandomFilters(seed=1).filters)


def test_the_global_random_state_is_neither_read_nor_moved() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = RandomFilters().filters
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert torch.equal(RandomFilters().filters, first)


def test_each_filter_has_unit_norm() -> None:
    norms = RandomFilters(48).filters.flatten(1).norm(dim=1)
    assert torch.allclose(norms, torch.ones(48))


@pytest.mark.parametrize("channels", [4, 32, 48])
def test_three_quarters_see_edges_and_the_rest_see_colour(channels: int) -> None:
    network = RandomFilters(channels)
    edges = 3 * channels // 4
    flat = torch.tensor([0.9, 0.2, 0.6])[None, :, None, None].expand(1, 3, 32, 32)
    for feature in network(flat):
        assert feature[:, :edges].abs().max() < 1e-5
        assert feature[:, edges:].max() > 0.01 or channels == 4
    means = network.filters.mean(dim=(2, 3)).abs().amax(dim=1)
    assert (means[:edges] < 1e-6).all()
    assert (means[edges:] > 1e-3).all()
    assert network(picture())[0][:, :edges].max() > 0.1, "edges are seen"


def test_each_level_is_a_correlation_of_the_halved_picture() -> None:
    network = RandomFilters(8, levels=3)
    found = network(picture())
    level = picture()[0].numpy() - 0.5
    filters = network.filters.numpy()
    for feature in found:
        for channel in range(8):
            response = sum(
                correlate(level[c], filters[channel, c], mode="mirror") for c in range(3)
            )
            assert np.allclose(feature[0, channel], np.maximum(response, 0), atol=1e-5)
        level = (
            level[:, ::2, ::2] + level[:, 1::2, ::2] + level[:, ::2, 1::2] + level[:, 1::2, 1::2]
        ) / 4


def test_the_levels_halve() -> None:
    shapes = [tuple(feature.shape) for feature in RandomFilters(8)(picture(64))]
    assert shapes == [(1, 8, 64, 64), (1, 8, 32, 32), (1, 8, 16, 16), (1, 8, 8, 8)]


def test_nothing_is_learned_or_saved() -> None:
    assert not list(RandomFilters().parameters())
    assert not RandomFilters().state_dict()
