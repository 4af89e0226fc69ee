"""asr_core.verify.divergence: a fault planted in one layer is found there."""

import copy

import pytest
import torch
from small_net import assert_unchanged, images, net, snapshot
from torch import nn

from asr_core import fold_conv_bn, fuse_asr, insert_asr
from asr_core.errors import ParityError
from asr_core.verify.divergence import first_divergence, require_agreement


def scaled(model: nn.Module, name: str) -> nn.Module:
    """A copy with one layer's weight changed by a thousandth."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.get_submodule(name).weight.mul_(1.001)  # type: ignore[operator,union-attr]
    return other


@pytest.mark.parametrize("name", ["0", "1", "3", "6"])
def test_the_layer_with_the_fault_is_named(name: str) -> None:
    assert first_divergence(net(), scaled(net(), name), images()) == name


@pytest.mark.parametrize("mode", [True, False])
def test_equal_models_never_part_and_are_left_as_they_were(mode: bool) -> None:
    a, b = net().train(mode), net()
    before = snapshot(a), snapshot(b)
    assert first_divergence(a, b, images()) is None
    assert_unchanged(a, before[0])
    assert_unchanged(b, before[1])


def test_models_are_left_as_they_were_where_they_part() -> None:
    a, b = net(), scaled(net(), "1")
    before = snapshot(a), snapshot(b)
    assert first_divergence(a, b, images()) == "1"
    assert_unchanged(a, before[0])
    assert_unchanged(b, before[1])


def test_a_gated_model_and_its_fused_one_are_compared_by_name() -> None:
    gated = net()
    insert_asr(gated, targets=["1", "6"])
    torch.nn.init.normal_(gated[1].asr.psi)
    plain = fuse_asr(gated)
    assert first_divergence(gated, plain, images()) is None
    assert first_divergence(gated, scaled(plain, "6"), images()) == "6"


def test_an_activation_that_works_in_place_hides_nothing() -> None:
    def chain() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True))

    assert first_divergence(chain(), scaled(chain(), "0"), images()) == "0"
    assert first_divergence(chain(), chain(), images()) is None


def test_the_second_call_of_a_layer_is_compared_with_the_second() -> None:
    class Twice(nn.Module):
        def __init__(self, between: float) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layer = nn.Linear(8, 8)
            self.between = between

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(self.layer(x) * self.between)

    assert first_divergence(Twice(1.0), Twice(2.0), images()) == "layer"
    assert first_divergence(Twice(1.0), Twice(1.0), images()) is None


def test_a_fault_outside_every_layer_is_the_models() -> None:
    class Plus(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + 1

    assert first_divergence(net(), Plus(*net()), images()) == ""


def test_nan_is_a_difference() -> None:
    other = net()
    with torch.no_grad():
        other[3].weight[0] = torch.nan  # type: ignore[index]
    assert first_divergence(net(), other, images()) == "3"


def test_folded_convolutions_are_meant_to_differ() -> None:
    stock = net()
    with torch.no_grad():
        stock.train()(images())
    folded = fold_conv_bn(stock, [("0", "1")])
    assert first_divergence(stock, folded, images()) == "0"
    assert first_divergence(stock, folded, images(), skip=["0"]) is None
    assert first_divergence(stock, scaled(folded, "6"), images(), skip=["0"]) == "6"


def test_agreement_gives_the_worst_figures() -> None:
    a, b = net().double(), scaled(net().double(), "6")
    small, large = images(dtype=torch.float64), 10 * images(dtype=torch.float64)
    one = require_agreement(a, b, [small], tolerance=0.01)
    both = require_agreement(a, b, [large, small], tolerance=0.01)
    assert both.max_abs > one.max_abs > 0
    assert both.max_rel >= one.max_rel > 0


def test_disagreement_names_the_layer_and_the_figures() -> None:
    good, bad = torch.zeros(1, 3, 8, 8), images()
    with pytest.raises(ParityError, match=r"outputs differ: max abs .* first part at '1'"):
        require_agreement(net(), scaled(net(), "1"), [good, bad])


def test_disagreement_outside_the_layers() -> None:
    class Plus(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + 1

    with pytest.raises(ParityError, match="no single layer"):
        require_agreement(net(), Plus(*net()), [images()])
