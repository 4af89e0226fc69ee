"""``robust inspect``: positions and counts against arithmetic and torchvision's own numbers."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torchvision
from click.testing import Result
from model_commands import failed, invoke

TARGETS = ["--targets", "layer*.*.bn2"]


def robust(*arguments: object) -> Result:
    return invoke("inspect", *arguments)


def listing(*arguments: object) -> dict[str, Any]:
    result = robust(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def se(channels: int) -> int:
    """ψ, and two fully connected layers with biases over C/16."""
    hidden = channels // 16
    return channels + 2 * channels * hidden + hidden + channels


def test_positions_and_counts_of_resnet18() -> None:
    found = listing("resnet18", *TARGETS)
    names = [f"layer{stage}.{block}.bn2" for stage in (1, 2, 3, 4) for block in (0, 1)]
    assert [position["name"] for position in found["positions"]] == names
    for stage, channels in enumerate((64, 128, 256, 512)):
        for position in found["positions"][2 * stage : 2 * stage + 2]:
            assert position["kind"] == "batch norm"
            assert position["channels"] == channels
            assert position["parameters"]["fused"] == 2 * channels
            assert position["parameters"]["training"] == 2 * channels + se(channels)
    plain = sum(p.numel() for p in torchvision.models.resnet18().parameters())
    gates = 2 * sum(map(se, (64, 128, 256, 512)))
    assert found["parameters"] == {"plain": plain, "training": plain + gates, "fused": plain}


def test_places_are_found_where_none_are_named() -> None:
    assert listing("resnet18") == listing("resnet18", *TARGETS)


def test_our_backbones_have_the_papers_positions() -> None:
    found = listing("asr:resnet164")
    names = [f"layer{stage}.{block}.bn3" for stage in (1, 2, 3) for block in range(18)]
    assert [position["name"] for position in found["positions"]] == names
    gates = 18 * sum(map(se, (64, 128, 256)))
    plain = 1_704_154  # the paper, Table 1
    assert found["parameters"] == {"plain": plain, "training": plain + gates, "fused": plain}
    hundred = listing("asr:resnet164", "--num-classes", 100)["parameters"]
    assert hundred["plain"] == 1_727_284


def test_targets_move_the_gates_of_our_backbones() -> None:
    found = listing("asr:resnet11", "--targets", "layer1.*.bn3", "--delta", 2)
    assert [position["name"] for position in found["positions"]] == ["layer1.0.bn3"]
    assert found["parameters"]["training"] - found["parameters"]["fused"] == 2 * se(64)


def test_gates_beside_live_attention() -> None:
    plain, both = listing("asr:resnet11"), listing("asr:resnet11+se")
    assert plain["positions"] == both["positions"]
    live = sum(se(channels) - channels for channels in (64, 128, 256))  # without ψ
    assert both["parameters"]["fused"] - plain["parameters"]["fused"] == live


def test_a_shared_gate_counts_once() -> None:
    found = listing("asr:repvgg_a0")
    blocks: dict[str, list[int]] = {}
    for position in found["positions"]:
        counts = position["parameters"]
        own = blocks.setdefault(position["name"].rpartition(".")[0], [])
        own.append(counts["training"] - counts["fused"])
    assert len(blocks) == 22
    assert all(first > 0 and not any(others) for first, *others in blocks.values())
    total = sum(first for first, *_ in blocks.values())
    assert found["parameters"]["training"] - found["parameters"]["fused"] == total


def test_the_table_says_the_same() -> None:
    found = listing("resnet18", *TARGETS, "--num-classes", 10)
    result = robust("resnet18", *TARGETS, "--num-classes", 10)
    head, *rows, last = result.stdout.splitlines()
    assert head.split("  ")[0] == "position"
    assert "parameters in training" in head
    assert head.endswith("after fusing")
    assert len(rows) == 8
    for row, position in zip(rows, found["positions"], strict=True):
        counts = position["parameters"]
        cells = [f"{counts['training']:,}", f"{counts['fused']:,}"]
        assert row.split()[0] == position["name"]
        assert row.split()[-3:] == [str(position["channels"]), *cells]
    whole = found["parameters"]
    assert last.startswith("8 positions, whole model")
    assert last.split()[-2:] == [f"{whole['training']:,}", f"{whole['fused']:,}"]


def test_num_classes_reaches_the_builder() -> None:
    ten, thousand = (listing("resnet18", *TARGETS, "--num-classes", n) for n in (10, 1000))
    assert thousand["parameters"]["plain"] - ten["parameters"]["plain"] == 990 * 513


def test_delta_multiplies_the_gates() -> None:
    one, three = (listing("resnet18", *TARGETS, "--delta", n)["parameters"] for n in (1, 3))
    assert three["training"] - three["fused"] == 3 * (one["training"] - one["fused"])


def test_targets_repeat_and_exclude_takes_away() -> None:
    found = listing(
        "resnet18", "--targets", "layer1.*.bn2", "--targets", "bn1", "--exclude", "layer1.0.*"
    )
    assert [position["name"] for position in found["positions"]] == ["bn1", "layer1.1.bn2"]


def test_the_control_learns_nothing() -> None:
    found = listing("resnet18", "--attention", "const", *TARGETS)["parameters"]
    assert found["training"] == found["fused"] == found["plain"]


def test_parameters_that_a_gate_creates_stay_after_fusing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_plain_norm.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Conv2d(3, 64, 1), nn.BatchNorm2d(64, affine=False))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    found = listing("own_plain_norm:make", "--targets", "1", "--create-affine")
    (position,) = found["positions"]
    assert position["created"] == ["weight", "bias"]
    assert position["parameters"] == {"training": 128 + se(64), "fused": 128}
    assert found["parameters"] == {"plain": 256, "training": 384 + se(64), "fused": 384}


def test_refusals_are_told() -> None:
    result = robust("resnet18", "--targets", "layer1.0.*")
    assert "no gate on 'layer1.0.relu': a ReLU has no output-channel parameters" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnet19", *TARGETS], ["unknown torchvision model 'resnet19'", "resnet18"]),
        (["resnet164"], ["unknown torchvision model 'resnet164'; close matches: asr:resnet164, "]),
        (
            ["asr:resnet163"],
            ["unknown backbone 'resnet163'. Did you mean 'resnet164'?", "vit_s_16"],
        ),
        (["asr:resnet11+es"], ["unknown attention module 'es'"]),
        (["resnet18", "--targets", "layer9.*"], ["'layer9.*' matches no layer"]),
        ([], ["Missing argument 'MODEL'"]),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], words: list[str]) -> None:
    result = robust(*arguments)
    failed(result, *words)
    assert result.stderr.count("\n") == 1
