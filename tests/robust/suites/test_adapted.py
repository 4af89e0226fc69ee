"""robust.suites.adapted: suites on further statistics of BatchNorm."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_suite import COUNT, Seen, data
from suite_results import made_up
from torch import Tensor

from asr_core.errors import InputError
from robust.corruptions import corrupt
from robust.norm_noise import (
    batch_statistics,
    blended_statistics,
    deal,
    parse_statistics,
    reestimated_statistics,
)
from robust.suites import (
    CLEAN,
    Answers,
    Condition,
    Samples,
    SuiteOptions,
    SuiteResult,
    adapted,
    load_result,
    make_suite,
    run_suite,
)
from robust.suites.cohort import cohorts
from robust.suites.contrasts import situations
from robust.suites.curves import draw_curves
from robust.suites.kinds import corruptions
from robust.suites.kinds.corruptions import errors, score
from robust.suites.tables import table

BATCH, BLEND, AGAIN = "batch (n = 4)", "blend (N = 8, n = 4)", "re-estimated"
TEXTS = ("batch:4", "blend:8:4", "re-estimated")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kinds of corruption."""
    monkeypatch.setattr(corruptions, "KINDS", ("fog", "brightness"))


def sharp() -> Seen:
    """Its running statistics are those of nothing it sees, and its answers depend on them."""
    model = Seen()
    with torch.no_grad():
        model.body[1].running_mean.fill_(0.3)
        model.body[1].running_var.fill_(0.2)
        model.body[1].weight.uniform_(0.5, 2)
        model.body[-1].weight.mul_(20)
    return model.eval()


def options(*texts: str, **given: Any) -> SuiteOptions:
    return SuiteOptions(data=data(), statistics=tuple(map(parse_statistics, texts)), **given)


def result(name: str, *texts: str, batch_size: int = 8, **given: Any) -> SuiteResult:
    suite = make_suite(name, options(*texts, **given))
    return run_suite(sharp(), data().test, suite, batch_size=batch_size)


def fog(model: Seen, indices: Tensor) -> Tensor:
    images = (data().test.test_batch(indices) * 255).round().byte()
    return corrupt(images, "fog", 3, indices=indices, seed=0, draw=0, table="32") / 255


def by_hand(statistics: str) -> Tensor:
    """Which images under fog are right on the statistics."""
    model, right = sharp(), torch.zeros(COUNT, dtype=torch.bool)
    for indices in deal(COUNT, 4, 4, seed=0, draw=0):
        if statistics == BATCH:
            context: Any = batch_statistics(model)
        else:
            context = blended_statistics(model, 8, 4)
        with context, torch.no_grad():
            answers = model(fog(model, indices)).argmax(1)
        right[indices] = answers == data().test.labels[indices]
    return right


@pytest.mark.parametrize("batch_size", [4, 12])
@pytest.mark.parametrize("statistics", [BATCH, BLEND])
def test_a_corruption_on_the_statistics_of_batches_dealt_by_chance(
    statistics: str, batch_size: int
) -> None:
    found = result("corruptions", *TEXTS, severities=("3",), batch_size=batch_size)
    (outcome,) = found.of(Condition("fog", 3, 0, statistics))
    assert torch.equal(outcome.correct, by_hand(statistics))
    (plain,) = found.of(Condition("fog", 3))
    assert not torch.equal(plain.correct, outcome.correct) or plain.loss != outcome.loss


def test_statistics_are_re_estimated_from_training_images_as_corrupted_as_the_tests() -> None:
    suite, model = make_suite("corruptions", options("re-estimated", severities=("3",))), sharp()
    (condition,) = [c for c in suite.conditions() if (c.kind, c.statistics) == ("fog", AGAIN)]
    seen = model.images
    with torch.no_grad(), suite.context(condition, model):
        (estimated,) = seen
        mean = model.body[1].running_mean.clone()
    clean = Condition("clean", "", 0, AGAIN)
    seen.clear()
    with torch.no_grad(), suite.context(clean, model):
        (training,) = seen
        assert not torch.allclose(model.body[1].running_mean, mean, atol=1e-3)
    assert (estimated - training).abs().mean() > 0.05, "fog"
    with torch.no_grad(), reestimated_statistics(model, [estimated]):
        assert torch.allclose(model.body[1].running_mean, mean)


@pytest.mark.parametrize("most", [64, 100, 1024])
def test_the_settings_say_how_many_images_are_estimated_from(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """The small set has fewer than a batch: batches of 8, of which whole ones are taken."""
    monkeypatch.setattr(adapted, "BATCH", 8)
    monkeypatch.setattr(adapted, "ESTIMATED_FROM", most)
    suite, model = make_suite("corruptions", options("re-estimated")), sharp()
    with torch.no_grad(), suite.context(Condition("clean", "", 0, AGAIN), model):
        seen = sum(len(images) for images in model.images)
    assert suite.settings()["estimated_from"] == seen == len(data().train) // 8 * 8
    assert len(data().train) % 8, "else all images are whole batches"


def test_the_own_conditions_come_first_and_the_adapted_ones_beside_them() -> None:
    plain = make_suite("corruptions", options(severities=("3",)))
    adapted = make_suite("corruptions", options(*TEXTS, "running", "batch:4", severities=("3",)))
    own, both = plain.conditions(), adapted.conditions()
    assert both[: len(own)] == own
    for name in (BATCH, BLEND, AGAIN):
        added = [c for c in both if c.statistics == name]
        assert [(c.kind, c.severity) for c in added] == [
            ("clean", ""), *((c.kind, c.severity) for c in own),
        ]  # fmt: skip
    assert len(both) == 4 * len(own) + 3
    assert adapted.name == plain.name


def test_conditions_that_decide_the_statistics_are_not_repeated() -> None:
    chosen = make_suite("norm-noise", options("batch:4", noise="all", repeats=2)).conditions()
    on_batch = [c for c in chosen if c.statistics == BATCH]
    again = [c for c in on_batch if c.kind == "batch"]
    assert {c.severity for c in again} <= {"4", "4:noise"}, "batch noise's own"
    assert len(set(chosen)) == len(chosen)
    assert {c.kind for c in on_batch} == {"clean", "constant", "random", "batch"}
    assert {c.repeat for c in on_batch if c.kind == "random"} == {0, 1}
    assert {c.repeat for c in on_batch if c.kind == "clean"} == {0, 1}


def test_norm_statistics_takes_further_ones_and_repeats_none() -> None:
    chosen = make_suite("norm-statistics", options("blend:8:4", "re-estimated")).conditions()
    assert [c.statistics for c in chosen] == ["batch (n = 12)", AGAIN, BLEND]


def test_conditions_of_the_suite_itself_are_as_without_further_ones() -> None:
    """Also where the suite has statistics of its own."""
    alone, added = result("norm-statistics"), result("norm-statistics", "running", "blend:8:4")
    assert len({outcome.loss for outcome in alone.outcomes}) == 3
    assert [o.loss for o in added.outcomes[:3]] == [o.loss for o in alone.outcomes]
    assert added.outcomes[3].loss not in [o.loss for o in alone.outcomes]


def test_without_statistics_a_suite_is_itself() -> None:
    assert type(make_suite("corruptions", options())).__name__ == "Corruptions"
    assert (
        make_suite("corruptions", options("running")).conditions()
        == make_suite("corruptions", options()).conditions()
    )


def test_attacks_know_the_statistics_of_the_batch() -> None:
    suite, model, indices = make_suite("adversarial", options("batch:4")), sharp(), torch.arange(8)
    images, labels = data().test.test_batch(indices), data().test.labels[indices]
    losses = {}
    for condition in (
        Condition("clean", "", 0, BATCH),
        Condition("pgd-linf", "8/255", 0, BATCH),
        Condition("pgd-linf", "8/255"),
    ):
        with torch.no_grad():
            found = suite.apply(condition, model, Samples(images, indices, labels))
            moved = model.images[-1]
            with batch_statistics(model, 4):
                logits = model(moved)
        losses[condition.kind, condition.statistics] = F.cross_entropy(logits, labels)
        if condition.statistics == BATCH:
            assert torch.equal(found.logits if isinstance(found, Answers) else found, logits)
    informed, transferred = losses["pgd-linf", BATCH], losses["pgd-linf", "running"]
    assert informed > 1.5 * losses["clean", BATCH]
    assert informed > transferred, "an attack on running statistics does less"


def test_an_adapted_score_stands_beside_the_others() -> None:
    found = result("corruptions", "batch:4")
    running, batch = score([found]), score([found], statistics=BATCH)
    assert running.value != batch.value
    (fogs,) = [row for kind, row in errors([found], BATCH).items() if kind == "fog"]
    assert fogs == [found.of(Condition("fog", s, 0, BATCH))[0].error for s in range(1, 6)]
    twin = score([found], baseline=[found], statistics=BATCH)
    assert twin.value == pytest.approx(sum(
        sum(errors([found], BATCH)[kind]) / sum(errors([found])[kind]) for kind in errors([found])
    ) / len(errors([found])))  # fmt: skip
    groups = cohorts([found])
    notes = make_suite("corruptions", options("batch:4")).notes(groups)
    assert any(f"on {BATCH} statistics" in line for line in notes)
    text = "\n".join(table(groups).plain())
    assert BATCH in text


def test_adapted_results_have_situations_and_panels_of_their_own(tmp_path: Any) -> None:
    conditions = tuple(
        Condition(kind, severity, 0, statistics)
        for statistics in ("running", BLEND)
        for kind, severity in (("fog", 1), ("fog", 2), ("random", "0.5"))
    )
    clean = Condition("clean", "", 0, BLEND)
    groups = situations([CLEAN, *conditions[:3], clean, *conditions[3:]])
    assert [*groups] == [
        "clean, running statistics", "fog, attacked", "random, attacked",
        f"clean, {BLEND} statistics", f"fog, attacked, {BLEND} statistics",
        f"random, attacked, {BLEND} statistics",
    ]  # fmt: skip
    assert all(len(each) == (2 if "fog" in name else 1) for name, each in groups.items())
    made = [made_up("plain", seed, 0.9, conditions=(clean, *conditions)) for seed in (0, 1)]
    figure = draw_curves(cohorts(made))
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == [
        "clean images", "fog", "random noise", f"fog\n{BLEND} statistics",
        f"random noise\n{BLEND} statistics",
    ]  # fmt: skip
    made[0].save(tmp_path / "result.json")
    assert load_result(tmp_path / "result.json").as_dict() == made[0].as_dict()


def test_what_cannot_be_adapted() -> None:
    with pytest.raises(InputError, match="need 13 images; test has 12"):
        options("batch:13")
    suite = make_suite("corruptions", options("batch:4"))
    folded = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1200, 4))
    context = suite.context(next(c for c in suite.conditions() if c.statistics == BATCH), folded)
    with pytest.raises(InputError, match="no normalisation layer"), context:
        pass
