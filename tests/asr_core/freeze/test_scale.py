"""A factor on each channel that goes in or comes out, in the parameters of a layer."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from asr_core.freeze.fold import scale

TOLERANCE = 1e-12


@settings(max_examples=40, deadline=None)
@given(
    dims=st.integers(1, 3),
    groups=st.sampled_from([1, 2, 4]),
    transposed=st.booleans(),
    bias=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_convolutions_of_every_form(dims, groups, transposed, bias, seed):
    torch.manual_seed(seed)
    kind = getattr(nn, f"Conv{'Transpose' if transposed else ''}{dims}d")
    layer = kind(8, 12, 3, groups=groups, bias=bias, stride=2).double()
    x = torch.randn(2, 8, *[5] * dims, dtype=torch.float64)
    shape = [-1, *[1] * dims]
    v, w = torch.randn(8, dtype=torch.float64), torch.randn(12, dtype=torch.float64)
    with torch.no_grad():
        wanted = layer(x * v.reshape(shape)) * w.reshape(shape)
        scale("layer", layer, v, "input")
        scale("layer", layer, w, "output")
        assert (layer(x) - wanted).abs().max() <= TOLERANCE * (1 + wanted.abs().max())


def test_linear_layers():
    layer = nn.Linear(8, 5).double()
    x, v = torch.randn(3, 7, 8).double(), torch.randn(8).double()
    with torch.no_grad():
        wanted = layer(x * v)
        scale("layer", layer, v, "input")
        assert (layer(x) - wanted).abs().max() <= TOLERANCE
