"""FGSM and PGD: linear models, where the optimum is known; what an attack leaves as it was."""

import pytest
import torch
from attacked import SIDE, assert_as_before, batch, linear, net, random, state
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from asr_core import fuse_asr, insert_asr
from asr_core.errors import InputError
from robust.adversarial import NORMS, Budget, GradientWarning, fgsm, pgd


def losses(model, images, labels):
    with torch.no_grad():
        return nn.functional.cross_entropy(model.eval()(images), labels, reduction="none")


def both(model, images, labels, budget, **options):
    yield fgsm(model, images, labels, budget=budget)
    yield pgd(model, images, labels, budget=budget, **options)
    indices = range(len(images))
    yield pgd(model, images, labels, budget=budget, seed=0, indices=indices, **options)


def test_on_a_linear_model_linf_finds_the_best_corner():
    model, (images, labels) = linear(), batch()
    labels = labels % 2
    slope = model[1].weight[1] - model[1].weight[0]
    slope = torch.where(labels == 1, -1, 1)[:, None] * slope
    best = (images + 0.1 * slope.sign().view_as(images)).clamp(0, 1)
    for moved in both(model, images, labels, Budget("linf", 0.1)):
        assert torch.allclose(moved, best, atol=1e-12)
    assert (losses(model, best, labels) > losses(model, images, labels) + 0.05).all()


def test_on_a_linear_model_l2_goes_along_the_slope():
    model, (images, labels) = linear(), batch()
    images, labels = 0.4 + 0.2 * images, labels % 2  # so far inside that [0, 1] does not matter
    slope = model[1].weight[1] - model[1].weight[0]
    slope = torch.where(labels == 1, -1, 1)[:, None] * slope / slope.norm()
    best = images + 0.3 * slope.view_as(images)
    for moved in both(model, images, labels, Budget("l2", 0.3), steps=40, step_size=0.15):
        assert torch.allclose(moved, best, atol=1e-4)
    plain = pgd(model, images, labels, budget=Budget("l2", 0.3))
    assert torch.allclose(plain, best, atol=1e-9)


@pytest.mark.parametrize("norm", NORMS)
def test_pgd_raises_the_loss_at_least_as_much_as_fgsm(norm):
    model, (images, labels) = net(), batch(32)
    budget = Budget(norm, 0.1 if norm == "linf" else 0.8)
    clean, once, often, started = (
        losses(model, moved, labels)
        for moved in (images, *both(model, images, labels, budget, steps=40))
    )
    assert once.mean() > clean.mean() + 0.1
    for many in (often, started):
        assert many.mean() > once.mean()
        assert (many >= once - 0.05).float().mean() > 0.9


@settings(max_examples=15)
@given(
    norm=st.sampled_from(NORMS),
    epsilon=st.floats(0, 1),
    steps=st.integers(1, 4),
    size=st.one_of(st.none(), st.floats(0, 2)),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_images_stay_within_the_budget_and_in_the_unit_interval(norm, epsilon, steps, size, dtype):
    model, (images, labels) = net().to(dtype), batch(4)
    images = images.to(dtype)
    images[0], images[1] = 0, 1
    budget = Budget(norm, epsilon)
    for moved in both(model, images, labels, budget, steps=steps, step_size=size):
        assert moved.min() >= 0
        assert moved.max() <= 1
        change = (moved - images).flatten(1)
        length = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
        assert length.max() <= epsilon * (1 + 1e-6) + 1e-6
        assert moved.shape == images.shape
        assert moved.dtype == dtype
        assert not moved.requires_grad


@pytest.mark.parametrize("norm", NORMS)
def test_a_budget_of_0_changes_nothing(norm):
    model, (images, labels) = net(), batch()
    for moved in both(model, images, labels, Budget(norm, 0)):
        assert torch.equal(moved, images)


def test_images_given_are_not_changed():
    model, (images, labels) = net(), batch()
    before = images.clone()
    list(both(model, images, labels, Budget("linf", 0.1)))
    assert torch.equal(images, before)


def test_the_model_is_as_it_was():
    model, (images, labels) = net().train(), batch()
    model.model[5].eval()  # modes differ from module to module
    before = state(model)
    assert {True, False} == set(before[1]) == {flag for flag, _ in before[2]}
    list(both(model, images, labels, Budget("linf", 0.1)))
    assert_as_before(model, before)


def test_the_model_is_as_it_was_after_an_exception():
    model, (images, labels) = net().train(), batch()
    calls = []

    def fail(module, inputs, output):
        calls.append(module.training)
        if len(calls) == 3:
            raise KeyError("in the third step")

    handle = model.model[8].register_forward_hook(fail)
    before = state(model)
    with pytest.raises(KeyError, match="third step"):
        pgd(model, images, labels, budget=Budget("l2", 0.5), steps=5)
    handle.remove()
    assert calls == [False] * 3
    assert_as_before(model, before)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_autograd_may_be_off_around_it(around):
    model, (images, labels) = net(), batch()
    budget = Budget("linf", 0.1)
    expected = pgd(model, images, labels, budget=budget)
    with around():
        moved = pgd(model, images.clone(), labels.clone(), budget=budget)
        assert not torch.is_grad_enabled()
    assert torch.equal(moved, expected)
    assert not torch.equal(moved, images)


@pytest.mark.parametrize("norm", NORMS)
def test_an_image_is_attacked_alike_in_any_batch_and_order(norm):
    model, (images, labels) = net(), batch(6)
    budget, indices = Budget(norm, 0.1), torch.tensor([3, 8, 1, 0, 7, 5])
    options = {"budget": budget, "steps": 5, "seed": 4}
    whole = pgd(model, images, labels, indices=indices, **options)
    order = torch.tensor([4, 0, 2])
    part = pgd(model, images[order], labels[order], indices=indices[order], **options)
    assert torch.allclose(part, whole[order], atol=1e-9)
    other = pgd(model, images, labels, indices=indices, budget=budget, steps=1, seed=5)
    assert not torch.allclose(other, pgd(model, images, labels, budget=budget, steps=1))


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 0.5)])
def test_starts_fill_the_ball_evenly(norm, epsilon):
    count = 400
    clean = torch.full((count, 3, 4, 4), 0.5, dtype=torch.float64)
    draws = [torch.Generator().manual_seed(k) for k in range(count)]
    change = (Budget(norm, epsilon).random(clean, draws) - clean).flatten(1)
    assert change.mean().item() == pytest.approx(0, abs=0.003)
    if norm == "linf":
        assert change.abs().max() <= epsilon
        assert change.var().item() == pytest.approx(epsilon**2 / 3, rel=0.03)
    else:
        # in 48 dimensions the share of the ball within radius r is (r/ε)^48: its mean is 1/2
        share = (change.norm(dim=1) / epsilon) ** 48
        assert share.max() <= 1
        assert share.mean().item() == pytest.approx(0.5, abs=0.06)
        assert share.var().item() == pytest.approx(1 / 12, rel=0.15)


@given(norm=st.sampled_from(NORMS), seed=st.integers(0, 10**6))
def test_no_step_of_the_same_length_gains_more_to_first_order(norm, seed):
    gradient = random(2, 3, 4, 4, seed=seed) - 0.5
    gradient[1] *= 1e-30
    step = Budget(norm, 1).step(gradient, 0.3)
    other = random(2, 3, 4, 4, seed=seed + 1) - 0.5
    length = (lambda x: x.abs().amax((1, 2, 3))) if norm == "linf" else (
        lambda x: x.flatten(1).norm(dim=1)
    )  # fmt: skip
    other *= (0.3 / length(other))[:, None, None, None]
    assert torch.allclose(length(step), torch.tensor([0.3, 0.3]).double())
    gain, gain_of_other = ((gradient * move).sum((1, 2, 3)) for move in (step, other))
    assert (gain >= gain_of_other).all()


@given(norm=st.sampled_from(NORMS), seed=st.integers(0, 10**6))
def test_projection_keeps_what_is_within_and_is_nearest(norm, seed):
    budget, clean = Budget(norm, 0.4), 0.5 + 0.2 * (random(2, 3, 4, 4, seed=seed) - 0.5)
    far = clean + 4 * (random(2, 3, 4, 4, seed=seed + 1) - 0.5)
    near = budget.project(far, clean)
    assert not torch.allclose(near, far)
    assert torch.allclose(budget.project(near, clean), near, atol=1e-12)
    if norm == "linf":
        draws = [torch.Generator().manual_seed(seed + k) for k in (2, 3)]
        inside = budget.random(clean, draws).clamp(0, 1)
        assert ((far - near).square() <= (far - inside).square() + 1e-12).all()


def test_a_gradient_of_0_leaves_the_image_where_it_is():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 3)).double()
    nn.init.zeros_(model[1].weight)
    images, labels = batch()
    for norm in NORMS:
        for attack in (fgsm, pgd):
            with pytest.warns(GradientWarning, match="no gradient .* for 8 of 8 images"):
                moved = attack(model, images, labels % 3, budget=Budget(norm, 0.1))
            assert torch.equal(moved, images)


def test_the_budget_is_of_the_images_not_of_what_is_normalised():
    model, (images, labels) = net(), batch()
    moved = fgsm(model, images, labels, budget=Budget("linf", 0.01))
    change = (moved - images).abs()
    inner = (images > 0.01) & (images < 0.99)
    assert torch.allclose(change[inner], torch.tensor(0.01).double())


def test_fused_and_unfused_models_are_attacked_alike():
    torch.manual_seed(0)
    model = net().double().eval()
    report = insert_asr(model, attention="se", targets=["model.1", "model.5"])
    assert len(report.positions) == 2
    with torch.no_grad():
        for parameter in report.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    fused = fuse_asr(model)
    images, labels = batch()
    for norm in NORMS:
        options = {"budget": Budget(norm, 0.1), "seed": 0, "indices": range(8)}
        a, b = (pgd(m, images, labels, **options) for m in (model, fused))
        assert torch.allclose(a, b, atol=1e-9)
        assert not torch.allclose(a, images, atol=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": 255 * random(2, 3, SIDE, SIDE)}, r"in \[0, 1\], got values from .*Normalized"),
        ({"images": random(2, 3, SIDE, SIDE) - 0.5}, r"in \[0, 1\], got values from -0\.4"),
        ({"images": torch.full((2, 3, SIDE, SIDE), torch.nan)}, r"got values from nan"),
        ({"images": torch.zeros(2, 3, SIDE, SIDE, dtype=torch.uint8)}, r"floating point.*uint8"),
        ({"images": random(3, SIDE, SIDE)}, r"\(N, C, H, W\), got torch.float64 \(3, 6, 6\)"),
        ({"labels": torch.tensor([0, 5])}, r"label 5 is none of the model's 5 classes"),
        ({"labels": torch.tensor([0])}, r"labels must be 2 classes"),
        ({"labels": torch.tensor([0, -1])}, r"from 0 up"),
        ({"labels": torch.tensor([0.0, 1.0])}, r"as int64 from 0 up, got torch.float32"),
        ({"steps": 0}, r"steps is 0"),
        ({"step_size": -0.1}, r"step size -0.1 is below 0"),
        ({"seed": 0}, r"random start needs indices"),
        ({"seed": 0, "indices": [1, 2, 3]}, r"2 images have 3 indices"),
        ({"seed": 0.5, "indices": [1, 2]}, r"seed 0.5 is not a whole number"),
    ],
)
def test_what_cannot_be_attacked_is_refused(arguments, message):
    images, labels = batch(2)
    given = {"images": images, "labels": labels, "budget": Budget("linf", 0.1)} | arguments
    with pytest.raises(InputError, match=message):
        pgd(net(), **given)


@pytest.mark.parametrize(
    ("norm", "epsilon", "message"),
    [
        ("l1", 0.1, r"unknown norm 'l1'.*linf, l2"),
        ("linf", -0.1, r"epsilon -0.1 is not a finite number from 0 up"),
        ("l2", float("nan"), r"epsilon nan"),
        ("linf", 8, r"epsilon 8 is beyond the range.*8/255"),
    ],
)
def test_budgets_that_make_no_sense_are_refused(norm, epsilon, message):
    with pytest.raises(InputError, match=message):
        Budget(norm, epsilon)


def test_a_model_that_is_not_finite_is_refused():
    model = net()
    with torch.no_grad():
        model.model[0].weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match="no finite output"):
        fgsm(model, *batch(), budget=Budget("linf", 0.1))
