"""``robust evaluate``: clean figures, suites, and what is refused."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from model_commands import failed
from tiny_classifier import net, tiny_data
from tiny_networks import save_tiny
from tiny_runs import command, make_known, several

from asr_core.models import Normalized
from asr_core.saving.checkpoint import sha256
from asr_core.saving.model_facts import StockModel
from asr_core.saving.saved_model import save_model
from asr_core.training import open_run
from robust import cores
from robust.suites import load_result

evaluate = command("evaluate")


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    make_known(monkeypatch)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return several(tmp_path_factory.mktemp("runs"))


def figures(*arguments: object) -> list[dict[str, Any]]:
    result = evaluate(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def report(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


# --- clean ----------------------------------------------------------------------------------------


def test_a_run_gives_the_figures_of_its_last_epoch(runs: dict[str, Path]) -> None:
    """By hand, and as the run wrote them when it ended."""
    (found,) = figures(runs["asr-0"])
    wrote = json.loads((runs["asr-0"] / "result.json").read_text())["test"]
    assert found["top1"] == wrote["top1"]
    assert found["top5"] == wrote["top5"]
    assert found["loss"] == pytest.approx(wrote["loss"], rel=1e-5)
    assert found["images"] == wrote["images"] == 17
    test = tiny_data().test
    with torch.no_grad():
        logits = open_run(runs["asr-0"]).model(test.test_batch(torch.arange(17)))
    assert found["top1"] == (logits.argmax(1) == test.labels).double().mean().item()
    assert 1 / 6 < found["top1"] < 1, "too easy, or nothing learned"
    assert found["images_per_second"] > 0


@pytest.mark.parametrize("options", [(), ("--suite", "norm-statistics")])
def test_busy_cores_are_left_alone(
    runs: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
) -> None:
    taken: list[bool] = []
    monkeypatch.setattr(cores, "leave_busy_cores", lambda: taken.append(True) or 1)
    out = ("--out", tmp_path / "out") if options else ()
    result = evaluate(runs["asr-0"], *options, *out)
    assert result.exit_code == 0, result.output
    assert taken == [True]
    assert "other cores are busy" in result.stderr


def test_what_is_known_of_a_model_is_told(runs: dict[str, Path]) -> None:
    gated, fused = figures(runs["asr-1"], runs["asr-1"] / "fused.safetensors")
    assert (gated["name"], fused["name"]) == ("asr-1", "asr-1-fused")
    assert (gated["gates"], fused["gates"]) == (1, 0)
    for found in (gated, fused):
        assert (found["variant"], found["seed"], found["recipe"]) == ("ASR(IE)", 1, "tiny")
    assert gated["sha256"] == sha256(runs["asr-1"] / "last.pt")
    assert gated["top1"] == fused["top1"]


def test_the_table_has_a_row_a_model(runs: dict[str, Path]) -> None:
    lines = report(evaluate(runs["plain-0"], runs["plain-0"] / "best.pt")).splitlines()
    header = ["model", "statistics", "top-1", "top-5", "loss", "images", "images/s"]
    assert lines[0].split() == header
    assert [line.split()[:2] for line in lines[1:]] == [
        ["plain-0", "running"], ["plain-0-best", "running"]
    ]  # fmt: skip
    (top1,) = [found["top1"] for found in figures(runs["plain-0"])]
    assert lines[1].split()[2] == f"{top1:.2%}"


@pytest.mark.parametrize(("split", "images"), [("validation", 13), ("train", 40)])
def test_other_splits(runs: dict[str, Path], split: str, images: int) -> None:
    (found,) = figures(runs["plain-0"], "--split", split)
    assert found["images"] == images


def test_a_file_elsewhere_needs_the_name_of_its_data(runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copy(runs["plain-0"] / "model.safetensors", tmp_path / "net.safetensors")
    failed(
        evaluate(tmp_path / "net.safetensors"), "does not say what it was trained on", "data set"
    )
    (found,) = figures(tmp_path / "net.safetensors", "--data", "tiny")
    (own,) = figures(runs["plain-0"])
    assert (found["name"], found["top1"]) == ("net", own["top1"])
    assert "variant" not in found


# --- suites ---------------------------------------------------------------------------------------


def test_a_suite_is_clean_exactly_as_without_one(runs: dict[str, Path], tmp_path: Path) -> None:
    (clean,) = figures(runs["asr-0"])
    (result,) = figures(runs["asr-0"], "--suite", "norm-noise", "--out", tmp_path / "out")
    assert result["conditions"][0]["kind"] == "clean"
    for figure in ("top1", "top5", "loss"):
        assert result["conditions"][0][figure] == clean[figure]


def test_a_suite_writes_results_tables_and_curves(runs: dict[str, Path], tmp_path: Path) -> None:
    names = ("plain-0", "plain-1", "asr-0", "asr-1")
    out = tmp_path / "out"
    said = report(evaluate(*(runs[name] for name in names), "--suite", "norm-noise", "--out", out))
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [
            *(f"{name}-norm-noise.json" for name in names),
            *(f"norm-noise.{suffix}" for suffix in ("md", "csv", "tex", "png", "svg")),
            "norm-noise.summary.json",
            "report.html",
        ]
    )
    header = said.splitlines()[0].split()
    assert header == ["noise", "severity", "statistics", "plain", "ASR(IE)"]
    assert "constant, attacked:" in said
    assert "ASR(IE)" in said.partition("constant, attacked:")[2]
    table = (out / "norm-noise.md").read_text()
    assert "batch (n = 4)" in table
    assert "17 test images, 2 training seeds" in table
    rows = list(csv.DictReader(io.StringIO((out / "norm-noise.csv").read_text())))
    plain = [load_result(out / f"plain-{seed}-norm-noise.json") for seed in (0, 1)]
    mean = sum(result.clean.top1 for result in plain) / 2
    assert float(rows[0]["top1"]) == pytest.approx(mean, abs=1e-6)


def test_results_that_are_there_are_not_made_again(runs: dict[str, Path], tmp_path: Path) -> None:
    arguments = ["--suite", "norm-statistics", "--out", tmp_path / "out"]
    first = report(evaluate(runs["plain-0"], *arguments))
    file = tmp_path / "out" / "plain-0-norm-statistics.json"
    before = file.stat().st_mtime_ns
    assert report(evaluate(runs["plain-0"], *arguments)) == first
    assert file.stat().st_mtime_ns == before
    report(evaluate(runs["plain-0"], runs["plain-1"], *arguments))
    assert file.stat().st_mtime_ns == before
    failed(evaluate(runs["plain-0"], *arguments, "--seed", 1), "settings.seed (0, now 1)")
    report(evaluate(runs["plain-0"], *arguments, "--seed", 1, "--overwrite"))
    assert load_result(file).settings["seed"] == 1


def test_the_record_says_what_was_run(runs: dict[str, Path], tmp_path: Path) -> None:
    (result,) = figures(
        runs["plain-1"], "--suite", "norm-noise", "--precision", "bf16", "--repeats", 2,
        "--out", tmp_path / "out",
    )  # fmt: skip
    meta = result["meta"]
    assert meta["precision"] == "bf16"
    assert meta["data"]["name"] == "tiny"
    assert (meta["data"]["split"], meta["data"]["images"]) == ("test", 17)
    assert meta["command"][0] == "robust"
    assert {c["repeat"] for c in result["conditions"]} == {0, 1}


def test_every_known_suite_runs(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(evaluate(runs["plain-0"], "--suite", "noise"), "unknown suite 'noise'", "norm-noise")
    for suite in ("norm-noise", "norm-statistics", "adversarial"):
        (result,) = figures(runs["plain-0"], "--suite", suite, "--out", tmp_path / suite)
        assert result["suite"] == suite
        assert len(result["conditions"]) > 1


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "embedded"], ["images of 32×32 pixels, not 8"]),
        (["--device", "cuda:9"], ["device 'cuda:9' cannot be used"]),
    ],
)
def test_bad_options(runs: dict[str, Path], arguments: list[object], words: list[str]) -> None:
    failed(evaluate(runs["plain-0"], *arguments), *words)


def test_bad_checkpoints(runs: dict[str, Path], tmp_path: Path) -> None:
    failed(evaluate(tmp_path / "none.pt"), "no such checkpoint")
    failed(evaluate(tmp_path), "no such state of a run")
    failed(evaluate(save_tiny(tmp_path, "bn", 0)), "style network, which has no accuracy")
    failed(evaluate(), "Missing argument")
    failed(evaluate(runs["plain-0"], runs["plain-0"]), "both called 'plain-0'")
    shutil.copytree(runs["plain-0"], tmp_path / "broken")
    (tmp_path / "broken" / "config.json").write_text("{}")
    failed(evaluate(tmp_path / "broken"), "config.json: missing: config, data, setting")


def test_a_model_of_other_classes_is_refused(tmp_path: Path) -> None:
    facts = tiny_data()
    stock = StockModel("asr:tiny", {"num_classes": 4}, (3, 8, 8), facts.mean, facts.std)
    save_model(
        tmp_path / "four.safetensors", Normalized(net("bn", 4), facts.mean, facts.std), stock
    )
    failed(
        evaluate(tmp_path / "four.safetensors", "--data", "tiny"),
        "outputs of shape (1, 4)",
        "'tiny' has 6 classes",
    )


def overflowing(folder: Path) -> Path:
    """A saved model whose weights are finite and whose logits are NaN."""
    facts = tiny_data()
    model = net("bn", 6)
    with torch.no_grad():
        model.norm.bias.fill_(100)  # features far above 1, whatever the weights before
        model.fc.weight.fill_(3e38)
        model.fc.weight[:, ::2] = -3e38
    assert model.eval()(facts.test.test_batch(torch.arange(1))).isnan().all()
    stock = StockModel("asr:tiny", {"num_classes": 6}, (3, 8, 8), facts.mean, facts.std)
    save_model(folder / "over.safetensors", Normalized(model, facts.mean, facts.std), stock)
    return folder / "over.safetensors"


def test_a_model_whose_logits_are_no_numbers_has_nothing_right(tmp_path: Path) -> None:
    """A class 0 that the images of class 0 would have right is an accident."""
    path = overflowing(tmp_path)
    result = evaluate(path, "--data", "tiny", "--json")
    (found,) = json.loads(result.stdout, parse_constant=pytest.fail)
    assert (found["top1"], found["top5"], found["loss"]) == (0, 0, None)
    out = ["--out", tmp_path / "out"]
    (suite,) = figures(path, "--data", "tiny", "--suite", "norm-statistics", *out)
    assert {(c["top1"], c["loss"]) for c in suite["conditions"]} == {(0, None)}
    failed(evaluate(path, "--data", "tiny", "--suite", "adversarial", *out), "no finite gradient")


def test_a_file_cut_short_is_damaged(runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(runs["plain-0"], tmp_path / "cut")
    last = tmp_path / "cut" / "last.pt"
    whole = last.read_bytes()
    for part in (0, 100, len(whole) // 2, len(whole) - 1):
        last.write_bytes(whole[:part])
        failed(evaluate(tmp_path / "cut"), "last.pt: refused: it is damaged")


def test_a_folder_that_cannot_be_made_is_said_before_the_work(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("robust.suites.job.run_suite", lambda *_, **__: pytest.fail("worked"))
    failed(
        evaluate(runs["plain-0"], "--suite", "norm-noise", "--out", tmp_path / "file"),
        "file exists", str(tmp_path / "file"),
    )  # fmt: skip


def test_a_small_split_has_no_larger_batches(runs: dict[str, Path], tmp_path: Path) -> None:
    """Thirteen images: a batch of 16, which the test split would have, cannot be dealt."""
    (found,) = figures(
        runs["plain-0"], "--suite", "norm-noise", "--split", "validation", "--out", tmp_path / "out"
    )
    sizes = [c["severity"] for c in found["conditions"] if c["kind"] == "batch"]
    assert sizes == ["4", "2", "4:noise", "1"]


def test_models_of_different_data_need_a_name(runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(runs["plain-1"], tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    config["config"]["recipe"]["data"] = "cifar10"
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    failed(evaluate(runs["plain-0"], tmp_path / "other"), "trained on cifar10, tiny", "data set")
    assert len(figures(runs["plain-0"], tmp_path / "other", "--data", "tiny")) == 2
