"""LPIPS against piq's implementation, on random weights of the real shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import piq.perceptual
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models

from asr_core.errors import CheckpointError, InputError
from robust.metrics.lpips import LPIPS, Backbone

RELUS = {"alex": ("1", "4", "7", "9", "11"), "vgg": ("3", "8", "15", "22", "29")}
WIDTHS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}


def trunk(backbone: Backbone) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        whole = models.alexnet() if backbone == "alex" else models.vgg16(init_weights=False)
    features = whole.features[: int(RELUS[backbone][-1]) + 1].eval()
    for layer in features:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
    return features  # type: ignore[no-any-return]


def heads(backbone: Backbone) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(1, width, 1, 1, generator=generator) for width in WIDTHS[backbone]]


def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(3, 3, 64, 72, generator=generator)
    other = (images + 0.1 * torch.randn(images.shape, generator=generator)).clamp(0, 1)
    other[2] = images[2]
    return images, other


@pytest.mark.parametrize("backbone", ["alex", "vgg"])
def test_it_equals_another_implementation(backbone: Backbone) -> None:
    features, weights = trunk(backbone), heads(backbone)
    state = {f"features.{name}": tensor for name, tensor in features.state_dict().items()}
    state |= {f"lin{index}.weight": weight for index, weight in enumerate(weights)}
    other = piq.perceptual.ContentLoss(
        features, layers=RELUS[backbone], weights=weights, normalize_features=True, reduction="none"
    )
    images, reference = pair()
    found = LPIPS(backbone, state)(images, reference)
    expected = other(images, reference)
    assert expected[0] > 1e-5, "the case is not vacuous"
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-9)
    assert found[2] == 0


def test_weights_of_the_other_backbone_are_refused() -> None:
    state = {f"lin{index}.weight": weight for index, weight in enumerate(heads("vgg"))}
    with pytest.raises(CheckpointError, match=r"features\.0\.weight"):
        LPIPS("alex", state)


def test_unfetched_weights_are_an_error(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("ROBUST_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="lpips-alex has not been fetched"):
        LPIPS("alex")


def test_unknown_backbones_and_small_images() -> None:
    with pytest.raises(InputError, match=r"'squeeze'.*alex, vgg"):
        LPIPS("squeeze")  # type: ignore[arg-type]
    features, weights = trunk("alex"), heads("alex")
    state = {f"features.{name}": tensor for name, tensor in features.state_dict().items()}
    state |= {f"lin{index}.weight": weight for index, weight in enumerate(weights)}
    with pytest.raises(InputError, match="63"):
        LPIPS("alex", state)(torch.zeros(1, 3, 62, 63), torch.zeros(1, 3, 62, 63))


def test_the_published_weights_see_blur_and_noise(fetched: Callable[[str], Path]) -> None:
    state = load_file(fetched("lpips-alex"))
    images, _ = pair()
    noisy = [(images + level * torch.randn(images.shape)).clamp(0, 1) for level in (0.02, 0.1, 0.3)]
    distances = [LPIPS("alex", state)(each, images).mean().item() for each in noisy]
    assert 0 < distances[0] < distances[1] < distances[2] < 2
