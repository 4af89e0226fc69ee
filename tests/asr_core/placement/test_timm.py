"""Models of timm: layers and forwards that torchvision does not have."""

import copy

import pytest
import timm
import torch
from layer_cases import randomise
from representative import some_of
from torch import nn

from asr_core import fuse_asr, insert_asr, place
from asr_core.errors import TargetError
from asr_core.graph.activations import is_activation

# In the forward: an activation inside the norm (byobnet, efficientnet, vovnet), questions about
# the input's shape (vit, mobilevit), attention on the branch (byobnet), branches with one gate.
PLACES = {
    "test_vit": (160, 12, "blocks.0.attn.proj"),
    "test_byobnet": (64, 4, "stages.0.0.conv2_1x1.bn"),
    "test_efficientnet": (64, 9, "bn1"),
    "test_efficientnet_gn": (64, 9, "bn1"),
    "test_convnext": (64, 9, "stages.0.blocks.0.mlp.fc2"),
    "test_mambaout": (64, 6, "stages.0.blocks.0.fc2"),
    "mobilevit_xxs": (64, 21, "stages.0.0.conv3_1x1.bn"),
    "repvgg_a0": (32, 61, "stem.conv_kxk.bn"),
    "ese_vovnet19b_slim_dw": (64, 22, "stem.0.bn"),
}


def times_v(model, positions):
    """The plain model with each gated layer's output, before an activation of its own, times v."""
    for p in positions:
        layer = model.get_submodule(p.name)
        v = p.gate.scale().detach()

        def times(output, v=v, axis=p.axis):
            shape = [1] * output.ndim
            shape[axis] = -1
            return output * v.reshape(shape)

        own = [child for child in layer.children() if is_activation(child)]
        if own:
            own[0].register_forward_pre_hook(lambda module, args, f=times: (f(args[0]),))
        else:
            layer.register_forward_hook(lambda module, args, output, f=times: f(output))
    return model


@pytest.mark.parametrize("name", some_of(PLACES, ["repvgg_a0", "test_vit"]))
def test_places_against_stock_times_v(name):
    size, count, first = PLACES[name]
    torch.manual_seed(0)
    plain = timm.create_model(name, num_classes=5).double().eval()
    randomise(plain, std=0.1)
    keys = list(plain.state_dict())
    model = copy.deepcopy(plain)
    report = insert_asr(model)
    assert len(report.positions) == count
    assert report.names[0] == first
    assert not report.refusals
    for gate in {id(p): p.gate.psi for p in report.positions if hasattr(p.gate, "psi")}.values():
        nn.init.normal_(gate, std=2.0)
    x = torch.rand(2, 3, size, size, dtype=torch.float64)
    with torch.no_grad():
        before, gated = plain(x), model(x)
        wanted = times_v(copy.deepcopy(plain), report.positions)(x)
        fused = fuse_asr(model, example=x)
        plain.load_state_dict(fused.state_dict(), strict=True)
        reloaded = plain(x)
    scale = wanted.abs().max()
    assert (gated - wanted).abs().max() <= 1e-10 * scale
    assert (reloaded - wanted).abs().max() <= 1e-10 * scale
    assert (before - wanted).abs().max() > 1e-6 * scale  # the gates do something
    assert list(fused.state_dict()) == keys


FOUND = {
    "seresnet18": ("layer1.0.bn2", 8),
    "densenet121": ("features.norm0", 121),
    "ghostnet_050": ("bn1", 34),
    "levit_128s": ("stages.0.blocks.0.attn.proj.ln.bn", 20),
    "swin_tiny_patch4_window7_224": ("layers.0.blocks.0.attn.proj", 24),
}


@pytest.mark.parametrize("name", FOUND)
def test_places(name):
    first, count = FOUND[name]
    with torch.device("meta"):
        model = timm.create_model(name)
    names = place(model).names
    assert (names[0], len(names)) == (first, count)


def test_summed_branches_have_one_gate_a_block():
    with torch.device("meta"):
        placement = place(timm.create_model("repvgg_a0"))
    blocks = {group[0].rpartition(".conv")[0]: len(group) for group in placement.shared}
    assert (blocks["stem"], blocks["stages.0.0"]) == (2, 2)
    assert placement.shared[2] == [
        "stages.0.1.conv_1x1.bn",
        "stages.0.1.conv_kxk.bn",
        "stages.0.1.identity",
    ]
    assert sum(blocks.values()) == len(placement.names) == 61


def test_standardised_convolutions_are_refused_by_position():
    model = timm.create_model("test_nfnet")
    with pytest.raises(TargetError) as caught:
        insert_asr(model)
    message = str(caught.value)
    assert "found no place in this NormFreeNet: 'stages.0.0.conv3', 'stages.1.0.conv3'" in message
    assert "ScaledStdConv2d (a subclass of Conv2d) does not scale with its parameters" in message
    report = insert_asr(model, targets="head.fc")
    assert report.names == ["head.fc"]


def test_placement_leaves_no_mark_on_caches():
    """LeViT keeps its attention biases by device, in a dictionary."""
    model = timm.create_model("levit_128s", num_classes=5).eval()
    cache = model.stages[0].blocks[0].attn.attention_bias_cache
    place(model)
    assert not cache
    assert model(torch.rand(1, 3, 224, 224)).shape == (1, 5)
    assert cache
