"""The study of corruptions and attacks: a page from tiny networks, figure by figure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_classifier import forget_accelerator, register, run, tiny_data, tiny_recipe
from torch import Tensor

import asr_core.recipes
from asr_core.data import ImageSet, MemorySplit
from asr_core.data.split import Split
from asr_core.errors import InputError
from robust.corruptions import KINDS
from robust.studies import corruptions as study
from robust.studies import noise as runs
from robust.suites import SUITES, Condition, SuiteOptions
from robust.suites.kinds import adversarial

VARIANTS = ("plain", "asr-ie", "asr-const")
SEEDS = 2


def larger(split: Split) -> MemorySplit:
    """Each pixel as four: corruptions want 16 of them a side."""
    images = grey_levels(split).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return MemorySplit(images, split.labels, padding=1)


def grey_levels(split: Split) -> Tensor:
    return split.test_batch(torch.arange(len(split))).mul(255).round().byte()


def pictures() -> ImageSet:
    data = tiny_data()
    return replace(
        data,
        image_size=16,
        train=larger(data.train),
        validation=larger(data.validation),
        test=larger(data.test),
    )


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """The study on tiny networks."""
    register(monkeypatch)
    monkeypatch.setattr(adversarial.AdversarialStrong, "second_steps", 10)
    monkeypatch.setattr(runs, "EPOCHS", 2)
    monkeypatch.setattr(runs, "VARIANTS", {name: runs.VARIANTS[name] for name in VARIANTS})
    for module in (runs, study):
        monkeypatch.setattr(module, "load_recipe", lambda name: tiny_recipe(image_size=16))
        monkeypatch.setattr(module, "open_data", lambda name: pictures())
    load = {"resnet11-embedded": tiny_recipe(image_size=16)}.__getitem__
    monkeypatch.setattr(asr_core.recipes, "load_recipe", load)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    shrink(monkeypatch)
    yield
    forget_accelerator()


def train(folder: Path, *keys: tuple[str, int]) -> None:
    every = runs.every_run(folder / "runs", SEEDS)
    for variant, seed in keys:
        own = every[variant, "clean", seed]
        run(own.training.config, own.folder, pictures(), setting={"noise": None})


def page(folder: Path, seeds: int = SEEDS) -> str:
    study.study(folder / "runs", folder / "docs", seeds=seeds)
    return (folder / "docs" / "results" / "corruptions.md").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a study in which all networks are tested."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as monkeypatch:
        shrink(monkeypatch)
        train(folder, *((variant, seed) for seed in range(SEEDS) for variant in VARIANTS))
        page(folder)
    yield folder
    forget_accelerator()


def conditions(folder: Path, suite: str, variant: str, seed: int) -> list[dict[str, Any]]:
    """What is in a result's file."""
    file = folder / "corruptions-results" / f"{variant}-clean-{seed}-{suite}.json"
    found: list[dict[str, Any]] = json.loads(file.read_text())["conditions"]
    return found


def errors(folder: Path, variant: str, seed: int) -> dict[str, float]:
    """The mean of each corruption's errors over its severities, by hand."""
    rows: dict[str, list[float]] = {}
    for each in conditions(folder, "corruptions", variant, seed):
        rows.setdefault(each["kind"], []).append(each["error"])
    assert [len(row) for row in rows.values()] == [1] + 15 * [5]
    return {kind: sum(row) / len(row) for kind, row in rows.items()}


def row(text: str, start: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return line.removeprefix(start).strip("| ").split(" | ")


@pytest.mark.slow
def test_errors_are_those_of_the_results(whole: Path) -> None:
    text = (whole / "docs" / "results" / "corruptions.md").read_text()
    assert "|  | corruption | plain | ASR(IE) | const |" in text
    shown = {}
    for start, kind in {
        "|  | clean |": "clean",
        "| weather | snow |": "snow",
        "|  | fog |": "fog",
    }.items():
        shown[kind] = row(text, start)
        for cell, variant in zip(shown[kind], VARIANTS, strict=True):
            mean = sum(errors(whole, variant, seed)[kind] for seed in range(SEEDS)) / SEEDS
            assert cell.startswith(f"{100 * mean:.1f} ± ")
    assert len({*shown["snow"], *shown["fog"], *shown["clean"]}) > 3, "corruptions change nothing"
    for cell, variant in zip(row(text, "|  | mean |"), VARIANTS, strict=True):
        by_kind = [errors(whole, variant, seed)[kind] for seed in range(SEEDS) for kind in KINDS]
        assert cell.startswith(f"{100 * sum(by_kind) / len(by_kind):.1f} ± ")


@pytest.mark.slow
def test_mce_is_relative_to_the_plain_twin_and_called_so(whole: Path) -> None:
    text = (whole / "docs" / "results" / "corruptions.md").read_text()
    plain, *others = row(text, "|  | mCE relative to the plain twin |")
    assert plain == "100.0"
    for cell, variant in zip(others, VARIANTS[1:], strict=True):
        found = [
            [errors(whole, name, seed) for seed in range(SEEDS)] for name in (variant, "plain")
        ]
        ratios = [
            sum(each[kind] for each in found[0]) / sum(each[kind] for each in found[1])
            for kind in KINDS
        ]
        own = [sum(a[k] / b[k] for k in KINDS) / 15 for a, b in zip(*found, strict=True)]
        expected = f"{100 * sum(ratios) / 15:.1f} ({100 * min(own):.1f}–{100 * max(own):.1f})"
        assert cell == expected


@pytest.mark.slow
def test_accuracies_under_attack_are_those_of_the_results(whole: Path) -> None:
    text = (whole / "docs" / "results" / "corruptions.md").read_text()
    lines = {
        "| FGSM, L∞ | 4/255 |": ("adversarial", "fgsm-linf", "4/255"),
        "| PGD, L2 | 0.5 |": ("adversarial", "pgd-l2", "0.5"),
        "| worst of PGD and FMN, L∞ | 8/255 |": ("adversarial-strong", "pgd+fmn-linf", "8/255"),
    }
    for start, (suite, kind, bound) in lines.items():
        for cell, variant in zip(row(text, start), VARIANTS, strict=True):
            found = [
                each["top1"]
                for seed in range(SEEDS)
                for each in conditions(whole, suite, variant, seed)
                if (each["kind"], each["severity"]) == (kind, bound)
            ]
            assert len(found) == SEEDS
            assert cell.startswith(f"{100 * sum(found) / SEEDS:.1f} ± ")
    assert "6 test images, 2 training seeds" in text


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_what_was_tested_is_not_tested_again(
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(study, "save_curves", lambda figure, path: None)  # slow, and seen above
    monkeypatch.setattr(study, "draw_curves", lambda groups: None)
    first = (whole / "docs" / "results" / "corruptions.md").read_text()
    files = sorted((whole / "corruptions-results").glob("*.json"))
    assert len(files) == 6 * 3
    before = [file.stat().st_mtime_ns for file in files]
    assert page(whole) == first
    assert [file.stat().st_mtime_ns for file in files] == before


@pytest.mark.usefixtures("small")
def test_the_groups_are_the_published_kinds_in_order() -> None:
    assert [kind for kinds in study.GROUPS.values() for kind in kinds] == list(KINDS)
    clean = Condition("clean")
    found = study.by_group([clean, *(Condition(k, s) for k in KINDS for s in (1, 2))])
    assert list(found) == [*study.GROUPS, "all 15 corruptions"]
    assert [len(part) for part in found.values()] == [6, 8, 8, 8, 30]
    assert clean not in found["all 15 corruptions"]


@pytest.mark.usefixtures("small")
def test_every_attack_of_the_suites_has_a_name() -> None:
    data = pictures()
    made = [SUITES[name](SuiteOptions(data=data)) for name in list(study.SECONDS)[1:]]
    assert {c.kind for suite in made for c in suite.conditions()} == set(study.ATTACKS)
    weak, strong = (study.by_attack([Condition("clean"), *s.conditions()]) for s in made)
    assert [(name, len(part)) for name, part in weak.items()] == [
        ("FGSM, L∞, mean over ε", 3),
        ("PGD, L∞, mean over ε", 3),
        ("PGD, L2, mean over ε", 3),
    ]
    assert list(strong) == ["worst of PGD and FMN, L∞", "worst of PGD and DDN, L2"]


@pytest.mark.usefixtures("small")
def test_attacked_are_images_of_the_set_with_their_labels() -> None:
    data = pictures()
    part = study.every_third(data).test
    assert torch.equal(grey_levels(part), grey_levels(data.test)[[0, 3, 6, 9, 12, 15]])
    assert torch.equal(part.labels, data.test.labels[[0, 3, 6, 9, 12, 15]])


@pytest.mark.usefixtures("small")
def test_without_a_finished_run_it_says_what_makes_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clean-trained run"):
        page(tmp_path)


class CaughtError(Exception):
    """Instead of testing."""


@pytest.mark.usefixtures("small")
def test_a_seed_that_is_not_complete_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path, ("plain", 0), *((variant, 1) for variant in VARIANTS))

    def caught(done: Any, data: ImageSet, folder: Path) -> None:
        raise CaughtError(sorted(done))

    monkeypatch.setattr(study, "results", caught)
    with pytest.raises(CaughtError) as raised:
        page(tmp_path)
    assert raised.value.args == (sorted((variant, "clean", 1) for variant in VARIANTS),)


@pytest.mark.usefixtures("small")
def test_runs_with_other_options_are_not_taken_for_the_studys(tmp_path: Path) -> None:
    train(tmp_path, ("plain", 0))
    file = tmp_path / "runs" / "plain-clean-0" / "config.json"
    whole = json.loads(file.read_text())
    file.write_text(
        json.dumps({**whole, "setting": {"noise": {"noise": "batch", "severity": "8"}}})
    )
    with pytest.raises(InputError, match=r"plain-clean-0: .*setting\.noise"):
        page(tmp_path, seeds=1)
    assert not (tmp_path / "docs").exists()
