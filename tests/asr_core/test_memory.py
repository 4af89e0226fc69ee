"""asr_core.memory: who shares a byte with whom."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from asr_core.memory import Memory, is_plain, tensors_in


@st.composite
def views(draw):
    """A view into 24 numbers, with any offset, sizes and strides."""
    base, offset = torch.arange(24.0), draw(st.integers(0, 23))
    sizes, strides, left = [], [], 23 - offset
    for _ in range(draw(st.integers(0, 3))):
        step = draw(st.integers(0, 5))
        size = draw(st.integers(0, 1 + (left // step if step else 3)))
        left -= max(size - 1, 0) * step
        sizes.append(size)
        strides.append(step)
    return base, base.as_strided(sizes, strides, offset)


@given(views(), st.integers(0, 23), st.integers(0, 24))
def test_a_block_and_a_view(drawn, start, end):
    """Whoever shares an element is named; who is named lies at least in between."""
    base, view = drawn
    block = base[start:end]
    touched = {int(n) for n in view.flatten()} & {int(n) for n in block}
    named = Memory([("view", view), ("other", base.clone())]).sharing(block)
    assert named == ["view"] or not touched
    if named:
        first, last = view.min(), view.max()
        assert last >= start
        assert first < end


def test_tensors_without_memory_are_their_own():
    meta, sparse = torch.empty(3, device="meta"), torch.eye(3).to_sparse()
    memory = Memory([("meta", meta), ("sparse", sparse)])
    assert memory.sharing(meta) == ["meta"]
    assert memory.sharing(torch.empty(3, device="meta")) == []
    assert memory.sharing(sparse) == ["sparse"]


def test_other_dtypes_on_the_same_bytes():
    numbers = torch.zeros(4)
    assert Memory([("bytes", numbers.view(torch.uint8)[4:8])]).sharing(numbers[1:2]) == ["bytes"]
    assert Memory([("bytes", numbers.view(torch.uint8)[4:8])]).sharing(numbers[2:3]) == []


def test_names_and_kinds_of_tensors():
    layer = nn.BatchNorm1d(2)
    layer.own = torch.zeros(2)
    names = [name for name, _ in tensors_in([("a.b", layer)])]
    wanted = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked", "own"]
    assert names == [f"a.b.{name}" for name in wanted]
    assert all(is_plain(tensor) for _, tensor in tensors_in([("", layer)]))
    assert not is_plain(torch.zeros(2).to_sparse())
    assert not is_plain(torch.zeros(2).as_subclass(type("Own", (torch.Tensor,), {})))
