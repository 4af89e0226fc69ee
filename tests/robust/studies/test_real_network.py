"""robust.studies.real_network: shares that are what they are said to be, on a small network."""

import json
import math
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import robust.models.lite0
from asr_core.data import ImageSet, MemorySplit
from asr_core.models import Normalized
from robust.cli import main
from robust.norm_noise import parse_severity, run_under
from robust.studies import real_network
from robust.studies.real_network import (
    calibrated,
    crops,
    found,
    labelled,
    photographs,
    sampled,
    under_noise,
)
from robust.studies.real_network_page import page, study, tables
from styletransfer.images.embedded import TRAINING, UNSEEN, VALIDATION

DOCS = Path(__file__).parents[3] / "docs"


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.bn(self.conv(x)).relu()


def small() -> Normalized:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = nn.Sequential(
            *(nn.Conv2d(3, 4, 8, stride=8), nn.BatchNorm2d(4), nn.ReLU(), Block()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1000)),
        )
        model = Normalized(body, (0.5,) * 3, (0.5,) * 3)
        model.train()(torch.rand(8, 3, 224, 224))
    return model.eval()


@pytest.fixture(scope="module")
def data() -> ImageSet:
    return photographs(small(), 2)


def test_crops_are_of_the_photograph_and_the_same_each_time() -> None:
    first = crops("drum", 3)
    assert (first.shape, first.dtype) == ((3, 3, 224, 224), torch.uint8)
    assert torch.equal(first, crops("drum", 3))
    assert not torch.equal(first[0], first[1])


def test_no_photograph_is_in_two_splits(data: ImageSet) -> None:
    assert not {*TRAINING} & {*VALIDATION} | {*UNSEEN} & {*VALIDATION, *TRAINING}
    sizes = [len(split) for split in (data.train, data.validation, data.test)]
    assert sizes == [2 * len(TRAINING), 2 * len(VALIDATION), 2 * len(UNSEEN)]


def test_labels_are_the_clean_answers(data: ImageSet) -> None:
    images = data.test.test_batch(torch.arange(len(data.test)))
    with torch.no_grad():
        assert torch.equal(small()(images).argmax(1), data.test.labels)


def test_the_share_is_that_of_crops_whose_class_stays(data: ImageSet) -> None:
    rows = under_noise(small(), data, repeats=1, batch_size=8)
    (clean,) = (r for r in rows if r["noise"] == "clean" and r["statistics"] == "running")
    assert clean["share"] == 1
    (row,) = (r for r in rows if r["noise"] == "constant" and r["statistics"] == "running")
    scale, shift = (float(part.split()[1]) for part in row["severity"].split(","))
    images = data.test.test_batch(torch.arange(len(data.test)))
    with torch.no_grad():
        logits = run_under(small(), images, parse_severity("constant", (scale, shift)))
    expected = (logits.argmax(1) == data.test.labels).double().mean().item()
    assert row["share"] == pytest.approx(expected)
    assert row["low"] <= row["share"] <= row["high"]
    kinds = {(r["noise"], r["statistics"]) for r in rows}
    for noise in ("clean", "constant", "random"):
        for name in ("running", "batch (n = 16)", "blend (N = 16, n = 16)", "re-estimated"):
            assert (noise, name) in kinds
    assert sum(noise == "batch" for noise, _ in kinds) == 1


@pytest.mark.parametrize("edge", [0.01, 0.2, 0.7])
def test_a_strength_is_found_where_half_is_left(edge: float) -> None:
    def share(text: str) -> float:
        strength = float(text.split(",")[-1])
        return 1 / (1 + math.exp((strength - edge) * 100))

    for noise in ("constant", "random"):
        assert share(calibrated(noise, share, sizes=())) == pytest.approx(0.5, abs=0.2)
    sizes = {"2": 0.1, "8": 0.45, "32": 0.9}
    assert calibrated("batch", sizes.__getitem__, sizes=(2, 8, 32)) == "8"


def test_photographs_with_a_label_are_counted() -> None:
    class Knows(nn.Module):
        """Right where it is asked about drums (class 541), wrong elsewhere."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = torch.zeros(len(images), 1000)
            logits[:, 541] = 1
            return logits

    assert labelled(Knows()) == {"right": 1, "of": 20}


def test_images_of_a_data_set_are_a_sample_of_it() -> None:
    images = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(10, 3, 8, 8)
    split = MemorySplit(images.contiguous(), torch.arange(10))
    data = ImageSet("ten", tuple("abcdefghij"), 8, (0.5,) * 3, (0.5,) * 3, split, split, split)
    drawn = sampled(data, 4).test
    assert len(drawn) == 4
    assert torch.equal(drawn.test_batch(torch.arange(4))[:, 0, 0, 0] * 255, drawn.labels.float())


@pytest.mark.slow
def test_the_page_is_made_from_the_data_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robust.models.lite0, "efficientnet_lite0", small)
    monkeypatch.setattr(real_network, "SIZES", (2, 8))
    words = ["study", "network", "--crops", "2", "--repeats", "1", "--rounds", "1", "--quiet"]
    result = CliRunner().invoke(main, [*words, "--out", str(tmp_path)], prog_name="robust")
    assert result.exit_code == 0, result.output
    data = json.loads((tmp_path / "network.json").read_text())
    assert (tmp_path / "network.md").read_text() == page(data)
    steps = {row["step"]: row for row in data["steps"]}
    assert steps["as published"]["difference"] == 0
    assert steps["as published"]["share"] == steps["gates fused"]["share"] == 1
    assert 0 < steps["as ONNX, dynamic INT8"]["difference"] < 1
    assert all(row["difference"] < 1e-4 for name, row in steps.items() if "INT8" not in name)
    noise, _ = tables(data)
    assert [row[0].text for row in noise.rows] == ["clean", "constant", "random", "batch"]
    assert [cell.text for cell in noise.rows[-1][3:]] == ["–"] * 3


@pytest.mark.slow
def test_a_data_set_gives_accuracy() -> None:
    images = torch.randint(0, 256, (24, 3, 224, 224), dtype=torch.uint8)
    split = MemorySplit(images, torch.arange(24) % 3, padding=0)
    classes = tuple(map(str, range(1000)))
    data = ImageSet("folder", classes, 224, (0.5,) * 3, (0.5,) * 3, split, split, split)
    told = found(small(), data, count=1, repeats=1, rounds=1)
    with torch.no_grad():
        right = small()(images.float() / 255).argmax(1) == split.labels
    assert told["noise"][0]["share"] == pytest.approx(right.double().mean().item())
    assert "Accuracy on 24 images of the data set folder" in page(told)


def test_the_study_writes_the_page_of_the_docs(tmp_path: Path) -> None:
    (tmp_path / "network.json").write_bytes((DOCS / "real-network.json").read_bytes())
    study(tmp_path, tmp_path / "docs")
    for name in ("real-network.json", "results/real-network.md"):
        assert (tmp_path / "docs" / name).read_bytes() == (DOCS / name).read_bytes()


def test_the_page_in_the_docs_is_that_of_the_data_in_the_docs() -> None:
    data = json.loads((DOCS / "real-network.json").read_text(encoding="utf-8"))
    assert data["photographs"] == len(UNSEEN)
    assert (DOCS / "results" / "real-network.md").read_text(encoding="utf-8") == page(data)
