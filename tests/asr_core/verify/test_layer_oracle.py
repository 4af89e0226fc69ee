import pytest
import torch
from layer_cases import GEOMETRIES, randomise
from torch import nn
from torchvision.models.convnext import LayerNorm2d

from asr_core.asr.layers import gated_layer, kind_of
from asr_core.errors import TargetError
from asr_core.verify.layer_oracle import (
    accepted,
    disagreement,
    output,
    precision,
    scaled_axis,
    synthetic_inputs,
    twin,
)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda g: g.name)
def test_every_layer_takes_one_of_the_synthetic_inputs(geometry):
    layer = gated_layer("", geometry.make())[1]
    kind = kind_of(layer)
    plain = twin(layer, {}, torch.float64)
    first, second = accepted((plain, plain), synthetic_inputs(layer, kind, torch.float64))
    assert first.shape[kind.axis if not isinstance(layer, LayerNorm2d) else 1] == 6
    assert first.numel() > 0
    assert torch.equal(first, second)
    assert first.dtype is torch.float64


def awkward_convolutions():
    yield nn.Conv2d(2, 6, (7, 1), stride=(3, 2), dilation=(2, 1), padding=(9, 0))
    yield nn.Conv2d(2, 6, 3, padding=4, padding_mode="reflect")
    yield nn.Conv1d(2, 6, 5, padding=3, padding_mode="circular")
    yield nn.ConvTranspose2d(2, 6, 1, padding=2, stride=1)
    yield nn.ConvTranspose1d(2, 6, 3, stride=3, output_padding=2, padding=4, dilation=2)
    yield nn.Conv2d(2, 6, 4, padding="same", dilation=2)


def test_awkward_convolutions_have_an_input():
    for layer in awkward_convolutions():
        kind = kind_of(layer)
        plain = twin(layer, {}, torch.float64)
        outputs = accepted((plain, plain), synthetic_inputs(layer, kind, torch.float64))
        assert outputs is not None, layer
        assert outputs[0].numel() > 0


def test_twin_is_apart_from_its_layer():
    layer = nn.BatchNorm2d(3).train()
    randomise(layer)
    layer.register_forward_hook(lambda *args: 1 / 0)
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    plain = twin(layer, {"weight": torch.ones(3)}, torch.float64)
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    out = output(plain, (x,))
    assert not plain.training
    mean, var = layer.running_mean[:, None, None], layer.running_var[:, None, None]
    expected = (x - mean) / (var + layer.eps).sqrt() + layer.bias[:, None, None]
    assert torch.allclose(out, expected.double(), atol=1e-6)
    assert layer.training
    assert layer.weight.dtype is torch.float32
    assert all(torch.equal(before[k], v) for k, v in layer.state_dict().items())
    assert not out.requires_grad


def test_disagreement_is_relative_to_large_outputs_only():
    stock, v = torch.full((2, 3), 100.0), torch.tensor([1.0, 2.0, 0.5])
    assert disagreement(stock, stock * v, v, -1) == 0
    assert disagreement(stock, stock * v + 1, v, -1) == pytest.approx(1 / 200)
    assert disagreement(stock / 1000, stock * v / 1000 + 1e-3, v, 1) == pytest.approx(
        1e-3, rel=0.01
    )
    broken = stock * v
    broken[0, 0] = float("nan")
    assert not disagreement(stock, broken, v, -1) <= 1


def test_scaled_axis_of_stock_layers_and_subclasses():
    assert scaled_axis(nn.Conv2d(3, 4, 1), kind_of(nn.Conv2d(3, 4, 1)), {}) == 1
    channels_last = nn.LayerNorm(6)
    assert scaled_axis(channels_last, kind_of(channels_last), {}) == -1
    for channels in (4, 5, 6, 7, 12):
        channels_first = LayerNorm2d(channels)
        assert scaled_axis(channels_first, kind_of(channels_first), {}) == 1

    class Turned(nn.Linear):
        def forward(self, x):
            return super().forward(x).movedim(-1, 0)

    assert scaled_axis(Turned(3, 4), kind_of(Turned(3, 4)), {}) == 0


def test_a_norm_without_affine_in_a_subclass():
    class Mine(nn.BatchNorm2d):
        pass

    layer = Mine(3, affine=False)
    created = {"weight": nn.Parameter(torch.ones(3)), "bias": nn.Parameter(torch.zeros(3))}
    assert scaled_axis(layer, kind_of(layer), created) == 1

    class Deaf(nn.BatchNorm2d):
        def forward(self, x):
            return nn.functional.batch_norm(x, self.running_mean, self.running_var)

    with pytest.raises(TargetError, match=r"the output of Deaf \(a subclass of BatchNorm2d\)"):
        scaled_axis(Deaf(3), kind_of(Deaf(3)), {})


def test_large_layers_are_checked_in_single_precision():
    small, large = torch.empty(2**24, device="meta"), torch.empty(2**24 + 1, device="meta")
    assert precision({"weight": small}) is torch.float64
    assert precision({"weight": large}) is torch.float32


class Gained(nn.Conv2d):
    """Standardises its weight; a gain of its own, or of a child, starts at 0."""

    def __init__(self, child):
        super().__init__(3, 4, 1)
        self.gain = nn.Linear(1, 4, bias=False) if child else nn.Parameter(torch.zeros(4, 1))
        if child:
            nn.init.zeros_(self.gain.weight)

    def forward(self, x):
        gain = self.gain.weight if isinstance(self.gain, nn.Linear) else self.gain
        weight = self.weight / self.weight.flatten(1).norm(dim=1)[:, None, None, None]
        return self._conv_forward(x, weight * gain[..., None, None], self.bias)


@pytest.mark.parametrize("child", [False, True])
def test_a_gain_of_zero_hides_no_subclass(child):
    layer = Gained(child)
    out = layer(torch.rand(2, 3, 4, 4))
    assert torch.equal(out, layer.bias[:, None, None].expand_as(out))  # which scales with the bias
    with pytest.raises(TargetError, match="the output of Gained"):
        scaled_axis(layer, kind_of(layer), {})
    assert not any(p.any() for p in layer.parameters() if p.shape[1:] == (1,))


class WithActivation(nn.BatchNorm2d):
    """As timm's BatchNormAct2d."""

    def __init__(self, channels, act):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), act

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


@pytest.mark.parametrize("act", [nn.ReLU(), nn.SiLU(), nn.PReLU(), nn.Identity()])
def test_a_norm_that_ends_in_an_activation_is_tried_before_it(act):
    layer = WithActivation(4, act)
    assert scaled_axis(layer, kind_of(layer), {}) == 1
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    plain = twin(layer, {}, torch.float64)
    assert torch.equal(output(plain, (x,)), output(twin(nn.BatchNorm2d(4), {}, x.dtype), (x,)))
    assert type(layer.act) is type(act)


def test_any_other_step_behind_a_norm_is_no_activation():
    layer = WithActivation(4, nn.Softmax2d())
    with pytest.raises(TargetError, match="the output of WithActivation"):
        scaled_axis(layer, kind_of(layer), {})
