"""Where a constant can go, and where it must not: v ⊙ x in the layers around it."""

import pytest
import torch
from layer_cases import randomise
from live_nets import Gated, images, ready, squeeze
from torch import nn

from asr_core.attention import ATTENTIONS, Attended
from asr_core.freeze import freeze_attention

TOLERANCE = 1e-12


def frozen(model, x):
    """The report, after checking that folding changed nothing while the constants do something."""
    report = freeze_attention(model, [x])
    with torch.no_grad():
        a, b = report.frozen(x), report.plain(x)
        assert (a - b).abs().max() <= TOLERANCE * a.abs().max()
    for gate in report.gates:
        v = gate.statistics.mean
        assert (v - 1).abs().min() > 1e-3, "a factor of one would fold anywhere"
    return report


def gated(before, behind, **options):
    return ready(Gated(before, behind, **options))


def conv(**options):
    return nn.Conv2d(options.pop("width", 3), 8, 3, **options)


def whole(*layers):
    return nn.Sequential(*layers)


class Cut(nn.Module):
    """The first pixels: mixes nothing, but is no layer."""

    def forward(self, x):
        return x[..., 1:, 1:]


# --- what takes it --------------------------------------------------------------------------------

OUTPUTS = {
    "conv": lambda: conv(),
    "conv without bias": lambda: conv(bias=False),
    "batch norm": lambda: whole(conv(), nn.BatchNorm2d(8)),
    "group norm": lambda: whole(conv(), nn.GroupNorm(2, 8)),
    "instance norm": lambda: whole(conv(), nn.InstanceNorm2d(8, affine=True)),
    "transposed": lambda: whole(conv(), nn.ConvTranspose2d(8, 8, 3, groups=2)),
    "depthwise": lambda: whole(conv(), nn.Conv2d(8, 8, 3, groups=8)),
    "through relu": lambda: whole(conv(), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
    "through leaky relu and max pool": lambda: whole(conv(), nn.LeakyReLU(), nn.MaxPool2d(2)),
    "through prelu and dropout": lambda: whole(conv(), nn.PReLU(), nn.Dropout(0.3)),
}


@pytest.mark.parametrize("before", OUTPUTS)
def test_the_layer_before_takes_it(before):
    """Behind stands a ReLU6, which lets no factor through, so it is not that way."""
    model = gated(OUTPUTS[before](), whole(nn.ReLU6(), nn.Conv2d(8, 2, 1)))
    (gate,) = frozen(model, images()).gates
    assert gate.side == "output"
    assert gate.layers[0].startswith("before")
    assert gate.reason == ""


INPUTS = {
    "conv": lambda: nn.Conv2d(8, 4, 3, padding=1),
    "grouped": lambda: nn.Conv2d(8, 4, 3, groups=2),
    "depthwise": lambda: nn.Conv2d(8, 16, 3, groups=8),
    "reflected": lambda: nn.Conv2d(8, 4, 3, padding=1, padding_mode="reflect"),
    "transposed": lambda: nn.ConvTranspose2d(8, 6, 3, groups=2, stride=2),
    "through relu": lambda: whole(nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(8, 4, 1)),
    "through padding": lambda: whole(nn.ReflectionPad2d(1), nn.ZeroPad2d(1), nn.Conv2d(8, 4, 3)),
    "through pooling": lambda: whole(nn.AvgPool2d(2), nn.AdaptiveMaxPool2d(2), nn.Conv2d(8, 4, 1)),
    "upsampled": lambda: whole(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(8, 4, 3)),
}


@pytest.mark.parametrize("behind", INPUTS)
def test_the_layer_behind_takes_it_where_an_activation_stands_before(behind):
    """As in EfficientNet: conv, SiLU, squeeze, conv."""
    model = gated(whole(conv(), nn.SiLU()), INPUTS[behind]())
    (gate,) = frozen(model, images()).gates
    assert gate.side == "input"
    assert gate.layers[0].startswith("behind")


def test_all_layers_behind_take_it():
    (gate,) = frozen(ready(Two()), images()).gates
    assert (gate.layers, gate.side) == (("a", "b"), "input")


def test_what_works_on_the_axis_of_the_channels_is_not_passed():
    """Pooling and padding keep channels apart where these are axis 1, and not on the last axis."""
    for step in (nn.MaxPool1d(3, 1, 1), nn.AvgPool1d(3, 1, 1), nn.AdaptiveAvgPool1d(8)):
        attended = Attended(ATTENTIONS["se"](8), -1)
        model = whole(nn.Linear(5, 8), nn.SiLU(), attended, step, nn.Linear(8, 4))
        randomise(model, std=0.5)
        (gate,) = frozen(model.double().eval(), torch.rand(4, 6, 5, dtype=torch.float64)).gates
        assert gate.layers == ()
        assert "'3' is no layer and lets no factor through" in gate.reason


def test_all_terms_of_a_sum_take_it():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.bn = conv(), conv(), nn.BatchNorm2d(8)

        def forward(self, x):
            return self.bn(self.a(x)).relu() + self.b(x)

    (gate,) = frozen(gated(Sum(), nn.Hardswish()), images()).gates
    assert (gate.layers, gate.side) == (("before.bn", "before.b"), "output")


def test_a_value_added_to_itself_is_scaled_once():
    class Double(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = conv()

        def forward(self, x):
            x = self.conv(x)
            return x + x

    (gate,) = frozen(gated(Double(), nn.Hardswish()), images()).gates
    assert gate.layers == ("before.conv",)


@pytest.mark.parametrize("constant", [0, 0.5])
def test_a_branch_that_is_not_there_is_no_obstacle_but_a_shift_is(constant):
    """timm's blocks add 0 where they have no identity branch."""

    class Add(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = conv()

        def forward(self, x):
            return constant + self.conv(x)

    (gate,) = frozen(gated(Add(), nn.Hardswish()), images()).gates
    assert gate.layers == (("before.conv",) if constant == 0 else ())


def test_one_layer_can_take_a_constant_on_each_side():
    model = ready(whole(conv(), nn.SiLU(), squeeze(), nn.Conv2d(8, 8, 1), squeeze(), nn.SiLU()))
    first, second = frozen(model, images()).gates
    assert (first.layers, first.side) == (("3",), "input")
    assert (second.layers, second.side) == (("3",), "output")


def test_the_parameters_stay_the_same_objects_of_the_same_kind():
    model = ready(whole(conv(), squeeze()))
    model[0].weight.requires_grad_(False)
    plain = freeze_attention(model, [images()]).plain
    assert not plain[0].weight.requires_grad
    assert plain[0].bias.requires_grad
    assert plain[0].bias.is_leaf
    assert isinstance(plain[1], nn.Identity)


# --- what does not --------------------------------------------------------------------------------


class Read(nn.Module):
    """The layer's output is read by a shortcut around the gate too."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate, self.act = conv(), squeeze(), nn.SiLU()

    def forward(self, x):
        x = self.conv(x)
        return self.act(x + self.gate(x))


class Repeated(nn.Module):
    """The layer runs twice, and is gated once."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate = nn.Conv2d(3, 3, 1), squeeze(3)

    def forward(self, x):
        return self.gate(self.conv(self.conv(x))).sigmoid()


class Two(nn.Module):
    """Two steps read what the gate gives, an activation stands before."""

    def __init__(self, b=None):
        super().__init__()
        self.conv, self.gate = conv(), squeeze()
        self.a, self.b = nn.Conv2d(8, 8, 1), b or nn.Conv2d(8, 8, 1)

    def forward(self, x):
        x = self.gate(nn.functional.silu(self.conv(x)))
        return self.a(x) + self.b(x)


class Joined(nn.Module):
    """The gated value is joined to another before it is read."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate, self.last = conv(), squeeze(), nn.Conv2d(16, 2, 1)

    def forward(self, x):
        x = nn.functional.silu(self.conv(x))
        return self.last(torch.cat([self.gate(x), x], 1))


def tied():
    model = whole(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), squeeze(), nn.SiLU(), nn.Conv2d(8, 8, 3))
    model[4].weight = model[1].weight
    return model


def weight_normed():
    return whole(nn.utils.weight_norm(conv()), squeeze(), nn.SiLU())


def parametrized():
    layer = nn.utils.parametrizations.weight_norm(conv())
    return whole(layer, squeeze(), nn.SiLU())


def hooked():
    model = whole(conv(), squeeze(), nn.SiLU())
    model[0].register_forward_hook(lambda m, args, out: out.clamp(max=1))
    return model


def hooked_on_the_way():
    relu = nn.ReLU()
    relu.register_forward_hook(lambda m, args, out: out.clamp(max=1))
    return whole(conv(), relu, squeeze(), nn.SiLU())


class ReLU(nn.Module):
    """Of that name alone."""

    def forward(self, x):
        return x.sin()


class Held(nn.Module):
    """Computes with a weight that a list holds, before anything that the graph shows."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate = conv(), squeeze()
        self.kept = [self.conv.weight]

    def forward(self, x):
        return nn.functional.silu(self.gate(self.conv(x)) * self.kept[0].mean())


class Statistics(nn.Module):
    """What belongs to the layer is read elsewhere, though no parameter."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.gate = conv(), nn.BatchNorm2d(8), squeeze()

    def forward(self, x):
        return nn.functional.silu(self.gate(self.bn(self.conv(x))) + self.bn.running_mean.mean())


class Flag(nn.Module):
    """With another argument, the layer's output is the model's."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate = conv(), squeeze()

    def forward(self, x, raw=False):
        x = self.conv(x)
        return x if raw else nn.functional.silu(self.gate(x))


class Doubled(nn.Conv2d):
    def forward(self, x):
        return super().forward(x).tanh()


KEPT = {
    "read elsewhere": (Read, "'conv' is also read elsewhere"),
    "run twice": (Repeated, "'conv' is used 2 times"),
    "two readers, one of them no layer": (lambda: Two(nn.GELU()), "'b' is no layer"),
    "joined": (Joined, "reads something else as well"),
    "tied": (tied, "shared parameter"),
    "weight norm": (weight_normed, "hooks"),
    "parametrized": (parametrized, "ParametrizedConv2d"),
    "hooked": (hooked, "'0' has hooks"),
    "subclass": (lambda: whole(Doubled(3, 8, 3), squeeze(), nn.SiLU()), "Doubled, which may do"),
    "hooked on the way": (hooked_on_the_way, "'1' has hooks or is no module of a known library"),
    "a name alone": (
        lambda: whole(conv(), ReLU(), squeeze(), nn.SiLU()),
        "'1' has hooks or is no module of a known library",
    ),
    "held in a list": (Held, "'conv' may be read by 'the model' outside the graph"),
    "statistics": (Statistics, "'bn' is not all that reads 'bn.running_mean'"),
    "a flag": (Flag, "the graph does not show what it multiplies"),
    "no affine": (
        lambda: whole(conv(), nn.BatchNorm2d(8, affine=False), squeeze(), nn.SiLU()),
        "'1' has no parameter for each of these channels",
    ),
    "other axis": (
        lambda: whole(conv(), nn.LayerNorm(14), squeeze(), nn.LayerNorm(14)),
        "'1' has no parameter for each of these channels",
    ),
    "a step": (lambda: whole(conv(), Cut(), squeeze(), Cut(), nn.Conv2d(8, 2, 1)), "getitem"),
    "at the end": (lambda: whole(conv(), nn.SiLU(), squeeze()), "is no layer"),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("case", KEPT)
def test_where_no_layer_can_take_it_the_constant_stays(case):
    make, reason = KEPT[case]
    model = ready(make())
    report = frozen(model, images())
    (gate,) = report.gates
    assert (gate.layers, gate.side) == ((), "")
    assert reason in gate.reason
    v = report.plain.state_dict()[f"{gate.name}.v"].flatten()
    assert torch.equal(v, gate.statistics.mean)
    assert report.kept == [gate]
    assert gate.reason in repr(report)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_a_negative_factor_does_not_pass_through_relu(activation):
    model = gated(whole(conv(), nn.ReLU()), nn.Hardswish(), activation=activation)
    with torch.no_grad():
        model.gate.expand.bias.sub_(1.0)
    (gate,) = frozen(model, images()).gates
    assert bool((gate.statistics.mean < 0).any()) == (activation == "tanh")
    assert gate.side == ("output" if activation == "sigmoid" else "")


def test_a_model_whose_graph_depends_on_values_keeps_all_constants():
    class Choosing(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.gate = conv(), squeeze()

        def forward(self, x):
            return self.gate(self.conv(x)) if x.sum() > 0 else x

    report = frozen(ready(Choosing()), images())
    assert "graph" in report.gates[0].reason
    assert len(report.kept) == 1
