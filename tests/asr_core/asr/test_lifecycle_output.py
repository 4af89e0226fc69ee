"""Parity on the output side: gated layers and whole backbones against stock outputs times v."""

import copy

import pytest
import torch
from by_hooks import multiply_outputs
from layer_cases import first, times
from representative import some_of
from small_backbones import KEPT, MAKERS, STOCK_MODE, images, small
from torch import nn

from asr_core import fuse_asr
from asr_core.asr.parametrization import gated_layers
from asr_core.models import BACKBONES


def caller(model, name):
    """The module whose call gives the gated layer's output: attention for its out_proj."""
    parent = model.get_submodule(name.rpartition(".")[0])
    return parent if isinstance(parent, nn.MultiheadAttention) else model.get_submodule(name)


def without_gates(model, stock):
    """``stock`` with the parameters and statistics of ``model``, v left out."""
    keys = set(stock.state_dict())
    state = {}
    for key, value in model.state_dict().items():
        name = key.replace("parametrizations.", "").removesuffix(".original")
        if name in keys:
            state[name] = value
    stock.load_state_dict(state, strict=True)
    return stock


@pytest.mark.parametrize("name", some_of(MAKERS, KEPT))
@pytest.mark.parametrize("mode", ["asr", "both"])
def test_each_gated_layer_is_its_stock_layer_times_v(name, mode):
    model = small(name, mode).double().eval()
    stock = without_gates(model, small(name, STOCK_MODE[mode], seed=1).double().eval())
    fused = fuse_asr(model)
    axis = -1 if name.startswith("vit") else 1
    calls = []
    for position, layer in gated_layers(model):

        def note(module, args, kwargs, output, position=position, gate=layer.asr):
            # A copy: the ReLU that follows may write into it.
            calls.append((position, args, kwargs, first(output).clone(), gate.scale()))

        caller(model, position).register_forward_hook(note, with_kwargs=True)
    with torch.no_grad():
        model(images(dtype=torch.float64))
        assert len(calls) == len(list(gated_layers(model))) > 0
        for position, args, kwargs, gated, v in calls:
            raw = first(caller(stock, position)(*args, **kwargs))
            wanted = times(raw, v, axis)
            bound = 1e-12 * wanted.abs().max().clamp_min(1.0)
            assert (wanted - raw).abs().max() > 1e4 * bound
            assert (gated - wanted).abs().max() <= bound, position
            plain = first(caller(fused, position)(*args, **kwargs))
            assert (plain - wanted).abs().max() <= bound, position


def full_size(name):
    """The backbone in full depth and width; only the images of ViT are small."""
    options = {"image_size": 32} if name.startswith("vit") else {}
    with torch.device("meta"):
        model = BACKBONES[name].make(7, **options)
    model.to_empty(device="cpu")
    for module in model.modules():
        for key, tensor in [*module.named_parameters(recurse=False)]:
            fan_in = max(tensor[0].numel(), 1) if tensor.ndim > 1 else 1
            one = key == "weight" and tensor.ndim == 1  # γ
            with torch.no_grad():
                tensor.normal_(float(one), 0.1 if tensor.ndim == 1 else fan_in**-0.5)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
            module.num_batches_tracked.zero_()
    return model.eval()


# The other backbones run in full size in float64 in test_models.
@pytest.mark.parametrize(
    "name",
    some_of(
        ["resnet164", "resnet34", "resnet50", "resnet101", "vit_s_16", "vit_b_16"], ["resnet34"]
    ),
)
def test_whole_backbones_in_single_precision(name):
    torch.manual_seed(0)
    model = full_size(name)
    plain = copy.deepcopy(model)
    report = BACKBONES[name].insert(model)
    for position in report.positions:
        for parameter in position.gate.parameters():
            nn.init.normal_(parameter, std=0.5)
    x = images()
    with torch.no_grad():
        gated, stock = model(x), plain(x)
        wanted = multiply_outputs(plain, report.positions)(x)
        fused = fuse_asr(model, inplace=True)(x)
    scale = wanted.abs().max()
    assert (stock - wanted).abs().max() > 1e-2 * scale
    assert (gated - wanted).abs().max() <= 1e-5 * scale
    assert (fused - wanted).abs().max() <= 1e-5 * scale
    assert torch.equal(fused.argmax(1), wanted.argmax(1))
