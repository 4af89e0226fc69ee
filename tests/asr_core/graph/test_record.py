import pytest
import torch
from small_net import assert_unchanged, snapshot
from torch import nn

from asr_core import insert_asr, place
from asr_core.errors import TargetError
from asr_core.graph.forward import Forward
from asr_core.graph.record import image_for, record
from asr_core.graph.trace import follow, trace
from asr_core.models import resnet_cifar
from asr_core.modules.copies import copy_structure


def recorded(model, *shape):
    return Forward(model, record(copy_structure(model).eval(), torch.empty(shape), []))


class Shaped(nn.Module):
    """Asks for its input's shape, so that symbols do not do."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.tokens = nn.Linear(4, 4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.wide = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.conv(x)
        height = x.shape[2]
        if height % 2:
            x = nn.functional.pad(x, (0, 1, 0, 1))
        x = x + self.bn(x)
        y = x.flatten(2).mT
        y = y + self.attention(y, y, y)[0]
        y += nn.functional.linear(y, self.tokens.weight, self.tokens.bias)[:, :]
        if height > 100:
            x = x + self.wide(x)
        return y, {"map": [x]}


def test_forwards_that_ask_for_shapes():
    model = Shaped().train()
    with pytest.raises(TargetError, match=r"torch\.fx cannot trace it: in its forward"):
        trace(model)
    before = snapshot(model)
    names = ["bn", "attention.out_proj", "tokens"]
    assert place(model, example=torch.empty(1, 3, 33, 32)).names == names
    assert place(model).names == [*names, "wide"]  # 224 × 224
    assert_unchanged(model, before)
    report = insert_asr(model, example=torch.empty(1, 3, 33, 32))
    assert sorted(report.names) == sorted(names)
    assert model(torch.rand(2, 3, 9, 9))[0].shape == (2, 100, 4)


def test_a_recorded_graph_gives_the_places_of_a_traced_one():
    torch.manual_seed(0)
    for model in (resnet_cifar(20, 10), resnet_cifar(11, 10, attention="se")):
        example = torch.empty(2, 3, 32, 32)
        assert place(model, example=example) == place(model)
        traced, other = Forward(model, trace(model)), recorded(model, 2, 3, 32, 32)
        layers = [[f.layer(n) for n in f.nodes if f.layer(n)] for f in (traced, other)]
        assert layers[0] == layers[1]
        assert len(layers[0]) > 10


def test_steps_and_what_they_read():
    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.lstm = nn.LSTM(4, 4)
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen += 1
            a, b = self.conv(x).chunk(2, 1)
            a[:, :1] = b[:, :1]
            y, _ = self.lstm(a.flatten(2).mT.repeat(1, 1, 2))
            return y + torch.ones(4), b.shape[0]

    model = Steps()
    forward = recorded(model, 2, 3, 5, 5)
    ops = [forward.op(node) for node in forward.nodes]
    chain = ["conv", "chunk", "getitem", "setitem", "flatten", "mt", "repeat", "lstm"]
    positions = [ops.index(op) for op in chain]
    assert positions == sorted(positions)
    last = [node for node in forward.nodes if forward.op(node) == "add"][-1]
    conv = next(node for node in forward.nodes if forward.layer(node) == "conv")
    assert forward.before(conv, last)
    assert "size" not in ops
    assert "shape" not in ops
    assert model.seen == 0


def test_nothing_is_computed_and_no_random_number_drawn():
    class Large(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            assert x.shape[0] == 2**30  # 16 GB
            return x + self.linear(nn.functional.dropout(x, 0.5, training=True))

    model = Large()
    state = torch.get_rng_state()
    assert place(model, example=torch.empty(1, 1).expand(2**30, 4)).names == ["linear"]
    assert torch.equal(torch.get_rng_state(), state)


def test_several_inputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x, scale, flag):
            return x + self.linear(x) if flag and len(scale) == 2 else x * scale

    assert place(Two(), example=(torch.empty(2, 4), torch.empty(2, 1), True)).names == ["linear"]


def test_forwards_that_depend_on_values_have_no_graph():
    class Wilful(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            x = self.conv(x)
            return x if x.sum() > 0 else -x

    model = nn.Sequential(nn.Conv2d(3, 3, 1), Wilful())
    before = snapshot(model)
    message = r"with an input of \(1, 3, 8, 8\): in '1', a Wilful: .* Pass another example input"
    with pytest.raises(TargetError, match=message):
        insert_asr(model, example=torch.rand(1, 3, 8, 8))
    with pytest.raises(TargetError, match=r"of \(1, 5\): in '0', a Conv2d: "):
        follow(model, torch.rand(1, 5))
    assert_unchanged(model, before)


def test_the_images_that_a_model_may_take():
    model = nn.Sequential(nn.Conv2d(2, 4, 1)).double()
    image = image_for(model)
    assert (image.shape, image.dtype) == ((2, 2, 224, 224), torch.float64)
    model.pretrained_cfg = {"input_size": (2, 32, 40)}
    assert image_for(model).shape == (2, 2, 32, 40)
    assert image_for(nn.Linear(2, 2)) is None
    with torch.device("meta"):
        assert image_for(nn.Conv2d(1, 1, 1)).is_meta
