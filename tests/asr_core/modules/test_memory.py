"""asr_core.modules.memory: sharing, against NumPy's exact answer."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from asr_core.modules.memory import Memory, address_range, is_plain, overlaps_itself, tensors_in

BASE = torch.zeros(60)


@st.composite
def views(draw):
    """A view of :data:`BASE` with any strides, 0 and overlapping ones included."""
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    strides = draw(st.lists(st.integers(0, 8), min_size=len(shape), max_size=len(shape)))
    return BASE.as_strided(shape, strides, draw(st.integers(0, 8)))


def share(a, b):
    return "b" in Memory([("b", b)]).sharing(a)


@settings(max_examples=300)
@given(views(), views())
def test_views_share_where_numpy_says_so(a, b):
    assert share(a, b) == share(b, a) == np.shares_memory(a.numpy(), b.numpy())


@given(views())
def test_a_view_overlaps_itself_where_two_elements_have_one_address(view):
    places = BASE.new_tensor(range(60)).as_strided(view.shape, view.stride(), view.storage_offset())
    assert overlaps_itself(view) == (len(set(places.flatten().tolist())) < view.numel())


def test_storages_do_not_matter_addresses_do():
    array = np.zeros(8, dtype=np.float32)
    a, b = torch.from_numpy(array), torch.from_numpy(array[4:])
    assert a.untyped_storage().data_ptr() != b.untyped_storage().data_ptr()
    assert share(a, b)
    assert not share(a[:4], b)
    assert share(a, b.view(torch.int32))
    assert share(a[:1], a.view(torch.uint8)[3:4])
    assert share(a[::2], a.view(torch.uint8)[4:8])  # between two, but of another size: caution
    assert not share(a, a.clone())


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.empty(3, device="meta"),
        lambda: torch.empty(0),
    ],
)
def test_without_memory_only_the_same_object_counts(make):
    a, b = make(), make()
    assert address_range(a) is None
    assert share(a, a)
    assert not share(a, b)
    assert not overlaps_itself(a)


def test_names_and_kinds_of_tensors():
    layer = nn.BatchNorm1d(2)
    layer.own = torch.zeros(2)
    names = [name for name, _ in tensors_in([("a.b", layer)])]
    wanted = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked", "own"]
    assert names == [f"a.b.{name}" for name in wanted]
    assert all(is_plain(tensor) for _, tensor in tensors_in([("", layer)]))
    assert not is_plain(torch.zeros(2).to_sparse())
    assert not is_plain(torch.zeros(2).as_subclass(type("Own", (torch.Tensor,), {})))
