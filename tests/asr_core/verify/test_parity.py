import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.models import VisionTransformer

import asr_core.asr.fuse
from asr_core import check_parity, fuse_asr, insert_asr
from asr_core.errors import ParityError
from asr_core.verify.parity import evaluating


class Fixed(nn.Module):
    """Gives the same output whatever the input."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, *inputs):
        return self.output


def compare(a, b, **options):
    return check_parity(Fixed(a), Fixed(b), torch.zeros(1), **options)


def test_figures_by_hand():
    a = torch.tensor([[1.0, 4.0], [3.0, -8.0]])
    b = torch.tensor([[1.0, 4.5], [3.0, 3.1]])
    report = compare(a, b)
    assert math.isclose(report.max_abs, 11.1, rel_tol=1e-6)
    assert math.isclose(report.max_rel, 11.1 / 8, rel_tol=1e-6)
    assert report.argmax_agreement == 0.5
    assert not report.ok
    assert report.message == (
        "outputs differ: max abs 11.1, relative 1.39 (tolerance 1e-05), argmax agreement 50.00%; "
        "both were run in eval mode, so a forgotten .eval() is not the cause"
    )


@given(gap=st.floats(1e-9, 1e-2), scale=st.floats(1e-6, 1e6), tolerance=st.floats(1e-8, 1e-2))
def test_ok_is_relative_to_the_greatest_output(gap, scale, tolerance):
    a = torch.tensor([[scale, 0.1 * scale]], dtype=torch.float64)
    b = a + torch.tensor([[0.0, gap * scale]], dtype=torch.float64)
    report = compare(a, b, tolerance=tolerance)
    assert math.isclose(report.max_rel, gap, rel_tol=1e-5)
    if not math.isclose(gap, tolerance, rel_tol=1e-4):
        assert report.ok == (gap < tolerance)


def test_equal_outputs():
    x = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.5]])
    report = compare(x, x.clone(), tolerance=0.0)
    assert report.inner == 0
    assert report.ok
    assert report.require() is report
    assert (report.max_abs, report.max_rel, report.argmax_agreement) == (0, 0, 1)
    assert report.message.startswith("outputs agree: ")
    assert report.message.endswith("both were run in eval mode")


@pytest.mark.parametrize(
    "value", [torch.zeros(2, 3), torch.ones(2, 3), torch.zeros(1), torch.zeros(0, 3)]
)
def test_outputs_of_one_value_prove_nothing(value):
    with pytest.raises(ParityError, match="one value everywhere"):
        compare(value, value.clone())
    telling = torch.tensor([[1.0, 2.0]])
    assert compare((value, telling), (value, telling)).ok


class Silent(nn.Sequential):
    """Its head starts at 0, as that of torchvision's ViT."""

    def __init__(self, bias=0.0):
        torch.manual_seed(0)
        super().__init__(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5))
        nn.init.zeros_(self[2].weight)
        nn.init.constant_(self[2].bias, bias)
        with torch.no_grad():
            self[2].bias[0] += bias


@pytest.mark.parametrize("bias", [0.0, 2.0])
def test_behind_a_head_of_zeros_the_modules_inside_are_compared(bias):
    x = torch.rand(6, 3, generator=torch.Generator().manual_seed(0))
    sound = check_parity(Silent(bias), Silent(bias), x)
    assert sound.ok
    assert sound.inner == 3
    assert "outputs agree (3 outputs inside included): max abs 0" in sound.message
    broken = Silent(bias)
    with torch.no_grad():
        broken[0].weight *= 1.01
    assert torch.equal(broken(x), Silent(bias)(x))  # which is all that the outputs tell
    report = check_parity(Silent(bias), broken, x)
    assert not report.ok
    assert report.max_rel > 1e-4
    assert check_parity(Silent(bias), broken, x, tolerance=0.5).ok
    assert not check_parity(Silent(bias), broken, x, skip=["0"]).ok  # the ReLU tells it too


def test_modules_inside_that_tell_nothing_either():
    dead = nn.Sequential(nn.Identity(), nn.ReLU())
    with pytest.raises(ParityError, match="one value everywhere"):
        check_parity(dead, dead, -torch.ones(2, 3))


def test_equal_samples_are_no_reason_to_refuse():
    layer = nn.Linear(3, 4)
    assert check_parity(layer, layer, torch.ones(2, 3)).ok
    assert check_parity(Silent(), Silent(), torch.ones(2, 3)).inner == 3


def test_a_fault_behind_the_zero_head_of_vit_is_found_when_fusing(monkeypatch):
    torch.manual_seed(0)
    vit = VisionTransformer(32, 16, 2, 2, 8, 16, num_classes=5)
    images = torch.rand(2, 3, 32, 32)
    assert not vit.eval()(images).any()
    nn.init.normal_(insert_asr(vit).positions[0].gate.psi)
    plain = fuse_asr(vit, example=images)
    assert check_parity(vit, plain, images).inner > 20
    with torch.no_grad():
        plain.encoder.layers[1].mlp[3].weight *= 1.1
    assert not check_parity(vit, plain, images).ok
    monkeypatch.setattr(asr_core.asr.fuse, "_fold", lambda model: plain)
    with pytest.raises(ParityError, match="outputs inside included"):
        fuse_asr(vit, example=images)


def test_require():
    with pytest.raises(ParityError, match=r"outputs differ: max abs 1, relative inf .*eval mode"):
        compare(torch.zeros(2, 3), torch.ones(2, 3)).require()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("both", [False, True])
def test_values_that_are_not_finite_never_agree(bad, both):
    broken, sound = torch.tensor([[1.0, bad]]), torch.tensor([[1.0, 2.0]])
    assert not compare(broken, broken if both else sound).ok
    assert not compare(sound, broken).ok
    assert not compare((broken, sound), (broken, sound)).ok  # nor hidden behind a sound one
    assert not compare((sound, broken), (sound, broken)).ok


def test_structures():
    x, y = torch.rand(2, 3), torch.rand(4)
    nested = {"logits": x, "aux": [y, None, "name"]}
    assert compare(nested, nested).ok
    assert not compare(nested, {"logits": x, "aux": [y + 1]}).ok
    with pytest.raises(ParityError, match=r"different shapes: \[\(2, 3\)\] and \[\(3, 2\)\]"):
        compare(x, x.T)
    with pytest.raises(ParityError, match=r"different shapes"):
        compare((x, y), x)
    with pytest.raises(ParityError, match="no tensor to compare"):
        compare("a", "a")
    assert compare(torch.tensor(1.0), torch.tensor(1.0)).ok
    assert compare(torch.arange(6).view(2, 3), torch.arange(6).view(2, 3)).ok


def test_dtypes_are_compared_in_double_precision():
    a = torch.tensor([[1.0, 2.0]])
    assert compare(a, a.double()).ok
    assert not compare(a, a.bfloat16() * 1.01, tolerance=1e-4).ok


def test_both_are_run_in_eval_mode_and_modes_come_back():
    torch.manual_seed(0)
    a = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
    a[1].eval()
    b = nn.Sequential(*a)
    b.training = False
    modes = [m.training for m in [*a.modules(), *b.modules()]]
    statistics = a[1].running_mean.clone()
    x = torch.rand(2, 3, 4, 4)
    assert check_parity(a, b, x, tolerance=0.0).ok  # dropout would differ in train mode
    assert [m.training for m in [*a.modules(), *b.modules()]] == modes
    assert torch.equal(a[1].running_mean, statistics)
    with pytest.raises(RuntimeError):
        check_parity(a, b, torch.rand(2, 5, 4, 4))
    assert [m.training for m in [*a.modules(), *b.modules()]] == modes


def test_several_inputs():
    bilinear = nn.Bilinear(2, 3, 4)
    assert check_parity(bilinear, bilinear, (torch.rand(5, 2), torch.rand(5, 3))).ok


def test_no_graph_is_built():
    layer = nn.Linear(2, 2)
    outputs = []
    layer.register_forward_hook(lambda module, args, output: outputs.append(output))
    check_parity(layer, layer, torch.rand(1, 2))
    assert not any(output.requires_grad for output in outputs)


def test_evaluating_restores_a_mixture_of_modes():
    net = nn.Sequential(nn.ReLU(), nn.ReLU().eval())
    with evaluating(net):
        assert not any(m.training for m in net.modules())
    assert [m.training for m in net.modules()] == [True, True, False]
