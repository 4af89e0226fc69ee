"""Small random models of layers and batch norms, used in every way that a forward can.

A model is a program over values of one shape, in which all axes but the first are equally long, so
that no width gives an axis away. It runs in float64, with random statistics and affines.
"""

from functools import partial
from random import Random
from types import MethodType

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

W = 4
SHAPES = {
    "image": (3, W, W, W),
    "sample": (W, W, W),
    "sequence": (3, W, W),
    "signal": (W, W),
    "vector": (3, W),
}
LINEAR = partial(nn.Linear, W, W)
CONV1D = partial(nn.Conv1d, W, W, 3, padding=1)
CONV2D = partial(nn.Conv2d, W, W, 3, padding=1)
GROUPED = partial(CONV2D, groups=2, bias=False)
REFLECTED = partial(CONV2D, padding_mode="reflect")
TRANSPOSED = partial(nn.ConvTranspose2d, W, W, 3, padding=1, groups=2)
CONVS = (LINEAR, CONV2D, GROUPED, REFLECTED, TRANSPOSED)
BN1D, BN2D, SYNC = (partial(norm, W) for norm in (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm))
BARE = partial(BN2D, affine=False, momentum=None)
BATCH = partial(BN2D, track_running_stats=False)
FITTING = {
    "image": (CONVS, (BN2D, BN2D, BN2D, SYNC, BARE, BATCH)),
    "sample": ((CONV2D, LINEAR), (BN1D, SYNC)),
    "sequence": ((CONV1D, LINEAR), (BN1D, SYNC)),
    "signal": ((CONV1D, LINEAR), (BN1D,)),
    "vector": ((LINEAR,), (BN1D,)),
}


# --- what may be done to a layer ------------------------------------------------------------------


class Doubling:
    """A hook that is copied with the model that it holds."""

    def __init__(self, other):
        self.other = other

    def __call__(self, module, args, output):
        tensors = (*self.other.parameters(), *self.other.buffers())
        return output + sum(t.sum() for t in tensors if t.is_floating_point())


def hooked(layer, other):
    layer.register_forward_hook(lambda m, args, output: output.tanh())
    return layer


def pre_hooked(layer, other):
    layer.register_forward_pre_hook(lambda m, args: (args[0] * 2 + 1,))
    return layer


def reached(layer, other):
    layer.register_forward_hook(Doubling(other))
    return layer


def pruned(layer, other):
    return prune.l1_unstructured(layer, "weight", 0.5)


def weight_norm(layer, other):
    return nn.utils.weight_norm(layer) if layer.weight.ndim > 1 else layer


def parametrized(layer, other):
    return parametrizations.weight_norm(layer) if layer.weight.ndim > 1 else layer


def tied(layer, other):
    if layer.weight.shape == other.weight.shape:
        layer.weight = other.weight
    return layer


def viewing(layer, other):
    """Its bias, or else its weight, is a part of the memory of the other's."""
    if getattr(layer, "bias", None) is not None:
        layer.bias = nn.Parameter(other.weight.detach().flatten()[-W:])
    return layer


def replaced(layer, other):
    layer.forward = MethodType(lambda self, x: type(self).forward(self, x).sin(), layer)
    return layer


class Reading(nn.Linear):
    """A subclass whose forward reads what belongs to another."""

    def forward(self, x):
        return super().forward(x) * self.others[0].weight.sum()


def read_inside(layer, other):
    reading = Reading(W, W)
    reading.others = [other]
    return reading


def training(layer, other):
    """Uses the batch's statistics whatever the mode."""
    layer.train = MethodType(lambda self, mode=True: self, layer)
    return layer


CHANGES = (
    *(hooked, pre_hooked, reached, pruned, weight_norm, parametrized),
    *(tied, viewing, replaced, read_inside, training),
)


# --- containers -----------------------------------------------------------------------------------


class Backwards(nn.Sequential):
    def forward(self, x):
        for module in reversed(self):
            x = module(x)
        return x


class Twice(nn.Sequential):
    def forward(self, x):
        return super().forward(super().forward(x))


class Residual(nn.Sequential):
    def forward(self, x):
        first, *rest = self
        y = first(x)
        for module in rest:
            y = y + module(y)
        return y


class Again(nn.Sequential):
    """The first runs again at the end: ``named_children`` shows it once."""

    def __init__(self, *layers):
        super().__init__(*layers, layers[0])


class Unlisted(nn.Sequential):
    """Its forward calls what a list of its own holds."""

    def __init__(self, *layers):
        super().__init__(*layers)
        self.own = list(layers)

    def forward(self, x):
        for module in self.own:
            x = module(x)
        return x


CONTAINERS = (nn.Sequential, nn.Sequential, Backwards, Twice, Residual, Again, Unlisted)


# --- the model ------------------------------------------------------------------------------------


STEPS = ("call", "weight", "linear", "mean", "update", "train", "swap", "relu", "half", "sum")


class Net(nn.Module):
    """Runs ``steps``, each of which adds a value; returns those that ``returned`` names.

    A step is (what, number of the module, numbers of the values that it takes, counted back).
    """

    def __init__(self, layers, steps, returned):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.steps, self.returned = steps, returned

    def forward(self, x):
        values = [x]
        for what, number, (first, second) in self.steps:
            a, b = (values[-1 - n % len(values)] for n in (first, second))
            values.append(self.step(what, self.layers[number % len(self.layers)], a, b))
        return tuple(values[-1 - n % len(values)] for n in self.returned)

    def step(self, what, layer, a, b):
        if what == "call":
            return layer(a)
        if what == "weight":
            return a * layer.weight.flatten()[0] if self.has(layer, "weight") else a
        if what == "linear":
            plain = self.has(layer, "weight") and isinstance(layer, nn.Linear)
            return F.linear(a, layer.weight) if plain else a
        if what == "mean":
            return a + layer.running_mean[0] if self.has(layer, "running_mean") else a
        if what == "update":
            return a + layer.bias.clamp_(max=0.1).sum() if self.has(layer, "bias") else a
        if what == "swap":
            return a.transpose(1, -1)
        if what == "train":
            layer.train()
            return a
        return {"relu": F.relu, "half": lambda x: 0.5 * x}[what](a) if what != "sum" else a + b

    @staticmethod
    def has(layer, name):
        return {**layer._parameters, **layer._buffers}.get(name) is not None


def net(seed):
    """A model and an input for it."""
    draw = Random(seed)
    torch.manual_seed(seed)
    kind = draw.choice(["image"] * 4 + [*SHAPES])
    layers = []
    for _ in range(draw.choice([1, 2, 2])):
        pair = [randomised(draw.choice(some)().double()) for some in FITTING[kind]]
        layers += pair if draw.random() < 0.9 else pair[::-1]
    for _ in range(draw.choice([0, 0, 1, 2])):
        number, other = draw.sample(range(len(layers)), 2)
        if plain(layers[number]) and plain(layers[other]):
            layers[number] = draw.choice(CHANGES)(layers[number], layers[other]).double()
    if draw.random() < 0.3:
        count = draw.choice([2, len(layers)])
        layers = [draw.choice(CONTAINERS)(*layers[:count]), *layers[count:]]
    steps = [("call", number, (0, 0)) for number in range(len(layers))]
    for _ in range(draw.choice([0, 0, 1, 2])):
        step = draw.choice(STEPS), draw.randrange(len(layers)), (draw.choice([0, 0, 1]), 1)
        steps.insert(draw.randint(0, len(steps)), step)
    returned = [0] if draw.random() < 0.8 else [0, draw.randint(1, 3)]
    return Net(layers, steps, returned).double(), torch.randn(SHAPES[kind], dtype=torch.float64)


nets = st.integers(0, 2**32 - 1).map(net)


def plain(layer):
    stock = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm1d, nn.BatchNorm2d)
    return type(layer) in stock and layer._parameters.get("weight") is not None


def randomised(layer):
    for name, tensor in (*layer.named_parameters(), *layer.named_buffers()):
        if tensor.is_floating_point():
            tensor.data = torch.rand_like(tensor) + 0.5
            if name in ("bias", "running_mean"):
                tensor.data -= 1
    return layer
