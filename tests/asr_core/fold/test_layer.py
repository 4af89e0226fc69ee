"""asr_core.fold.layer: what one layer by itself must be, and what its dtype must hold."""

import pytest
import torch
from layer_cases import randomise
from torch import nn
from torch.nn.utils import prune

from asr_core import fold_bn
from asr_core.errors import InputError


class Own(torch.Tensor):
    """A tensor that may do anything."""


def with_weight(weight):
    conv = nn.Conv2d(4, 4, 1)
    conv.weight = nn.Parameter(weight(conv.weight.detach()))
    return conv


def hooked():
    conv = nn.Conv2d(4, 4, 1)
    conv.register_forward_pre_hook(lambda m, args: None)
    return conv


@pytest.mark.parametrize(
    ("conv", "bn", "message"),
    [
        (
            type("My", (nn.Conv2d,), {})(4, 4, 1),
            nn.BatchNorm2d(4),
            "is a My, which",
        ),
        (nn.Conv2d(4, 4, 1), type("Own", (nn.BatchNorm2d,), {})(4), "is a Own, which"),
        (nn.LazyConv2d(4, 1), nn.BatchNorm2d(4), "is a LazyConv2d"),
        (nn.Conv2d(4, 4, 1), nn.LazyBatchNorm2d(), "cannot fold LazyBatchNorm2d"),
        (hooked(), nn.BatchNorm2d(4), "has hooks"),
        (prune.identity(nn.Conv2d(4, 4, 1), "bias"), nn.BatchNorm2d(4), "has hooks"),
        (with_weight(torch.Tensor.cfloat), nn.BatchNorm2d(4), "'weight' is torch.complex64, not"),
        (with_weight(lambda w: w.as_subclass(Own)), nn.BatchNorm2d(4), "holds a Own"),
        (nn.Conv2d(4, 4, 1, device="meta"), nn.BatchNorm2d(4), "not on one device, or on meta"),
        (nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, device="meta"), "not on one device, or on meta"),
        (nn.Conv2d(4, 4, 1), nn.BatchNorm1d(4), "are another axis than a Conv2d's"),
        (nn.Conv1d(4, 4, 1), nn.BatchNorm2d(4), "are another axis than a Conv1d's"),
        (nn.Linear(4, 4), nn.BatchNorm2d(4), "are another axis than a Linear's"),
    ],
)
def test_layers_that_may_not_be_folded(conv, bn, message):
    with pytest.raises(InputError, match=message):
        fold_bn(conv, bn)


def scaled(dtype, scale):
    """A pair whose folded weight is ``scale`` times that of the convolution."""
    torch.manual_seed(0)
    conv, bn = nn.Conv2d(4, 4, 1).to(dtype), nn.BatchNorm2d(4, eps=0.0)
    nn.init.constant_(bn.weight, scale)
    return conv, bn


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [
        (torch.float16, 1e6),  # infinite
        (torch.float16, 1e-5),  # among the subnormal numbers, or 0
        (torch.float32, 1e-42),
        (torch.bfloat16, 1e-42),
        (torch.float32, float("nan")),
    ],
)
def test_scales_that_the_dtype_cannot_hold(dtype, scale):
    conv, bn = scaled(dtype, scale)
    with pytest.raises(InputError, match=f"{dtype}"):
        fold_bn(conv, bn)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_one_channel_that_is_lost_is_enough(kind, groups):
    conv, bn = kind(4, 4, 3, groups=groups).half(), nn.BatchNorm2d(4, eps=0.0)
    fold_bn(conv, bn)
    bn.weight.data[2] = 1e-6
    with pytest.raises(InputError, match="beyond"):
        fold_bn(conv, bn)
    bn.weight.data[2] = 0  # which is 0 in any dtype
    assert fold_bn(conv, bn).bias[2] == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_tensors_are_rounded_once(dtype):
    """They are the nearest of their dtype to those that float64 gives."""
    torch.manual_seed(0)
    conv, bn = nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)
    randomise(conv)
    randomise(bn)
    conv = conv.to(dtype)
    rounded, exact = fold_bn(conv, bn), fold_bn(conv.double(), bn.double())
    for name in ("weight", "bias"):
        assert torch.equal(getattr(rounded, name), getattr(exact, name).to(dtype))
