"""robust.sweep: figures, table and claims of a finished sweep, against figures by hand."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sweeps import finished

from asr_core.training import TrainConfig
from robust.sweep import Results, Sweep
from robust.sweep.claims import answers, said
from robust.sweep.grid import Claim, Paper
from robust.sweep.table import table_of

HALF = 4.302653 * 1 / 3**0.5
"""Half the 95 % interval of x - 1, x, x + 1: t(2) = 4.302653, standard deviation 1."""

SWEEP = Sweep(
    name="own",
    title="own",
    axes={"attention": ("se", "ie"), "delta": (1, 2, 3)},
    fields={},
    labels={"attention": "ASR({})", "delta": "δ = {}"},
    figures=("top1", "top5"),
    claims=(Claim("two are best", 2, (1, 3)),),
    paper=Paper("ResNet1", {"top1": ((70.0, 71.5, 71.0), (60.0, 60.0, 60.0))}),
)
MEANS = {("se", 1): 50, ("se", 2): 60, ("se", 3): 55, ("ie", 1): 40, ("ie", 2): 40, ("ie", 3): 30}


def top1(config: TrainConfig) -> float:
    """Seeds are a point below, at, and above the mean, the same for all."""
    return (MEANS[config.attention, config.delta] + config.seed - 1) / 100


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return finished(SWEEP, tmp_path, top1, lambda config: 0.9 + 0.01 * config.delta)


def test_the_figures_are_where_they_belong(results: Results) -> None:
    values = results.figure("top1")
    assert values.shape == (2, 3, 3)
    assert values[0, 1] == pytest.approx([59, 60, 61])
    assert values[1, 2] == pytest.approx([29, 30, 31])
    assert results.figure("top1", "validation") == pytest.approx(values + 1)
    assert results.images == 1800
    assert results.missing == []


def test_the_table_by_hand(results: Results) -> None:
    assert f"{HALF:.2f}" == "2.48"
    lines = table_of(results).markdown().splitlines()
    assert lines[0] == (
        "|  | δ = 1, top-1 | δ = 1, top-5 | δ = 2, top-1 | δ = 2, top-5 | δ = 3, top-1 | "
        "δ = 3, top-5 | chosen on validation |"
    )
    assert lines[2] == (
        "| ASR(SE) | 50.00 ± 2.48 | 91.00 ± 0.00 | **60.00 ± 2.48** | <u>92.00 ± 0.00</u> | "
        "<u>55.00 ± 2.48</u> | **93.00 ± 0.00** | δ = 2 |"
    )
    assert lines[3] == "| ASR(SE), paper | 70.00 | – | **71.50** | – | <u>71.00</u> | – |  |"
    assert lines[4].startswith("| ASR(IE) | **40.00 ± 2.48** | 91.00 ± 0.00 | **40.00 ± 2.48** |")
    assert "<u>30.00 ± 2.48</u>" in lines[4]
    assert lines[5] == "| ASR(IE), paper | 60.00 | – | 60.00 | – | 60.00 | – |  |", "none is best"
    assert len(lines) == 6


def test_runs_that_are_not_there_are_left_out_and_said(results: Results, tmp_path: Path) -> None:
    for folder in (
        "attention-se_delta-2_seed-0",
        *(f"attention-se_delta-1_seed-{i}" for i in (0, 1, 2)),
    ):
        shutil.rmtree(tmp_path / folder)
    fewer = Results(SWEEP, results.runs)
    row = table_of(fewer).rows[0]
    # of 60 and 61: t(1) = 12.706 times the half of their difference
    assert row[3].text == "60.50 ± 6.35 (2 of 3 seeds)"
    assert (row[1].text, row[1].mark) == ("–", "")
    assert (row[3].mark, row[5].mark) == ("best", "second")
    assert row[7].text == "δ = 3", "validation chooses of whole cells"
    assert len(fewer.missing) == 4
    assert fewer.as_dict()["cells"][0]["top1"] == {
        "mean": None, "low": None, "high": None, "seeds": 0,
    }  # fmt: skip
    over_all, se, ie = answers(fewer)
    assert (over_all.answer, over_all.seeds) == ("not tested", 0)
    assert se.seeds == 0
    assert ie.seeds == 3


def test_csv_and_json(results: Results) -> None:
    rows = list(csv.DictReader(io.StringIO(results.csv())))
    assert len(rows) == 18
    assert rows[1]["attention"] == "se"
    assert (rows[1]["delta"], rows[1]["seed"], float(rows[1]["test_top1"])) == ("2", "0", 0.59)
    assert float(rows[1]["validation_top1"]) == pytest.approx(0.6)
    assert rows[1]["folder"] == "attention-se_delta-2_seed-0"
    found = json.loads(json.dumps(results.as_dict(), allow_nan=False))
    cell = found["cells"][1]
    assert (cell["attention"], cell["delta"], cell["chosen_on_validation"]) == ("se", 2, True)
    assert cell["top1"]["mean"] == pytest.approx(60)
    assert cell["top1"]["high"] == pytest.approx(60 + HALF, abs=1e-4)


# --- claims ---------------------------------------------------------------------------------------


def claimed(folder: Path, gaps: dict[int, list[float]], **changes: Any) -> Any:
    """The answers where δ = 2 is above another δ by so many points, in each seed."""
    sweep = Sweep(
        name="own", title="own", axes={"delta": (1, 2, 3)}, fields={}, labels={},
        claims=(Claim("two are best", 2, (1, 3)),), seeds=len(gaps[1]), **changes,
    )  # fmt: skip

    def shares(config: TrainConfig) -> float:
        # the level of a seed moves by 20 points: it has to cancel
        gap = gaps[config.delta][config.seed] if config.delta != 2 else 0
        return (70 - 20 * (config.seed % 2) - gap) / 100

    return answers(finished(sweep, folder, shares))


@pytest.mark.parametrize(
    ("to_one", "to_three", "answer"),
    [
        ([5.0, 5.1, 4.9], [3.0, 3.1, 2.9], "supported"),
        ([5.0, 5.1, 4.9], [0.5, -0.5, 0.1], "inconclusive"),
        ([5.0, 5.1, 4.9], [-3.0, -3.1, -2.9], "contradicted"),
        ([5.0], [5.0], "not tested"),
    ],
)
def test_answers_follow_the_paired_intervals(
    tmp_path: Path, to_one: list[float], to_three: list[float], answer: str
) -> None:
    (found,) = claimed(tmp_path, {1: to_one, 3: to_three})
    assert found.answer == answer
    assert found.where == "all rows"
    assert answer in said([found], source="Claim")


def test_comparisons_of_a_claim_have_an_interval_each(tmp_path: Path) -> None:
    """At 95 %, t(2) = 4.302653."""
    (found,) = claimed(tmp_path, {1: [4.0, 5.0, 6.0], 3: [9.0, 9.0, 9.0]})
    one, three = found.differences[1], found.differences[3]
    assert one.high - one.mean == pytest.approx(4.302653 / 3**0.5, abs=1e-4)
    assert three.mean == pytest.approx(9)
    assert found.sentence == (
        "all rows: supported. delta = 2: +5.00 ± 2.48 against delta = 1; "
        "+9.00 ± 0.00 against delta = 3 (top-1, points)"
    )


def test_rows_are_answered_one_by_one_and_together(results: Results) -> None:
    over_all, se, ie = answers(results)
    assert (over_all.where, se.where, ie.where) == ("all rows", "ASR(SE)", "ASR(IE)")
    assert (over_all.answer, se.answer, ie.answer) == ("supported", "supported", "inconclusive")
    assert over_all.differences[1].mean == pytest.approx((10 + 0) / 2)
    assert over_all.differences[3].mean == pytest.approx((5 + 10) / 2)
    lines = said([over_all, se, ie], source="The paper").splitlines()
    assert lines[0] == "- The paper: two are best."
    assert [line[:14] for line in lines[1:]] == [
        "    - all rows",
        "    - ASR(SE):",
        "    - ASR(IE):",
    ]
    data = ie.as_dict()
    assert data["differences"][0]["than"] == 1
    assert np.isfinite(data["differences"][0]["low"])
