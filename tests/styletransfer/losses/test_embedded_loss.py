"""styletransfer.losses.embedded: the loss network that ships with the package."""

from pathlib import Path

import pytest
import torch
from header import write_facts
from torch import Tensor
from torch.nn import functional as F

from asr_core.errors import CheckpointError
from asr_core.saving.checkpoint import load_checkpoint, save_checkpoint
from styletransfer.images.embedded import TRAINING, held_out
from styletransfer.losses.embedded import WEIGHTS, EmbeddedLossNetwork, laplacian_bands


@pytest.fixture(scope="module")
def network() -> EmbeddedLossNetwork:
    return EmbeddedLossNetwork()


def picture(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


# --- the luminance's bands ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (50, 70)])
def test_each_band_of_each_image_has_a_root_mean_square_of_one(size: tuple[int, int]) -> None:
    bands = laplacian_bands(picture(2, 3, *size))
    assert len(bands) == 3
    for level, band in enumerate(bands, start=1):
        assert band.shape == (2, 1, size[0] >> level, size[1] >> level)
        rms = band.square().mean((1, 2, 3)).sqrt()
        assert torch.allclose(rms, torch.ones(2), atol=0.01)


def test_contrast_and_brightness_do_not_matter() -> None:
    x = held_out("cat", size=64)[None]
    for band, pale in zip(laplacian_bands(x), laplacian_bands(0.4 * x + 0.3), strict=True):
        assert torch.allclose(band, pale, atol=0.02)


def test_grain_is_left_out_and_shapes_are_not() -> None:
    checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    grain = checks.float().expand(1, 3, 64, 64)
    flat = torch.full((1, 3, 64, 64), 0.5)
    x = held_out("cat", size=64)[None]
    assert all(band.abs().max() < 1e-3 for band in laplacian_bands(flat))
    for band, grained in zip(laplacian_bands(x), laplacian_bands(x + 0.2 * grain), strict=True):
        assert torch.allclose(band, grained, atol=1e-3)
    moved = laplacian_bands(x.roll(8, dims=-1))
    assert all((a - b).abs().mean() > 0.3 for a, b in zip(laplacian_bands(x), moved, strict=True))


def test_the_bands_are_of_the_luminance() -> None:
    """ITU-R BT.601: two colours of equal luminance are the same."""
    x = picture(1, 3, 64, 64)
    grey = (x * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    grey = grey.expand(-1, 3, -1, -1)
    for band, of_grey in zip(laplacian_bands(x), laplacian_bands(grey), strict=True):
        assert torch.allclose(band, of_grey, atol=1e-4)


# --- the network ----------------------------------------------------------------------------------


def test_what_it_gives(network: EmbeddedLossNetwork) -> None:
    x = picture(2, 3, 64, 64)
    found = network(x)
    assert sum(weight for weight, _ in found.content) == pytest.approx(1)
    assert [weight for weight, _ in found.content] == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    assert [tuple(f.shape) for f in found.style] == [
        (2, 32, 64, 64), (2, 32, 32, 32), (2, 32, 16, 16), (2, 32, 8, 8),
        (2, 24, 64, 64), (2, 48, 32, 32), (2, 96, 16, 16), (2, 128, 8, 8),
    ]  # fmt: skip
    assert torch.equal(found.content[-1][1], found.style[5]), "the mini-VGG's second stage"


def test_the_content_alone_is_the_same(network: EmbeddedLossNetwork) -> None:
    x = picture(1, 3, 64, 64)
    content = network(x, style=False)
    assert content.style == []
    for (weight, feature), (same, whole) in zip(content.content, network(x).content, strict=True):
        assert weight == same
        assert torch.equal(feature, whole)


def test_it_is_fixed_float32_and_equal_every_time(network: EmbeddedLossNetwork) -> None:
    state = torch.get_rng_state()
    again = EmbeddedLossNetwork()
    assert torch.equal(torch.get_rng_state(), state)
    assert not network.training
    for name, parameter in network.named_parameters():
        assert not parameter.requires_grad
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, again.get_parameter(name))


def test_the_shipped_weights_are_those_of_their_json() -> None:
    tensors, meta = load_checkpoint(WEIGHTS)
    assert meta["kind"] == "mini-vgg"
    assert meta["classes"] == list(TRAINING), "held-out photographs were never seen"
    assert meta["final"]["training_accuracy"] > 0.7
    assert len(tensors) == 14


def test_the_weights_have_learned_something(network: EmbeddedLossNetwork) -> None:
    """Features of one picture's halves are nearer to each other than to another picture's."""

    def description(image: Tensor) -> Tensor:
        return F.normalize(network(image[None]).style[-1].mean((2, 3)), dim=1)[0]

    cat, cup = held_out("cat", size=128), held_out("coffee", size=128)
    left, right = description(cat[..., :64]), description(cat[..., 64:])
    assert left @ right > left @ description(cup[..., :64])


# --- files that are not its weights ---------------------------------------------------------------


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.safetensors: no such checkpoint"):
        EmbeddedLossNetwork(tmp_path / "gone.safetensors")


def test_another_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, {"w": torch.ones(1)}, {"kind": "style-network"})
    with pytest.raises(CheckpointError, match="of kind 'style-network', not 'mini-vgg'"):
        EmbeddedLossNetwork(path)


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors, meta = load_checkpoint(WEIGHTS)
    save_checkpoint(path, tensors, meta)
    EmbeddedLossNetwork(path)
    write_facts(path, {**meta, "sha256": "0" * 64})
    with pytest.raises(CheckpointError, match="SHA-256"):
        EmbeddedLossNetwork(path)
