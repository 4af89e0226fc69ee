"""The weight of a style by a rule on validation pictures, and the page that shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from asr_core.errors import InputError
from asr_core.saving.text_files import read_json
from robust.studies import style_training as module
from robust.studies.style_runs import Training
from robust.studies.style_training import Trained, chosen_weight, section, study


def trained(weight: float, loss: float, steps: int = 10) -> Trained:
    return Trained("mosaic", weight, steps, content=weight / 4, style_loss=loss, grid=1.0)


def test_the_smallest_weight_that_halves_the_style_loss_is_chosen() -> None:
    runs = [trained(2.0, 0.1), trained(0.5, 0.5), trained(1.0, 0.39), trained(0.7, 0.4)]
    assert chosen_weight(runs, 0.8) == 0.7
    assert chosen_weight(runs, 0.79) == 1.0


def test_where_no_weight_is_enough_the_nearest_is_named() -> None:
    with pytest.raises(InputError, match=r"mosaic: no weight .* to 0\.050; weight 2 .* 0\.100"):
        chosen_weight([trained(0.5, 0.5), trained(2.0, 0.1)], 0.1)


def test_weights_first_then_lengths_by_the_chosen_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Training] = []

    def train(trainings: Sequence[Training], *, jobs: int, device: str) -> Iterator[Path]:
        asked.extend(trainings)
        return iter([])

    def measured(path: Path, style: str, weight: float, steps: int, *, device: str) -> Trained:
        return trained(weight, 0.5 / weight / steps**0.1, steps)

    monkeypatch.setattr(module, "train_networks", train)
    monkeypatch.setattr(module, "measured", measured)
    monkeypatch.setattr(module, "photograph_loss", lambda style, loss, device: 0.8)
    study(
        tmp_path, runs=tmp_path / "runs", styles=["mosaic"], weights=[0.5, 1.0, 2.0],
        steps=[100, 50, 200], curve_of=["mosaic"], batch_size=3, loss="embedded", jobs=1,
        device="cpu",
    )  # fmt: skip
    plan = [(each.fields["style_weight"], each.fields["steps"]) for each in asked]
    assert plan == [(0.5, 100), (1.0, 100), (2.0, 100), (1.0, 200), (1.0, 100), (1.0, 50)]
    assert {each.fields["batch_size"] for each in asked} == {3}
    assert asked[1].folder == asked[4].folder, "trained once"
    data = read_json(tmp_path / module.RESULTS)
    assert data["chosen"] == {"mosaic": 1.0}
    page = (tmp_path / "results" / "style-training.md").read_text()
    assert f"{section(data)[1:]}\n" == page
    assert "**0.25 / 0.315**" in page
    for run in data["curve"]:
        total = run["content"] + run["weight"] * run["style_loss"]
        assert f"{run['content']:.2f} / {run['style_loss']:.3f}, {total:.3f}" in page


def test_the_weights_that_drawn_styles_are_trained_by_are_those_of_the_study() -> None:
    docs = Path(__file__).parents[3] / "docs"
    data = read_json(docs / module.RESULTS)
    from styletransfer.images.drawn import STYLE_WEIGHTS

    for style, chosen in data["chosen"].items():
        runs = [Trained(**run) for run in data["weights"] if run["style"] == style]
        assert chosen_weight(runs, data["photographs"][style]) == chosen == STYLE_WEIGHTS[style]
