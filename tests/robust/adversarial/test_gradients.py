"""Attacks where the gradient vanishes, and bounds in every dtype: nothing is said to be robust that
was not attacked, and nothing leaves its ball."""

import copy

import pytest
import torch
from attacked import batch, net
from hypothesis import given, settings
from hypothesis import strategies as st
from small_suite import Seen, data
from torch import nn

from robust.adversarial import NORMS, Budget, GradientWarning, fgsm, minimum_norm, pgd
from robust.adversarial.gradients import in_range
from robust.suites import SUITES, SuiteOptions, run_suite
from robust.suites.cohort import cohorts
from robust.suites.report import shown as table_and_text
from robust.suites.report import write_report
from robust.suites.results import from_dict

EPSILON = {"linf": 0.03, "l2": 0.3}


class Changed(nn.Module):
    """A model between a change of its images and one of its logits; its classes are the same."""

    def __init__(self, model, *, before=nn.Identity(), after=nn.Identity()):  # noqa: B008
        super().__init__()
        self.model, self.before, self.after = model, before, after

    def forward(self, images):
        return self.after(self.model(self.before(images)))


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def times(model, factor):
    return Changed(model, after=Call(lambda logits: logits * factor))


def mostly_right(n=64):
    """A network that is right about most of its images, some by a wide margin."""
    model, (images, _) = net().float(), batch(n)
    images = images.float()
    labels = model.eval()(images).argmax(1)
    labels[:4] = (labels[:4] + 1) % 5
    return model, images, labels


def attacks(model, images, labels, norm, **options):
    budget = Budget(norm, EPSILON[norm])
    yield fgsm(model, images, labels, budget=budget, **options)
    yield pgd(model, images, labels, budget=budget, seed=0, indices=range(len(images)), **options)
    yield minimum_norm(model, images, labels, budget=budget, steps=30, **options)


def accuracy(model, images, labels):
    return (model(images).argmax(1) == labels).float().mean().item()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "factor",
    [100, *(pytest.param(f, marks=pytest.mark.slow) for f in (1e4, 1e8, 1e-4)), 1e20, 1e-12],
)
def test_the_scale_of_the_logits_hides_nothing(norm, factor):
    """Scaled logits have the same classes, so that the same images are within reach."""
    model, images, labels = mostly_right()
    scaled = times(model, factor)
    logits = scaled(images)
    clean = accuracy(model, images, labels)
    assert torch.equal(logits.argmax(1), model(images).argmax(1))
    if factor > 1e3:  # not vacuous: the cross-entropy's own gradient is 0
        wanted = images.clone().requires_grad_()
        nn.functional.cross_entropy(scaled(wanted), labels, reduction="sum").backward()
        flat = (wanted.grad == 0).flatten(1).all(1)
        assert flat.float().mean() > 0.5
    for plain, under in zip(
        attacks(model, images, labels, norm),
        attacks(scaled, images, labels, norm),
        strict=True,
    ):
        assert accuracy(model, plain, labels) < clean - 0.2
        assert accuracy(model, under, labels) == pytest.approx(
            accuracy(model, plain, labels), abs=0.1
        )


@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(2, 6),
    margin=st.floats(-30, 600),
)
def test_the_direction_is_that_of_the_cross_entropy(seed, classes, margin):
    """Against the formula, softmax over the other classes minus the own one, in float64."""
    draw = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(4, classes, generator=draw, dtype=torch.float64)
    labels = torch.randint(classes, (4,), generator=draw)
    rest = logits.scatter(1, labels[:, None], -torch.inf).logsumexp(1)
    logits.scatter_(1, labels[:, None], (rest + margin)[:, None])
    found, own = logits.float().requires_grad_(), nn.functional.one_hot(labels, classes)
    sharp = in_range(found, labels)
    nn.functional.cross_entropy(sharp, labels, reduction="sum").backward()
    exact = logits.masked_fill(own.bool(), -torch.inf).softmax(1) - own
    unit = nn.functional.normalize(exact)
    assert torch.allclose(nn.functional.normalize(found.grad.double()), unit, atol=2e-3)
    assert found.grad.abs().amax(1).min() > 4e-5
    if margin > 0.01:
        assert torch.equal(sharp.argmax(1), labels)
    if margin <= 9.9:
        assert torch.equal(sharp, found)


def test_where_the_model_is_not_sure_no_bit_changes():
    """The published FGSM and PGD, written out, on images of margins below 10."""
    model, images, labels = mostly_right()
    with torch.no_grad():
        two = model(images).topk(2).values
        assert (two[:, 0] - two[:, 1]).max() < 9

    def gradient(moved):
        moved = moved.detach().requires_grad_()
        loss = nn.functional.cross_entropy(model(moved), labels, reduction="sum")
        return torch.autograd.grad(loss, moved)[0]

    epsilon, size = 0.03, 0.01
    expected = (images + epsilon * gradient(images).sign()).clamp(0, 1)
    expected = expected.clamp(images - epsilon, images + epsilon)
    assert torch.equal(fgsm(model, images, labels, budget=Budget("linf", epsilon)), expected)
    moved = images
    for _ in range(4):
        moved = moved + size * gradient(moved).sign()
        moved = moved.clamp(images - epsilon, images + epsilon).clamp(0, 1)
    budget = Budget("linf", epsilon)
    assert torch.equal(pgd(model, images, labels, budget=budget, steps=4, step_size=size), moved)


BLIND = {
    "rounds": {"before": Call(lambda x: (x * 8).round() / 8)},
    "detaches": {"before": Call(lambda x: x.detach())},
    "counts": {"before": Call(lambda x: (x * 255).long() / 255)},
    "names the class": {"after": Call(lambda z: nn.functional.one_hot(z.argmax(1), 5).float())},
    "saturates": {"after": Call(lambda z: torch.sigmoid(1e9 * z))},
    "is dead": {"after": Call(lambda z: torch.relu(z - 1e3) + z.detach())},
    "underflows": {"after": Call(lambda z: z * 1e-30 * 1e-30 + z.detach())},
    "gives NaN": {"after": Call(lambda z: z + 0 * (z - z.detach()).abs().sqrt())},
}


@pytest.mark.parametrize("how", BLIND)
@pytest.mark.parametrize("norm", NORMS)
def test_images_without_a_gradient_are_told_of(how, norm):
    model, images, labels = mostly_right(8)
    blind, seen = Changed(model, **BLIND[how]), []
    with pytest.warns(GradientWarning, match="for 8 of 8 images"):
        fgsm(blind, images, labels, budget=Budget(norm, 0.1))
    for moved in attacks(blind, images, labels, norm, on_missing=seen.append):
        assert moved.isfinite().all()
        assert ((moved >= 0) & (moved <= 1)).all()
    assert len(seen) == 3
    assert all(mask.shape == (8,) and mask.all() for mask in seen)


@pytest.mark.parametrize("norm", NORMS)
def test_one_image_without_a_gradient_leaves_the_others_attacked(norm):
    """A NaN in one image's gradient, and a 0 in another's."""

    def spoil(logits):
        lost = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 1.0])[:, None].to(logits)
        found = lost * logits + (1 - lost) * logits.detach()
        nan = (logits[4:5] - logits[4:5].detach()).abs().sqrt()
        return torch.cat([found[:4], found[4:5] + nan, found[5:]])

    model, images, labels = mostly_right(6)
    seen = []
    for moved, whole in zip(
        attacks(Changed(model, after=Call(spoil)), images, labels, norm, on_missing=seen.append),
        attacks(model, images, labels, norm),
        strict=True,
    ):
        others = [0, 1, 3, 5]
        assert torch.allclose(moved[others], whole[others], atol=1e-5)
    for mask in seen:
        assert mask.tolist() == [False, False, True, False, True, False]


class InHalf(torch.autograd.Function):
    """The identity, whose gradient passes through float16, ``scale`` times as large."""

    @staticmethod
    def forward(ctx, x, scale):
        ctx.scale = scale
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return (gradient * ctx.scale).half().float() / ctx.scale, None


@pytest.mark.parametrize("scale", [2**-26, 2**20])
def test_a_gradient_beyond_the_range_of_half_precision_is_scaled(scale):
    """Below it the gradient is 0, above it infinite."""
    model, images, labels = mostly_right(16)
    narrow = Changed(model, before=Call(lambda x: InHalf.apply(x, scale)))
    wanted = images.clone().requires_grad_()
    loss = nn.functional.cross_entropy(narrow(wanted), labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, wanted)
    spoilt = (gradient == 0) | ~gradient.isfinite()
    assert spoilt.flatten(1).any(1).float().mean() > 0.7
    seen, budget = [], Budget("linf", 0.03)
    moved = fgsm(narrow, images, labels, budget=budget, on_missing=seen.append)
    assert not seen[0].any()
    reached = moved == fgsm(model, images, labels, budget=budget)
    assert reached.float().mean() > 0.9


# --- bounds in every dtype ------------------------------------------------------------------------


def assert_within(moved, images, norm, epsilon):
    assert moved.dtype == images.dtype
    assert ((moved >= 0) & (moved <= 1)).all()
    change = (moved.double() - images.double()).flatten(1)
    length = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
    # Bounds are computed in float32: the rounding of clean ± ε, and of a sum of squares.
    assert length.max() <= epsilon * (1 + 1e-6) + 2**-24


NETS = {dtype: net().to(dtype) for dtype in
        (torch.float16, torch.bfloat16, torch.float32, torch.float64)}  # fmt: skip


@settings(max_examples=40)
@given(
    norm=st.sampled_from(NORMS),
    dtype=st.sampled_from(list(NETS)),
    epsilon=st.one_of(st.floats(0, 1), st.sampled_from([1 / 255, 8 / 255, 1e-3, 1e-6])),
    steps=st.integers(1, 3),
    size=st.one_of(st.none(), st.floats(0, 2)),
    seed=st.integers(0, 100),
)
def test_no_attack_leaves_its_ball_in_any_dtype(norm, dtype, epsilon, steps, size, seed):
    model, (images, labels) = NETS[dtype], batch(4, seed=seed)
    images = images.to(dtype)
    images[0], images[1] = 0, 1
    budget, indices = Budget(norm, epsilon), range(4)
    options = {"budget": budget, "on_missing": lambda mask: None}
    for moved in (
        fgsm(model, images, labels, **options),
        pgd(model, images, labels, steps=steps, step_size=size, **options),
        pgd(model, images, labels, steps=steps, seed=seed, indices=indices, **options),
        minimum_norm(model, images, labels, steps=3, **options),
        budget.random(images, [torch.Generator().manual_seed(k) for k in indices]),
        budget.project(images + torch.randn_like(images), images),
    ):
        assert_within(moved, images, norm, epsilon)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("norm", NORMS)
def test_in_16_bits_the_whole_budget_is_used(norm, dtype):
    """As far as the dtype has numbers: bfloat16 has steps of 1/256 below 1."""
    model, (images, labels) = NETS[dtype], batch(8)
    images = images.to(dtype)
    budget = Budget(norm, 8 / 255 if norm == "linf" else 0.5)
    moved = fgsm(model, images, labels, budget=budget)
    change = (moved.double() - images.double()).flatten(1)
    length = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
    assert length.min() > 0.8 * budget.epsilon


# --- suites ---------------------------------------------------------------------------------------


def steep(after=None):
    model = Seen()
    with torch.no_grad():
        model.body[-1].weight.mul_(10)
    if after is not None:
        model.body.append(after)
    return model


@pytest.mark.parametrize(
    "name", [pytest.param("adversarial", marks=pytest.mark.slow), "adversarial-strong"]
)
def test_results_and_tables_say_where_there_was_no_gradient(name, tmp_path):
    given, shown = data(), []
    for label, model in (
        ("seen", steep()),
        ("sharp", steep(Call(lambda logits: logits * 100))),
        ("rounded", steep(Call(lambda logits: logits.detach()))),
    ):
        suite = SUITES[name](SuiteOptions(data=given))
        meta = {"name": label, "variant": label, "recipe": "tiny", "seed": 0}
        shown.append(run_suite(model, given.test, suite, batch_size=12, meta=meta))
    shown = [from_dict(copy.deepcopy(result.as_dict())) for result in shown]
    seen, sharp, rounded = shown
    for a, b, c in zip(seen.outcomes[1:], sharp.outcomes[1:], rounded.outcomes[1:], strict=True):
        assert a.no_gradient == b.no_gradient == 0
        assert abs(int(a.correct.sum()) - int(b.correct.sum())) <= 1
        assert c.no_gradient == int(c.correct.sum()) > 0
        assert torch.equal(c.correct, rounded.clean.correct)
    assert seen.clean.no_gradient is None
    assert seen.outcomes[-1].top1 < seen.clean.top1
    table, below = table_and_text(shown, suite)
    attacked = [row for row in table.rows if row[0].text != "clean"]
    assert all(row[-1].text.startswith("≤ ") for row in attacked)
    assert not any(cell.text.startswith("≤") for row in table.rows for cell in row[:-1])
    warned = [line for line in below if line.startswith("warning: rounded")]
    assert len(warned) == len(attacked)
    assert "no gradient" in warned[0]
    assert len(cohorts(shown)) == 3
    said = [line for line in below if line.startswith("- ") and "rounded" in line]
    assert len(said) == 1, "only the clean accuracies of the two can be compared"
    write_report(tmp_path, shown, suite)
    csv = (tmp_path / f"{name}.csv").read_text().splitlines()
    assert csv[0].endswith(",no_gradient")
    assert r"$\leq$" in (tmp_path / f"{name}.tex").read_text()
    assert "warning: rounded" in (tmp_path / f"{name}.md").read_text()
