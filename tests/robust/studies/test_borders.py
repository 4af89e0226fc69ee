"""robust.studies.borders: the page and its figures, on tiny networks and made-up ones."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_classifier import forget_accelerator, net, register, tiny_data, tiny_recipe

from asr_core.models import Normalized
from robust.norm_noise import batch_statistics
from robust.studies import borders as study


def test_figures_are_those_of_the_statistics_and_the_images() -> None:
    data = tiny_data(sizes=(256, 13, 256))
    torch.manual_seed(0)
    model = Normalized(net("bn", 6), data.mean, data.std).eval()
    norm, fc = model.get_submodule("model.norm"), model.get_submodule("model.fc")
    with torch.no_grad():
        norm.running_mean.fill_(0.5)  # type: ignore[operator,union-attr]
        fc.weight.mul_(20)  # type: ignore[operator]
    figures = {b: study.measure(model, data, study.training_split(data, b)) for b in study.BORDERS}
    black, mirrored, none = figures["black"], figures["mirrored"], figures["none (no crops)"]
    every = torch.arange(256)
    for statistics, found in ((contextlib.nullcontext(), 0), (batch_statistics(model), 2)):
        with statistics, torch.no_grad():
            right = model(data.test.test_batch(every)).argmax(1) == data.test.labels
        assert black[found] == pytest.approx(right.double().mean().item(), abs=1e-9)
    assert len(set(black[:3])) > 1, "statistics make a difference"
    assert black[:3] == mirrored[:3] == none[:3]
    assert black[5:] == mirrored[5:] == none[5:], "training images as they are have no borders"
    assert len({tuple(each[3:5]) for each in figures.values()}) > 1


def test_the_page_says_what_the_figures_are() -> None:
    found = {
        "black": [
            [0.74, 0.52, 0.53, 0.72, 0.67, 0.89, 0.75],
            [0.72, 0.52, 0.53, 0.70, 0.67, 0.90, 0.70],
        ],
        "mirrored": [[0.78, 0.70, 0.71, 0.77, 0.69, 0.91, 0.89]] * 2,
        "none (no crops)": [[0.75, 0.69, 0.69, 0.75, 0.69, 0.9, 0.88]] * 2,
    }
    text = study.page(found, recipe="tiny", epochs=4)
    said = " ".join(text.split())
    assert "over seeds: 21.0 ± 12.7 with black borders" in said  # 22 and 20: t = 12.7 at one df
    assert "; 4.0 ± 12.7 by the same networks" in said  # 5 and 3
    assert "; 8.0 ± 0.0 with mirrored borders, 2.0 ± 0.0 on training images" in said
    assert "mirrored borders bring 5.0 ± 12.7 points" in said
    assert "| none (no crops) | 75.0 ± 0.0 | 69.0 ± 0.0 |" in text
    assert "| black | 73.0 ±" in text


def test_the_whole_study_on_tiny_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)
    forget_accelerator()
    monkeypatch.setattr(study, "open_data", lambda name: tiny_data("embedded"))
    monkeypatch.setattr(study, "SIZES", (4, 8))
    recipe = tiny_recipe(name="tiny", data="embedded").as_dict()
    options: dict[str, Any] = {"recipe": recipe, "epochs": 1, "seeds": 1}
    study.study(tmp_path, runs=tmp_path / "runs", **options)
    section = (tmp_path / "results" / "borders.md").read_text()
    assert all(f"| {border} |" in section for border in study.BORDERS)
    figures = (tmp_path / "borders.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in figures] == [*study.BORDERS]
    before = (tmp_path / "runs" / "black-0" / "model.safetensors").stat().st_mtime_ns
    study.study(tmp_path, runs=tmp_path / "runs", **options)
    after = (tmp_path / "runs" / "black-0" / "model.safetensors").stat().st_mtime_ns
    assert after == before, "what is there is not trained again"
