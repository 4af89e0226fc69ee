"""Mean, variance and stripe score of a gate, against numpy on gates computed by hand."""

import importlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from live_nets import images, ready, timm_resnet
from small_net import assert_unchanged, snapshot
from timm.layers import CecaModule, EcaModule, EffectiveSEModule, SEModule
from timm.layers.squeeze_excite import SqueezeExciteCl
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models.senet import SEModule as LegacySEModule
from torch import nn
from torch.nn.functional import conv1d, conv2d, hardsigmoid, linear, pad
from torchvision.ops.misc import SqueezeExcitation

from asr_core.attention import CBAM, ECA, IE, SE, SPA, SRM, Const
from asr_core.errors import InputError
from asr_core.freeze import GateStatistics, find_gates, measure_gates
from asr_core.freeze.gates import _MULTIPLYING

C = 8


def excitation(first, second, end=torch.sigmoid):
    """σ(W₂ relu(W₁ GAP(x))) from the weights, whatever the module does."""

    def gate(m, x):
        first_, second_ = getattr(m, first), getattr(m, second)
        hidden = conv2d(x.mean((2, 3), keepdim=True), first_.weight, first_.bias).relu()
        return end(conv2d(hidden, second_.weight, second_.bias)).flatten(1)

    return gate


def effective(m, x):
    return hardsigmoid(conv2d(x.mean((2, 3), keepdim=True), m.fc.weight, m.fc.bias)).flatten(1)


def eca(m, x):
    padding = m.conv.weight.shape[-1] // 2
    return conv1d(x.mean((2, 3))[:, None], m.conv.weight, padding=padding)[:, 0].sigmoid()


def ceca(m, x):
    return conv1d(pad(x.mean((2, 3))[:, None], (1, 1), "circular"), m.conv.weight)[:, 0].sigmoid()


def channels_last(m, x):
    hidden = linear(x.mean((1, 2)), m.fc1.weight, m.fc1.bias).relu()
    return linear(hidden, m.fc2.weight, m.fc2.bias).sigmoid()


MODULES = {
    "torchvision": (lambda: SqueezeExcitation(C, 4), excitation("fc1", "fc2")),
    "SEModule": (lambda: SEModule(C, rd_channels=4), excitation("fc1", "fc2")),
    "efficientnet": (lambda: SqueezeExcite(C), excitation("conv_reduce", "conv_expand")),
    "legacy": (lambda: LegacySEModule(C, 2), excitation("fc1", "fc2")),
    "effective": (lambda: EffectiveSEModule(C), effective),
    "eca": (lambda: EcaModule(C), eca),
    "ceca": (lambda: CecaModule(C), ceca),
    "channels last": (lambda: SqueezeExciteCl(C, rd_channels=4), channels_last),
}


@pytest.mark.parametrize("name", MODULES)
def test_the_statistics_are_those_of_what_the_module_multiplies_by(name):
    make, by_hand = MODULES[name]
    model = ready(nn.Sequential(nn.Identity(), make()))
    batches = [images(n, 8 if name == "channels last" else 5, C, seed=n) for n in (3, 1, 2)]
    (site,), refusals = find_gates(model)
    assert (site.name, site.multiplies, refusals) == ("1", True, [])
    before = snapshot(model)
    statistics, refusals = measure_gates(model, [site], batches)
    assert refusals == []
    assert_unchanged(model, before)

    gates = torch.cat([by_hand(model[1], x) for x in batches])
    shaped = gates[:, None, None] if site.axis == -1 else gates[..., None, None]
    whole = torch.cat(batches)
    assert (model(whole) - whole * shaped).abs().max() <= 1e-12, "the formula is the module's"
    found, gates = statistics["1"], gates.detach().numpy()
    assert found.images == 6
    np.testing.assert_allclose(found.mean, gates.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.variance, gates.var(0), rtol=1e-9)
    assert found.std == pytest.approx(gates.std(0).mean(), rel=1e-9)
    assert found.stripe == pytest.approx(gates.var(0).mean() / gates.mean(0).var(), rel=1e-9)
    assert found.stripe > 1e-4, "these gates differ between images"


def test_every_class_that_is_known_exists_and_is_tested():
    tested = {type(make()) for make, _ in MODULES.values()}
    known = set()
    for path in _MULTIPLYING:
        module, _, name = path.rpartition(".")
        known.add(getattr(importlib.import_module(module), name))
    assert known == tested


@pytest.mark.parametrize("attention", [SE, IE, SRM, SPA, ECA, Const, CBAM])
def test_our_own_modules_are_the_gate(attention):
    options = {"spatial": False} if attention is CBAM else {}
    model = ready(nn.Sequential(nn.Identity(), attention(C, **options)))
    x = images(5, 6, C)
    (site,), _ = find_gates(model)
    assert (site.name, site.kind, site.multiplies) == ("1", attention.__name__, False)
    gates = model(x).detach().flatten(1).numpy()
    found = measure_gates(model, [site], x.split(2))[0]["1"]
    np.testing.assert_allclose(found.mean, gates.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.variance, gates.var(0), rtol=1e-9, atol=1e-15)


def statistics_of(gates):
    gates = np.asarray(gates, dtype=np.float64)
    return GateStatistics(torch.tensor(gates.mean(0)), torch.tensor(gates.var(0)), len(gates))


@pytest.mark.parametrize(
    ("gates", "stripe", "std"),
    [
        ([[0.2, 0.8], [0.2, 0.8]], 0.0, 0.0),
        ([[0.5, 0.5], [0.5, 0.5]], 0.0, 0.0),
        # Between images 0.01 in both channels; channel means 0.3 and 0.7, of variance 0.04.
        ([[0.2, 0.6], [0.4, 0.8]], 0.25, 0.1),
        # One channel moves by ±0.2, the other not at all: (0.04 + 0) / 2 over 0.01.
        ([[0.2, 0.6], [0.6, 0.6]], 2.0, 0.1),
        ([[0.2, 0.2], [0.4, 0.4]], math.inf, 0.1),
    ],
)
def test_stripe_scores_by_hand(gates, stripe, std):
    found = statistics_of(gates)
    assert found.stripe == pytest.approx(stripe, rel=1e-12)
    assert found.std == pytest.approx(std, rel=1e-12)


def test_rounding_is_no_difference_between_images():
    """In float32 a constant gate can differ in the last place, and channels can be all equal."""
    up = np.nextafter(np.float32(0.5), np.float32(1))
    assert statistics_of([[0.5, 0.5], [up, 0.5]]).stripe == 0.0


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6), st.lists(st.integers(1, 4), min_size=2, max_size=5), st.floats(0, 1e6)
)
def test_how_the_images_are_batched_does_not_matter(seed, sizes, offset):
    """Also far from zero, where sums of squares would cancel."""

    class Shift(Const):
        def activate(self, logits):
            return logits + offset

    model = nn.Sequential(Shift(C))
    x = images(sum(sizes), 2, C, seed)
    gates = (x.mean((2, 3)) + offset).numpy()
    found = measure_gates(model, find_gates(model)[0], x.split(sizes))[0]["0"]
    np.testing.assert_allclose(found.mean, gates.mean(0), rtol=1e-13)
    np.testing.assert_allclose(found.variance, gates.var(0), rtol=1e-6, atol=1e-20 * offset**2)


# --- what cannot be measured ----------------------------------------------------------------------


def measure(model, batches):
    return measure_gates(model, find_gates(model)[0], batches)


@pytest.mark.parametrize("batches", [[], [images(1)]])
def test_one_image_has_no_variance(batches):
    with pytest.raises(InputError, match=f"at least 2 of them, got {len(batches)}"):
        measure(ready(timm_resnet("se")), batches)


def test_batches_of_images_and_labels():
    with pytest.raises(InputError, match="got a tuple; of \\(images, labels\\) give the images"):
        measure(ready(timm_resnet("se")), [(images(2), torch.zeros(2))])


def test_a_gate_that_is_not_finite_is_named_and_the_model_is_as_before():
    model = ready(timm_resnet("se")).train()
    model.layer2[0].se.fc2.bias.data[0] = math.nan
    hooks = [len(m._forward_hooks) for m in model.modules()]
    with pytest.raises(InputError, match=r"gate of 'layer2\.0\.se' is not finite"):
        measure(model, [images(2, 32)])
    assert [len(m._forward_hooks) for m in model.modules()] == hooks
    assert all(m.training for m in model.modules())


def test_gates_that_are_called_twice_or_never():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.twice, self.never, self.once = (SqueezeExcitation(C, 4) for _ in range(3))

        def forward(self, x):
            return self.once(self.twice(self.twice(x)))

    statistics, refusals = measure(Twice().double(), [images(2, 4, C)])
    assert list(statistics) == ["once"]
    assert {r.name: r.reason[:21] for r in refusals} == {
        "twice": "it is called 2 times ",
        "never": "it is called 0 times ",
    }
