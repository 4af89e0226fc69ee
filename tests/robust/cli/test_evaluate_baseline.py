"""``robust evaluate --suite corruptions --baseline``: the plain twin is tested, and named."""

import json

import pytest
import torch
from click.testing import CliRunner
from small_suite import CLASSES, COUNT, data
from tiny_classifier import net, register

from asr_core import save_model
from asr_core.data import DATASETS
from asr_core.models import Normalized, build
from asr_core.saving.model_facts import StockModel
from robust.cli import main
from robust.corruptions import KINDS
from robust.suites import SUITES
from robust.suites.subject import open_subjects, with_twin


def save(path, seed):
    torch.manual_seed(seed)
    model = build("resnet11", CLASSES)
    with torch.no_grad():
        model.fc.weight.mul_(20)
    stock = StockModel(
        "asr:resnet11", {"num_classes": CLASSES}, (3, 32, 32), mean=(0.5,) * 3, std=(0.2,) * 3
    )
    path.parent.mkdir(exist_ok=True)
    save_model(path, model, stock)
    return str(path)


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS._entries, "pictures", lambda source: data(32))
    return [save(tmp_path / f"{name}.safetensors", seed) for seed, name in enumerate("ab")]


def robust(*arguments):
    return CliRunner().invoke(main, [*arguments], prog_name="robust")


def evaluate(tmp_path, *arguments):
    return robust(
        "evaluate", "--data", "pictures", "--suite", "corruptions", "--quiet",
        "--out", str(tmp_path / "out"), *arguments,
    )  # fmt: skip


@pytest.mark.slow
def test_the_twin_is_tested_too_and_the_figure_is_relative_to_it(tmp_path, models):
    result = evaluate(tmp_path, models[0], "--baseline", models[1])
    assert result.exit_code == 0, result.output
    text = (tmp_path / "out" / "corruptions.md").read_text()
    assert "frost: drawn by code, not the published photographs" in text
    shares = {}
    for name in "ab":
        saved = json.loads((tmp_path / "out" / f"{name}-corruptions.json").read_text())
        rows = [c for c in saved["conditions"] if c["kind"] != "clean"]
        assert len(rows) == 75
        assert saved["n"] == COUNT
        shares[name] = {}
        for row in rows:
            shares[name][row["kind"]] = shares[name].get(row["kind"], 0) + row["error"]
    ratios = [shares["a"][kind] / shares["b"][kind] for kind in shares["a"]]
    said = f"mCE relative to the plain twin (b): a {100 * sum(ratios) / 15:.1f} %, b 100.0 %"
    assert said in text
    assert said in result.output


def test_a_twin_that_is_among_the_models_is_not_tested_twice(models):
    subjects = open_subjects(models)
    assert with_twin(subjects, models[0]).name == "a"
    assert [subject.name for subject in subjects] == ["a", "b"]
    one = open_subjects(models[:1])
    with_twin(one, models[1])
    assert [subject.name for subject in one] == ["a", "b"]


def test_another_file_of_the_same_name_is_refused(tmp_path, models):
    other = save(tmp_path / "elsewhere" / "a.safetensors", 5)
    result = evaluate(tmp_path, *models, "--baseline", other)
    assert result.exit_code != 0
    assert "are both called 'a'" in result.output


@pytest.mark.parametrize(
    "suite",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "adversarial-strong" else ())
        for name in SUITES.names()
    ],
)
def test_every_suites_clean_pass_is_what_evaluate_says(tmp_path, monkeypatch, suite):
    """On one command line, but for the suite; to the last digit."""
    two = {kind: KINDS[kind] for kind in ("gaussian_noise", "contrast")}
    monkeypatch.setattr("robust.suites.kinds.corruptions.KINDS", two)
    register(monkeypatch)
    monkeypatch.setitem(DATASETS._entries, "pictures", lambda source: data(20))
    torch.manual_seed(0)
    stock = StockModel("asr:tiny", {"num_classes": CLASSES}, (3, 20, 20), (0.5,) * 3, (0.2,) * 3)
    model = Normalized(net("bn", CLASSES), (0.5,) * 3, (0.2,) * 3)
    save_model(tmp_path / "a.safetensors", model, stock)
    file = str(tmp_path / "a.safetensors")
    common = ("evaluate", file, "--data", "pictures", "--batch-size", "5", "--json", "--quiet")
    clean = robust(*common)
    assert clean.exit_code == 0, clean.output
    tested = robust(*common, "--suite", suite, "--out", str(tmp_path / "out"))
    assert tested.exit_code == 0, tested.output
    (first,), (second,) = json.loads(clean.stdout), json.loads(tested.stdout)
    assert second["conditions"][0]["kind"] == "clean"
    assert len(second["conditions"]) > 2
    for figure in ("top1", "top5", "loss"):
        assert second["conditions"][0][figure] == first[figure]
    assert 0 < first["top1"] < 1


def test_a_baseline_is_for_corruptions_alone(tmp_path, models):
    result = robust(
        "evaluate", "--data", "pictures", "--suite", "adversarial", "--baseline", *models
    )
    assert result.exit_code != 0
    assert "--baseline is for --suite corruptions; leave it out" in result.output
