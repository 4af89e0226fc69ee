"""robust.stats.compare: intervals with the coverage that they claim, and words that fit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from asr_core.errors import InputError
from robust.stats.answer import Answer
from robust.stats.compare import bootstrap_interval, compare
from robust.stats.intervals import mean_interval


def answers(chance: np.random.Generator, seeds: int, samples: int, gain: float) -> np.ndarray:
    """Differences of two networks' answers, -1, 0 or 1, whose expected mean is ``gain``.

    Seeds differ in skill, samples in difficulty: neither alone makes the answers independent.
    """
    skill = chance.normal(0, 0.03, (2, seeds, 1))
    ease = np.clip(chance.normal(0.6, 0.25, (1, 1, samples)), 0.1, 0.9)
    lift = np.array([gain, 0.0]).reshape(2, 1, 1)
    right = chance.random((2, seeds, samples)) < ease + skill + lift
    return right[0].astype(float) - right[1].astype(float)


@pytest.mark.parametrize(("seeds", "samples"), [(1, 200), (2, 200), (5, 200), (5, 40)])
def test_intervals_hold_the_truth_as_often_as_they_say(seeds: int, samples: int) -> None:
    """95 % of 500 simulated studies, whose seeds and samples are drawn anew each time."""
    chance = np.random.default_rng(seeds)
    gain, trials, held = 0.05, 500, 0
    for _ in range(trials):
        d = answers(chance, seeds, samples, gain)
        found = bootstrap_interval(d, draws=1000)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= gain <= found.high
    if seeds == 1:
        # one seed cannot speak for others: it holds less often, and says so
        assert found.over == "images only (one seed)"
        assert 0.5 < held / trials < 0.95
    else:
        assert 0.93 < held / trials <= 0.995


def test_of_one_seed_the_interval_holds_for_other_images_as_often_as_it_says() -> None:
    """Two given networks, new images each time: also where few answers differ."""
    chance = np.random.default_rng(4)
    for lost, gained in ((0.1, 0.15), (0.01, 0.01)):
        held = 0
        for _ in range(400):
            d = chance.choice([-1.0, 0.0, 1.0], (1, 600), p=(lost, 1 - lost - gained, gained))
            found = bootstrap_interval(d, draws=1000)
            assert found.low is not None
            assert found.high is not None
            held += found.low <= gained - lost <= found.high
        assert 0.92 < held / 400 < 0.985


def test_resampling_few_seeds_would_be_too_narrow() -> None:
    """Why the seeds' level is drawn from Student's distribution, and not resampled."""
    chance = np.random.default_rng(0)
    held = {"ours": 0, "resampled": 0}
    for _ in range(400):
        d = np.repeat(chance.normal(0.05, 0.03, (5, 1)), 10, axis=1)
        ours = bootstrap_interval(d, draws=1000)
        assert ours.low is not None
        assert ours.high is not None
        held["ours"] += ours.low <= 0.05 <= ours.high
        means = chance.choice(d[:, 0], (1000, 5)).mean(1)
        low, high = np.quantile(means, [0.025, 0.975])
        held["resampled"] += low <= 0.05 <= high
    assert held["resampled"] / 400 < 0.88
    assert held["ours"] / 400 > 0.92


def test_one_seed_gives_scipys_bootstrap() -> None:
    d = answers(np.random.default_rng(1), 1, 300, 0.1)
    ours = bootstrap_interval(d, draws=20_000)
    theirs = stats.bootstrap(
        (d[0],), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.004)
    assert ours.high == pytest.approx(theirs.high, abs=0.004)
    assert theirs.high - theirs.low > 0.1


def test_samples_that_agree_give_the_t_interval_over_seeds() -> None:
    means = np.array([0.02, 0.05, 0.01, 0.04, 0.06])
    ours = bootstrap_interval(np.repeat(means[:, None], 7, axis=1), draws=200_000)
    error = means.std(ddof=1) / math.sqrt(5)
    low, high = stats.t.interval(0.95, 4, loc=means.mean(), scale=error)
    assert ours.low == pytest.approx(low, abs=5e-4)
    assert ours.high == pytest.approx(high, abs=5e-4)


def test_it_is_near_the_interval_by_mean_squares() -> None:
    """robust.stats.intervals has the same model without resampling."""
    d = answers(np.random.default_rng(3), 5, 400, 0.05)
    ours, theirs = bootstrap_interval(d, draws=20_000), mean_interval(d)
    assert ours.mean == theirs.mean
    assert ours.over == theirs.over == "seeds and images"
    for a, b in ((ours.low, theirs.low), (ours.high, theirs.high)):
        assert a is not None
        assert b is not None
        assert abs(a - b) < 0.25 * (theirs.high - theirs.low)  # type: ignore[operator]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 30), st.integers(0, 99))
def test_the_interval_is_around_the_mean_and_repeatable(
    seeds: int, samples: int, draw: int
) -> None:
    d = answers(np.random.default_rng(draw), seeds, samples, 0.1)
    first, second = bootstrap_interval(d, draws=500), bootstrap_interval(d, draws=500)
    assert first == second
    assert first.mean == pytest.approx(d.mean())
    if first.low is None or first.high is None:
        assert seeds == samples == 1
    else:
        assert first.low <= first.mean + 1e-12
        assert first.high >= first.mean - 1e-12


def test_memory_does_not_grow_with_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of draws give the same interval as all at once."""
    d = np.random.default_rng(0).normal(size=(1, 500))
    whole = bootstrap_interval(d, draws=900)
    monkeypatch.setattr("robust.stats.compare._AT_ONCE", 500 * 100)
    parts = bootstrap_interval(d, draws=900)
    assert (parts.low, parts.high) == (whole.low, whole.high)


def pair(gain: float, seeds: int = 5) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(0)
    b = (chance.random((seeds, 400)) < 0.5).astype(float)
    a = np.where(chance.random((seeds, 400)) < abs(gain), float(gain > 0), b)
    return a, b


@pytest.mark.parametrize(
    ("gain", "answer", "words"),
    [
        (0.2, Answer.SUPPORTED, "ASR(SE) is more accurate than plain by "),
        (-0.2, Answer.CONTRADICTED, "ASR(SE) is less accurate than plain by "),
        (0.0, Answer.INCONCLUSIVE, "inconclusive whether ASR(SE) is more accurate than plain: "),
    ],
)
def test_the_answer_in_words(gain: float, answer: Answer, words: str) -> None:
    a, b = pair(gain)
    found = compare(a, b, names=("ASR(SE)", "plain"))
    assert found.answer == answer
    assert found.sentence.startswith(f"{words}{100 * abs((a - b).mean()):.2f} points [")
    assert (found.seeds, found.samples) == (5, 400)
    if answer is Answer.CONTRADICTED:
        numbers = found.sentence.partition("[")[2].rstrip("]").split(", ")
        assert 0 < float(numbers[0]) < float(numbers[1]), "turned round with the word"


def test_one_seed_is_said() -> None:
    found = compare(*pair(0.2, seeds=1), names=("a", "b"))
    assert found.sentence.endswith("], images only (one seed)")


def test_one_seed_and_one_sample_test_nothing() -> None:
    comparison = compare([[1.0]], [[0.0]], names=("a", "b"))
    assert comparison.answer is Answer.NOT_TESTED
    assert "100 points" in comparison.sentence


def test_equivalent_is_a_narrower_interval_inside_the_margin() -> None:
    a, b = pair(0.0)
    a[:, :3] = 1 - b[:, :3]
    narrow = bootstrap_interval(a - b, level=0.9)
    assert narrow.low is not None
    assert narrow.high is not None
    edge = max(-narrow.low, narrow.high)
    for margin, answer in ((1.01 * edge, Answer.EQUIVALENT), (0.99 * edge, Answer.INCONCLUSIVE)):
        assert compare(a, b, names=("a", "b"), margin=margin).answer is answer


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([[1.0, 0]], [[1.0]], r"a has answers of shape \(1, 2\), b of \(1, 1\)"),
        ([[2.0]], [[1.0]], r"a has answers outside \[0, 1\]"),
        ([[1.0]], [[math.nan]], r"b has answers outside \[0, 1\]"),
        ([1.0], [1.0], r"shape \(1,\)\. Expected \(seeds, samples\)"),
        ([[]], [[]], r"shape \(1, 0\)"),
    ],
)
def test_bad_answers(a: list[float], b: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare(a, b, names=("a", "b"))


def test_bad_levels_and_values() -> None:
    with pytest.raises(InputError, match=r"level 95 is out of range"):
        bootstrap_interval([[1.0, 0]], level=95)
    with pytest.raises(InputError, match="1 of 2 values are NaN"):
        bootstrap_interval([[math.inf, 0]])
