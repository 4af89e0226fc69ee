"""styletransfer.inference: pictures of any size, and the folded network that gives the same."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_training import tiny_recipe
from torch import Tensor, nn
from torch.nn.utils import parametrize

from asr_core.errors import InputError
from styletransfer.inference import ColumnsConv, fold_network, speed_ratio, stylize
from styletransfer.network import ConvLayer, StyleNetwork
from styletransfer.train import new_network

pytestmark = pytest.mark.filterwarnings("ignore:no gate has changed")
FOLDABLE = ["bn", "bn+asr", "bn+const"]


class Echo(nn.Module):
    """Gives its input back, and keeps it."""

    def forward(self, images: Tensor) -> Tensor:
        self.seen = images
        return images


def network(norm: str, *, blocks: int = 1) -> StyleNetwork:
    """With batch statistics and affines that are anything but the initial ones."""
    made = new_network(tiny_recipe(norm, blocks=blocks))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            elif tensor.ndim == 1 and tensor.is_floating_point():
                tensor.add_(0.3 * torch.randn(tensor.shape, generator=generator))
    return made.eval()


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


# --- any size -------------------------------------------------------------------------------------


@given(st.integers(16, 45), st.integers(16, 45))
def test_any_size_comes_back_as_it_went_in(height: int, width: int) -> None:
    echo, x = Echo(), images(1, 3, height, width)
    assert torch.equal(stylize(echo, x), x), "the padding is cut off"
    assert all(side % 4 == 0 for side in echo.seen.shape[-2:])
    assert 0 <= echo.seen.shape[2] - height < 4
    assert 0 <= echo.seen.shape[3] - width < 4


def test_the_padding_is_a_reflection() -> None:
    echo, x = Echo(), images(1, 3, 17, 18)
    stylize(echo, x)
    assert torch.equal(echo.seen[:, :, 17:], echo.seen[:, :, [15, 14, 13]])
    assert torch.equal(echo.seen[..., 18:], echo.seen[..., [16, 15]])


@pytest.mark.parametrize("norm", ["in", *FOLDABLE])
@pytest.mark.parametrize("size", [(16, 16), (33, 50), (64, 31)])
def test_networks_take_odd_sizes(norm: str, size: tuple[int, int]) -> None:
    output = stylize(network(norm), images(2, 3, *size))
    assert output.shape == (2, 3, *size)
    assert output.min() >= 0
    assert output.max() <= 1


def test_a_size_that_fits_is_the_network_alone() -> None:
    made, x = network("bn+asr"), images(1, 3, 32, 40)
    with torch.no_grad():
        assert torch.equal(stylize(made, x), made(x))


@pytest.mark.parametrize("scale", [-1.0, 2.0])
def test_the_output_is_an_image_whatever_the_network(scale: float) -> None:
    output = stylize(nn.Hardtanh(-9, 9), scale * images(1, 3, 16, 16))
    assert output.min() >= 0
    assert output.max() <= 1


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 4, 32, 32), (1, 3, 15, 64)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"images must be \(N, 3, H, W\) with sides of 16 or more"):
        stylize(Echo(), images(*shape))


# --- folding --------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", FOLDABLE)
@pytest.mark.parametrize("blocks", [0, 1, 3])
@pytest.mark.parametrize("size", [(32, 32), (35, 50)])
def test_the_folded_network_gives_the_same_pictures(
    norm: str, blocks: int, size: tuple[int, int]
) -> None:
    made, x = network(norm, blocks=blocks), images(2, 3, *size)
    folded = fold_network(made)
    wanted = stylize(made, x)
    assert torch.allclose(stylize(folded, x), wanted, atol=1e-4)
    assert wanted.std() > 0.01
    plain = stylize(new_network(tiny_recipe(norm, blocks=blocks)).eval(), x)
    assert not torch.allclose(plain, wanted, atol=1e-2), "the norms do something"


@pytest.mark.parametrize("norm", FOLDABLE)
def test_in_float64_it_is_the_same_up_to_rounding(norm: str) -> None:
    made, x = network(norm).double(), images(1, 3, 32, 32).double()
    assert torch.allclose(stylize(fold_network(made), x), stylize(made, x), atol=1e-12)


@pytest.mark.parametrize(("outputs", "kernel"), [(3, 9), (2, 3), (1, 1)])
def test_columns_that_are_made_together_are_those_of_the_convolution(
    outputs: int, kernel: int
) -> None:
    layer = ConvLayer(5, outputs, kernel, 1).double()
    x = images(2, 5, 12, 16).double()
    wanted = nn.functional.conv2d(layer.reflection_pad(x), layer.conv2d.weight, layer.conv2d.bias)
    torch.testing.assert_close(ColumnsConv(layer)(x), wanted, rtol=0, atol=1e-12)
    assert wanted.std() > 0.01


@pytest.mark.parametrize("norm", FOLDABLE)
def test_neither_gates_nor_norms_are_left(norm: str) -> None:
    folded = fold_network(network(norm))
    assert not [m for m in folded.modules() if parametrize.is_parametrized(m)]
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not folded.training
    convs = [m for m in folded.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 8
    assert all(c.weight.is_contiguous(memory_format=torch.channels_last) for c in convs)


@pytest.mark.parametrize("mode", [True, False])
def test_the_network_itself_is_left_as_it_is(mode: bool) -> None:
    made = network("bn+asr").train(mode)
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    fold_network(made)
    assert made.training == mode
    assert made.state_dict().keys() == before.keys()
    assert all(torch.equal(t, before[name]) for name, t in made.state_dict().items())
    made(images(2, 3, 32, 32)).mean().backward()


def test_instance_norm_is_refused() -> None:
    with pytest.raises(InputError, match="instance norm cannot be folded"):
        fold_network(network("in"))


# --- speed ----------------------------------------------------------------------------------------


def test_the_speed_of_two_networks_is_two_times_in_seconds() -> None:
    first, second = Echo(), Echo()
    times = speed_ratio(first, second, images(1, 3, 18, 18), rounds=2)
    assert len(times) == 2
    assert all(isinstance(seconds, float) and seconds > 0 for seconds in times)
    assert first.seen.shape == second.seen.shape == (1, 3, 20, 20)


@pytest.mark.parametrize("rounds", [1, 4])
def test_the_networks_take_turns_after_a_warm_up(rounds: int) -> None:
    order: list[str] = []

    class Noted(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def forward(self, x: Tensor) -> Tensor:
            order.append(self.name)
            return x

    speed_ratio(Noted("a"), Noted("b"), images(1, 3, 16, 16), rounds=rounds)
    assert order == ["a", "b"] * (rounds + 1)
