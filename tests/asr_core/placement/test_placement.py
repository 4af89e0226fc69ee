import operator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.ops import StochasticDepth

from asr_core import insert_asr, place
from asr_core.models import resnet_cifar


class Branch(nn.Module):
    """join(x, tail(bn(conv(x)))), with whatever the tail is."""

    def __init__(self, join=operator.add, tail=None):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.tail = tail or nn.Identity()
        self.layer_scale = nn.Parameter(torch.ones(4, 1, 1))
        self.join = join

    def forward(self, x):
        return self.join(x, self.tail(self.bn(self.conv(x))))


class Apply(nn.Module):
    """Any function as a module that is followed into."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


JOINS = {
    "operator": operator.add,
    "reversed": lambda x, y: y + x,
    "in place": lambda x, y: operator.iadd(y, x),
    "torch": torch.add,
    "method": lambda x, y: y.add(x),
    "method in place": lambda x, y: y.add_(x),
    "named": lambda x, y: torch.add(input=x, other=y),
    "difference": operator.sub,
    "scaled": lambda x, y: x + 0.5 * y / 2,
    "then activated": lambda x, y: torch.relu(x + y),
}
TAILS = {
    "dropout": nn.Dropout2d(),
    "stochastic depth": StochasticDepth(0.1, "row"),
    "pooling": nn.AvgPool2d(3, 1, 1),
    "activation": nn.ReLU(),
    "functional": Apply(lambda y: nn.functional.dropout(y, 0.1)),
    "permutation": Apply(lambda y: y.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)),
    "reshaping": Apply(lambda y: y.flatten(2).reshape(y.shape)),
    "chain": nn.Sequential(nn.Dropout(), nn.Identity(), nn.Upsample(scale_factor=1)),
}


@pytest.mark.parametrize("join", JOINS.values(), ids=JOINS)
def test_residual_additions(join):
    assert place(Branch(join)).names == ["bn"]


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_what_leaves_channels_to_themselves(tail):
    block = Branch(tail=tail)
    assert block(torch.rand(2, 4, 8, 8)).shape == (2, 4, 8, 8)
    assert place(block).names == ["bn"]


def test_layer_scale():
    class Scaled(Branch):
        def forward(self, x):
            return x + self.layer_scale * self.bn(self.conv(x))

    assert place(Scaled()).names == ["bn"]


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (nn.Conv2d(4, 4, 1), "tail"),
        (nn.ConvTranspose2d(4, 4, 1), "tail"),
        (nn.GroupNorm(2, 4), "tail"),
        (nn.Sequential(nn.GELU(), nn.Conv2d(4, 4, 1), nn.Dropout()), "tail.1"),
        (Apply(lambda y: y.flatten(2)), "bn"),
        (nn.Sequential(nn.Flatten(2), nn.Linear(64, 64)), "tail.1"),
    ],
)
def test_the_last_layer_of_the_branch(tail, expected):
    join = (lambda x, y: x.flatten(2) + y) if "Flatten" in repr(tail) else operator.add
    assert place(Branch(join, tail)).names == [expected]


def test_projections_are_shortcuts():
    model = resnet_cifar(20, 10)
    blocks = [f"layer{stage}.{i}" for stage in (1, 2, 3) for i in (0, 1)]
    assert model.layer2[0].downsample is not None
    assert place(model).names == [f"{block}.bn3" for block in blocks]


class Encoder(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, parallel=False):
        super().__init__()
        self.norm1 = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm2 = nn.LayerNorm(8)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8), nn.Dropout())
        self.position = nn.Parameter(torch.zeros(1, 5, 8))
        self.parallel = parallel

    def forward(self, x, mask=None, scale=1.0):
        if mask is not None or scale > 2:
            x = x * mask
        x = x + self.position
        y = self.norm1(x)
        y, _ = self.attention(y, y, y, need_weights=False)
        if self.parallel:
            return x + y + self.mlp(self.norm2(x))
        x = x + y
        return x + self.mlp(self.norm2(x))


@pytest.mark.parametrize("parallel", [False, True])
def test_transformers(parallel):
    assert place(Encoder(parallel)).names == ["attention.out_proj", "mlp.2"]


def test_parameters_added_are_no_residual():
    class Biased(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn = nn.BatchNorm2d(4)
            self.conv = nn.Conv2d(4, 4, 1)
            self.bias = nn.Parameter(torch.zeros(4, 1, 1))

        def forward(self, x):
            return torch.relu(self.bn(self.conv(x) + self.bias) + self.bias)

    assert place(Biased()).names == ["bn"]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1)], ["1"]),
        ([nn.Conv2d(4, 4, 1), nn.ReLU6(), nn.Conv2d(4, 4, 1), nn.SiLU()], ["0", "2"]),
        ([nn.Conv2d(4, 4, 1), nn.MaxPool2d(2), nn.LeakyReLU()], ["0"]),
        ([nn.Conv2d(4, 4, 1), Apply(nn.functional.relu_)], ["0"]),
        ([nn.Conv2d(4, 4, 1), Apply(lambda x: x.relu())], ["0"]),
        ([nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4, 4), nn.ReLU()], ["0"]),
        ([nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)], ["0", "2"]),
        ([nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Sigmoid()], ["1"]),
    ],
)
def test_before_activations_where_nothing_is_added(layers, expected):
    assert place(nn.Sequential(*layers)).names == expected


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from([*TAILS]), st.booleans())))
def test_any_stack_of_blocks(blocks):
    model, expected = nn.Sequential(), []
    for i, (depth, tail, norm) in enumerate(blocks):
        last = nn.BatchNorm2d(4) if norm else nn.Conv2d(4, 4, 1)
        inner = [nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()) for _ in range(depth)]
        block = Branch(tail=nn.Sequential(*inner, last, TAILS[tail]))
        model.append(nn.Conv2d(4, 4, 1))  # a layer on no branch
        model.append(block)
        expected.append(f"{2 * i + 1}.tail.{depth}")
    model.append(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()))
    assert place(model).names == (expected or ["0.0"])


def test_auto_is_the_default_of_insertion():
    model = resnet_cifar(11, 10)
    report = insert_asr(model)
    assert report.names == [f"layer{i}.0.bn3" for i in (1, 2, 3)]
    assert report.refusals == ()
    other = resnet_cifar(11, 10)
    assert insert_asr(other, exclude="layer1.*").names == ["layer2.0.bn3", "layer3.0.bn3"]


def test_placement_is_the_same_in_both_modes():
    model = Encoder()
    assert place(model.train()).names == place(model.eval()).names
    assert not model.attention.training
    model.train()
    place(model)
    assert all(module.training for module in model.modules())
