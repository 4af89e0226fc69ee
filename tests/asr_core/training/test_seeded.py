"""asr_core.training.seeded: draws of torch's own random state, named."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr_core.training.seeded import seeded


@given(parts=st.lists(st.integers() | st.text(), min_size=1, max_size=4), burn=st.integers(0, 5))
def test_draws_depend_on_their_name_alone(parts: list[int | str], burn: int) -> None:
    torch.rand(burn)
    with seeded(*parts):
        first = torch.rand(4)
    with seeded(*parts):
        assert torch.equal(torch.rand(4), first)
    with seeded(*parts, "more"):
        assert not torch.equal(torch.rand(4), first)


def test_the_state_outside_is_as_before_also_after_an_exception() -> None:
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded("step", 1):
        torch.rand(int(3 / len([])))
    assert torch.equal(torch.get_rng_state(), before)
