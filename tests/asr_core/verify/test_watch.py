import torch
from torch import nn

from asr_core.verify.watch import Recorded, shared_names, watching


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


def test_outputs_come_out_call_by_call_as_they_were():
    recorded = Recorded()
    first, second = torch.zeros(2), torch.ones(2)
    recorded.record("a", first)
    recorded.record("a", second)
    recorded.record("b", (first, second))
    first += 5  # as an activation in place would
    assert recorded.has("a")
    assert not recorded.has("b")
    assert torch.equal(recorded.next("a"), torch.zeros(2))
    assert torch.equal(recorded.next("a"), second)
    assert recorded.next("a") is None
    assert recorded.next("b") is None
    assert not recorded.has("b")
