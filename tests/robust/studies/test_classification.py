"""The classification study: its table and verdicts by hand, and how it runs what is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_training import fake_python
from finished import result, write_config
from scipy import stats
from tiny_classifier import register, run, tiny_data, tiny_recipe

import asr_core.recipes
from asr_core.errors import InputError
from asr_core.recipes import load_recipe
from asr_core.training import TrainConfig
from robust.studies import classification as study

HALF = 2.776445 * 2.5**0.5 / 5**0.5
"""Half the 95 % interval of five values in steps of one: t(4) = 2.776445, variance 2.5."""


pytestmark = pytest.mark.usefixtures("forgetful")


def write(run: Any, *, top1: float = 0.5, seconds: float = 60.0) -> None:
    """A finished run's record."""
    write_config(run.folder, run.training.config)
    (run.folder / "result.json").write_text(result(seconds=seconds, top1=top1, top5=0.95))


def five_seeds(folder: Path) -> Any:
    """Top-1 by variant and seed; ASR is 2 points above plain in each seed, the control below."""
    done = study.every_run(folder, 5)
    above = {"plain": 0, "live-se": 0, "asr-se": 2, "both-se": 0, "asr-const": -1}
    for (name, seed), each in done.items():
        # Live attention differs from plain by -2 … 2 points: no difference on the whole.
        own = 4 - seed if name == "live-se" else seed
        write(each, top1=(70 + above[name] + own) / 100)
    return done


# --- the page -------------------------------------------------------------------------------------


def test_the_table_by_hand(tmp_path: Path) -> None:
    done = five_seeds(tmp_path)
    step = {name: [1.0, 2.0, 4.0] for name in study.VARIANTS}
    step["live-se"] = [1.5, 5.0, 6.0]  # ratios 1.5, 2.5, 1.5
    inference = {**{name: [0.5, 0.5] for name in study.VARIANTS}, study.FOLDED: [0.4, 0.2]}
    rows = study.table(done, 5, {"step": step, "inference": inference}, steps=112).splitlines()[2:]
    assert f"{HALF:.2f}" == "1.96"
    assert rows[0] == "| plain | 72.00 ± 1.96 | 95.00 ± 0.00 |  | 224 | 1.00 | 1.00 |"
    # the differences are 4, 2, 0, -2, -4: twice the spread
    assert (
        rows[1] == "| SE, live | 72.00 ± 1.96 | 95.00 ± 0.00 | +0.00 ± 3.93 | 560 | 1.50 | 1.00 |"
    )
    assert "| 74.00 ± 1.96 | 95.00 ± 0.00 | +2.00 ± 0.00 |" in rows[2]
    assert [row.split(" | ")[0] for row in rows] == [f"| {t}" for t in study.TITLES.values()]


def test_verdicts_follow_the_intervals_and_their_number(tmp_path: Path) -> None:
    top1 = study.figures(five_seeds(tmp_path), 5, "top1")
    said = dict(zip(study.PAIRS, study.verdicts(top1), strict=True))
    assert "more accurate than plain by 2.00 points" in said["asr-se", "plain"]
    assert "less accurate than plain by 1.00 points" in said["asr-const", "plain"]
    assert "inconclusive" in said["live-se", "plain"]
    assert "[-3.93, 3.93]" in said["live-se", "plain"]
    first = {name: values[:1] for name, values in top1.items()}
    assert all("not tested" in line for line in study.verdicts(first))


def test_one_interval_of_seven_that_leaves_0_out_decides_nothing() -> None:
    """p = 0.021 alone, 0.147 among seven."""
    rng = np.random.default_rng(0)
    noise = {name: rng.standard_normal(5) for name in study.VARIANTS}
    both = scaled_to(noise["plain"], p=0.021)
    told = study.verdicts({**dict.fromkeys(study.VARIANTS, np.zeros(5)), "both-se": both})
    (line,) = [line for line in told if "live SE: more accurate than plain" in line]
    assert line.startswith("- inconclusive whether")
    assert line.endswith("Holm p 0.15.")


def scaled_to(values: np.ndarray, *, p: float) -> np.ndarray:
    """``values`` moved so that the t test of their mean has this p value."""
    spread = values.std(ddof=1) / np.sqrt(values.size)
    return values - values.mean() + spread * stats.t.isf(p / 2, values.size - 1)


def test_runs_with_other_options_are_not_taken_for_the_studys(tmp_path: Path) -> None:
    run = five_seeds(tmp_path)["asr-se", 3]
    config = run.training.config
    write_config(run.folder, replace(config, recipe=config.recipe.override(epochs=1)))
    with pytest.raises(InputError, match=r"asr-se-3: .*recipe\.epochs"):
        study.study(tmp_path, tmp_path / "docs", seeds=5, workers=1, rounds=1)


def test_the_runs_of_the_study(tmp_path: Path) -> None:
    runs = study.every_run(tmp_path, 5)
    assert len({run.folder for run in runs.values()}) == len(runs) == 25
    assert runs["asr-const", 4].training.config == TrainConfig(
        recipe=load_recipe("resnet29-embedded"), mode="asr", attention="const", seed=4,
        precision="bf16", channels_last=True,
    )  # fmt: skip


def test_the_whole_study_on_tiny_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)
    tiny = tiny_recipe(epochs=1)
    monkeypatch.setattr(asr_core.recipes, "load_recipe", lambda name: tiny)
    monkeypatch.setattr(study, "open_data", lambda name: tiny_data())
    for each in study.every_run(tmp_path / "runs", 1).values():
        run(each.training.config, each.folder)
    study.study(tmp_path / "runs", tmp_path / "docs", seeds=1, workers=1, rounds=2)
    page = (tmp_path / "docs" / "results" / "classification.md").read_text()
    result = json.loads((tmp_path / "runs" / "asr-se-0" / "result.json").read_text())
    assert f"| ASR(SE), fused | {100 * result['test']['top1']:.2f} | " in page
    measured = json.loads((tmp_path / "runs" / "costs.json").read_text())
    assert list(measured["step"]) == list(study.VARIANTS)
    assert list(measured["inference"]) == [*study.VARIANTS, study.FOLDED]
    assert all(len(s) == 2 for part in measured.values() for s in part.values())


# --- the runs -------------------------------------------------------------------------------------


def test_a_failed_study_writes_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_python(tmp_path, monkeypatch)
    with pytest.raises(InputError, match=r"plain-1: exit 2: robust: error: lr is nan"):
        study.study(tmp_path / "runs", tmp_path / "docs", seeds=2, workers=1, rounds=1)
    assert not (tmp_path / "docs").exists()
    assert (tmp_path / "runs" / "asr-const-0" / "result.json").exists(), "the rest went on"
