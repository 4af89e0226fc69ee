"""Freezing whole models: means by hooks, folding against them, and the plain backbone's keys."""

import pytest
import timm
import torch
import torchvision
from live_nets import Gated, images, ready, squeeze, timm_resnet
from representative import some_of
from small_net import assert_unchanged, snapshot
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer

from asr_core import ParityError, insert_asr
from asr_core.attention import CBAM, ECA, IE, SE, SPA, SRM, Attention
from asr_core.errors import InputError
from asr_core.freeze import find_gates, fold, freeze_attention, restore_frozen
from asr_core.models import add_attention, build
from asr_core.models.networks.repvgg import RepVGG

TOLERANCE = 1e-12
OURS = {"se": SE, "ie": IE, "srm": SRM, "spa": SPA, "eca": ECA}


def vit(attention="se"):
    plain = VisionTransformer(32, 16, 1, 2, 8, 16, num_classes=3)
    block = "encoder.layers.encoder_layer_0"
    return add_attention(plain, [f"{block}.self_attention.out_proj", f"{block}.mlp.3"], attention)


def repvgg(attention=None):
    return RepVGG((1, 2, 1, 1, 1), (8, 8, 16, 16, 32), 5, attention=attention)


MODELS = {
    **{f"resnet11 {a}": (lambda a=a: build("resnet11", 5, mode="live", attention=a)) for a in OURS},
    "repvgg": lambda: repvgg("se"),
    "vit": vit,
    "timm se": lambda: timm_resnet("se"),
    "timm eca": lambda: timm_resnet("eca"),
    "timm ese": lambda: timm_resnet("ese"),
    "timm mobilenet": lambda: timm.create_model("mobilenetv3_small_050", num_classes=5),
    "timm regnet": lambda: timm.create_model("regnety_002", num_classes=5),
    "torchvision mobilenet": lambda: torchvision.models.mobilenet_v3_small(num_classes=5),
    "torchvision regnet": lambda: torchvision.models.regnet_y_400mf(num_classes=5),
    "kept": lambda: Gated(nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU()), nn.SiLU()),
}

KEPT = ("resnet11 se", "repvgg", "vit", "timm ese", "kept")
"""A gate before and behind the layers that take it, on tokens, and one that none takes."""


def difference(a, b, x):
    """Greatest difference of the outputs over the greatest output."""
    with torch.no_grad():
        first, second = a(x), b(x)
    return ((first - second).abs().max() / first.abs().max()).item()


def with_gates(model, values):
    """``model`` with each gate's output replaced by a value: the definition of freezing."""
    for site in find_gates(model)[0]:
        model.get_submodule(site.gate).register_forward_hook(
            lambda _, __, gate, v=values[site.name]: v.reshape(1, *gate.shape[1:]).expand_as(gate)
        )
    return model


@pytest.mark.parametrize("name", some_of(MODELS, KEPT))
def test_frozen_is_the_live_model_with_its_mean_gates_and_plain_gives_the_same(name):
    model = ready(MODELS[name]())
    x = images(6, 32)
    before = snapshot(model)
    report = freeze_attention(model, x.split(4))
    assert_unchanged(model, before)
    assert report.images == 6
    assert report.refusals == ()

    gates = {site.name: [] for site in find_gates(model)[0]}
    handles = [
        model.get_submodule(site.gate).register_forward_hook(
            lambda _, __, gate, site=site: gates[site.name].append(gate.detach().clone())
        )
        for site in find_gates(model)[0]
    ]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    means = {gate: torch.cat(values).mean(0) for gate, values in gates.items()}
    assert report.names == list(means)

    moved = difference(model, report.frozen, x)
    assert moved > 1e-6, "these gates differ between images, so freezing changes something"
    wanted = with_gates(model, means)
    assert difference(wanted, report.frozen, x) <= TOLERANCE
    assert difference(wanted, report.plain, x) <= TOLERANCE
    assert report.parity.ok
    assert all(bool(gate.layers) == (name != "kept") for gate in report.gates)
    live = [m for m in report.plain.modules() if isinstance(m, Attention)]
    assert live == []
    assert find_gates(report.plain) == ([], [])


LAST = {
    "SE": "expand",
    "SPA": "expand",
    "IE": "enhance",
    "SRM": "",
    "ECA": "conv",
    "SEModule": "fc2",
    "EffectiveSEModule": "fc",
    "EcaModule": "conv",
    "SqueezeExcite": "conv_expand",
    "SqueezeExcitation": "fc2",
}
"""The layer of each module behind which the input has no way left when its weight is zero."""


def make_constant(model):
    """Take the input out of every gate: what is left are the biases of its last layer."""
    for site in find_gates(model)[0]:
        module = model.get_submodule(site.name)
        module = getattr(module, "attention", module)
        module.get_submodule(LAST[site.kind]).weight.data.zero_()
    return model


@pytest.mark.parametrize("name", some_of(MODELS, KEPT))
def test_freezing_gates_that_are_constant_changes_nothing(name):
    model = make_constant(ready(MODELS[name]()))
    x = images(5, 32)
    report = freeze_attention(model, [x[:3]])
    assert difference(model, report.frozen, x) <= TOLERANCE
    assert difference(model, report.plain, x) <= TOLERANCE
    assert [gate.statistics.stripe for gate in report.gates] == [0.0] * len(report.gates)
    assert max(gate.statistics.std for gate in report.gates) <= 1e-15
    ones = {gate.name: torch.ones_like(gate.statistics.mean) for gate in report.gates}
    assert difference(with_gates(model, ones), report.plain, x) > 1e-3, "the gates mattered"


# --- the plain twin -------------------------------------------------------------------------------


TWINS = {
    **{
        name: (
            lambda name=name: build(name, 5, mode="live", attention="se"),
            lambda name=name: build(name, 5),
        )
        for name in ("resnet11", "mobilenet_v1")
    },
    "repvgg": (lambda: repvgg("se"), repvgg),
    "timm se": (lambda: timm_resnet("se"), lambda: timm_resnet()),
    "timm eca": (lambda: timm_resnet("eca"), lambda: timm_resnet()),
}


@pytest.mark.parametrize("name", TWINS)
def test_the_plain_backbone_loads_it_strictly(name):
    live, plain = (make() for make in TWINS[name])
    report = freeze_attention(ready(live), [images(2, 32)])
    assert list(report.plain.state_dict()) == list(plain.state_dict())
    plain.double().eval().load_state_dict(report.plain.state_dict(), strict=True)
    assert difference(report.frozen, plain, images(3, 32, seed=1)) <= TOLERANCE


# --- reading it back ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", some_of(MODELS, KEPT))
def test_the_frozen_model_is_rebuilt_from_names_and_tensors(name):
    report = freeze_attention(ready(MODELS[name]()), [images(3, 32)])
    tensors = report.plain.state_dict()
    assert any(key.endswith(".v") for key in tensors) == (name == "kept")
    again = restore_frozen(ready(MODELS[name](), seed=1), report.names, tensors)
    again.load_state_dict(tensors, strict=True)
    assert difference(report.plain, again, images(2, 32)) == 0


def test_a_name_that_is_no_gate():
    model = timm_resnet("se")
    with pytest.raises(InputError, match="bn3' is no live channel gate of the model; it"):
        restore_frozen(model, ["layer1.0.bn3"], {})


# --- modes, wrappers, refusals --------------------------------------------------------------------


def test_the_results_have_the_modes_of_the_model():
    model = ready(timm_resnet("se")).train()
    model.layer1.eval()
    report = freeze_attention(model, [images(4, 32)])
    for result in (report.frozen, report.plain):
        assert result.training
        assert result.layer2[0].se.training
        assert not any(module.training for module in result.layer1.modules())


def test_a_wrapped_model_is_unwrapped():
    report = freeze_attention(nn.DataParallel(ready(timm_resnet("se"))), [images(2, 32)])
    assert type(report.plain) is type(timm_resnet())


def test_float32_stays_and_means_are_taken_in_double():
    report = freeze_attention(ready(timm_resnet("se")).float(), [images(3, 32).float()])
    state = report.plain.state_dict()
    assert {t.dtype for t in state.values() if t.is_floating_point()} == {torch.float32}
    assert {gate.statistics.mean.dtype for gate in report.gates} == {torch.float64}
    assert report.parity.max_rel <= 1e-5


def test_asr_in_the_model_is_fused_first():
    model = ready(timm_resnet("se"))
    insert_asr(model, targets="layer4.0.bn3")
    with pytest.raises(InputError, match=r"'layer4\.0\.bn3' has ASR: fuse_asr the model first"):
        freeze_attention(model, [images(2, 32)])


def test_a_model_without_gates_says_what_is_known():
    with pytest.raises(InputError, match=r"no live channel gate .* Known are .* SE and ECA"):
        freeze_attention(timm_resnet(), [images(2, 32)])


def test_a_model_with_refused_gates_alone_says_why():
    with pytest.raises(InputError, match=r"'layer1\.0\.attention'.*spatial half"):
        freeze_attention(build("resnet11", 5, mode="live", attention="cbam"), [images(2, 32)])


def test_gates_that_stay_live_are_told_beside_those_that_do_not():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.gate, self.cbam = nn.Conv2d(3, 8, 3), squeeze(), CBAM(8)

        def forward(self, x):
            x = self.gate(self.conv(x))
            return x * self.cbam(x)

    model = ready(Both())
    report = freeze_attention(model, [images(2)])
    assert report.names == ["gate"]
    assert [refusal.name for refusal in report.refusals] == ["cbam"]
    assert isinstance(report.plain.cbam, CBAM)
    assert "'cbam' stays live: its spatial half" in repr(report)


def test_a_folding_that_goes_wrong_is_found(monkeypatch):
    right = fold.scale

    def wrong(name, layer, v, side):
        right(name, layer, v, side)
        layer.bias.data += 0.01

    monkeypatch.setattr(fold, "scale", wrong)
    with pytest.raises(ParityError, match="outputs differ"):
        freeze_attention(ready(timm_resnet("se")), [images(2, 32)])


def test_a_layer_that_overflows_is_named():
    model = ready(nn.Sequential(nn.Conv2d(3, 8, 3), squeeze(), nn.ReLU6()))

    class Large(nn.Module):
        def forward(self, x):
            return torch.full_like(x, 1e200)

    model[1].scale_activation = Large()
    model[0].weight.data *= 1e200
    with pytest.raises(InputError, match=r"'0\.weight' is not finite after folding"):
        freeze_attention(model, [images(2)])


def test_the_table():
    report = freeze_attention(ready(timm_resnet("se")), [images(4, 32)])
    head, first, *rest = repr(report).splitlines()
    assert head.split("  ")[0] == "gate"
    assert first.startswith("layer1.0.se  SEModule  32 ")
    assert first.endswith("output of layer1.0.bn3")
    assert f"{report.gates[0].statistics.stripe:.4g}" in first
    assert len(rest) == 3
