"""robust.sweep.run and `robust sweep`: resumed, with failures, by several workers."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sweeps import fake_runs, tiny_metrics, tiny_sweep, trained_here, write_run
from tiny_classifier import forget_accelerator, register, run, tiny_config, tiny_data
from tiny_train import python_with_tiny

import robust.sweep.run
import robust.sweep.runs
from asr_core.data import DATASETS
from asr_core.errors import InputError
from asr_core.training import TrainConfig
from robust.cli import main
from robust.sweep import estimate, run_sweep
from robust.sweep.engine import ThisMachine
from robust.sweep.estimate import estimated_seconds, measured_seconds

MINE = "seeds = 2\n[axes]\nattention = ['se', 'ie']\npsi = [0.1, 0.5]\n"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(MINE)
    return tmp_path / "runs" / "sweep-mine"


def top1(config: TrainConfig) -> float:
    return 0.5 + (config.psi or 0) / 10 + config.seed / 100


def never(config: TrainConfig) -> bool:
    return False


def sweep(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["sweep", "mine.toml", "--quiet", *arguments])


def test_a_sweep_from_nothing_to_its_table(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = fake_runs(monkeypatch, top1, fails=never)
    done = sweep("--epochs", "2", "--precision", "bf16", "--channels-last", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert len(trained) == 8
    assert all(c.recipe.epochs == 2 and c.precision == "bf16" and c.channels_last for c in trained)
    assert (
        "8 of 8 runs to train, resnet11-embedded: about 8 minutes with 1 at a time" in done.stderr
    )
    # seeds 51 and 52: t(1) = 12.706 times half their difference
    assert "| attention = SE | <u>51.50 ± 6.35</u> | **55.50 ± 6.35** | psi = 0.5 |" in done.stdout
    assert {path.name for path in mine.glob("sweep.*")} == {
        "sweep.csv", "sweep.json", "sweep.md", "sweep.tex",
    }  # fmt: skip
    assert (mine / "sweep.md").read_text() == done.stdout
    assert (mine / "sweep.csv").read_text().count("\n") == 9


def test_finished_runs_are_not_run_again(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = fake_runs(monkeypatch, top1, fails=never)
    sweep("--train-seeds", "1")
    before = {path: path.stat().st_mtime_ns for path in mine.rglob("*seed-0/*")}
    assert len(before) == 8, "config and result of four runs"
    del trained[:]
    done = sweep()
    assert {config.seed for config in trained} == {1}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "4 of 8 runs to train" in done.stderr
    assert "about 2 minutes" in done.stderr, "by the 30 s that the others took"
    del trained[:]
    again = sweep("--json")
    assert (trained, again.stderr) == ([], "")
    assert json.loads(again.stdout)["missing"] == []


def test_a_run_that_fails_is_named_and_the_rest_goes_on(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "attention-ie_psi-0.1_seed-1"
    fake_runs(monkeypatch, top1, fails=lambda c: (c.attention, c.psi, c.seed) == ("ie", 0.1, 1))
    done = sweep()
    assert done.exit_code == 1
    *_, last = done.stderr.splitlines()
    assert last == f"robust: failed: runs/sweep-mine/{name}: exit 2: robust: error: the loss is nan"
    assert f"Not finished: {name}." in done.stdout
    assert "51.00 (1 of 2 seeds)" in done.stdout
    found = json.loads((mine / "sweep.json").read_text())
    assert (len(found["runs"]), found["missing"]) == (7, [name])
    fake_runs(monkeypatch, top1, fails=never)
    assert sweep().exit_code == 0, "the same command mends it"


def test_ctrl_c_says_what_is_kept(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = fake_runs(monkeypatch, top1, fails=never)
    sweep("--train-seeds", "1")
    del trained[:]

    def pressed(jobs: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(robust.sweep.runs, "as_completed", pressed)
    monkeypatch.setattr(ThisMachine, "run", lambda self, command: "never ended")
    done = sweep()
    assert done.exit_code == 130
    assert (
        "interrupted; runs/sweep-mine keeps 4 finished runs of 8; the same command" in done.stderr
    )


def test_runs_of_other_options_are_refused(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = fake_runs(monkeypatch, top1, fails=never)
    sweep("--train-seeds", "1")
    del trained[:]
    done = sweep("--epochs", "2")
    assert done.exit_code == 2
    assert "config.recipe.epochs (4, now 2)" in done.stderr
    assert trained == []
    assert sweep("--epochs", "2", "--out", "other").exit_code == 0
    assert sweep("--data-folder", "elsewhere").exit_code == 0, "where the data is does not matter"


def test_mistakes_are_one_line(mine: Path) -> None:
    done = CliRunner().invoke(main, ["sweep", "detla"], prog_name="robust")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "unknown sweep 'detla'. Did you mean 'delta'?" in done.stderr
    with pytest.raises(InputError, match="workers is 0"):
        run_sweep(tiny_sweep(), mine, workers=0)
    done = sweep("--address", "auto")
    assert done.exit_code == 2
    assert "address is 'auto', of a Ray cluster; choose engine 'ray' as well" in done.stderr
    assert not mine.exists()


# --- real runs ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_workers_equal_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = trained_here(monkeypatch, tmp_path / "one")
    python_with_tiny(tmp_path, monkeypatch)
    outcome = run_sweep(tiny_sweep(), tmp_path / "two", workers=2, device="cpu", quiet=True)
    assert outcome.failures == []
    assert tiny_metrics(tmp_path / "two") == one
    assert one[0] != one[1], "ψ matters"
    assert outcome.results.figure("top1").shape == (1, 2, 1)
    assert outcome.results.images == 17


def test_the_time_is_told_from_a_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)
    forget_accelerator()
    monkeypatch.setitem(DATASETS._entries, "tiny", lambda source: tiny_data())
    assert measured_seconds(tiny_config()) > 0
    taken = iter([4.0, 2.0, 3.0])
    monkeypatch.setattr(estimate, "_seconds", lambda *others: next(taken))
    # two epochs of five steps; 13 images of validation an epoch and 17 of test, gated and fused,
    # in batches of 8, at a third of a step
    batches = (2 * 13 + 2 * 17) / 8
    forget_accelerator()
    assert measured_seconds(tiny_config()) == pytest.approx(2 * (10 + batches / 3))
    forget_accelerator()


def test_the_time_is_measured_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    register(monkeypatch)
    python.write_text("#!/usr/bin/env bash\ncat >config.json; echo -n 12.5")
    python.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert estimated_seconds(tiny_config()) == 12.5
    assert TrainConfig.from_dict(json.loads(Path("config.json").read_text())) == tiny_config()
    python.write_text("#!/usr/bin/env bash\necho at line 1 >&2; echo no such folder >&2; exit 1")
    with pytest.raises(InputError, match="the first run cannot begin: no such folder"):
        estimated_seconds(tiny_config())


def test_what_that_process_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register(monkeypatch)
    asked: list[tuple[TrainConfig, str]] = []

    def measured(config: TrainConfig, *, device: str) -> float:
        asked.append((config, device))
        return 2.5

    monkeypatch.setattr(estimate, "measured_seconds", measured)
    for device in ("cpu", "auto"):
        monkeypatch.setattr(sys, "argv", ["-c", device])
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(tiny_config().as_dict())))
        estimate.main()
    assert asked == [(tiny_config(), "cpu"), (tiny_config(), "auto")]
    assert capsys.readouterr().out == "2.52.5"

    def refused(config: TrainConfig, *, device: str) -> float:
        raise InputError("no such folder")

    monkeypatch.setattr(estimate, "measured_seconds", refused)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(tiny_config().as_dict())))
    with pytest.raises(SystemExit, match=r"^no such folder$"):
        estimate.main()


def test_the_record_of_a_made_up_run_is_that_of_a_real_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tests above read is what training writes."""
    register(monkeypatch)
    config = tiny_config()
    run(config, tmp_path / "real")
    forget_accelerator()
    write_run(tmp_path / "made-up", config, 0.5)
    for name in ("config.json", "result.json"):
        real, made = (json.loads((tmp_path / f / name).read_text()) for f in ("real", "made-up"))
        assert made.keys() <= real.keys()
        for part in ("test", "last"):
            assert made.get(part, {}).keys() <= real.get(part, {}).keys()
