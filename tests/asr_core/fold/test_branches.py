"""asr_core.fold.branches: merged blocks against their branches, summed one by one in float64."""

import copy

import pytest
import timm.utils
import torch
from layer_cases import randomise
from representative import some_of
from small_net import assert_unchanged, snapshot
from torch import nn
from torch.nn.utils import fusion

from asr_core import fuse_asr, insert_asr, merge_branches
from asr_core.asr.parametrization import gated_layers
from asr_core.attention import ATTENTIONS
from asr_core.errors import InputError, ParityError
from asr_core.fold.branches import Branched, branched
from asr_core.models.networks.acnet import AsymmetricConv, resnet_acnet
from asr_core.models.networks.repvgg import RepVGG, RepVGGBlock

LIVE = [name for name in ATTENTIONS if name not in ("dia", "const")]


class Grouped(Branched):
    """A user's own block: grouped, dilated, without norm here, and the input itself twice."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(4, 4, 5, padding=4, dilation=2, groups=2, padding_mode="circular")
        self.wide_norm = nn.BatchNorm2d(4, affine=False)
        self.point = nn.Conv2d(4, 4, 1, groups=2)
        self.input_norm = nn.BatchNorm2d(4)

    def forward(self, x):
        return self.wide_norm(self.wide(x)) + self.point(x) + self.input_norm(x) + x

    def branches(self):
        return (
            (self.wide, self.wide_norm),
            (self.point, None),
            (None, self.input_norm),
            (None, None),
        )


BLOCKS = {
    "repvgg": lambda: RepVGGBlock(4, 4),
    "repvgg, wider": lambda: RepVGGBlock(4, 6),
    "repvgg, strided": lambda: RepVGGBlock(4, 4, stride=2),
    "acnet": lambda: AsymmetricConv(4, 6),
    "acnet, strided": lambda: AsymmetricConv(4, 6, stride=2),
    "grouped": Grouped,
}


def made(name):
    torch.manual_seed(0)
    block = BLOCKS[name]()
    randomise(block)
    return block.double().eval()


def images(*, channels=4, dtype=torch.float64):
    shape = (2, channels, 9, 8)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


def outputs(block, x):
    """What each branch gives: the oracle is their sum."""
    given = [x if conv is None else conv(x) for conv, _ in block.branches()]
    norms = [norm for _, norm in block.branches()]
    return [y if norm is None else norm(y) for y, norm in zip(given, norms, strict=True)]


def ending(block):
    return torch.relu if isinstance(block, RepVGGBlock) else lambda x: x


def agree(a, b, tolerance=1e-12):
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


@pytest.mark.parametrize("name", BLOCKS)
@torch.no_grad()
def test_the_sum_of_the_branches_is_one_convolution(name):
    block, x = made(name), images()
    before = snapshot(block)
    fused = block.fuse()
    assert_unchanged(block, before)
    parts, end = outputs(block, x), ending(block)
    wanted = end(sum(parts))
    assert agree(fused(x), wanted)
    assert agree(block(x), wanted)
    for i in range(len(parts)):
        assert not agree(fused(x), end(sum(parts) - parts[i]), 1e-3)
        assert not agree(fused(x), end(parts[i]), 1e-3)
    kinds = [type(m) for m in fused.modules() if not list(m.children())]
    assert kinds == ([nn.Conv2d, nn.ReLU] if end is torch.relu else [nn.Conv2d])
    convs = [m for m in fused.modules() if isinstance(m, nn.Conv2d)]
    assert convs[0].kernel_size == ((5, 5) if name == "grouped" else (3, 3))
    own = {p.data_ptr() for p in block.parameters()}
    assert not any(p.data_ptr() in own for p in fused.parameters())


def test_kernels_are_those_of_torchs_own_fusion_padded_and_added():
    block = made("repvgg")
    one, three = (
        fusion.fuse_conv_bn_eval(conv, bn)
        for conv, bn in ((block.conv1, block.bn1), (block.conv3, block.bn3))
    )
    bn = block.bn0
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    kernel = three.weight + nn.functional.pad(one.weight, (1, 1, 1, 1))
    kernel[range(4), range(4), 1, 1] += scale
    bias = three.bias + one.bias + bn.bias - bn.running_mean * scale
    conv = block.fuse().conv
    assert torch.allclose(conv.weight, kernel, rtol=1e-12, atol=1e-12)
    assert torch.allclose(conv.bias, bias, rtol=1e-12, atol=1e-12)


def gate(model, targets, **options):
    """Gates of random values at the targets; v by the name of the layer."""
    report = insert_asr(model, "ie", targets=targets, **options)
    for position in report.positions:
        randomise(position.gate)
    return {p.name: p.gate.scale().detach() for p in report.positions}


@pytest.mark.parametrize("name", BLOCKS)
@torch.no_grad()
def test_gates_go_in_first(name):
    block, x = made(name), images()
    names = {m: n for n, m in block.named_modules() if isinstance(m, nn.BatchNorm2d)}
    branch_names = [names.get(norm) for _, norm in block.branches()]
    parts = outputs(block, x)
    v = gate(block, list(names.values()), create_affine=True)
    scaled = [
        y if norm is None else y * v[norm].reshape(1, -1, 1, 1)
        for y, norm in zip(parts, branch_names, strict=True)
    ]
    wanted = ending(block)(sum(scaled))
    assert not agree(ending(block)(sum(parts)), wanted, 1e-3)
    for merged in (block.fuse(), merge_branches(block), merge_branches(fuse_asr(block))):
        assert agree(merged(x), wanted)
        assert not list(gated_layers(merged))
    assert len(list(gated_layers(block))) == len(names)


@torch.no_grad()
def test_one_gate_on_the_sum():
    block, x = made("repvgg"), images()
    total = sum(outputs(block, x))
    (v,) = {tuple(v.tolist()) for v in gate(block, "bn?", shared="parents").values()}
    v = torch.tensor(v, dtype=torch.float64).reshape(1, -1, 1, 1)
    assert agree(merge_branches(block)(x), (total * v).relu())
    assert not agree(merge_branches(block)(x), total.relu(), 1e-3)


@pytest.mark.parametrize("attention", LIVE)
@pytest.mark.parametrize("mode", ["live", "both"])
@torch.no_grad()
def test_live_attention_stays_behind_the_convolution(attention, mode):
    block, x = made("repvgg"), images()
    block.attention = ATTENTIONS[attention](4).double()
    randomise(block.attention)
    block.eval()
    total = sum(outputs(block, x))
    if mode == "both":
        v = gate(block, "bn?", shared="parents")["bn3"]
        total = total * v.reshape(1, -1, 1, 1)
    fused = merge_branches(block)
    assert agree(fused(x), (total * block.attention(total)).relu())
    assert not agree(fused(x), total.relu(), 1e-3)
    assert [name for name, _ in fused.named_children()] == ["conv", "attention", "relu"]
    theirs = fused.attention.attention
    assert type(theirs) is type(block.attention)
    assert theirs is not block.attention


def net(kind, mode):
    torch.manual_seed(0)
    live = "se" if mode in ("live", "both") else None
    if kind == "repvgg":
        model = RepVGG((1, 2, 1, 1, 1), (4, 4, 8, 8, 8), 5, attention=live)
    else:
        model = resnet_acnet(11, 5, attention=live)
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        randomise(norm, std=0.3)
        norm.weight.data.add_(1)
    model.double().eval()
    if mode in ("asr", "both"):
        shared = {"shared": "parents"} if kind == "repvgg" else {}
        gate(model, "blocks.*.bn?" if shared else "layer*.bn3", **shared)
    return model


@pytest.mark.parametrize("kind", ["repvgg", "acnet"])
@pytest.mark.parametrize("mode", some_of(["plain", "live", "asr", "both"], ["both"]))
@torch.no_grad()
def test_whole_networks_and_timm(kind, mode):
    model, x = net(kind, mode).train(), images(channels=3)
    before = snapshot(model)
    merged = merge_branches(model)
    theirs = timm.utils.reparameterize_model(model)
    assert_unchanged(model, before)
    assert not any(m.training for m in merged.modules())
    assert all(m.training for m in theirs.modules())
    state, other = merged.state_dict(), theirs.state_dict()
    assert list(state) == list(other)
    assert all(torch.equal(state[key], other[key]) for key in state)
    assert branched(merged) == branched(theirs) == []
    blocks = branched(model)
    assert len(blocks) == (6 if kind == "repvgg" else 3)
    model.eval()
    wanted = model(x)
    assert agree(merged(x), wanted)
    assert agree(theirs.eval()(x), wanted)
    assert agree(merge_branches(fuse_asr(model))(x), wanted)
    assert agree(merge_branches(merged)(x), wanted)
    for name in blocks:  # each of them matters
        with_less = copy.deepcopy(model)
        conv, _ = with_less.get_submodule(name).branches()[1]
        conv.weight.zero_()
        assert not agree(with_less(x), wanted, 1e-6)


def test_timm_leaves_the_root_alone():
    block = made("repvgg")
    assert isinstance(timm.utils.reparameterize_model(block), RepVGGBlock)
    assert isinstance(merge_branches(block), nn.Sequential)


@torch.no_grad()
def test_only_the_blocks_that_are_named():
    model, x = net("repvgg", "plain"), images(channels=3)
    merged = merge_branches(model, ["blocks.2", "blocks.0"])
    assert branched(merged) == ["blocks.1", "blocks.3", "blocks.4", "blocks.5"]
    assert agree(merged(x), model(x))
    assert branched(merge_branches(model, [])) == branched(model)


def test_names_that_are_no_block():
    model = net("repvgg", "plain")
    message = r"no block 'fc' with branches to merge; the model has 'blocks.0', .*'blocks.4', …$"
    with pytest.raises(InputError, match=message):
        merge_branches(model, ["blocks.0", "fc"])
    with pytest.raises(InputError, match=r"no block 'x' .*; the model has none$"):
        merge_branches(nn.Sequential(nn.ReLU()), ["x"])


@torch.no_grad()
def test_a_block_in_two_places_stays_one():
    block, x = made("repvgg"), images()
    model = nn.Sequential(block, nn.Sequential(block)).eval()
    merged = merge_branches(model)
    assert merged[0] is merged[1][0]
    assert agree(merged(x), model(x))


@torch.no_grad()
def test_single_precision_is_rounded_once():
    """Against float64 of the same parameters: the kernel is the nearest one in float32."""
    block = made("repvgg").float()
    exact = copy.deepcopy(block).double()
    fused = block.fuse()
    assert fused.conv.weight.dtype is torch.float32
    assert torch.equal(fused.conv.weight, exact.fuse().conv.weight.float())
    x = images(dtype=torch.float32)
    assert agree(fused(x), block(x), 1e-5)


def test_flags_memory_format_and_random_state():
    block = made("repvgg").float().to(memory_format=torch.channels_last)
    block.requires_grad_(False)
    state = torch.random.get_rng_state()
    fused = block.train().fuse()
    assert torch.equal(state, torch.random.get_rng_state())
    assert fused.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert not fused.conv.weight.is_contiguous()
    assert not any(p.requires_grad for p in fused.parameters())
    assert all(module.training for module in fused.modules())
    block.conv3.weight.requires_grad_()
    assert all(p.requires_grad and p.is_leaf for p in block.fuse().parameters())


class Mean(AsymmetricConv):
    def forward(self, x):
        return super().forward(x) / 3


class NoConvolution(Grouped):
    def branches(self):
        return super().branches()[2:]


class BatchStatistics(AsymmetricConv):
    def __init__(self, *args):
        super().__init__(*args)
        self.bn_row = nn.BatchNorm2d(4, track_running_stats=False)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Mean(4, 4), ParityError, "outputs differ: .* both were run in eval mode"),
        (NoConvolution, InputError, "block without a convolution among its branches"),
        (lambda: BatchStatistics(4, 4), InputError, "no running statistics"),
        (Branched, NotImplementedError, None),
    ],
)
def test_blocks_that_are_no_one_convolution(make, error, message):
    torch.manual_seed(0)
    model = nn.Sequential(make())
    randomise(model)
    before = snapshot(model)
    with pytest.raises(error, match=message):
        merge_branches(model)
    assert_unchanged(model, before)
