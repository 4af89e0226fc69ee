import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layer_cases import randomise
from torch import nn
from torch.nn.utils import fusion

from asr_core import check_parity, fold_bn, fold_conv_bn, fuse_asr, insert_asr
from asr_core.errors import InputError


def pair(conv, bn):
    torch.manual_seed(0)
    randomise(conv)
    randomise(bn)
    return conv.double().eval(), bn.double().eval()


PAIRS = {
    "conv1d": lambda: (nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6), (2, 4, 9)),
    "conv2d": lambda: (nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6), (2, 4, 5, 6)),
    "reflect": lambda: (
        nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
        nn.BatchNorm2d(6),
        (2, 4, 5, 6),
    ),
    "no affine": lambda: (nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6, affine=False), (2, 4, 5, 6)),
    "conv3d": lambda: (nn.Conv3d(4, 6, 2), nn.BatchNorm3d(6), (2, 4, 3, 4, 5)),
    "transposed": lambda: (nn.ConvTranspose2d(4, 6, 3), nn.BatchNorm2d(6), (2, 4, 5, 6)),
    "transposed, grouped": lambda: (
        nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, bias=False),
        nn.BatchNorm2d(6),
        (2, 4, 5, 6),
    ),
    "linear": lambda: (nn.Linear(4, 6), nn.BatchNorm1d(6), (3, 4)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_folded_layer_gives_the_norms_output(name):
    conv, bn, shape = PAIRS[name]()
    conv, bn = pair(conv, bn)
    x = torch.randn(shape, dtype=torch.float64)
    before = copy.deepcopy([*conv.state_dict().values(), *bn.state_dict().values()])
    folded = fold_bn(conv, bn)
    expected = bn(conv(x))
    assert not torch.allclose(conv(x), expected)
    assert (folded(x) - expected).abs().max() <= 1e-12 * expected.abs().max()
    assert type(folded) is type(conv)
    assert folded is not conv
    after = [*conv.state_dict().values(), *bn.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(p.is_leaf and p.requires_grad for p in folded.parameters())


@given(
    dims=st.integers(1, 3),
    groups=st.integers(1, 3),
    inward=st.integers(1, 3),
    outward=st.integers(1, 3),
    bias=st.booleans(),
    transposed=st.booleans(),
)
def test_folded_weights_against_torch(dims, groups, inward, outward, bias, transposed):
    kind = getattr(nn, f"Conv{'Transpose' if transposed else ''}{dims}d")
    if transposed:
        groups = 1  # torch's own fusion does not know groups in a transposed convolution
    conv = kind(groups * inward, groups * outward, 2, groups=groups, bias=bias)
    conv, bn = pair(conv, getattr(nn, f"BatchNorm{dims}d")(groups * outward))
    theirs = fusion.fuse_conv_bn_eval(conv, bn, transpose=transposed)
    ours = fold_bn(conv, bn)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], value, rtol=1e-12, atol=1e-12)


@given(
    dims=st.integers(1, 3),
    groups=st.integers(1, 3),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    padding=st.integers(0, 1),
    mode=st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
    bias=st.booleans(),
    affine=st.booleans(),
    transposed=st.booleans(),
)
def test_geometries_against_the_norm_itself(
    dims, groups, stride, dilation, padding, mode, bias, affine, transposed
):
    kind = getattr(nn, f"Conv{'Transpose' if transposed else ''}{dims}d")
    options = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
    if not transposed:  # torch pads transposed convolutions with zeros only
        options["padding_mode"] = mode
    conv = kind(2 * groups, 3 * groups, 3, bias=bias, **options)
    conv, bn = pair(conv, getattr(nn, f"BatchNorm{dims}d")(3 * groups, affine=affine))
    x = torch.randn((2, 2 * groups, *range(6, 6 + dims)), dtype=torch.float64)
    expected = bn(conv(x))
    assert not torch.allclose(conv(x), expected)
    assert (fold_bn(conv, bn)(x) - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_linear_against_torch():
    linear, bn = pair(nn.Linear(4, 6), nn.BatchNorm1d(6))
    theirs = fusion.fuse_linear_bn_eval(linear, bn)
    ours = fold_bn(linear, bn)
    for name, value in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], value, rtol=1e-12)


def test_memory_format_dtype_and_flags_are_kept():
    conv = nn.Conv2d(4, 6, 3, bias=False).to(memory_format=torch.channels_last).bfloat16()
    conv.requires_grad_(False)
    folded = fold_bn(conv, nn.BatchNorm2d(6))
    assert folded.weight.stride() == conv.weight.stride()
    assert folded.weight.dtype is folded.bias.dtype is torch.bfloat16
    assert not any(p.requires_grad for p in folded.parameters())


def gated():
    conv = nn.Conv2d(3, 4, 1)
    insert_asr(conv, targets="")
    return conv


@pytest.mark.parametrize(
    ("conv", "bn", "message"),
    [
        (nn.ReLU(), nn.BatchNorm2d(4), "into ReLU: it takes a conv or linear layer"),
        (nn.BatchNorm2d(4), nn.BatchNorm2d(4), "into BatchNorm2d"),
        (nn.Conv2d(3, 4, 1), nn.InstanceNorm2d(4), "cannot fold InstanceNorm2d"),
        (nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), "cannot fold Conv2d"),
        (nn.Conv2d(3, 4, 1), nn.BatchNorm2d(5), "over 5 channels does not follow .* that has 4"),
        (
            nn.Conv2d(3, 4, 1),
            nn.BatchNorm2d(4, track_running_stats=False),
            "has no running statistics: its output depends on the batch",
        ),
        (gated(), nn.BatchNorm2d(4), "fuse_asr the model first"),
    ],
)
def test_pairs_that_cannot_be_folded(conv, bn, message):
    with pytest.raises(InputError, match=message):
        fold_bn(conv, bn)


class Branched(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(x)).relu()


def model():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.BatchNorm2d(3)),
        Branched(),
        nn.Conv2d(4, 4, 1),
        nn.BatchNorm2d(4, track_running_stats=False),
    )
    randomise(net)
    return net.double()


def norms(net):
    return [name for name, m in net.named_modules() if isinstance(m, nn.BatchNorm2d)]


def test_neighbours_in_sequentials():
    net = model()
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    with pytest.warns(UserWarning, match="folded 1 of 2 .*: '3': .* no running statistics"):
        folded = fold_conv_bn(net)
    assert norms(folded) == ["0.3", "1.norm", "3"]  # the others follow no conv directly
    assert isinstance(folded[0][1], nn.Identity)
    assert check_parity(net, folded, x, tolerance=1e-12).ok
    assert len(norms(net)) == 4
    assert net.training
    assert not folded.training


def test_named_pairs():
    net = model()
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    folded = fold_conv_bn(net, [("1.conv", "1.norm"), ("0.0", "0.1")])
    assert norms(folded) == ["0.3", "3"]
    assert check_parity(net, folded, x, tolerance=1e-12).ok
    with pytest.raises(InputError, match=r"no module '1\.bn'"):
        fold_conv_bn(net, [("1.conv", "1.bn")])


def test_asr_folds_all_the_way_into_the_conv():
    net = model()
    insert_asr(net, targets=["0.1", "1.norm"])
    randomise(net)
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    with pytest.raises(InputError, match="fuse_asr the model first"):
        fold_conv_bn(net)
    folded = fold_conv_bn(fuse_asr(net), [("0.0", "0.1"), ("1.conv", "1.norm")])
    assert check_parity(net, folded, x, tolerance=1e-12).ok
