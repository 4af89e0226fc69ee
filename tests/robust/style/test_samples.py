"""robust.style.samples: the grid shows what was measured, each variant in its colour."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robust.norm_noise import BatchNoise, ConstantNoise, Severity
from robust.report.grid import GROUP_COLOURS
from robust.style import samples
from robust.style.plan import AttackPlan
from robust.style.run import Output
from robust.style.samples import COLOURS, PAGE_WIDTH, Samples
from robust.style.situations import spread_out
from styletransfer.zoo import StyleCheckpoint

QUICK = BatchNoise(1), BatchNoise(2), BatchNoise(8)


def drawn(
    monkeypatch: pytest.MonkeyPatch, *severities: Severity, norms: list[str], full: bool = False
) -> dict[str, Any]:
    """What the grid is asked to draw."""
    networks = tuple(StyleCheckpoint("mosaic", norm, 0, Path(norm), "0") for norm in norms)
    plan = AttackPlan(networks, severities, size=64, controls_for=None if full else ("bn",))
    kept = Samples(plan, torch.rand(3, 80, 100), every_severity=full)
    for image in ("a", "b"):
        kept.content(image, torch.rand(3, 64, 64))
        for norm in norms:
            for severity in (None, *plan.severities_of(norm)):
                kept.output(Output(image, norm, 0, severity, 0, torch.rand(1, 3, 64, 64)))
    asked: dict[str, Any] = {}

    def spy(rows: Any, **options: Any) -> Any:
        asked.update(options, rows=rows)
        return draw_grid(rows, **options)

    draw_grid = samples.draw_grid  # type: ignore[attr-defined]
    monkeypatch.setattr(samples, "draw_grid", spy)
    page = kept.draw(title="t", footnote="f")
    assert 0.9 * PAGE_WIDTH < page.width <= PAGE_WIDTH
    return asked


def test_batch_noise_shows_in_once_and_the_attacks_of_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = drawn(monkeypatch, *QUICK, norms=["in", "bn", "bn+asr", "bn+frozen", "bn+const"])
    labels = [label for label, _ in asked["rows"]]
    assert labels[:2] == ["content", ("IN", "any n")]
    for title in ("BN", "BN+ASR", "BN+frozen"):
        assert [label[1] for label in labels if label[0] == title] == ["clean", "n = 2", "n = 8"]
    assert "BN+const" not in {label[0] for label in labels}
    assert all(picture is not None for _, pictures in asked["rows"] for picture in pictures)


def test_without_the_closer_control_the_other_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = drawn(monkeypatch, *QUICK, norms=["in", "bn", "bn+const"])
    assert "BN+const" in {label[0] for label, _ in asked["rows"]}


def test_full_shows_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    norms = ["in", "bn", "bn+frozen", "bn+const"]
    asked = drawn(monkeypatch, *QUICK, ConstantNoise(0.8, 0.5), norms=norms, full=True)
    labels = [label for label, _ in asked["rows"]]
    assert len([label for label in labels if label[0] == "BN+const"]) == 5
    assert [label[1] for label in labels if label[0] == "IN"] == [
        "clean", "constant, Na 0.8, Nb 0.5",
    ]  # fmt: skip


def test_a_variant_has_one_colour_and_the_style_stands_in_the_corner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(set(COLOURS.values())) == len(COLOURS) == 5
    assert COLOURS["BN+ASR"] == GROUP_COLOURS[2]
    for norms in (["bn+asr", "bn"], ["in", "bn", "bn+asr"]):
        assert drawn(monkeypatch, *QUICK, norms=norms)["colours"] == COLOURS
    label, style = drawn(monkeypatch, *QUICK, norms=["bn"])["corner"]
    assert label == "style"
    assert np.asarray(style).shape == (44, 44, 3)  # to the scale of the pictures


def test_spread_out_keeps_the_ends() -> None:
    assert spread_out([1, 2, 3, 4], 2) == [1, 4]
    assert spread_out([1, 2], 2) == [1, 2]
    assert spread_out([1, 2, 3, 4, 5], 3) == [1, 3, 5]
