"""asr_core.data.stratify: a fixed part of every class."""

from collections import Counter

import torch
from hypothesis import given
from hypothesis import strategies as st

from asr_core.data.stratify import cut

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=80)


@given(LABELS, st.floats(0.01, 0.9))
def test_the_parts_are_disjoint_and_whole_and_hold_every_class(
    labels: list[int], fraction: float
) -> None:
    kept, taken = cut(torch.tensor(labels), fraction)
    assert sorted(kept.tolist() + taken.tolist()) == list(range(len(labels)))
    for part in (kept.tolist(), taken.tolist()):
        assert part == sorted(part)
    all_of = Counter(labels)
    for label, count in Counter(labels[i] for i in taken.tolist()).items():
        assert abs(count - fraction * all_of[label]) <= 1
    for label, count in all_of.items():
        assert (label in {labels[i] for i in taken.tolist()}) == (count > 1)
        assert label in {labels[i] for i in kept.tolist()}


def test_cut_by_hand() -> None:
    """Every fifth of ten zeros; one of three ones."""
    labels = torch.tensor([0] * 5 + [1] + [0] * 5 + [1, 1])
    kept, taken = cut(labels, 0.2)
    assert taken.tolist() == [4, 10, 12]
    assert kept.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 11]


def test_what_is_cut_is_spread_over_the_class() -> None:
    _, taken = cut(torch.zeros(1000, dtype=torch.int64), 0.1)
    assert taken.diff().unique().tolist() == [10]
