"""styletransfer.tiles: the same output as in one piece, and no more memory for a larger picture."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from styletransfer import tiles
from styletransfer.inference import fold_network, stylize
from styletransfer.network import StyleNetwork
from styletransfer.tiles import in_tiles

pytestmark = pytest.mark.filterwarnings("ignore:no gate has changed")


def network(norm: str, *, blocks: int = 1, width: int = 4, **config: Any) -> StyleNetwork:
    """In float64, of random affines; batch norms know the statistics of what they are given."""
    made = StyleNetwork(norm, width=width, blocks=blocks, **config).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            if name.endswith(("running_var", "running_mean")):
                continue
            if tensor.ndim == 1 and tensor.is_floating_point():
                tensor.add_(0.2 * torch.randn(tensor.shape, generator=generator))
        for _ in range(30):
            made(images(1, 3, 64, 64))
    return made.eval()


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@torch.no_grad()
def pieces(made: nn.Module) -> list[tuple[int, ...]]:
    """The shapes that a network is given, in time."""
    seen: list[tuple[int, ...]] = []
    made.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    return seen


@pytest.mark.parametrize(
    ("norm", "upsample"), [("in", "nearest"), ("bn", "nearest"), ("in", "bilinear"),
    ("bn", "bilinear"), ("in", "binomial"), ("bn+asr", "binomial")],
)  # fmt: skip
@pytest.mark.parametrize("blocks", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_tiles_join_without_a_seam(norm: str, upsample: str, blocks: int) -> None:
    made = network(norm, blocks=blocks, upsample=upsample)
    x = images(2, 3, 132, 200 if blocks else 100)
    with torch.no_grad():
        wanted = made(x)
        seen = pieces(made)
        found = in_tiles(made, x, memory=1)
    if norm != "in":  # of those the statistics come first, on a copy
        assert len(seen) >= 12
        assert max(height * width for *_, height, width in seen) < x[0, 0].numel()
    assert (found - wanted).abs().max() < 1e-12
    assert wanted.std((2, 3)).min() > 0.001, "the picture is to be seen in it"


@pytest.mark.parametrize("upsample", ["nearest", "bilinear", "binomial"])
def test_a_smaller_margin_shows(monkeypatch: pytest.MonkeyPatch, upsample: str) -> None:
    """The margin is what the network looks at, so the test above could fail."""
    made = network("bn", blocks=2, upsample=upsample)
    x = images(1, 3, 132, 260)
    margin = tiles._margin(made)
    monkeypatch.setattr(tiles, "_margin", lambda _: margin - 8)
    with torch.no_grad():
        assert (in_tiles(made, x, memory=1) - made(x)).abs().max() > 1e-9


@settings(max_examples=4)
@given(st.integers(4, 45), st.integers(4, 45), st.sampled_from(["in", "bn"]))
def test_any_size(rows: int, columns: int, norm: str) -> None:
    made, x = network(norm, blocks=0), images(1, 3, 4 * rows, 4 * columns)
    with torch.no_grad():
        assert (in_tiles(made, x, memory=1) - made(x)).abs().max() < 1e-12


@pytest.mark.parametrize("norm", ["in", "bn+asr"])
def test_the_network_is_left_as_it_is(norm: str) -> None:
    made = network(norm)
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    kinds = [(type(m), len(m._forward_pre_hooks)) for m in made.modules()]
    with torch.no_grad():
        in_tiles(made, images(1, 3, 100, 200), memory=1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())
    assert [(type(m), len(m._forward_pre_hooks)) for m in made.modules()] == kinds


def test_what_fits_is_one_piece() -> None:
    made, x = network("in"), images(3, 3, 64, 40)
    seen = pieces(made)
    with torch.no_grad():
        in_tiles(made, x)
    assert seen == [(3, 3, 64, 40)]


def peak(made: nn.Module, side: int) -> int:
    """Bytes of tensors alive at once, of what was made on the way, by torch's own profiler."""
    x = torch.rand(1, 3, side, side)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        stylize(made, x)
    alive = most = 0
    for event in found.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            most = max(most, alive)
    return most


@pytest.mark.parametrize(
    ("norm", "folded"),
    [("in", False), pytest.param("bn+asr", False, marks=pytest.mark.slow), ("bn+asr", True)],
)
def test_memory_is_bounded(norm: str, folded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = StyleNetwork(norm, width=16, blocks=0).eval()
    if folded:
        made = fold_network(made)
    bound = 4 * 2**20
    monkeypatch.setattr(tiles, "MEMORY", bound)
    monkeypatch.setattr(tiles.in_tiles, "__kwdefaults__", {"memory": bound})
    for side in (160, 288):
        pictures = 3 * 3 * side * side * 4
        assert peak(made, side) <= bound + pictures
    whole = 288 * 288 * 16 * tiles._BYTES
    assert whole > 2 * bound, "in one piece it would be more"
    monkeypatch.setattr(tiles.in_tiles, "__kwdefaults__", {"memory": 2 * whole})
    assert 0.6 * whole < peak(made, 288) < whole, "the constant is what is measured"
