from collections import OrderedDict

import torch
from torch import nn

from asr_core.verify.watch import outputs_of, paired, shared_names, watching


def test_only_the_named_modules_are_watched_and_only_inside():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU()))
    seen = []
    x = torch.rand(1, 2)
    with watching(model, {"0", "1.0"}, lambda name, output: seen.append((name, output))):
        model(x)
    model(x)
    assert [name for name, _ in seen] == ["0", "1.0"]
    assert torch.equal(seen[0][1], model[0](x))
    assert not any(module._forward_hooks for module in model.modules())


def test_shared_names():
    a, b = nn.Sequential(nn.ReLU(), nn.ReLU()), nn.Sequential(nn.ReLU())
    assert shared_names(a, b) == {"", "0"}
    assert shared_names(a, b, skip=["0", "9"]) == {""}


def test_outputs_are_paired_call_by_call_as_they_were():
    layer = nn.Linear(2, 2)
    first = nn.Sequential(OrderedDict(a=layer, act=nn.ReLU(inplace=True), b=nn.LSTM(2, 2)))
    x = torch.rand(1, 2)
    names = {"a", "act", "b"}
    outputs = outputs_of(first, (x,), names)
    assert [name for name, _ in outputs] == ["a", "act"]  # an LSTM gives no tensor
    assert torch.equal(outputs[0][1], layer(x))
    twice = [("a", x), ("a", x + 1), ("c", x)]
    pairs = list(paired(outputs, twice))
    assert [name for name, _, _ in pairs] == ["a", "a"]
    assert torch.equal(pairs[0][1], layer(x))
    assert pairs[1][1] is None
