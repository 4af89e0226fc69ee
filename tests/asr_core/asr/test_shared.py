import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layer_cases import randomise
from small_net import assert_unchanged, snapshot
from torch import nn

from asr_core import fuse_asr, insert_asr
from asr_core.asr.shared import leaders
from asr_core.errors import InputError
from asr_core.models.networks.repvgg import RepVGG, RepVGGBlock


def net():
    torch.manual_seed(0)
    model = RepVGG((1, 1, 1, 1, 1), (4, 4, 6, 6, 8), 5)
    randomise(model, std=0.5)
    return model.double().eval()


def images():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)).double()


def shared(model, **options):
    report = insert_asr(model, targets="blocks.*.bn?", shared="parents", **options)
    for parameter in report.parameters():
        nn.init.normal_(parameter)
    return report


def test_the_gate_stands_after_the_sum():
    plain, model = net(), net()
    report = shared(model)
    first = {p.name.rpartition(".")[0]: p.gate for p in reversed(report.positions)}
    assert len(first) == 5

    x = images()
    for name, block in plain.blocks.named_children():
        v = first[f"blocks.{name}"].scale()[:, None, None]
        total = block.bn3(block.conv3(x)) + block.bn1(block.conv1(x))
        if block.bn0 is not None:
            total = total + block.bn0(x)
        x = (total * v).relu()
    wanted = plain.fc(x.mean((2, 3)))
    assert (model(images()) - wanted).abs().max() <= 1e-12 * wanted.abs().max()
    assert not torch.allclose(plain(images()), wanted)

    fused = fuse_asr(model, example=images())
    assert list(fused.state_dict()) == list(plain.state_dict())
    assert (fused(images()) - wanted).abs().max() <= 1e-12 * wanted.abs().max()
    plain.load_state_dict(fused.state_dict(), strict=True)


def test_the_gate_is_owned_once():
    model = net()
    report = shared(model)
    parameters = report.parameters()
    assert len({id(p) for p in parameters}) == len(parameters)
    owned = [key for key in model.state_dict() if key.endswith("asr.psi")]
    assert owned == [f"blocks.{i}.bn3.asr.psi" for i in range(5)]
    learned = sum(p.gate_parameters for p in report.positions)
    assert sum(p.numel() for p in model.parameters()) == learned + sum(
        p.numel() for p in net().parameters()
    )


def test_all_branches_train_the_gate():
    model = net().train()
    gate = shared(model).positions[-1].gate
    block = model.blocks[4]
    for bn in (block.bn3, block.bn1):
        model.zero_grad()
        bn(torch.rand(2, 8, 4, 4).double()).sum().backward()
        assert block.bn3.asr.psi.grad.abs().sum() > 0
    assert block.bn1.asr is gate
    assert torch.equal(block.bn1.asr.scale(), block.bn3.asr.scale())


def test_copies_are_independent():
    model = net()
    shared(model)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.blocks[1].bn3.asr.psi.add_(1)
    gates = [m.blocks[1].bn0.asr.scale() for m in (model, other)]
    assert not torch.allclose(*gates)
    assert torch.equal(gates[1], other.blocks[1].bn3.asr.scale())
    fuse_asr(other, inplace=True)
    model(images()).sum().backward()


def test_states_load():
    model, other = net(), net()
    shared(model)
    shared(other)
    other.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(other(images()), model(images()))


def test_preserve_keeps_the_output():
    plain, model = net(), net()
    report = insert_asr(model, targets="blocks.*.bn?", shared="parents", preserve=True)
    wanted = plain(images())
    assert (model(images()) - wanted).abs().max() <= 1e-12 * wanted.abs().max()
    assert report.positions[0].start == report.positions[1].start < 0.7


def test_untrained_gates_are_still_noticed():
    model = net()
    insert_asr(model, targets="blocks.*.bn?", shared="parents")
    with pytest.warns(UserWarning, match="no gate has changed"):
        fuse_asr(model)


@pytest.mark.parametrize(
    ("shared", "message"),
    [
        ("parents", r"several widths; their channels are \{'0': 4, '1': 6\}"),
        ([["0", "1"]], r"several widths; their channels are \{'0': 4, '1': 6\}"),
        ([["0", "2"]], "'2' would share a gate"),
        ([["0"], ["0"]], "'0' can share one gate"),
        ([["0", "0"]], "'0' can share one gate"),
        ("parent", r"'parents' or lists of layer names.*got 'parent'"),
        (["0", "1"], r"'parents' or lists of layer names.*got \['0', '1'\]"),
        ([[]], r"'parents' or lists of layer names.*got \[\[\]\]"),
        ([[0]], r"'parents' or lists of layer names.*got \[\[0\]\]"),
        (3, r"'parents' or lists of layer names.*got 3"),
    ],
)
def test_layers_that_share_no_gate(shared, message):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 1), nn.ReLU())
    before = snapshot(model)
    with pytest.raises(InputError, match=message):
        insert_asr(model, targets=["0", "1"], shared=shared)
    assert_unchanged(model, before)


@given(st.lists(st.sampled_from(["a", "a.x", "a.y", "b.x", "b.y", "b.z"]), unique=True))
def test_parents_are_told_by_names(names):
    found = leaders("parents", dict.fromkeys(names, 4))
    for name in names:
        family = [other for other in names if other.rpartition(".")[0] == name.rpartition(".")[0]]
        assert found.get(name, name) == family[0]
    assert leaders(None, dict.fromkeys(names, 4)) == {}


@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_adds_its_branches(stride):
    torch.manual_seed(0)
    block = RepVGGBlock(4, 4, stride=stride).double().eval()
    randomise(block)
    x = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    total = 0
    for conv, bn in ((block.conv3, block.bn3), (block.conv1, block.bn1), (None, block.bn0)):
        if bn is not None:
            y = (
                x
                if conv is None
                else nn.functional.conv2d(x, conv.weight, None, stride, conv.padding)
            )
            scale = bn.weight / (bn.running_var + bn.eps).sqrt()
            total = total + (y - bn.running_mean[:, None, None]) * scale[:, None, None]
            total = total + bn.bias[:, None, None]
    assert (block.bn0 is None) == (stride == 2)
    assert (block(x) - total.relu()).abs().max() < 1e-12
