"""Cohorts, verdicts and tables: results put together, in the forms that papers and people want."""

import csv
import io
from collections.abc import Sequence

import numpy as np
import pytest
from suite_results import FOG, made_up

from asr_core.errors import InputError
from robust.norm_noise import batch_name
from robust.stats.compare import bootstrap_interval, compare
from robust.suites import CLEAN, Condition
from robust.suites.cohort import cohorts
from robust.suites.contrasts import contrasts, situations
from robust.suites.tables import caption, sentences, table, tidy_csv

SEEDS = range(3)
PLAIN = [made_up("plain", seed, 0.8) for seed in SEEDS]
ASR = [made_up("ASR(SE)", seed, 0.8, fog=0.9) for seed in SEEDS]


def test_seeds_of_a_variant_stand_together_in_order() -> None:
    plain, asr = cohorts([PLAIN[2], ASR[1], PLAIN[0], ASR[0], PLAIN[1], ASR[2]])
    assert (plain.title, plain.seeds) == ("plain", (0, 1, 2))
    assert (asr.title, asr.seeds) == ("ASR(SE)", (0, 1, 2))
    right = plain.right([CLEAN])
    assert right.shape == (3, 60)
    for row, result in zip(right, PLAIN, strict=True):
        assert row.tolist() == result.clean.correct.double().tolist()


def test_repeats_and_conditions_are_averaged_and_seeds_chosen() -> None:
    (plain,) = cohorts(PLAIN)
    both = plain.right([FOG[0], FOG[2]], [2, 0])
    by_hand = [np.mean([o.correct.numpy() for o in PLAIN[s].outcomes[1:]], axis=0) for s in (2, 0)]
    assert np.allclose(both, by_hand)
    assert set(np.unique(both)) <= {0, 0.25, 0.5, 0.75, 1}


def test_training_under_noise_makes_a_cohort_of_its_own() -> None:
    noisy = made_up("plain", 0, 0.5, trained_under="constant 0.5,0.5")
    titles = [group.title for group in cohorts([PLAIN[0], noisy])]
    assert titles == ["plain", "plain, trained under constant 0.5,0.5"]


def test_two_of_one_seed_stand_alone_under_their_names() -> None:
    fused = made_up("plain", 0, 0.8, name="plain-0-fused")
    groups = cohorts([PLAIN[0], fused])
    assert [group.title for group in groups] == ["plain-0", "plain-0-fused"]


def test_networks_that_stand_alone_still_say_what_they_were_trained_under() -> None:
    noisy = [made_up("plain", 0, 0.5, trained_under="batch 8", name=name) for name in ("a", "b")]
    groups = cohorts([PLAIN[0], *noisy])
    assert [(g.label, g.trained_under) for g in groups] == [
        ("plain", ""), ("a", "batch 8"), ("b", "batch 8")
    ]  # fmt: skip
    assert {(v.trained_under, v.a, v.b) for v in contrasts(groups)} == {("batch 8", "b", "a")}


def test_several_recipes_are_told_apart() -> None:
    other = made_up("plain", 0, 0.8, recipe="big", name="big-0")
    assert [g.title for g in cohorts([PLAIN[0], other])] == ["tiny plain", "big plain"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (made_up("plain", 1, 0.8, suite="other"), "differ in suite"),
        (made_up("plain", 1, 0.8, n=50), "differ in number of samples"),
        (made_up("plain", 1, 0.8, data={"name": "x"}), "differ in data"),
        (made_up("plain", 1, 0.8, conditions=FOG[:2]), "differ in conditions"),
    ],
)
def test_what_cannot_be_compared_is_refused(other: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        cohorts([PLAIN[0], other])  # type: ignore[list-item]
    with pytest.raises(InputError, match="no results"):
        cohorts([])


def test_contrasts_are_paired_comparisons_by_situation() -> None:
    groups = cohorts([*PLAIN, *ASR])
    clean, fog = contrasts(groups)
    assert (clean.situation, fog.situation) == ("clean, running statistics", "fog, attacked")
    assert (fog.a, fog.b) == ("ASR(SE)", "plain")
    expected = compare(
        groups[1].right([FOG[0], FOG[2]]),
        groups[0].right([FOG[0], FOG[2]]),
        names=("ASR(SE)", "plain"),
    )
    assert fog.comparison == expected
    assert clean.comparison.answer == "inconclusive"
    assert fog.comparison.answer == "supported"


def test_variants_are_compared_with_plain_and_const_once_each() -> None:
    const = [made_up("const", seed, 0.8) for seed in SEEDS]
    found = contrasts(cohorts([*PLAIN, *const, *ASR]))
    pairs = [(v.a, v.b) for v in found if v.situation == "fog, attacked"]
    assert pairs == [("const", "plain"), ("ASR(SE)", "plain"), ("ASR(SE)", "const")]


def test_the_gates_own_controls_are_rivals_too() -> None:
    controls = [made_up(name, seed, 0.8) for name in ("frozen(SE)", "free-v(SE)") for seed in SEEDS]
    found = contrasts(cohorts([*PLAIN, *controls, *ASR]))
    pairs = {(v.a, v.b) for v in found if v.situation == "fog, attacked"}
    assert {("ASR(SE)", "frozen(SE)"), ("ASR(SE)", "free-v(SE)"), ("frozen(SE)", "plain")} < pairs


def test_only_seeds_that_both_have_are_paired() -> None:
    (fog,) = [v for v in contrasts(cohorts([*PLAIN, *ASR[:2]])) if v.situation.startswith("fog")]
    assert fog.comparison.seeds == 2
    (fewer,) = [v for v in contrasts(cohorts([*PLAIN[1:], *ASR])) if v.situation.startswith("fog")]
    plain, asr = cohorts([*PLAIN[1:], *ASR[1:]])
    conditions = [FOG[0], FOG[2]]
    by_hand = compare(asr.right(conditions), plain.right(conditions), names=("ASR(SE)", "plain"))
    assert fewer.comparison == by_hand
    assert contrasts(cohorts([PLAIN[0], ASR[1]])) == []


def test_without_a_rival_the_first_variant_is_one() -> None:
    se = [made_up("SE", seed, 0.7) for seed in SEEDS]
    assert {(v.a, v.b) for v in contrasts(cohorts([*ASR, *se]))} == {("SE", "ASR(SE)")}
    assert contrasts(cohorts(ASR)) == []


def test_situations_may_be_put_together_otherwise() -> None:
    groups = cohorts([*PLAIN, *ASR])
    mild = {"mild": [FOG[0]], "clean": [CLEAN]}
    asked = []

    def situations_of(conditions: Sequence[Condition]) -> dict[str, list[Condition]]:
        asked.append(list(conditions))
        return mild

    found = contrasts(groups, situations_of=situations_of)
    assert asked == [[CLEAN, *(c for c in FOG if c.repeat == 0)]]
    assert [(v.situation, v.a, v.b) for v in found] == [
        ("mild", "ASR(SE)", "plain"),
        ("clean", "ASR(SE)", "plain"),
    ]
    plain, asr = groups
    expected = compare(asr.right([FOG[0]]), plain.right([FOG[0]]), names=("ASR(SE)", "plain"))
    assert found[0].comparison == expected
    assert found[0].comparison != found[1].comparison


def test_controls_and_other_statistics_are_no_attacks() -> None:
    found = situations(
        [
            CLEAN,
            Condition("clean", "", 0, "re-estimated"),
            Condition("batch", "1", 0, batch_name(1)),
            Condition("batch", "2", 0, batch_name(2)),
            Condition("constant", "1.0,0.0"),
        ]
    )
    assert found.keys() == {
        "clean, running statistics", "clean, re-estimated statistics", "batch, attacked"
    }  # fmt: skip
    assert [c.severity for c in found["batch, attacked"]] == ["2"]


def test_the_table_names_statistics_and_has_means_with_intervals() -> None:
    groups = cohorts([*PLAIN, *ASR])
    whole = table(groups)
    assert whole.head == ("condition", "severity", "statistics", "plain", "ASR(SE)")
    noisy = made_up("plain", 0, 0.8, conditions=(Condition("random", "0.2"),))
    assert table(cohorts([noisy])).head[0] == "noise"
    rows = [[cell.text for cell in row] for row in whole.rows]
    assert [row[:3] for row in rows] == [
        ["clean", "", "running"], ["fog", "1", "running"], ["fog", "2", "running"]
    ]  # fmt: skip
    interval = bootstrap_interval(groups[1].right([FOG[2]]))
    assert interval.low is not None
    assert interval.high is not None
    half = (interval.high - interval.low) / 2
    assert rows[2][4] == f"{100 * interval.mean:.1f} ± {100 * half:.1f}"


def test_the_caption_says_when_seeds_are_missing() -> None:
    assert "60 test images, 3 training seeds" in caption(cohorts([*PLAIN, *ASR]))
    assert "2–3 training seeds" in caption(cohorts([*PLAIN, *ASR[:2]]))
    assert "1 training seed" in caption(cohorts(PLAIN[:1]))
    assert caption(cohorts(PLAIN), what="error").startswith("error in %, mean over training seeds")
    assert "images only (one seed)" in caption(cohorts(PLAIN[:1]))


def test_csv_is_tidy_with_all_digits() -> None:
    rows = list(csv.DictReader(io.StringIO(tidy_csv(cohorts([*PLAIN, *ASR])))))
    assert len(rows) == 2 * 3
    fog = rows[4]
    assert (fog["variant"], fog["kind"], fog["severity"]) == ("ASR(SE)", "fog", "1")
    assert (fog["seeds"], fog["samples"], fog["repeats"]) == ("3", "60", "2")
    mean = np.mean([o.top1 for r in ASR for o in r.of(FOG[0])])
    assert float(fog["top1"]) == pytest.approx(mean, abs=1e-6)
    assert float(fog["error"]) == pytest.approx(1 - mean, abs=1e-6)
    assert float(fog["low"]) < mean < float(fog["high"])
    assert fog["statistics"] == "running"


def test_statistics_stand_in_every_form_of_the_table() -> None:
    others = ("running", batch_name(64), "re-estimated")
    conditions = tuple(Condition("clean", "", 0, name) for name in others[1:])
    groups = cohorts([made_up("plain", 0, 0.8, conditions=conditions)])
    rows = csv.DictReader(io.StringIO(tidy_csv(groups)))
    assert [row["statistics"] for row in rows] == list(others)
    assert [row[2].text for row in table(groups).rows] == list(others)
    assert table(groups).head[0] == "images", "there is no noise"


def test_sentences_stand_by_situation() -> None:
    lines = sentences(contrasts(cohorts([*PLAIN, *ASR])))
    assert lines[0] == "clean, running statistics:"
    assert lines[1].startswith("- inconclusive whether ASR(SE) is more accurate than plain: ")
    assert lines[2] == "fog, attacked:"
    assert lines[3].startswith("- ASR(SE) is more accurate than plain by ")
