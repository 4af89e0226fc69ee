"""styletransfer.losses.choose: VGG16 where it has been fetched, and the embedded network else."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import VGG16_Weights, vgg16

from asr_core.errors import CheckpointError
from asr_core.pretrained import fetch
from styletransfer.losses.choose import loss_network, name_of, settled
from styletransfer.losses.embedded import EmbeddedLossNetwork
from styletransfer.losses.vgg import VGGLossNetwork, cached_weights


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of VGG16's shapes."""
    with torch.device("meta"):
        layers: nn.Sequential = vgg16(weights=None, init_weights=False).features
    shapes = {f"features.{name}": tensor.shape for name, tensor in layers.state_dict().items()}
    path = tmp_path_factory.mktemp("vgg") / "weights.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, path)
    return path


@pytest.fixture(autouse=True)
def caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Empty caches of ours and of torchvision's."""
    monkeypatch.setenv("ROBUST_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "theirs"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path


def test_nothing_fetched_means_the_embedded_network(caches: Path) -> None:
    assert cached_weights() is None
    assert settled() == settled("auto") == "embedded"
    assert isinstance(loss_network(), EmbeddedLossNetwork)
    assert name_of("auto") == loss_network().name
    assert list(caches.iterdir()) == [], "nothing is fetched"
    with pytest.raises(CheckpointError, match=rf"vgg16 has not been fetched.*{caches}"):
        loss_network("vgg16")


def test_vgg16_once_it_has_been_fetched(caches: Path, file: Path) -> None:
    fetch("vgg16", source=file)
    assert cached_weights() == caches / "ours" / "vgg16.safetensors"
    assert settled() == settled("auto") == "vgg16"
    for choice in ("auto", "vgg16"):
        assert isinstance(loss_network(choice), VGGLossNetwork)
        assert name_of(choice) == loss_network(choice).name
    assert isinstance(loss_network("embedded"), EmbeddedLossNetwork)
    assert name_of("embedded") == EmbeddedLossNetwork.name != VGGLossNetwork.name


def test_torchvisions_own_download_counts_too(caches: Path, file: Path) -> None:
    theirs = caches / "theirs" / "hub" / "checkpoints" / "vgg16-397923af.pth"
    assert VGG16_Weights.IMAGENET1K_V1.url.endswith(theirs.name)
    theirs.parent.mkdir(parents=True)
    torch.save({"features.0.weight": torch.ones(1)}, theirs)
    assert cached_weights() == theirs
    assert settled() == "vgg16"
    fetch("vgg16", source=file)
    assert cached_weights() == caches / "ours" / "vgg16.safetensors", "ours come first"


def test_a_file_is_used_when_given(file: Path) -> None:
    assert settled(str(file)) == str(file)
    assert isinstance(loss_network(str(file)), VGGLossNetwork)
    assert name_of(str(file)) == VGGLossNetwork.name


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pth: no such checkpoint"):
        loss_network(str(tmp_path / "none.pth"))
