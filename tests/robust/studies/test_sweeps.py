"""The study of the sweeps writes its section once all runs of both are finished, and else none."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweeps import fake_runs, write_run

import robust.sweep.run
from asr_core.errors import InputError
from asr_core.training import TrainConfig
from robust.studies.sweeps import study
from robust.sweep import load_sweep


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robust.sweep.run, "estimated_seconds", lambda config, device: 1.0)


def share(config: TrainConfig) -> float:
    """A start of 0.1 is 5 points above the rest; a second gate changes nothing."""
    best = config.psi == 0.1
    return (70 + 5 * best + config.seed * (1 + 0.02 * best)) / 100


def test_both_tables_and_answers_are_on_the_page(tmp_path: Path) -> None:
    for name in ("init", "delta"):
        sweep = load_sweep(name).override(
            seeds=2, epochs=2, precision="bf16", channels_last=True, recipe="resnet11-embedded"
        )
        for run in sweep.runs(tmp_path / "runs" / name).values():
            config = run.training.config
            write_run(run.folder, config, share(config))
    study(tmp_path / "runs", tmp_path / "docs", recipe="resnet11-embedded", seeds=2, epochs=2)
    page = (tmp_path / "docs" / "results" / "sweeps.md").read_text()
    said = " ".join(page.split())
    assert "`python scripts/studies/sweeps.py --epochs 2 --seeds 2`" in said
    assert "--recipe resnet11-embedded --epochs 2 --seeds 2" in said
    assert "with 2 seeds that takes" in said
    assert page.index("## Table 5") < page.index("## Table 6")
    # psi 0.1: 75 and 76.02; t(1) = 12.706 times half their difference
    assert "| ASR(SE) | **75.51 ± 6.48** | <u>70.50 ± 6.35</u> |" in page
    assert "| ASR(SPA), paper | 75.12 | 93.44 | 75.43 | <u>93.66</u> |" in page
    assert "The paper: a start of 0.1 is best." in page
    assert "all rows: supported. ψ = 0.1: +5.01 ± 0.13 against ψ = 0.2" in said
    assert "all rows: inconclusive. δ = 2: +0.00 ± 0.00 against δ = 1" in said
    results = (tmp_path / "docs" / "RESULTS.md").read_text()
    assert "<code>robust sweep init</code> | **supported** | all rows: " in results
    assert "<code>robust sweep delta</code> | **inconclusive** | all rows: " in results


def test_a_failed_study_writes_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_runs(monkeypatch, share, fails=lambda c: (c.attention, c.psi, c.seed) == ("se", 0.1, 1))
    docs = tmp_path / "docs"
    with pytest.raises(InputError, match=r"init/attention-se_psi-0\.1_seed-1: exit 2"):
        study(tmp_path / "runs", docs, recipe="resnet11-embedded", seeds=2, epochs=4)
    assert not (tmp_path / "docs").exists()
