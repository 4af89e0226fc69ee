"""The words and tables of studies of suites, from results made up."""

from __future__ import annotations

from dataclasses import replace

from robust.stats.answer import Answer
from robust.stats.compare import Comparison
from robust.stats.intervals import Interval
from robust.studies.differences import difference, difference_table, explored
from robust.suites.contrasts import Contrast


def verdict(a: str, b: str, answer: Answer, mean: float, *, situation: str = "fog") -> Contrast:
    interval = Interval(mean, mean - 0.02, mean + 0.02, "seeds and images")
    return Contrast(situation, "", a, b, Comparison(interval, 3, 60, answer, f"{a}, {b}: {answer}"))


FOUND = (
    verdict("SE", "plain", Answer.SUPPORTED, 0.05),
    verdict("ASR(SE)", "plain", Answer.INCONCLUSIVE, 0.01),
    verdict("ASR(SE)", "const", Answer.CONTRADICTED, -0.04),
    verdict("ASR(SE)", "plain", Answer.INCONCLUSIVE, -0.01, situation="snow"),
)


def test_a_row_a_situation_and_rival_and_nothing_bold() -> None:
    assert difference_table(FOUND).splitlines() == [
        "| situation | against | SE | ASR(SE) |",
        "| --- | --- | ---: | ---: |",
        "| fog | plain | +5.0 [3.0, 7.0] | +1.0 [-1.0, 3.0] |",
        "| fog | const |  | -4.0 [-6.0, -2.0] |",
        "| snow | plain |  | -1.0 [-3.0, 1.0] |",
    ]


def test_a_difference_without_an_interval_is_a_number_alone() -> None:
    alone = replace(FOUND[0].comparison, difference=Interval(0.05, None, None, "no interval"))
    assert difference(replace(FOUND[0], comparison=alone)) == "+5.0"


def test_the_training_is_named() -> None:
    under = [replace(FOUND[0], trained_under="batch 8")]
    assert "| fog, trained under batch 8 | plain |" in difference_table(under)


def test_nothing_is_decided_and_what_leaves_0_out_is_counted() -> None:
    text = explored(FOUND)
    assert (
        "none is decided here: 2 of 4 intervals leave 0 out, chance alone would give about 0."
        in (text)
    )
    assert "paired over 3 seeds and the test images." in text
    assert text.endswith(difference_table(FOUND))
    assert not any(answer in text for answer in Answer)


def test_one_seed_is_said_to_be_one() -> None:
    alone = [replace(v, comparison=replace(v.comparison, seeds=1)) for v in FOUND]
    assert "with one seed they are about these networks alone" in explored(alone)
