import copy

import pytest
import torch
from layer_cases import randomise
from representative import some_of
from torch import nn
from torchvision.models import VisionTransformer

from asr_core import fuse_asr
from asr_core.asr.parametrization import gated_layers
from asr_core.attention import ATTENTIONS
from asr_core.errors import InputError, TargetError
from asr_core.models import BACKBONES, add_attention, build

LIVE = ["se", "ie", "srm", "spa", "cbam", "eca"]


def small_net():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 8, 3, padding=1)
    net = nn.Sequential(conv, nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))
    randomise(net)
    return net.double().eval()


@pytest.mark.parametrize("attention", LIVE)
def test_the_output_is_multiplied_by_attention_on_it(attention):
    plain = small_net()
    model = add_attention(plain, ["1"], attention)
    randomise(model.attention)
    model.double().eval()
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    y = plain[1](plain[0](x))
    gate = model.attention["1"].attention
    assert isinstance(gate, ATTENTIONS[attention])
    wanted = plain[3](plain[2](y * gate(y)))
    assert (model(x) - wanted).abs().max() <= 1e-12
    assert not torch.allclose(plain(x), wanted)
    plain_keys = {key for key in model.state_dict() if not key.startswith("attention.")}
    assert plain_keys == set(plain.state_dict())


def test_tokens_are_gated_along_their_features():
    torch.manual_seed(0)
    plain = VisionTransformer(32, 16, 1, 2, 8, 16, num_classes=3).eval()
    randomise(plain)
    block = "encoder.layers.encoder_layer_0"
    model = add_attention(plain, [f"{block}.self_attention.out_proj", f"{block}.mlp.3"], "se")
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        layer = plain.encoder.layers.encoder_layer_0
        first, second = (m.attention for m in model.attention.values())

        def gated(y, attention):  # (N, T, C): the mean over tokens takes the pixels' place
            return y * attention(y.permute(0, 2, 1)[..., None]).reshape(2, 1, 8)

        tokens = plain._process_input(x)
        tokens = torch.cat([plain.class_token.expand(2, -1, -1), tokens], 1)
        tokens = tokens + plain.encoder.pos_embedding
        y = layer.ln_1(tokens)
        tokens = tokens + gated(layer.self_attention(y, y, y, need_weights=False)[0], first)
        tokens = tokens + gated(layer.mlp(layer.ln_2(tokens)), second)
        wanted = plain.heads(plain.encoder.ln(tokens)[:, 0])
        assert (model(x) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
        assert not torch.allclose(plain(x), wanted)


def test_what_cannot_be_attended():
    with pytest.raises(InputError, match="unknown attention module 'sse'"):
        add_attention(small_net(), ["1"], "sse")
    with pytest.raises(InputError, match="'dia' shares one cell"):
        add_attention(small_net(), ["1"], "dia")
    with pytest.raises(TargetError, match=r"no layer '1\.bn' is called"):
        add_attention(small_net(), ["1", "1.bn"], "se")
    net = small_net()
    net.attention = nn.Identity()
    with pytest.raises(TargetError, match="'attention' of its own"):
        add_attention(net, ["1"], "se")


LIGHT = ("repvgg_a0", "resnet83_acnet", "shufflenet_v2", "mobilenet_v1")


@pytest.mark.parametrize("name", some_of(LIGHT, ["resnet83_acnet"]))
def test_modes(name):
    torch.manual_seed(0)
    models = {mode: build(name, 5, mode=mode) for mode in ("plain", "live", "asr", "both")}
    positions = {mode: len(list(gated_layers(model))) for mode, model in models.items()}
    assert positions["plain"] == positions["live"] == 0
    assert positions["asr"] == positions["both"] > 0

    keys = {mode: set(model.state_dict()) for mode, model in models.items()}
    assert keys["live"] > keys["plain"]
    gates = [
        len([k for k in keys[m] if k.endswith("expand.bias")]) for m in ("live", "asr", "both")
    ]
    assert gates[0] == gates[1] == gates[2] / 2 > 0
    size = 32
    for model in models.values():
        model.train()(torch.rand(2, 3, size, size)).sum().backward()
        assert all(p.grad is not None for p in model.parameters())

    for mode, like in (("asr", "plain"), ("both", "live")):
        for key, parameter in models[mode].named_parameters():
            if key.endswith("asr.psi"):
                nn.init.normal_(parameter, std=2.0)
        models[mode].double().eval()
        x = torch.rand(2, 3, size, size, dtype=torch.float64)
        before = models[mode](x)
        fused = fuse_asr(models[mode], example=x)
        assert set(fused.state_dict()) == keys[like]
        other = copy.deepcopy(models[like]).double().eval()
        other.load_state_dict(fused.state_dict(), strict=True)
        assert (other(x) - before).abs().max() <= 1e-10 * before.abs().max()


@pytest.mark.parametrize("name", some_of(sorted(BACKBONES), ["resnet11", "vgg19_bn", "vit_s_16"]))
def test_every_backbone_has_live_attention_at_its_positions(name):
    with torch.device("meta"):
        model = build(name, 5, mode="live", attention="ie")
        plain = build(name, 5)
    assert set(plain.state_dict()) < set(model.state_dict())
    added = set(model.state_dict()) - set(plain.state_dict())
    gates = [key for key in added if key.endswith("enhance.weight")]
    assert (
        len(gates)
        == {
            **{
                "resnet11": 3,
                "resnet29": 9,
                "resnet11_gn": 3,
                "resnet29_gn": 9,
                "resnet56-half": 18,
                "resnet83": 27,
                "resnet164": 54,
                "resnet83_acnet": 27,
                "resnet34": 16,
            },
            **{"resnet50": 16, "resnet101": 33, "vgg19_bn": 16, "shufflenet_v2": 16},
            **{
                "mobilenet_v1": 26,
                "repvgg_a0": 22,
                "vit_s_16": 24,
                "vit_b_16": 24,
                "vit_b_16_384": 24,
            },
        }[name]
    )


def test_dia_is_live_where_stages_share_it():
    model = build("resnet83", 5, mode="live", attention="dia")
    assert len(model.dia) == 3
    with pytest.raises(InputError, match="'dia' shares one cell"):
        build("vgg19_bn", 5, mode="live", attention="dia")
    with pytest.raises(InputError, match="'dia' cannot be an ASR gate"):
        build("resnet83", 5, mode="asr", attention="dia")


def test_options_reach_the_gates_and_no_others_pass():
    model = build("mobilenet_v1", 5, mode="asr", attention="ie", delta=2, psi=0.3)
    gates = [layer.asr for _, layer in gated_layers(model)]
    assert {gate.config["delta"] for gate in gates} == {2}
    assert all((gate.psi == 0.3).all() for gate in gates)
    with pytest.raises(InputError, match="mode 'live' has no ASR: it takes no delta"):
        build("mobilenet_v1", 5, mode="live", delta=2)
    with pytest.raises(InputError, match=r"unknown mode 'life'\. Did you mean 'live'"):
        build("mobilenet_v1", 5, mode="life")
    with pytest.raises(InputError, match="unknown backbone 'mobilenet'"):
        build("mobilenet", 5)
