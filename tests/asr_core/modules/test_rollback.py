import pytest
import torch
from torch import nn

from asr_core.modules.rollback import all_or_nothing


class Other(nn.Linear):
    pass


def change(layer):
    layer.__class__ = Other
    layer.bias = None
    layer.register_buffer("seen", torch.ones(2))
    layer.add_module("child", nn.ReLU())
    layer.extra = 3
    layer.training = False
    handle = layer.register_forward_hook(lambda *args: None, always_call=True)
    with torch.no_grad():
        layer.weight.zero_()
    return handle


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_all_is_put_back(error):
    layer = nn.Linear(2, 3)
    weight, bias = layer.weight, layer.bias
    value = weight.detach().clone()
    mine = layer.register_forward_pre_hook(lambda *args: None)
    before = {**vars(layer), "_forward_pre_hooks": dict(layer._forward_pre_hooks)}

    def body():
        with all_or_nothing([layer], [weight]):
            change(layer)
            mine.remove()
            raise error

    with pytest.raises(error):
        body()
    assert type(layer) is nn.Linear
    assert layer.weight is weight
    assert layer.bias is bias
    assert torch.equal(weight, value)
    assert vars(layer) == before
    mine.remove()  # its handle still knows the hook
    assert not layer._forward_pre_hooks


def test_nothing_is_put_back_without_an_error():
    layer = nn.Linear(2, 3)
    with all_or_nothing([layer], [layer.weight]):
        change(layer)
    assert type(layer) is Other
    assert layer.bias is None
    assert not layer.weight.any()
