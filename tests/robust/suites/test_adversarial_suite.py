"""The suite of attacks: bounds by the size of images, equal results whatever the batches."""

import pytest
import torch
from small_suite import COUNT, Seen, data

from asr_core.errors import InputError
from robust.adversarial import Budget, minimum_norm, pgd
from robust.suites import SUITES, SuiteOptions, run_suite


def suite(given, **options):
    return SUITES["adversarial"](SuiteOptions(data=given, **options))


def run(model, given, *, batch_size=5, **options):
    return run_suite(model, given.test, suite(given, **options), batch_size=batch_size)


def steep():
    """A network whose answers an attack can change."""
    model = Seen()
    with torch.no_grad():
        model.body[-1].weight.mul_(10)
    return model


@pytest.mark.parametrize(
    ("side", "linf"),
    [(32, ["2/255", "4/255", "8/255"]), (224, ["1/255", "2/255", "4/255"])],
)
def test_the_bounds_are_the_standard_ones_and_parts_of_them(side, linf):
    found = suite(data(side)).conditions()
    l2 = ["0.125", "0.25", "0.5"]
    expected = [
        *(("fgsm-linf", bound) for bound in linf),
        *(("pgd-linf", bound) for bound in linf),
        *(("pgd-l2", bound) for bound in l2),
    ]
    assert [(c.kind, c.severity) for c in found] == expected
    standard = suite(data(side)).settings()["standard_epsilon"]
    assert standard == {"fgsm-linf": linf[-1], "pgd-linf": linf[-1], "pgd-l2": "0.5"}
    (note,) = suite(data(side)).notes([])
    assert f"standard: fgsm-linf {linf[-1]}, pgd-linf {linf[-1]}, pgd-l2 0.5; PGD takes 10" in note


def test_repeats_are_of_the_random_starts():
    found = suite(data(), repeats=2).conditions()
    assert len([c for c in found if c.kind == "fgsm-linf"]) == 3
    assert len([c for c in found if c.kind == "pgd-l2"]) == 6


def test_the_model_sees_images_within_the_bound():
    given, model = data(), steep()
    found = run(model, given, batch_size=COUNT)
    clean = given.test.images.float() / 255
    # forwards: the clean pass, then FGSM's one and PGD's ten gradients, each with the last look
    forwards = [1, *[2] * 3, *[11] * 6]
    assert len(model.images) == sum(forwards)
    last = -1
    bounds = [1] + [2 / 255, 4 / 255, 8 / 255] * 2 + [0.125, 0.25, 0.5]
    for count, bound, outcome in zip(forwards, bounds, found.outcomes, strict=True):
        last += count
        change = (model.images[last] - clean).flatten(1)
        kind = outcome.condition.kind
        length = change.norm(dim=1) if kind == "pgd-l2" else change.abs().amax(1)
        assert length.max() <= bound + 1e-6
        if kind != "clean":
            assert length.min() > 0.9 * bound


def test_stronger_attacks_leave_less_right():
    found = run(steep(), data())
    by_kind = {}
    for outcome in found.outcomes[1:]:
        by_kind.setdefault(outcome.condition.kind, []).append(outcome.loss)
    assert all(row[0] < row[1] < row[2] for row in by_kind.values())
    assert by_kind["pgd-linf"][2] >= by_kind["fgsm-linf"][2] - 1e-3
    assert found.clean.loss < min(row[0] for row in by_kind.values())
    assert found.outcomes[6].top1 < found.clean.top1


def test_results_do_not_depend_on_the_batches_and_follow_the_seed():
    given = data()
    first, second = (run(steep(), given, batch_size=size) for size in (12, 5))
    other = run(steep(), given, seed=1)
    for a, b in zip(first.outcomes, second.outcomes, strict=True):
        assert a.loss == pytest.approx(b.loss, abs=1e-4)
    losses = [[o.loss for o in found.outcomes if o.condition.kind == "pgd-l2"]
              for found in (second, other)]  # fmt: skip
    assert losses[0] != losses[1]


def test_no_gradient_is_left_behind_and_the_mode_is_restored():
    model = steep().train()
    run(model, data())
    assert all(module.training for module in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_the_strong_suite_breaks_all_that_pgd_breaks_and_more():
    given, model = data(), steep()
    strong = SUITES["adversarial-strong"](SuiteOptions(data=given))
    assert [(c.kind, c.severity) for c in strong.conditions()] == [
        ("pgd+fmn-linf", "8/255"),
        ("pgd+ddn-l2", "0.5"),
    ]
    found = run_suite(model, given.test, strong, batch_size=5)
    clean = given.test.images.float() / 255
    labels, everything = given.test.labels, torch.arange(COUNT)
    for outcome, budget in zip(
        found.outcomes[1:], (Budget("linf", 8 / 255), Budget("l2", 0.5)), strict=True
    ):
        moved = pgd(model, clean, labels, budget=budget, indices=everything, seed=0)
        other = minimum_norm(model, clean, labels, budget=budget, steps=100)
        model.eval()
        withstand = [model(images).argmax(1) == labels for images in (moved, other)]
        assert torch.equal(outcome.correct, withstand[0] & withstand[1])
        assert outcome.top1 < found.clean.top1
    assert found.settings == {
        "seed": 0,
        "data": "pictures",
        "loss": "cross-entropy, its logits kept in range",
        "pgd_steps": 10,
        "second_steps": 100,
    }
    assert "if PGD (10 steps) fails, and then FMN or DDN (100 steps" in strong.notes([])[0]
    with pytest.raises(InputError, match="bounds of the adversarial suites are fixed"):
        SUITES["adversarial-strong"](SuiteOptions(data=given, severities=("1",)))


def test_severities_are_refused():
    with pytest.raises(
        InputError, match=r"severities 0.1: the bounds of the adversarial suites are"
    ):
        suite(data(), severities=("0.1",))
