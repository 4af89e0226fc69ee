"""Minimum-norm attacks: the distance to a linear boundary, and what it leaves as it was."""

import pytest
import torch
from attacked import assert_as_before, batch, linear, net, state

from asr_core.errors import InputError
from robust.adversarial import NORMS, Budget, minimum_norm


def distances(model, images, norm):
    """To the boundary of a linear model of two classes, as if there were no [0, 1]."""
    slope = model[1].weight[1] - model[1].weight[0]
    logits = model(images)
    gap = (logits[:, 1] - logits[:, 0]).abs()
    return (gap / (slope.abs().sum() if norm == "linf" else slope.norm())).detach()


@pytest.mark.parametrize("norm", NORMS)
def test_on_a_linear_model_it_errs_just_beyond_the_boundary(norm):
    model, (images, _) = linear(), batch(8)
    images = 0.45 + 0.1 * images
    labels = model(images).argmax(1)
    far = distances(model, images, norm)
    within = far < far.median() * 1.2
    assert {True, False} == set(within.tolist())
    budget = Budget(norm, far.median().item() * 1.2)
    moved = minimum_norm(model, images, labels, budget=budget, steps=100)
    assert torch.equal(model(moved).argmax(1) != labels, within)
    assert torch.equal(moved[~within], images[~within])
    change = (moved - images).flatten(1)[within]
    length = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
    assert (length >= far[within] - 1e-9).all()
    assert (length <= 1.05 * far[within]).all()


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.05), ("l2", 0.5)])
def test_images_stay_within_the_budget_and_the_model_as_it_was(norm, epsilon):
    model, (images, labels) = net().train(), batch()
    before = state(model)
    with torch.inference_mode():
        moved = minimum_norm(
            model, images.clone(), labels.clone(), budget=Budget(norm, epsilon), steps=10
        )
    assert_as_before(model, before)
    assert {flag for flag, _ in before[2]} == {True, False}
    assert moved.min() >= 0
    assert moved.max() <= 1
    change = (moved - images).flatten(1)
    length = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
    assert 0 < length.max() <= epsilon + 1e-9
    again = minimum_norm(model, images[3:5], labels[3:5], budget=Budget(norm, epsilon), steps=10)
    assert torch.allclose(again, moved[3:5], atol=1e-9)


def test_the_model_is_as_it_was_after_an_exception():
    model, (images, labels) = net().train(), batch()
    before = state(model)

    def fail(module, inputs, output):
        raise KeyError("inside")

    handle = model.model[8].register_forward_hook(fail)
    with pytest.raises(KeyError, match="inside"):
        minimum_norm(model, images, labels, budget=Budget("l2", 0.5))
    handle.remove()
    assert_as_before(model, before)


@pytest.mark.parametrize("norm", NORMS)
def test_a_budget_of_0_changes_nothing(norm):
    images, labels = batch(2)
    moved = minimum_norm(net(), images, labels, budget=Budget(norm, 0))
    assert torch.equal(moved, images)


def test_what_cannot_be_attacked_is_refused():
    images, labels = batch(2)
    budget = Budget("linf", 0.1)
    with pytest.raises(InputError, match="steps is 0"):
        minimum_norm(net(), images, labels, budget=budget, steps=0)
    with pytest.raises(InputError, match="label 7 is none of the model's 5 classes"):
        minimum_norm(net(), images, labels + 7 - labels, budget=budget)
    with pytest.raises(InputError, match=r"in \[0, 1\], got values"):
        minimum_norm(net(), 2 * images, labels, budget=budget)
