import re

import pytest
import torch
from small_net import assert_unchanged, snapshot
from torch import nn

from asr_core import insert_asr, place
from asr_core.errors import TargetError
from asr_core.models import resnet_cifar


class Block(nn.Module):
    """x + f(x) in as many ways as the tests need."""

    def __init__(self, join):
        super().__init__()
        self.good = nn.Conv2d(4, 4, 1)
        self.conv = nn.Conv2d(4, 4, 1)
        self.bn = nn.BatchNorm2d(4)
        self.other = nn.Conv2d(4, 4, 1)
        self.norm = nn.LayerNorm([4, 4])
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.join = join

    def forward(self, x):
        x = x + self.good(x)
        return self.join(self, x)


def read_by_the_next_layer_too(self, x):
    y = self.bn(self.conv(x))
    return x + y, self.other(y)


def returned_as_well(self, x):
    y = self.bn(self.conv(x))
    return x + y, y


def read_on_the_way(self, x):
    y = nn.functional.dropout(self.bn(self.conv(x)), 0.1)
    return x + y, y.mean()


def attention_is_returned(self, x):
    y = self.bn(self.conv(x))
    gate = self.other(self.pool(y)).sigmoid()
    return x + y * gate, gate


def gated_by_its_own_attention(self, x):
    y = self.bn(self.conv(x))
    return x + y * self.other(self.pool(y)).sigmoid()


def called_twice(self, x):
    return x + self.bn(self.conv(self.bn(self.other(x))))


def called_in_two_blocks(self, x):
    x = x + self.bn(self.conv(x))
    return x + self.bn(self.other(x))


def weight_read_as_well(self, x):
    return x + self.bn(self.conv(x)) + self.bn.weight[:, None, None]


def two_equal_branches(self, x):
    return torch.relu(self.bn(x) + self.other(x))


def three_branches(self, x):
    return torch.relu(self.bn(self.conv(x)) + self.other(x) + self.norm(x))


CASES = [
    (read_by_the_next_layer_too, {"bn": "is also read elsewhere"}),
    (returned_as_well, {"bn": "is also read elsewhere"}),
    (read_on_the_way, {"bn": "is also read elsewhere"}),
    (attention_is_returned, {"bn": "is also read elsewhere"}),
    (called_twice, {"bn": "used 2 times"}),
    (called_in_two_blocks, {"bn": "used 2 times"}),
    (weight_read_as_well, {"bn": "used 2 times"}),
    (two_equal_branches, dict.fromkeys(("bn", "other"), "2 branches meet in '' .* shared=")),
    (
        three_branches,
        {
            "bn": "3 branches meet in ''",
            "other": "3 branches meet",
            "norm": "which axis holds the channels",
        },
    ),
    (lambda self, x: x + self.norm(self.conv(x)), {"norm": "which axis holds the channels"}),
    (lambda self, x: x + self.conv(x) @ self.other(x), {"": "ends in 'matmul'"}),
    (lambda self, x: x + self.conv(x).chunk(2, 1)[0], {"": "ends in 'getitem'"}),
]


@pytest.mark.parametrize(("join", "refused"), CASES)
def test_refusals_name_the_layer_and_the_reason(join, refused):
    model = Block(join)
    before = snapshot(model)
    placement = place(model)
    assert placement.names == ["good"]
    assert [r.name for r in placement.refusals] == list(refused)
    for refusal in placement.refusals:
        assert re.search(refused[refusal.name], refusal.reason)
    assert_unchanged(model, before)
    report = insert_asr(model)
    assert report.names == ["good"]
    assert report.refusals == tuple(placement.refusals)
    assert all(r.reason in repr(report) for r in report.refusals)


@pytest.mark.parametrize(
    "join",
    [
        lambda self, x: (x + (y := self.bn(self.conv(x))), y.shape[0]),
        lambda self, x: (x + (y := self.bn(self.conv(x)))).reshape(y.size(0), -1),
    ],
)
def test_asking_for_a_shape_is_no_reading(join):
    placement = place(Block(join))
    assert placement.names == ["good", "bn"]
    assert not placement.refusals


def test_attention_weights_are_no_reading_of_the_output():
    class Attend(nn.Module):
        def __init__(self, index):
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2)
            self.index = index

        def forward(self, x):
            found = self.attention(x, x, x)
            return x + found[0], found[self.index]

    assert place(Attend(1)).names == ["attention.out_proj"]
    with pytest.raises(TargetError, match=r"'attention\.out_proj': its output is also read else"):
        place(Attend(0))


def test_live_attention_stands_behind_the_gate():
    assert place(Block(gated_by_its_own_attention)).names == ["good", "bn"]
    plain, live = resnet_cifar(11, 10), resnet_cifar(11, 10, attention="se")
    assert place(live).names == place(plain).names == [f"layer{i}.0.bn3" for i in (1, 2, 3)]


def test_a_model_without_any_place():
    with pytest.raises(TargetError, match=r"this Sequential: it has no residual .*'0'"):
        place(nn.Sequential(nn.Conv2d(3, 4, 1)))


def test_where_all_is_refused_the_reasons_are_told_once_each():
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(3))

        def forward(self, x):
            found = []
            for conv in self.convs:
                found.append(conv(x))
                x = x + found[-1]
            return x + self.convs[0](x), found

    with pytest.raises(TargetError) as caught:
        insert_asr(Dense())
    message = str(caught.value)
    assert "'convs.0', 'convs.1', 'convs.2': its output is also read elsewhere" in message
    assert "'convs.0': it is used 2 times" in message
    assert "targets='layer*.bn3'" in message


def test_without_a_residual_place_gates_stand_before_activations():
    class Returned(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
            self.conv = nn.Conv2d(4, 4, 1)

        def forward(self, x):
            x = self.stem(x)
            y = self.conv(x)
            return x + y, y

    placement = place(Returned())
    assert placement.names == ["stem.1"]
    assert [r.name for r in placement.refusals] == ["conv"]


class Wilful(nn.Module):
    """A forward that depends on values."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        x = self.conv(x)
        if x.sum() > 0:
            return x
        return -x


def test_models_that_cannot_be_traced():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(nn.ReLU(), Wilful())).train()
    before = snapshot(model)
    with pytest.raises(TargetError) as caught:
        insert_asr(model)
    message = str(caught.value)
    assert "followed with an input of (2, 3, 224, 224): in '1.1', a Wilful: " in message
    assert "Pass another example input" in message
    assert "targets='layer*.bn3' or targets=lambda module, name" in message
    assert "among its layers are '0', '1.1.conv'" in message
    assert_unchanged(model, before)
    assert model[1][1].calls == 0
    assert insert_asr(model, targets="1.1.conv").names == ["1.1.conv"]
    with pytest.raises(TargetError, match=r"a Wilful|in its forward: "):
        place(Wilful())
    with pytest.raises(TargetError, match=r"torch.fx cannot trace it: in '0', a Wordy"):
        place(nn.Sequential(Wordy()))  # no images to guess


class Wordy(nn.Module):
    """A forward for texts."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(9, 4)
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        y = self.words(x)
        return y + self.linear(y) if x.shape[1] > 2 else y


class Careless(nn.Module):
    """A forward that keeps count, updates a buffer and uses a tensor that is none."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.calls = 0
        self.constant = torch.ones(4, 1, 1)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        self.seen.add_(1)
        self.last = x
        return x + self.conv(x) * self.constant


def test_tracing_leaves_no_mark():
    model = Careless()
    before = snapshot(model)
    attributes = set(model.__dict__)
    assert place(model).names == ["conv"]
    assert_unchanged(model, before)
    assert set(model.__dict__) == attributes
    assert (model.calls, model.seen.item()) == (0, 0.0)


def test_a_second_insertion_is_refused():
    model = resnet_cifar(11, 10)
    insert_asr(model)
    with pytest.raises(TargetError, match=r"'layer1\.0\.bn3' already has ASR"):
        insert_asr(model)
