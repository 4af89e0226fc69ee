"""``robust fuse``: the stock model's file, or nothing at all."""

import errno
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from click.testing import Result
from header import change_facts
from model_commands import failed, invoke
from safetensors.torch import load_file
from saved_models import save_gated
from tiny_networks import save_tiny
from torch import nn

from asr_core import fuse_asr
from asr_core.saving.checkpoint import load_meta
from robust.models import files as model_files
from robust.models.files import open_model
from styletransfer.zoo import load_network


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "gated.safetensors"
    save_gated(path)
    return path


def fuse(*arguments: object) -> Result:
    return invoke("fuse", *arguments)


def test_the_file_is_the_stock_models_with_v_in_it(checkpoint: Path, tmp_path: Path) -> None:
    """The oracle: a stock resnet18 whose bn2 outputs are multiplied by v from outside."""
    out = tmp_path / "plain.safetensors"
    result = fuse(checkpoint, "--out", out)
    assert result.exit_code == 0, result.output
    plain = torchvision.models.resnet18(num_classes=10)
    plain.load_state_dict(load_file(out), strict=True)

    gated = open_model(checkpoint).model
    stock = torchvision.models.resnet18(num_classes=10)
    tensors = {
        name.replace("parametrizations.", "").replace(".original", ""): value
        for name, value in gated.state_dict().items()
        if ".asr." not in name
    }
    stock.load_state_dict(tensors, strict=True)
    for name, module in gated.named_modules():
        if "asr" in module._modules:
            v = module.asr.scale().detach()  # type: ignore[union-attr,operator]
            stock.get_submodule(name).register_forward_hook(
                lambda _, __, output, v=v: output * v[:, None, None]
            )
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        a, b, bare = plain.eval()(x), stock.eval()(x), torchvision.models.resnet18(num_classes=10)
        bare.load_state_dict(tensors)
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(a, bare.eval()(x), rtol=0.1), "the gates do something"


def test_the_figures_are_told(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "plain.safetensors"
    lines = fuse(checkpoint, "--out", out).stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{out}: 8 gates fused; outputs agree: max abs ")
    assert "argmax agreement 100.00%" in lines[0]
    assert "eval mode" in lines[0]
    assert lines[1].startswith("speed: ")
    assert "4 × 3 × 32 × 32" in lines[1]


def test_the_figures_as_json(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "plain.safetensors"
    figures = json.loads(fuse(checkpoint, "--out", out, "--json").stdout)
    assert figures["out"] == str(out)
    assert figures["gates"] == 8
    assert figures["parity"]["max_rel"] <= figures["parity"]["tolerance"] == 1e-5
    assert figures["parity"]["argmax_agreement"] == 1
    assert figures["speed"]["shape"] == [4, 3, 32, 32]
    assert figures["speed"]["before_seconds"] > 0
    assert figures["speed"]["after_seconds"] > 0


def test_a_fused_file_has_nothing_left_to_fuse(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "plain.safetensors"
    fuse(checkpoint, "--out", out)
    before = out.read_bytes()
    failed(fuse(out, "--out", tmp_path / "again.safetensors"), "has no ASR: nothing to fuse")
    assert out.read_bytes() == before


@pytest.mark.parametrize("norm", ["bn+asr", "bn+const"])
def test_a_style_network_becomes_one_of_norm_bn(tmp_path: Path, norm: str) -> None:
    path = save_tiny(tmp_path, norm, 0)
    out = tmp_path / "plain.safetensors"
    result = fuse(path, "--out", out)
    assert result.exit_code == 0, result.output
    network, meta = load_network(out)
    assert network.config["norm"] == "bn"
    assert meta["fused_from"] == norm
    assert meta["style"] == "mosaic"
    images = torch.rand(1, 3, 48, 64)
    gated = load_network(path)[0]
    with torch.no_grad():
        assert torch.allclose(network(images), gated(images), atol=1e-6)
    assert not any("asr" in name for name in network.state_dict())


# --- when the models do not agree -----------------------------------------------------------------


def test_nothing_is_written_when_the_models_differ(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: nn.Module) -> nn.Module:
        plain = fuse_asr(model)
        plain.layer3[0].bn1.bias.data += 0.01  # type: ignore[index,union-attr]
        return plain

    monkeypatch.setattr(model_files, "fuse_asr", wrong)
    result = fuse(checkpoint, "--out", tmp_path / "out" / "plain.safetensors")
    failed(result, "outputs differ", "max abs", "first part at 'layer3.0.bn1'", code=1)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_leaves_nothing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    failed(fuse(checkpoint, "--out", tmp_path / "plain.safetensors"), "no space left on the disk")
    assert list(tmp_path.iterdir()) == []


# --- models that the user's own code builds -------------------------------------------------------

OWN = """
from pathlib import Path
import torchvision

def make(num_classes):
    Path("ran").touch()
    return torchvision.models.resnet18(num_classes=num_classes)
"""


@pytest.fixture
def own(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint that names code in the working directory."""
    (tmp_path / "own_resnet.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.delitem(sys.modules, "own_resnet", raising=False)
    path = tmp_path / "own.safetensors"
    shutil.copy(checkpoint, path)
    change_facts(path, stock="own_resnet:make")
    return path


def test_code_that_a_checkpoint_names_is_not_run(own: Path) -> None:
    result = fuse(own, "--out", "plain.safetensors")
    failed(result, "built by code that it names", "give own_resnet:make")
    assert not Path("ran").exists()
    assert not Path("plain.safetensors").exists()


def test_code_that_the_user_names_is_run(own: Path) -> None:
    result = fuse(own, "--model", "own_resnet:make", "--out", "plain.safetensors")
    assert result.exit_code == 0, result.output
    assert Path("ran").exists()


def test_another_name_for_the_same_architecture(own: Path) -> None:
    result = fuse(own, "--model", "resnet18", "--out", "plain.safetensors")
    assert result.exit_code == 0, result.output
    assert not Path("ran").exists()
    assert load_meta("plain.safetensors")["stock"] == "resnet18"


def test_another_architecture(own: Path) -> None:
    result = fuse(own, "--model", "resnet34", "--out", "plain.safetensors")
    failed(result, "not the tensors of its stock model", "missing: layer1.2.conv1.weight")


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("plain.pt", ["must end in .safetensors"]),
        ("gated.safetensors", ["would replace the checkpoint itself"]),
        ("taken.safetensors", ["taken.safetensors exists already", "--overwrite"]),
    ],
)
def test_places_that_are_not_written_to(tmp_path: Path, out: str, words: list[str]) -> None:
    path = tmp_path / "gated.safetensors"
    path.write_text("never read")
    (tmp_path / "taken.safetensors").touch()
    before = sorted(file.name for file in tmp_path.iterdir())
    failed(fuse(path, "--out", tmp_path / out), *words)
    assert sorted(file.name for file in tmp_path.iterdir()) == before


def test_an_existing_file_is_replaced_on_request(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "plain.safetensors"
    out.write_text("old")
    assert fuse(checkpoint, "--out", out, "--overwrite").exit_code == 0
    assert open_model(out).gates == 0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "loss-network"}, ["'loss-network'", "'asr-model'", "'style-network'"]),
        ({"stock": "resnet19"}, ["unknown torchvision model 'resnet19'", "resnet18"]),
        ({"colour": 1}, ["unknown field 'colour'"]),
        ({"arguments": {"num_classes": 9}}, ["fc.weight (10, 512)", "for (9, 512)"]),
    ],
)
def test_checkpoints_that_are_none(
    checkpoint: Path, tmp_path: Path, fields: dict[str, Any], words: list[str]
) -> None:
    path = tmp_path / "gated.safetensors"
    shutil.copy(checkpoint, path)
    change_facts(path, **fields)
    failed(fuse(path, "--out", tmp_path / "plain.safetensors"), *words)
    assert not (tmp_path / "plain.safetensors").exists()


def test_a_style_network_is_built_by_no_name(tmp_path: Path) -> None:
    path = save_tiny(tmp_path, "bn+asr", 0)
    result = fuse(path, "--model", "resnet18", "--out", tmp_path / "plain.safetensors")
    failed(result, "is a style network, which 'resnet18' does not build")


def test_a_style_network_without_gates(tmp_path: Path) -> None:
    result = fuse(save_tiny(tmp_path, "in", 0), "--out", tmp_path / "plain.safetensors")
    failed(result, "has no ASR: nothing to fuse")


def test_a_sample_of_another_shape_than_the_model_takes(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "gated.safetensors"
    shutil.copy(checkpoint, path)
    change_facts(path, input_shape=[4, 32, 32])
    result = fuse(path, "--out", tmp_path / "plain.safetensors")
    failed(result, "does not take inputs of shape (4, 4, 32, 32)", "expected")
