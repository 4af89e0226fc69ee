"""The pages of trainings, suites, stripes, sweeps and studies say what their files say."""

from __future__ import annotations

import csv
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from attack_folder import write_attack
from click.testing import CliRunner
from finished import result, write_config
from PIL import Image
from protocols import declared, scores
from suite_results import FOG, made_up
from sweeps import finished

import robust.sweep.run
from asr_core.errors import InputError
from asr_core.saving.files import write_json
from asr_core.training import TrainConfig
from asr_core.training.history import COLUMNS, TIMING_COLUMNS
from robust.cli import main
from robust.protocol.scores import Findings
from robust.protocol.verdicts import as_data, decide
from robust.report.page.build import page_of, write_report
from robust.report.page.render import render
from robust.report.page.values import Curves, Dots, Page, Shown
from robust.stats.intervals import wilson
from robust.sweep import Sweep
from robust.sweep.claims import answers
from robust.sweep.grid import Claim, Paper


def train(folder: Path, *, epochs: int = 3, top1: float = 0.75) -> Path:
    write_config(folder, TrainConfig.from_fields({"recipe": "resnet11-embedded", "mode": "asr"}))
    (folder / "result.json").write_text(result(top1=top1))
    for name, columns in (("metrics.csv", COLUMNS), ("timing.csv", TIMING_COLUMNS)):
        with (folder / name).open("w", newline="") as file:
            rows = [[epoch, *[0.5 + epoch / 10] * (len(columns) - 1)] for epoch in range(epochs)]
            csv.writer(file, lineterminator="\n").writerows([columns, *rows])
    return folder


def suite(folder: Path, *, worse: float = 0.9) -> Path:
    from robust.suites.cohort import cohorts
    from robust.suites.kinds.corruptions import Corruptions
    from robust.suites.report import summary

    results = [made_up("plain", seed, 0.9, fog=0.9) for seed in range(3)]
    results += [made_up("<b>ASR", seed, 0.9, fog=0.9 * worse) for seed in range(3)]

    class Weather(Corruptions):
        name = "weather"

        def __init__(self) -> None: ...

        def notes(self, groups: object) -> list[str]:
            return ["A note."]

    folder.mkdir(parents=True)
    write_json(folder / "weather.summary.json", summary(cohorts(results), Weather()))
    return folder


def sweep(folder: Path) -> Path:
    grid = Sweep(
        name="own", title="own", axes={"attention": ("se", "ie"), "delta": (1, 2)}, fields={},
        labels={}, claims=(Claim("two are best", 2, (1,)),),
        paper=Paper("ResNet1", {"top1": ((70.0, 71.5), (60.0, 60.0))}),
    )  # fmt: skip
    results = finished(grid, folder, lambda c: 0.5 + 0.1 * c.delta + 0.001 * c.seed)
    robust.sweep.run._write(folder, robust.sweep.run.SweepOutcome(results, answers(results), []))
    return folder


def study(folder: Path) -> Path:
    steps = np.linspace(-2, 2, 12)
    found = Findings(scores({"asr": 71 + steps, "plain": np.full(12, 70.0)}), [])
    declaration = declared(12)
    folder.mkdir(parents=True)
    data = {"declaration": declaration.as_dict(), "endpoints": as_data(decide(declaration, found))}
    write_json(folder / "verdicts.json", {"schema": 1, **data})
    return folder


def stripes(folder: Path) -> Path:
    folder.mkdir(parents=True)
    layer = {"channels": 8, "mean": 0.5, "std_between_images": 0.01, "eta2": 0.91}
    layers = [{"name": f"layer{i}", "stripe": i / 10, **layer} for i in range(2)]
    facts = {"source": "model", "title": "model", "data": "tiny", "seed": 0, "refused": []}
    report = {**facts, "images": 5, "layers": layers, "convergence": None}
    write_json(folder / "stripes.json", report)
    Image.new("RGB", (60, 40)).save(folder / "stripes.png")
    return folder


KINDS = {
    "training": train, "suite": suite, "sweep": sweep, "study": study, "stripes": stripes,
}  # fmt: skip


def tables(page: Page) -> dict[str, Shown]:
    found = [b for section in page.sections for b in section.blocks if isinstance(b, Shown)]
    return {shown.title: shown for shown in found}


def column(shown: Shown, name: str) -> list[str]:
    place = shown.table.head.index(name)
    return [row[place].text for row in shown.table.rows]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_an_answer_and_how_it_was_made_and_the_same_bytes(
    kind: str, tmp_path: Path
) -> None:
    folder = KINDS[kind](tmp_path / "run")
    page = page_of(folder)
    assert page.answers[0].sentence
    assert page.lead
    assert page.sections[-1].name == "made"
    first = write_report([folder]).read_bytes()
    assert write_report([folder]).read_bytes() == first
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere" / "named-otherwise")
    assert write_report([moved]).read_bytes() == first
    assert len(first) < 5 * 2**20


@pytest.mark.parametrize("kind", KINDS)
def test_damage_to_each_kind_is_one_line(kind: str, tmp_path: Path) -> None:
    folder = KINDS[kind](tmp_path / "run")
    whole = next(p for p in sorted(folder.glob("*.json"), reverse=True))
    whole.write_text('{"schema": 1}')
    told = CliRunner().invoke(main, ["report", str(folder)], prog_name="robust")
    assert told.exit_code == 2
    assert "Traceback" not in told.output


def test_a_training_says_its_accuracy_with_an_interval_of_the_test_images(tmp_path: Path) -> None:
    page = page_of(train(tmp_path / "run"))
    low, high = wilson(0.75, 1800)
    # the score interval by its definition: the shares whose test does not reject 0.75
    for end in (low, high):
        assert abs(0.75 - end) == pytest.approx(1.959964 * (end * (1 - end) / 1800) ** 0.5)
    assert f"75.0 % [{100 * low:.1f}, {100 * high:.1f}] of 1,800" in page.answers[0].sentence
    (curves,) = page.lead
    assert isinstance(curves, Curves)
    assert [panel.title for panel in curves.panels][:2] == ["loss", "top-1, %"]
    points = curves.panels[1].series[1].points
    assert [points[place].mean for place in range(3)] == pytest.approx([50, 60, 70])


def test_parity_is_an_answer_where_gates_were_folded(tmp_path: Path) -> None:
    folder = train(tmp_path / "run")
    same = {"max_rel": 1e-7, "tolerance": 1e-5, "same_class": 1800, "test_images": 1800}
    write_json(folder / "parity.json", same)
    assert (
        page_of(folder)
        .answers[1]
        .sentence.startswith("No: 1,800 of 1,800 test images keep their class")
    )


@pytest.mark.parametrize("changed", [{"same_class": 1799}, {"max_rel": 2e-5}])
def test_a_fused_network_that_differs_is_said_to(tmp_path: Path, changed: dict[str, float]) -> None:
    folder = train(tmp_path / "run")
    same = {"max_rel": 1e-7, "tolerance": 1e-5, "same_class": 1800, "test_images": 1800}
    write_json(folder / "parity.json", {**same, **changed})
    assert page_of(folder).answers[1].sentence.startswith("Yes: ")


def test_a_suite_tells_which_comparison_is_the_largest(tmp_path: Path) -> None:
    folder = suite(tmp_path / "run", worse=0.5)
    page = page_of(folder)
    whole = json.loads((folder / "weather.summary.json").read_text())
    (attacked,) = [a for a in whole["answers"] if a["situation"] == "fog, attacked"]
    assert attacked["answer"] == "contradicted"
    assert page.answers[0].sentence.startswith(
        f"Under fog, plain holds better than <b>ASR: by {-attacked['mean']:.1f} points "
        f"[{-attacked['high']:.1f}, {-attacked['low']:.1f}]"
    )
    assert "<b>ASR" not in render(page)
    assert "<b>ASR" in html.unescape(render(page))
    names = [s.label for s in panel_of(page).series]
    assert names == ["plain", "<b>ASR"]
    assert list(panel_of(page).places) == ["clean", "1", "2"]
    plain = panel_of(page).series[0]
    expected = [made_up("plain", seed, 0.9, fog=0.9).clean.top1 for seed in range(3)]
    assert plain.points[0].mean == pytest.approx(100 * np.mean(expected))
    assert len(FOG) == 4


def panel_of(page: Page):
    (curves,) = [b for s in page.sections for b in s.blocks if isinstance(b, Curves)]
    return curves.panels[0]


def test_an_inconclusive_suite_says_what_it_would_have_seen(tmp_path: Path) -> None:
    page = page_of(suite(tmp_path / "run", worse=0.99))
    shown = tables(page)["Comparisons"]
    for answer, visible in zip(
        column(shown, "more accurate"), column(shown, "smallest visible"), strict=True
    ):
        assert (answer == "inconclusive") == bool(visible)
    assert "inconclusive" in column(shown, "more accurate")


def test_a_sweep_has_the_papers_figures_beside_ours(tmp_path: Path) -> None:
    page = page_of(sweep(tmp_path / "run"))
    assert page.answers[0].verdict == "supported"
    shown = tables(page)["Ours and the paper's"].table
    words = [[cell.text for cell in row] for row in shown.rows]
    assert any(row[0].endswith("paper") and "71.50" in row for row in words)
    (dots,) = page.lead
    assert isinstance(dots, Dots)
    assert [points[0].mean for _, _, points, _ in dots.rows] == pytest.approx(
        [60.1, 70.1, 60.1, 70.1]
    )


def test_a_study_shows_published_and_ours_and_the_smallest_visible_effect(tmp_path: Path) -> None:
    page = page_of(study(tmp_path / "run"))
    assert page.answers[0].sentence.startswith("Inconclusive: accuracy; not tested: attention")
    dots = page.lead[0]
    assert isinstance(dots, Dots)
    published, ours = dots.rows[0][2]
    assert (published.mean, published.style) == (0.97, "clean")
    assert ours.mean == pytest.approx(1)
    assert "inconclusive, sees" in dots.rows[0][3][1]
    shown = tables(page)["Endpoints"]
    assert column(shown, "verdict") == ["inconclusive"] + ["not tested"] * 4


def test_stripes_name_the_most_and_the_least_alike_layer(tmp_path: Path) -> None:
    page = page_of(stripes(tmp_path / "run"))
    assert "0 (layer0) to 0.1 (layer1) over 5 images" in page.answers[0].sentence
    table = tables(page)["Layers"].table
    row = dict(zip(table.head, (cell.text for cell in table.rows[0]), strict=True))
    assert (row["deviation"], row["η²"], row["permuted"]) == ("0.0100", "0.910", "-")


def test_rows_of_several_runs_match_and_what_does_not_is_said(tmp_path: Path) -> None:
    from robust.norm_noise import BatchNoise
    from robust.report.page.several import several_page

    first = write_attack(tmp_path / "first")
    second = write_attack(tmp_path / "second", severities=(BatchNoise(2),), rises=0.6)
    page = several_page([first, second])
    shown = tables(page)["Every severity"]
    keys = [tuple(cell.text for cell in row[:2]) for row in shown.table.rows]
    assert ("BN", "batch, n = 2") in keys
    assert ("BN", "batch, n = 8") not in keys
    own = tables(page_of(second))["Every severity"].table
    place = keys.index(("BN", "batch, n = 2"))
    (row,) = [r for r in own.rows if (r[0].text, r[1].text) == ("BN", "batch, n = 2")]
    assert column(shown, "loss, second")[place] == row[3].text
    assert column(shown, "loss, first")[place] != row[3].text
    said = html.unescape(render(page))
    assert "n = 8" in said.split('id="unmatched"')[1].split("</section>")[0]
    dots = page.lead[0]
    assert isinstance(dots, Dots)
    assert [row[0] for row in dots.rows][:2] == ["IN, first", "IN, second"]


def test_what_a_caption_says_of_one_run_is_not_said_of_another(tmp_path: Path) -> None:
    from robust.norm_noise import RandomNoise
    from robust.report.page.several import several_page

    first = write_attack(tmp_path / "first")
    second = write_attack(tmp_path / "second", images=("cat",), severities=(RandomNoise(0.2),))
    page = several_page([first, second])
    (dots,) = page.lead
    assert isinstance(dots, Dots)
    assert re.search("first: .* 2 photographs.* second: .* 1 photograph", dots.caption)
    assert "batch noise / random noise" in tables(page)["Means"].table.head


def test_runs_of_several_kinds_are_refused(tmp_path: Path) -> None:
    folders = [train(tmp_path / "a"), stripes(tmp_path / "b")]
    with pytest.raises(InputError, match="one kind"):
        write_report(folders, tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()
