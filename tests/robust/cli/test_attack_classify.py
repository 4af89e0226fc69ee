"""``robust attack --task classify``: both phases, on tiny networks."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from model_commands import failed
from tiny_runs import command, make_known, several

from robust.cli import main
from robust.suites import load_result

RUNS = ("plain-0", "plain-1", "asr-0", "asr-1")
attack = command("attack")


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    make_known(monkeypatch)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return several(tmp_path_factory.mktemp("runs"))


def classify(models: list[Path], *arguments: object) -> Result:
    chosen = [part for path in models for part in ("--checkpoint", path)]
    return attack("--task", "classify", *chosen, *arguments)


def conditions(result: Result) -> list[list[dict[str, Any]]]:
    assert result.exit_code == 0, result.output
    return [entry["conditions"] for entry in json.loads(result.stdout)]


def test_every_noise_on_several_models(runs: dict[str, Path], tmp_path: Path) -> None:
    models = [runs[name] for name in RUNS]
    result = classify(models, "--noise", "all", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "norm-noise: 4 models × 14 passes over 17 test images of tiny" in result.stderr
    for noise in ("constant", "random", "batch"):
        assert f"{noise}, attacked:" in result.stdout
    assert "n = 1 (control)" in result.stdout
    assert (tmp_path / "out" / "norm-noise.svg").is_file()


def test_fused_and_unfused_agree_exactly(runs: dict[str, Path], tmp_path: Path) -> None:
    models = [runs["asr-0"], runs["asr-0"] / "fused.safetensors"]
    gated, fused = conditions(
        classify(models, "--noise", "all", "--repeats", 2, "--json", "--out", tmp_path / "out")
    )
    for one, other in zip(gated, fused, strict=True):
        assert {k: v for k, v in one.items() if k != "seconds"} == {
            k: v for k, v in other.items() if k != "seconds"
        }
    assert len({entry["correct"] for entry in gated}) > 4, "the noises make no difference"


def test_severities_seed_and_granularity_reach_the_suite(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    result = classify(
        [runs["plain-0"]],
        *("--noise", "random", "--severity", "0.3", "--severity", "uniform"),
        *("--seed", 4, "--granularity", "channel", "--repeats", 3, "--batch-size", 5),
        *("--split", "validation", "--json", "--out", tmp_path / "out"),
    )
    (found,) = conditions(result)
    assert [(c["severity"], c["repeat"]) for c in found[1:]] == [
        (severity, repeat) for severity in ("0.3", "uniform") for repeat in range(3)
    ]
    own = load_result(tmp_path / "out" / "plain-0-norm-noise.json")
    assert own.settings["seed"] == 4
    assert own.settings["granularity"] == "channel"
    assert own.n == 13


def test_phase_train_tests_on_three_statistics(runs: dict[str, Path], tmp_path: Path) -> None:
    names = ("plain-0", "plain-constant", "plain-random", "plain-batch")
    result = classify(
        [runs[name] for name in names],
        *("--phase", "train", "--noise", "all", "--out", tmp_path / "out"),
    )
    assert result.exit_code == 0, result.output
    table = result.stdout
    for statistics in ("running", "batch (n = 17)", "re-estimated"):
        assert statistics in table
    for under in ("constant 0.5,0.5", "random uniform", "batch 4"):
        assert f"plain, trained under {under}" in table
    own = load_result(tmp_path / "out" / "plain-constant-norm-statistics.json")
    assert own.meta["trained_under"] == "constant 0.5,0.5"
    assert len({outcome.loss for outcome in own.outcomes}) == 3


@pytest.mark.parametrize(
    ("names", "arguments", "words"),
    [
        (["plain-0"], ["--phase", "train"], ["was not trained under noise"]),
        (
            ["plain-constant"],
            ["--phase", "train", "--noise", "random"],
            ["trained under constant 0.5,0.5 noise, not random", "or 'all'"],
        ),
        (
            ["plain-constant"],
            ["--phase", "train", "--noise", "constant", "--severity", "0.5,0.5"],
            ["severity is an option of phase test"],
        ),
        (["plain-0"], ["--noise", "batch", "--severity", "x"], ["is no number"]),
        (["plain-0"], ["--severity", "18"], ["a batch of 18 cannot be drawn from 17 images"]),
        ([], [], ["no classifier ships"]),
        (["plain-0"], ["--style", "mosaic"], ["--style is no option of --task classify"]),
        (["plain-0"], ["--full"], ["--full is no option"]),
        (["plain-0"], ["--statistics", "batch:18"], ["need 18 images; test has 17"]),
    ],
)
def test_what_is_refused(
    runs: dict[str, Path],
    tmp_path: Path,
    names: list[str],
    arguments: list[object],
    words: list[str],
) -> None:
    out = tmp_path / "out"
    failed(classify([runs[name] for name in names], *arguments, "--out", out), *words)
    assert not list(tmp_path.rglob("*.json"))


def test_a_run_without_its_task_is_told_of_it(runs: dict[str, Path]) -> None:
    failed(attack("--checkpoint", runs["plain-0"]), "is a folder", "add --task classify")


@pytest.mark.parametrize("option", [["--phase", "train"], ["--data", "tiny"]])
def test_style_networks_have_no_such_option(option: list[str]) -> None:
    result = CliRunner().invoke(main, ["attack", *option], prog_name="robust")
    failed(result, f"{option[0]} is no option of --task style")
