import copy

import pytest
import torch
from layer_cases import randomise
from small_net import assert_unchanged, snapshot
from torch import nn

from asr_core import fuse_asr, insert_asr
from asr_core.errors import InputError
from asr_core.models.repvgg import RepVGG, RepVGGBlock
from asr_core.shared import share_gates


def net():
    torch.manual_seed(0)
    model = RepVGG((1, 1, 1, 1, 1), (4, 4, 6, 6, 8), 5)
    randomise(model, std=0.5)
    return model.double().eval()


def images():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)).double()


def shared(model, **options):
    report = share_gates(model, insert_asr(model, targets="blocks.*.bn?", **options))
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
    report = share_gates(model, insert_asr(model, targets="blocks.*.bn?", preserve=True))
    wanted = plain(images())
    assert (model(images()) - wanted).abs().max() <= 1e-12 * wanted.abs().max()
    assert report.positions[0].start == report.positions[1].start < 0.7


def test_untrained_gates_are_still_noticed():
    model = net()
    share_gates(model, insert_asr(model, targets="blocks.*.bn?"))
    with pytest.warns(UserWarning, match="no gate has changed"):
        fuse_asr(model)


def test_layers_of_different_widths_share_no_gate():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 1))
    report = insert_asr(model, targets="*")
    before = snapshot(model)
    with pytest.raises(InputError, match=r"of '': their channels are \{'0': 4, '1': 6\}"):
        share_gates(model, report)
    assert_unchanged(model, before)


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
