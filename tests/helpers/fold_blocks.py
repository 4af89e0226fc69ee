"""Models of a layer and a batch norm, which may be folded or not; shared by the tests of folds."""

from types import MethodType

import torch
from layer_cases import randomise
from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from timm.layers.conv2d_same import Conv2dSame
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from asr_core.modules.copies import copy_model

TOLERANCE = 1e-10
CONVS = (nn.Conv1d, nn.Conv2d, nn.Linear)
C = 8
IMAGES = (C, C, C, C)  # no width gives an axis away


class Block(nn.Module):
    """conv, then bn; subclasses and the cases below do more."""

    def __init__(self, conv=None, bn=None):
        super().__init__()
        self.conv = nn.Conv2d(C, C, 3, padding=1) if conv is None else conv
        self.bn = nn.BatchNorm2d(C) if bn is None else bn
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


def linear():
    return Block(nn.Linear(C, C), nn.BatchNorm1d(C))


def of_two(make):
    """A case that does something to the conv, and one that does it to the bn."""
    return {f"{make.__name__} on {name}": lambda name=name: make(name) for name in ("conv", "bn")}


# --- what is attached to a layer -----------------------------------------------------------------


def hook(name):
    block = Block()
    getattr(block, name).register_forward_hook(lambda m, args, output: output.tanh())
    return block


def pre_hook(name):
    block = Block()
    getattr(block, name).register_forward_pre_hook(lambda m, args: (args[0].cos(),))
    return block


def own_forward(name):
    block = Block()
    layer = getattr(block, name)
    layer.forward = MethodType(lambda self, x: type(self).forward(self, x).sin(), layer)
    return block


def pruning(name):
    block = Block()
    prune.l1_unstructured(getattr(block, name), "weight", 0.5)
    return block


def parametrization(name):
    block = Block()
    nn.utils.parametrize.register_parametrization(getattr(block, name), "bias", nn.Tanh())
    return block


def on_weight(wrap):
    return lambda: Block(conv=wrap(nn.Conv2d(C, C, 3, padding=1)))


class Elsewhere(Block):
    """A hook on another module, which is copied with the model, reads the layer."""

    def __init__(self):
        super().__init__()
        self.act.register_forward_hook(self.shift)

    def shift(self, module, args, output):
        return output + self.conv._parameters["weight"].sum()


class Root(Block):
    def __init__(self):
        super().__init__()
        self.register_forward_pre_hook(lambda m, args: (args[0] * m.conv.weight.sum(),))


class Between(nn.Module):
    """A container ends between the two, and is watched."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.first = nn.Sequential(nn.Conv2d(C, C, 1))
        self.bn = nn.BatchNorm2d(C)
        self.first.register_forward_hook(lambda m, args, output: None)

    def forward(self, x):
        return self.bn(self.first(x))


# --- who else reads it ---------------------------------------------------------------------------


class ReadsWeight(Block):
    def forward(self, x):
        return super().forward(x) + F.conv2d(x, self.conv.weight, padding=1)


class ReadsBias(Block):
    def forward(self, x):
        return super().forward(x) * self.conv.bias.sum()


class ReadsStatistics(Block):
    def forward(self, x):
        return super().forward(x) + self.bn.running_mean.mean()


class ReadsAffine(Block):
    def forward(self, x):
        return super().forward(x) * getattr(self.bn, "weight", torch.ones(1)).sum()


class ReadsAList(Block):
    def __init__(self):
        super().__init__()
        self.kept = [self.conv.weight, self.bn.running_var]

    def forward(self, x):
        return super().forward(x) * self.kept[0].mean() + self.kept[1].mean()


class ReadsAView(Block):
    """A parameter of another layer lies in the memory of the convolution's, at an offset."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(C, C)
        self.last.weight = nn.Parameter(self.conv.weight.detach().flatten()[-C * C :].view(C, C))

    def forward(self, x):
        return self.last(super().forward(x))


class Tied(Block):
    def __init__(self):
        super().__init__()
        self.other = nn.Conv2d(C, C, 3, padding=1)
        self.other.weight = self.conv.weight

    def forward(self, x):
        return super().forward(self.other(x))


class Reader(nn.Linear):
    def forward(self, x):
        return super().forward(x) * self.others[0].weight.sum()


class ReadInside(Block):
    """A subclass of a layer, which the graph does not go into, holds the convolution."""

    def __init__(self):
        super().__init__()
        self.last = Reader(C, C)
        self.last.others = [self.conv]

    def forward(self, x):
        return self.last(super().forward(x))


class InsideALeaf(nn.Module):
    """The layer is also part of one of torch's own, which the graph does not go into."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(C, 2, C, batch_first=True)
        self.bn = nn.BatchNorm1d(C)

    def forward(self, x):
        return self.bn(self.encoder.linear1(x.flatten(1))) + self.encoder(x).mean(1)


# --- how often, and in which order ---------------------------------------------------------------


class ConvTwice(Block):
    def forward(self, x):
        return self.conv(super().forward(x))


class NormTwice(Block):
    def forward(self, x):
        return self.bn(super().forward(x))


class Both(Block):
    def forward(self, x):
        y = self.conv(x)
        return self.bn(y) + y


class Backwards(nn.Sequential):
    def forward(self, x):
        for module in reversed(self):
            x = module(x)
        return x


class Repeating(nn.Sequential):
    def forward(self, x):
        return super().forward(super().forward(x))


class Between2(nn.Sequential):
    def forward(self, x):
        first, second = self
        return second(first(x).relu())


def again():
    """``named_children`` shows the convolution once."""
    conv = nn.Conv2d(C, C, 3, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(C), conv)


# --- what the forward does to it -----------------------------------------------------------------


class Writes(Block):
    def forward(self, x):
        with torch.no_grad():
            self.conv.weight.clamp_(max=0.01)
        return super().forward(x)


class Data(Block):
    def forward(self, x):
        self.conv.weight.data = self.conv.weight.data.clamp(max=0.01)
        return super().forward(x)


class Trains(Block):
    def forward(self, x):
        self.bn.train()
        return super().forward(x)


class Sets(Block):
    def forward(self, x):
        self.bn.eps = 3.0
        return super().forward(x)


class AsksBias(Block):
    def __init__(self):
        super().__init__(conv=nn.Conv2d(C, C, 3, padding=1, bias=False))

    def forward(self, x):
        return super().forward(x) if self.conv.bias is None else super().forward(x).sin()


class AsksClass(Block):
    def forward(self, x):
        y = super().forward(x)
        return y if isinstance(self.bn, nn.BatchNorm2d) else 2 * y


class Flag(Block):
    def forward(self, x, features=False):
        y = self.conv(x)
        return y if features else self.bn(y)


# --- norms that use the batch --------------------------------------------------------------------


class Trained(nn.BatchNorm2d):
    def train(self, mode=True):
        return super().train(True)


class Keeper(Block):
    """The parent decides on the mode."""

    def train(self, mode=True):
        super().train(mode)
        self.bn.training = True
        return self


def own_mode():
    block = Block()
    block.bn.train = MethodType(lambda self, mode=True: self, block.bn)
    return block


LEFT = {
    "linear on (N, L, C)": (linear, (C, C, C), "there are 3 axes"),
    "linear before channels": (
        lambda: Block(nn.Linear(C, C), nn.BatchNorm2d(C)), IMAGES, "another axis"),
    "no batch, Conv1d": (
        lambda: Block(nn.Conv1d(C, C, 3, padding=1), nn.BatchNorm1d(C)), (C, C), "are 2 axes"),
    "no batch, Conv2d": (lambda: Block(bn=nn.BatchNorm1d(C)), (C, C, C), "another axis"),
    "no batch, SyncBatchNorm": (lambda: Block(bn=nn.SyncBatchNorm(C)), (C, C, C), "are 3 axes"),
    **{name: (make, IMAGES, "has hooks, or methods") for each in (hook, pre_hook, own_forward)
       for name, make in of_two(each).items()},
    **{name: (make, IMAGES, "has hooks") for name, make in of_two(pruning).items()},
    **{name: (make, IMAGES, "is a Parametrized")
       for name, make in of_two(parametrization).items()},
    "weight_norm": (on_weight(nn.utils.weight_norm), IMAGES, "has hooks"),
    "spectral_norm": (on_weight(nn.utils.spectral_norm), IMAGES, "has hooks"),
    "new weight_norm": (on_weight(parametrizations.weight_norm), IMAGES, "Parametrized"),
    "orthogonal": (on_weight(parametrizations.orthogonal), IMAGES, "is a Parametrized"),
    "hook elsewhere": (Elsewhere, IMAGES, "may be read by 'act' outside the graph"),
    "hook on the model": (Root, IMAGES, "is in a module with hooks"),
    "container": (Between, IMAGES, "'first', which ends between it and 'first.0', has hooks"),
    "reads weight": (ReadsWeight, IMAGES, "not all that reads 'conv.weight'"),
    "reads bias": (ReadsBias, IMAGES, "not all that reads 'conv.bias'"),
    "reads statistics": (ReadsStatistics, IMAGES, "not all that reads 'bn.running_mean'"),
    "reads affine": (ReadsAffine, IMAGES, "not all that reads 'bn.weight'"),
    "reads a list": (ReadsAList, IMAGES, "may be read by 'the model'"),
    "tied": (Tied, IMAGES, "are one shared parameter"),
    "read inside": (ReadInside, IMAGES, "may be read by 'last'"),
    "inside a leaf": (InsideALeaf, (C, 1, C), "is used 2 times"),
    "conv twice": (ConvTwice, IMAGES, "is used 2 times"),
    "norm twice": (NormTwice, IMAGES, "is used 2 times"),
    "both": (Both, IMAGES, "is also read elsewhere"),
    "backwards": (lambda: Backwards(nn.Conv2d(C, C, 1), nn.BatchNorm2d(C)), IMAGES, "input"),
    "repeating": (lambda: Repeating(nn.Conv2d(C, C, 1), nn.BatchNorm2d(C)), IMAGES, "2 times"),
    "more between": (lambda: Between2(nn.Conv2d(C, C, 1), nn.BatchNorm2d(C)), IMAGES, "'relu'"),
    "again": (again, IMAGES, "is used 2 times"),
    "writes": (Writes, IMAGES, "not all that reads 'conv.weight'"),
    "data": (Data, IMAGES, "not all that reads 'conv.weight'"),
    "trains": (Trains, IMAGES, "is in training mode"),
    "sets": (Sets, IMAGES, "is changed by the forward itself"),
    "asks for a bias": (AsksBias, IMAGES, "forward inspects"),
    "asks for the class": (AsksClass, IMAGES, "forward inspects"),
    "a flag": (Flag, IMAGES, "is used 0 times"),
    "training subclass": (lambda: Block(bn=Trained(C)), IMAGES, "is a Trained, which may do more"),
    "parent keeps the mode": (Keeper, IMAGES, "is in training mode"),
    "own mode": (own_mode, IMAGES, "has hooks, or methods"),
    "no statistics": (
        lambda: Block(bn=nn.BatchNorm2d(C, track_running_stats=False)), IMAGES, "no running stat"),
}  # fmt: skip


# --- what is folded ------------------------------------------------------------------------------


class Held(Block):
    """Its forward calls what a plain list holds; both have a second name, too."""

    def __init__(self):
        super().__init__()
        self.kept = [self.conv, self.bn]
        self.also = nn.ModuleDict({"a": self.conv, "b": self.bn})

    def forward(self, x):
        for module in self.kept:
            x = module(x)
        return x


def flag_off():
    block = Block()
    block.bn.track_running_stats = False
    return block


FOLDED = {
    "plain": (Block, IMAGES, None),
    "linear on (N, C)": (linear, (C, C), 2),
    "flattened": (lambda: nn.Sequential(nn.Flatten(), linear()), (C, 2, C // 2), None),
    "Conv1d": (lambda: Block(nn.Conv1d(C, C, 1), nn.BatchNorm1d(C)), (C, C, C), 3),
    "SyncBatchNorm": (lambda: Block(bn=nn.SyncBatchNorm(C)), IMAGES, 4),
    "no momentum, no affine": (
        lambda: Block(bn=nn.BatchNorm2d(C, affine=False, momentum=None)), IMAGES, None),
    "no bias": (lambda: Block(nn.Conv2d(C, C, 3, bias=False)), IMAGES, None),
    "statistics kept, flag off": (flag_off, IMAGES, None),
    "a view": (ReadsAView, IMAGES, None),  # a copy's parameters have memory of their own
    "timm": (lambda: Block(bn=BatchNormAct2d(C, act_layer=nn.PReLU)), IMAGES, None),
    "timm with dropout": (
        lambda: Block(bn=BatchNormAct2d(C, drop_layer=nn.Dropout)), IMAGES, None),
    "timm without activation": (lambda: Block(bn=BatchNormAct2d(C, apply_act=False)), IMAGES, None),
    "timm, synchronised": (
        lambda: Block(bn=convert_sync_batchnorm(BatchNormAct2d(C, act_layer=nn.SiLU))), IMAGES, 4),
    "timm's same padding": (lambda: Block(Conv2dSame(C, C, 3, stride=2)), IMAGES, None),
}  # fmt: skip


def made(make):
    torch.manual_seed(0)
    model = make()
    randomise(model, std=0.3)
    return model.eval()


@torch.no_grad()
def difference(a, b, *inputs):
    """Relative; copies are run, since some forwards write."""
    a, b = (copy_model(model).eval()(*inputs) for model in (a, b))
    return ((a - b).abs().max() / a.abs().max()).item()
