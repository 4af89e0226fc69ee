"""robust.device: a device that computes, or one line on why not."""

import pytest
import torch

from asr_core.errors import InputError
from robust.device import choose_device


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:99", "meta", "cpu:x", "cuda:-1", "xpu", "hpu"])
def test_other_devices_are_refused_with_the_way_out(name: str) -> None:
    with pytest.raises(InputError, match=r"cannot be used: .*; try --device cpu") as caught:
        choose_device(name)
    assert repr(name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_reason_is_given_even_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise AssertionError

    monkeypatch.setattr(torch, "zeros", fail)
    with pytest.raises(InputError, match="cannot be used: AssertionError; try --device cpu"):
        choose_device("cpu")
