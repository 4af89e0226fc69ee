import json
import math

import pytest
import torch
import torchvision
from layer_cases import randomise
from small_net import assert_unchanged, images, net, snapshot
from torch import nn

from asr_core import insert_asr
from asr_core.errors import InputError, TargetError


def test_the_control_starts_where_asr_nominally_does():
    model = net()
    insert_asr(model, "const", targets="1")
    assert torch.allclose(model[1].asr.scale(), torch.full((8,), 1 / (1 + math.exp(-0.1))))
    asr = net()
    insert_asr(asr, "se", targets="1")
    assert (model[1].asr.scale() - asr[1].asr.scale()).abs().max() < 0.2


def test_training_moves_every_gate():
    model = net()
    report = insert_asr(model, targets=["0", "1", "4", "6"], create_affine=True, delta=2)
    starts = [position.gate.scale().detach() for position in report.positions]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        model(images()).square().mean().backward()
        optimizer.step()
    for start, position in zip(starts, report.positions, strict=True):
        assert not torch.equal(start, position.gate.scale())


def test_created_parameters_are_frozen_and_belong_to_the_layer():
    model = net().double()
    (position,) = insert_asr(model, targets="4", create_affine=True).positions
    layer = model[4]
    originals = {n: layer.parametrizations[n].original for n in ("weight", "bias")}
    assert layer.affine
    assert not any(p.requires_grad for p in originals.values())
    assert all(p.dtype is torch.float64 for p in originals.values())
    assert torch.equal(layer.weight, position.gate.scale())
    model(images(dtype=torch.float64)).sum().backward()
    assert originals["weight"].grad is None
    assert position.gate.psi.grad is not None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_gate_takes_the_dtype_and_mode_of_its_layer(dtype):
    model = net().to(dtype).eval()
    (position,) = insert_asr(model, targets="1").positions
    assert {p.dtype for p in position.gate.parameters()} == {dtype}
    assert not position.gate.training
    assert model[1].weight.dtype is dtype


def test_frozen_layers_keep_their_flag():
    model = net().requires_grad_(False)
    report = insert_asr(model, targets="1")
    assert not model[1].parametrizations.weight.original.requires_grad
    assert all(p.requires_grad for p in report.parameters())


@pytest.mark.parametrize("delta", [1, 2])
def test_preserve_keeps_the_output(delta):
    model = net().double().eval()
    randomise(model)
    x = images(dtype=torch.float64)
    before = model(x)
    options = {"create_affine": True, "delta": delta, "preserve": True}
    report = insert_asr(model, targets=["0", "1", "3", "4", "6"], **options)
    assert report.preserved
    assert "unchanged" in report.note
    after = model(x)
    assert (after - before).abs().max() <= 1e-12 * before.abs().max()
    assert report.positions[0].start < 0.7  # v is not 1: the parameters were divided

    plain = net().double().eval()
    randomise(plain)
    insert_asr(plain, targets=["0", "1"])
    assert not torch.allclose(plain(x), before)


def test_preserve_refuses_a_v_that_it_cannot_divide_by():
    model = net()
    before = snapshot(model)
    with pytest.raises(InputError, match=r"at '1' it is as small as .* use sigmoid"):
        insert_asr(model, "const", targets="1", activation="tanh", psi=1e-5, preserve=True)
    with pytest.raises(InputError, match="as small as 0 "):
        insert_asr(model, "const", targets="1", activation="tanh", psi=0.0, preserve=True)
    assert_unchanged(model, before)


@pytest.mark.parametrize("value", [6e4, float("inf")])
def test_preserve_refuses_what_is_beyond_the_dtype(value):
    model = net().half()
    with torch.no_grad():
        model[1].weight[0] = value
    before = snapshot(model)
    if value < float("inf"):
        with pytest.raises(InputError, match=r"'weight' of '1' over v.*beyond torch\.float16"):
            insert_asr(model, targets=["0", "1"], preserve=True)
        assert_unchanged(model, before)
    else:  # that is the model's own
        insert_asr(model, targets=["0", "1"], preserve=True)


def test_vit_start():
    model = nn.Sequential(nn.Linear(32, 32))
    options = {"activation": "tanh", "psi": 1e-3, "attention_init": 1e-3}
    report = insert_asr(model, targets="0", **options)
    assert all((p == 1e-3).all() for p in report.parameters())
    assert "start at 0.001" in report.note


def test_the_gates_own_layers_are_not_targets_of_a_later_glob():
    model = net()
    insert_asr(model, targets="1")
    with pytest.raises(TargetError, match="matches no layer"):
        insert_asr(model, targets="1.asr.attention.0.reduce")
    report = insert_asr(model, targets=lambda m, name: isinstance(m, nn.Linear))
    assert report.names == ["6"]


class Doubled(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) * 2  # scales with the weight all the same


class Activated(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x).sigmoid()


class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = self.weight / self.weight.flatten(1).norm(dim=1)[:, None, None, None]
        return self._conv_forward(x, weight, self.bias)


class Conditional(nn.Conv2d):
    def forward(self, x, style):
        return super().forward(x) * style


def test_subclasses_are_tried_on_the_output_side():
    model = nn.Sequential(Doubled(3, 4, 1))
    insert_asr(model, targets="0")
    for layer, message in [
        (Activated(4), r"the output of Activated \(a subclass of BatchNorm2d\) does not scale"),
        (Standardised(3, 4, 1), "the output of Standardised"),
        (Conditional(3, 4, 1), "Conditional .* takes none of the inputs tried"),
    ]:
        model = nn.Sequential(layer)
        before = snapshot(model)
        with pytest.raises(TargetError, match=message):
            insert_asr(model, targets="0")
        assert_unchanged(model, before)


def test_bad_names_are_refused_before_anything_changes():
    model = net()
    before = snapshot(model)
    with pytest.raises(InputError, match="unknown attention module 'sse'"):
        insert_asr(model, "sse", targets="1")
    with pytest.raises(InputError, match="'dia' cannot be an ASR gate"):
        insert_asr(model, "dia", targets="1")
    with pytest.raises(InputError, match="delta is 0"):
        insert_asr(model, targets="1", delta=0)
    assert_unchanged(model, before)


def test_sync_batch_norm_comes_before_insertion():
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(net())
    assert insert_asr(converted, targets="1").positions[0].kind == "batch norm"
    model = net()
    insert_asr(model, targets="1")
    with pytest.raises(TypeError):  # torch's own word; at least nothing passes in silence
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model(images())


@pytest.mark.parametrize("name", ["resnet18", "vit", "convnext"])
def test_torchvision_models(name):
    torch.manual_seed(0)
    vision = torchvision.models
    model, targets, count = {
        "resnet18": lambda: (vision.resnet18(num_classes=5), "layer*.bn2", 8),
        "vit": lambda: (
            vision.VisionTransformer(32, 16, 2, 2, 8, 16, num_classes=5),
            ["*.self_attention", "*.mlp.3"],
            4,
        ),
        "convnext": lambda: (
            vision.ConvNeXt([vision.convnext.CNBlockConfig(8, None, 2)], num_classes=5),
            ["features.0.1", "features.1.*.block.2", "features.1.*.block.5"],
            5,
        ),
    }[name]()
    before = model.eval()(torch.rand(2, 3, 32, 32))
    report = insert_asr(model, targets=targets)
    assert len(report.positions) == count
    after = model(torch.rand(2, 3, 32, 32))
    assert after.shape == before.shape
    json.dumps([(p.name, p.kind, p.axis, p.channels, p.created, p.start) for p in report.positions])


def test_a_model_without_values_is_refused_before_any_change() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    keys = list(model.state_dict())
    with pytest.raises(TargetError, match="'1' is on the meta device"):
        insert_asr(model, targets="1")
    assert list(model.state_dict()) == keys
