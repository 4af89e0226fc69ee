"""The suite norm-statistics: clean images on running, batch and re-estimated statistics."""

import copy

import pytest
import torch
from tiny_classifier import net, tiny_data
from torch import Tensor, nn

from asr_core.data.split import sample_draws
from asr_core.draws import generator
from asr_core.errors import InputError
from robust.norm_noise import REESTIMATED
from robust.suites import SUITES, Condition, SuiteOptions, SuiteResult, adapted, run_suite
from robust.suites.kinds import norm_statistics

DATA = tiny_data()
ALL = torch.arange(17)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five images a batch, and twenty to estimate from, of 17 and 40."""
    monkeypatch.setattr(norm_statistics, "BATCH", 5)
    monkeypatch.setattr(adapted, "BATCH", 5)
    monkeypatch.setattr(adapted, "ESTIMATED_FROM", 20)


def spoiled() -> nn.Module:
    """A net whose running statistics are those of nothing it will see."""
    torch.manual_seed(0)
    model = net("bn", 6)
    model.norm.running_mean.fill_(3)
    model.norm.running_var.fill_(20)
    with torch.no_grad():
        model.norm.weight.uniform_(0.5, 2)
        model.fc.weight.mul_(5)
    return model.eval()


def outcome_of(model: nn.Module, batch_size: int = 10, **options: int) -> SuiteResult:
    suite = SUITES["norm-statistics"](SuiteOptions(data=DATA, **options))
    return run_suite(model, DATA.test, suite, batch_size=batch_size)


def loss(logits: Tensor, labels: Tensor = DATA.test.labels) -> float:
    return nn.functional.cross_entropy(logits, labels).item()


def test_each_pass_names_its_statistics() -> None:
    said = [(o.condition.kind, o.condition.statistics) for o in outcome_of(spoiled()).outcomes]
    assert said == [
        ("clean", "running"),
        ("clean", "batch (n = 5)"),
        ("clean", "re-estimated"),
    ]


def test_re_estimated_statistics_are_those_of_augmented_training_images() -> None:
    model, by_hand = spoiled(), spoiled()
    chance = generator("re-estimated", 0)
    order = torch.randperm(40, generator=chance)[:20]
    requests = zip(order.split(5), sample_draws(20, chance).split(5), strict=True)
    with torch.no_grad():
        features = [by_hand.conv(images) for images in DATA.train.train_stream(requests)]
        by_hand.norm.running_mean = torch.stack([f.mean((0, 2, 3)) for f in features]).mean(0)
        by_hand.norm.running_var = torch.stack([f.var((0, 2, 3)) for f in features]).mean(0)
        logits = by_hand(DATA.test.test_batch(ALL))
    result = outcome_of(model)
    assert result.outcomes[2].loss == pytest.approx(loss(logits), rel=1e-4)
    assert torch.equal(result.outcomes[2].correct, logits.argmax(1) == DATA.test.labels)
    assert abs(result.clean.loss - result.outcomes[2].loss) > 0.1, "both statistics are alike"


def test_re_estimated_statistics_of_a_clean_trained_network_are_its_running_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of images without the borders of padded crops they would not be."""
    monkeypatch.setattr(adapted, "ESTIMATED_FROM", 40)
    model, everything = spoiled(), torch.arange(40)
    twins = copy.deepcopy(model), copy.deepcopy(model)
    chance = torch.Generator().manual_seed(5)
    for twin, batch in zip(
        twins,
        (
            lambda: next(DATA.train.train_stream([(everything, sample_draws(40, chance))])),
            lambda: DATA.train.test_batch(everything),
        ),
        strict=True,
    ):
        twin.norm.train().reset_running_stats()
        twin.norm.momentum = None
        with torch.no_grad():
            for _ in range(20):
                twin(batch())
    trained, bare = (twin.norm.running_mean for twin in twins)
    suite = SUITES["norm-statistics"](SuiteOptions(data=DATA))
    with suite.context(Condition("clean", "", 0, REESTIMATED), model):
        found = model.norm.running_mean.clone()
    assert (found - trained).norm() < 0.3 * (found - bare).norm()


def test_a_split_smaller_than_a_batch_is_one_batch_and_called_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(norm_statistics, "BATCH", 64)
    said = [(o.condition.statistics, o.loss) for o in outcome_of(spoiled()).outcomes[:2]]
    twin = spoiled()
    twin.norm.train()
    assert said[1][0] == "batch (n = 17)"
    assert said[1][1] == pytest.approx(loss(twin(DATA.test.test_batch(ALL))), rel=1e-4)
    suite = SUITES["norm-statistics"](SuiteOptions(data=DATA, split="validation"))
    assert suite.conditions()[0].statistics == "batch (n = 13)"


def test_batch_statistics_are_those_of_images_dealt_by_chance() -> None:
    model = spoiled()
    losses = torch.zeros(17)
    order = torch.randperm(17, generator=generator("groups", 0, 5, 0))
    twin = copy.deepcopy(model)
    twin.norm.train()
    with torch.no_grad():
        for group in torch.cat([order, order[:3]]).split(5):
            logits = twin(DATA.test.test_batch(group))
            losses[group] = nn.functional.cross_entropy(
                logits, DATA.test.labels[group], reduction="none"
            )
    assert outcome_of(model).outcomes[1].loss == pytest.approx(losses.mean().item(), rel=1e-4)


def test_repeats_deal_the_batches_anew() -> None:
    outcomes = outcome_of(spoiled(), repeats=3).outcomes
    assert [o.condition.repeat for o in outcomes] == [0, 0, 1, 2, 0]
    assert len({o.loss for o in outcomes[1:4]}) == 3


def test_the_model_is_as_before() -> None:
    model = spoiled()
    before = copy.deepcopy(model.state_dict())
    outcome_of(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_batch_size_makes_no_difference(batch_size: int) -> None:
    first, second = outcome_of(spoiled()), outcome_of(spoiled(), batch_size)
    for one, other in zip(first.outcomes, second.outcomes, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-5)


def test_a_network_whose_norms_were_folded_away_has_no_other_statistics() -> None:
    """Its figures would be alike on all, and pass for robustness."""
    torch.manual_seed(0)
    folded = nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(InputError, match=r"no normalisation layer to attack.*folded"):
        outcome_of(folded)


def test_the_record_says_what_statistics_were_taken_from() -> None:
    assert outcome_of(spoiled()).settings == {
        "seed": 0, "repeats": 1, "batch": 5, "estimated_from": 20,
        "estimated_on": "training images, augmented as in training",
    }  # fmt: skip
