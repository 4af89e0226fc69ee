import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layer_cases import GEOMETRIES
from torch import nn

from asr_core.asr.layers import KINDS, Slot, gated_layer, kind_of, refusal_of, slots_of


@given(groups=st.integers(1, 3), rows=st.integers(1, 3), each=st.integers(1, 4))
def test_factor_of_a_transposed_weight(groups, rows, each):
    weight = torch.ones(groups * rows, each, 2, 2)
    v = torch.arange(1.0, groups * each + 1)
    scaled = Slot("weight", dim=1, groups=groups).scaled(weight, v)
    for row in range(groups * rows):
        for column in range(each):
            assert (scaled[row, column] == v[(row // rows) * each + column]).all()


@given(before=st.integers(0, 4), channels=st.integers(1, 4), dim=st.integers(0, 2))
def test_factor_leaves_the_rows_before_alone(before, channels, dim):
    shape = [2, 3, 4]
    shape[dim] = before + channels
    v = torch.arange(2.0, channels + 2)
    scaled = Slot("t", dim=dim, start=before).scaled(torch.ones(shape), v)
    expected = torch.cat([torch.ones(before), v])
    assert torch.equal(scaled.movedim(dim, -1)[0, 0], expected)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda g: g.name)
def test_every_geometry_of_the_table_has_a_kind(geometry):
    layer = geometry.make()
    kind = kind_of(gated_layer("", layer)[1])
    assert kind is not None
    assert kind.channels(gated_layer("", layer)[1]) == 6
    assert refusal_of(layer) == ""


def test_every_kind_is_in_the_table():
    made = {kind_of(gated_layer("", g.make())[1]).name for g in GEOMETRIES}
    assert made == {kind.name for kind in KINDS}
    stock = {type(g.make()) for g in GEOMETRIES}
    seen = {t for kind in KINDS for t in kind.types if t is not nn.MultiheadAttention}
    assert seen <= stock


def test_modules_without_output_channel_parameters():
    for module in (nn.ReLU(), nn.Embedding(3, 4), nn.LSTM(3, 4), nn.Sequential(nn.Linear(1, 1))):
        assert kind_of(module) is None
        assert f"a {type(module).__name__} has no output-channel" in refusal_of(module)
    assert "normalises over (3, 4)" in refusal_of(nn.LayerNorm([3, 4]))
    assert "normalises over (3, 4)" in refusal_of(nn.RMSNorm([3, 4]))
    assert "run one forward pass first" in refusal_of(nn.LazyLinear(3))


def test_attention_stands_for_its_output_projection():
    attention = nn.MultiheadAttention(4, 2)
    assert gated_layer("a.b", attention) == ("a.b.out_proj", attention.out_proj)
    assert gated_layer("", attention)[0] == "out_proj"
    attention.out_proj = None
    assert gated_layer("a.b", attention) == ("a.b", attention)
    linear = nn.Linear(1, 1)
    assert gated_layer("x", linear) == ("x", linear)


def test_only_tensors_that_are_there_are_scaled():
    conv = nn.Conv2d(1, 1, 1, bias=False)
    assert [s.tensor for s in slots_of(conv)] == ["weight"]
    assert [s.tensor for s in slots_of(conv, {"bias"})] == ["weight", "bias"]
