"""asr_core.models.normalized: torchvision's transform, inside the model."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_net import images, net
from torch import nn
from torchvision.transforms import v2

from asr_core import check_parity, fuse_asr, insert_asr
from asr_core.errors import InputError
from asr_core.models import Normalized

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@given(
    mean=st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3),
    std=st.lists(st.floats(2**-6, 2, width=32), min_size=3, max_size=3),
)
def test_the_backbone_sees_what_torchvisions_transform_gives(mean, std):
    model = Normalized(nn.Identity(), mean, std)
    assert torch.allclose(model(images()), v2.functional.normalize(images(), mean, std), atol=1e-5)


def test_the_state_dict_is_the_backbones():
    model = Normalized(net(), MEAN, STD)
    assert [key.removeprefix("model.") for key in model.state_dict()] == list(net().state_dict())
    net().load_state_dict(model.model.state_dict(), strict=True)
    assert model.statistics == (MEAN, STD)
    assert "mean=(0.485, 0.456, 0.406)" in repr(model)


def test_it_moves_and_copies_with_the_model():
    model = copy.deepcopy(Normalized(net(), MEAN, STD)).double()
    assert model(images(dtype=torch.float64)).dtype == torch.float64
    assert model.to("meta").mean.is_meta


def test_gates_go_in_and_out_through_it():
    model = Normalized(net(), MEAN, STD)
    report = insert_asr(model, targets=["*.1", "model.6"])
    assert report.names == ["model.1", "model.6"]
    for parameter in report.parameters():
        nn.init.normal_(parameter)
    plain = fuse_asr(model, example=images())
    assert isinstance(plain, Normalized)
    assert check_parity(model, plain, images()).ok
    stock = net()
    stock.load_state_dict(plain.model.state_dict(), strict=True)
    normalised = v2.functional.normalize(images(), MEAN, STD)
    assert torch.allclose(stock.eval()(normalised), model.eval()(images()), atol=1e-5)
    assert not torch.allclose(stock(images()), model(images()), atol=0.1)


def test_automatic_placement_sees_through_it():
    model = Normalized(nn.Sequential(*list(net())[:3]), MEAN, STD)
    assert insert_asr(model).names == ["model.1"]


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.5, 0.5), STD, r"mean must be three numbers.*got \(0.5, 0.5\)"),
        (0.5, STD, "mean must be three numbers"),
        ((0.5, 0.5, "x"), STD, "mean must be three numbers"),
        (MEAN, (0.5, 0.5, True), "std must be three numbers"),
        ((124.0, 116.0, 104.0), STD, r"mean must be of images in \[0, 1\]"),
        ((0.5, 0.5, float("nan")), STD, r"mean must be of images in \[0, 1\]"),
        (MEAN, (0.5, 0.5, 0.0), "std must be finite and above 0"),
        (MEAN, (0.5, 0.5, float("inf")), "std must be finite and above 0"),
    ],
)
def test_statistics_that_are_none(mean, std, message):
    with pytest.raises(InputError, match=message):
        Normalized(net(), mean, std)
