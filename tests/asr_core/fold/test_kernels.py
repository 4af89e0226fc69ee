"""asr_core.fold.kernels: one convolution against the sum of several, run in float64."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layer_cases import randomise
from torch import nn

from asr_core import insert_asr
from asr_core.errors import InputError
from asr_core.fold.kernels import identity_conv, merge_convs

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def drawn(convs):
    torch.manual_seed(0)
    for conv in convs:
        randomise(conv.double())
    return convs


def inputs(channels, dims, size=9):
    shape = (2, channels, *(size + axis for axis in range(dims)))
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def agree(a, b):
    return bool((a - b).abs().max() <= 1e-12 * b.abs().max())


@st.composite
def parallel(draw):
    """Convolutions with equally large outputs: kernels that shrink as their padding does."""
    dims = draw(st.integers(1, 3))
    groups, inward, outward = (draw(st.integers(1, 3)) for _ in range(3))
    axes = [
        {"kernel": draw(st.integers(1, 5)), "dilation": draw(st.integers(1, 2))}
        for _ in range(dims)
    ]
    for axis in axes:
        reach = axis["dilation"] * (axis["kernel"] - 1)
        axis["padding"] = draw(st.integers(0, min(reach, 4)))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    mode = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    convs = []
    for _ in range(draw(st.integers(1, 3))):
        kernel, padding = [], []
        for axis in axes:
            most = min((axis["kernel"] - 1) // 2, axis["padding"] // axis["dilation"])
            less = draw(st.integers(0, most)) if convs else 0
            kernel.append(axis["kernel"] - 2 * less)
            padding.append(axis["padding"] - axis["dilation"] * less)
        convs.append(
            CONVS[dims](
                groups * inward,
                groups * outward,
                tuple(kernel),
                stride,
                tuple(padding),
                tuple(axis["dilation"] for axis in axes),
                groups=groups,
                bias=draw(st.booleans()),
                padding_mode=mode,
            )
        )
    return drawn(draw(st.permutations(convs)))


@given(parallel())
def test_one_convolution_gives_the_sum(convs):
    x = inputs(convs[0].in_channels, len(convs[0].kernel_size))
    merged = merge_convs(convs)
    assert type(merged) is type(convs[0])
    assert (merged.bias is None) == all(conv.bias is None for conv in convs)
    wanted = sum(conv(x) for conv in convs)
    assert agree(merged(x), wanted)
    assert len(convs) == 1 or not torch.allclose(convs[0](x), wanted)


@given(dims=st.integers(1, 3), groups=st.integers(1, 4), width=st.integers(1, 3))
def test_the_identity_beside_a_convolution(dims, groups, width):
    channels = groups * width
    (conv,) = drawn([CONVS[dims](channels, channels, 3, padding=1, groups=groups)])
    x = inputs(channels, dims, 4)
    assert torch.equal(identity_conv(conv)(x), x)
    assert agree(merge_convs([identity_conv(conv), conv])(x), x + conv(x))


def test_a_point_has_neither_dilation_nor_border():
    wide, point = drawn(
        [
            nn.Conv2d(2, 3, 3, padding=2, dilation=2),
            nn.Conv2d(2, 3, 1, dilation=7, padding_mode="reflect"),
        ]
    )
    x = inputs(2, 2)
    assert agree(merge_convs([point, wide])(x), wide(x) + point(x))


def test_rows_and_columns_meet_in_a_square():
    row, column = drawn(
        [nn.Conv2d(2, 3, (1, 5), padding=(0, 2)), nn.Conv2d(2, 3, (3, 1), padding=(1, 0))]
    )
    merged = merge_convs([row, column])
    assert merged.kernel_size == (3, 5)
    assert merged.weight[:, :, 0, 0].abs().max() == 0
    x = inputs(2, 2)
    assert agree(merged(x), row(x) + column(x))


def test_nothing_else_changes():
    convs = drawn([nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 3, 1)])
    before = copy.deepcopy([list(conv.parameters()) for conv in convs])
    state = torch.random.get_rng_state()
    merged = merge_convs(convs)
    identity_conv(nn.Conv2d(2, 2, 3, device="meta"))
    assert torch.equal(state, torch.random.get_rng_state())
    for conv, parameters in zip(convs, before, strict=True):
        for now, then in zip(conv.parameters(), parameters, strict=True):
            assert torch.equal(now, then)
            assert all(now.data_ptr() != p.data_ptr() for p in merged.parameters())


def test_dtype_flags_and_memory_format_are_kept():
    convs = [nn.Conv2d(4, 4, 3, padding=1, bias=bias) for bias in (True, False)]
    for conv in convs:
        conv.to(torch.bfloat16, memory_format=torch.channels_last).requires_grad_(False)
    merged = merge_convs([*convs, identity_conv(convs[0])])
    assert merged.weight.dtype is merged.bias.dtype is torch.bfloat16
    assert merged.weight.stride() == convs[0].weight.stride()
    assert not any(p.requires_grad for p in merged.parameters())
    convs[1].requires_grad_()
    assert all(p.requires_grad and p.is_leaf for p in merge_convs(convs).parameters())


def gated():
    conv = nn.Conv2d(2, 2, 1)
    insert_asr(conv, targets="")
    return conv


class Own(nn.Conv2d):
    pass


BASE = nn.Conv2d(2, 2, 3, padding=1)


@pytest.mark.parametrize(
    ("convs", "message"),
    [
        ([], "takes one or more convolutions, got none"),
        ([nn.Linear(2, 2)], "cannot merge a Linear: only Conv1d"),
        ([nn.ConvTranspose2d(2, 2, 1)], "cannot merge a ConvTranspose2d"),
        ([Own(2, 2, 1)], "cannot merge a Own"),
        ([BASE, gated()], "parametrized Conv2d: fuse_asr the model first"),
        ([nn.Conv2d(2, 2, 3, padding="same")], "padding='same': give its padding in numbers"),
        ([BASE, nn.Conv1d(2, 2, 1)], "different class do not add up to one: Conv2d, Conv1d"),
        ([BASE, nn.Conv2d(4, 2, 1)], "different in_channels .*: 2, 4"),
        ([BASE, nn.Conv2d(2, 3, 1)], "different out_channels .*: 2, 3"),
        ([BASE, nn.Conv2d(2, 2, 1, stride=2)], r"different stride .*: \(1, 1\), \(2, 2\)"),
        ([BASE, nn.Conv2d(2, 2, 1, groups=2)], "different groups .*: 1, 2"),
        (
            [BASE, nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")],
            "different padding_mode .*: zeros, reflect",
        ),
        (
            [BASE, nn.Conv2d(2, 2, 3, padding=2, dilation=2)],
            "different dilation .*: 1, 2",
        ),
        ([BASE, nn.Conv2d(2, 2, 3)], r"\(kernel − 1\) along axis 0 do not add up to one: 0, -2"),
        ([BASE, nn.Conv2d(2, 2, (3, 2), padding=1)], "along axis 1 .*: 0, 1"),
        (
            [nn.Conv2d(2, 2, k, padding=k - 1, dilation=2) for k in (3, 2)],
            r"kernels \[3, 2\] with padding \[2, 1\] read inputs between each other's, 2 apart",
        ),
    ],
)
def test_what_does_not_add_up(convs, message):
    with pytest.raises(InputError, match=message):
        merge_convs(convs)


def test_no_identity_where_the_width_changes():
    with pytest.raises(InputError, match="from 2 to 3 channels"):
        identity_conv(nn.Conv2d(2, 3, 1))
    with pytest.raises(InputError, match="cannot merge a Linear"):
        identity_conv(nn.Linear(2, 2))


def test_no_identity_beside_a_stride():
    strided = nn.Conv2d(2, 2, 3, stride=2, padding=1)
    with pytest.raises(InputError, match="different stride"):
        merge_convs([strided, identity_conv(strided)])
