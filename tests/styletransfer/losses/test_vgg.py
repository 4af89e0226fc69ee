"""styletransfer.losses.vgg: torchvision's VGG16, with weights from a file of the user's.

The weights are random: their features tell as well whether the layers, the order and the
normalisation are right.
"""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pickles import Marking
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import vgg16
from torchvision.transforms.functional import normalize

from asr_core.errors import CheckpointError
from styletransfer.images.drawn import draw_style
from styletransfer.images.embedded import held_out
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.losses.vgg import VGGLossNetwork


@pytest.fixture(scope="module")
def features() -> nn.Sequential:
    """torchvision's feature layers; on meta first, as its classifier is 500 MB of nothing."""
    with torch.device("meta"):
        layers: nn.Sequential = vgg16(weights=None, init_weights=False).features
    layers.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(
                layer.weight, std=(2 / layer.weight[0].numel()) ** 0.5, generator=generator
            )
            nn.init.normal_(layer.bias, std=0.1, generator=generator)
    return layers.eval()


@pytest.fixture(scope="module")
def state(features: nn.Sequential) -> dict[str, Tensor]:
    """As in torchvision's file: names with ``features.``, and a classifier (cut short here)."""
    named = {f"features.{name}": tensor for name, tensor in features.state_dict().items()}
    return {**named, "classifier.0.weight": torch.zeros(2, 2)}


@pytest.fixture(scope="module")
def pth(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "checkpoints" / "vgg16-397923af.pth"
    path.parent.mkdir()
    torch.save(OrderedDict(state), path)
    return path


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(1))


def torchvisions(features: nn.Sequential, images: Tensor, index: int) -> Tensor:
    x = normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        output: Tensor = features[: index + 1](x)
    return output


# --- the network ----------------------------------------------------------------------------------


def test_the_features_are_torchvisions(pth: Path, features: nn.Sequential, images: Tensor) -> None:
    found = VGGLossNetwork(pth)(images)
    # relu1_2, relu2_2, relu3_3, relu4_3 (Johnson et al. 2016), each just before a pooling
    poolings = [i for i, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
    assert [i - 1 for i in poolings[:4]] == [3, 8, 15, 22]
    for feature, index in zip(found.style, [3, 8, 15, 22], strict=True):
        assert torch.allclose(feature, torchvisions(features, images, index), rtol=1e-4, atol=1e-5)
        assert feature.std() > 0
    ((weight, content),) = found.content
    assert weight == 1
    assert torch.equal(content, found.style[1])
    assert [f.shape[1:] for f in found.style] == [
        (64, 32, 40), (128, 16, 20), (256, 8, 10), (512, 4, 5)
    ]  # fmt: skip


def test_the_content_alone_is_the_same_and_stops_early(pth: Path, images: Tensor) -> None:
    network = VGGLossNetwork(pth)
    both, content = network(images), network(images, style=False)
    assert content.style == []
    assert torch.equal(content.content[0][1], both.content[0][1])


@pytest.mark.parametrize("prefix", ["features.", ""])
@pytest.mark.parametrize("half", [False, True])
def test_safetensors_are_read_too(
    state: dict[str, Tensor], images: Tensor, pth: Path, tmp_path: Path, prefix: str, half: bool
) -> None:
    path = tmp_path / "vgg.safetensors"
    kept = {
        prefix + n.removeprefix("features."): t for n, t in state.items() if "classifier" not in n
    }
    save_file({name: t.half() if half else t for name, t in kept.items()}, path)
    found, wanted = (VGGLossNetwork(p)(images).style[-1] for p in (path, pth))
    assert found.dtype == torch.float32
    assert torch.allclose(found, wanted, rtol=0.05 if half else 0, atol=0.05 if half else 0)


def test_it_is_fixed_and_leaves_the_global_random_state_alone(pth: Path) -> None:
    before = torch.get_rng_state()
    network = VGGLossNetwork(pth)
    assert torch.equal(torch.get_rng_state(), before)
    assert not network.training
    assert not [p for p in network.parameters() if p.requires_grad]
    assert "VGG16" in network.name


def test_a_gradient_passes_through_to_the_picture(pth: Path, images: Tensor) -> None:
    output = images.clone().requires_grad_()
    terms = PerceptualLoss(VGGLossNetwork(pth), images[0])(output, images.flip(-1))
    (terms.content + terms.style).sum().backward()
    assert output.grad is not None
    assert output.grad.abs().amax((1, 2, 3)).min() > 0
    assert PerceptualLoss(VGGLossNetwork(pth), images[0])(images, images).style[0] < 1e-9


def test_the_published_weights_are_a_loss_network(fetched: Callable[[str], Path]) -> None:
    network = VGGLossNetwork(fetched("vgg16"))
    photograph, style = held_out("cat", size=64), draw_style("mosaic", size=64)
    noise = torch.randn(photograph.shape, generator=torch.Generator().manual_seed(0))
    noisy = (photograph + 0.1 * noise).clamp(0, 1)
    outputs = torch.stack([photograph, noisy, style])
    terms = PerceptualLoss(network, style)(outputs, photograph[None])
    assert terms.content[0] < 1e-9
    assert 0.01 < terms.content[1] < terms.content[2]
    assert terms.style[2] < 1e-9 < 0.1 < terms.style[0]


# --- files that are not its weights ---------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"vgg\.pth: no such checkpoint"):
        VGGLossNetwork(tmp_path / "vgg.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features.7.weight": None}, r"missing: features\.7\.weight"),
        (
            {"features.0.weight": torch.ones(64, 1, 3, 3)},
            r"features\.0\.weight \(64, 1, 3, 3\) for \(64, 3, 3, 3\)",
        ),
        ({"features.2.bias": torch.full((64,), torch.nan)}, r"features\.2\.bias holds NaN"),
    ],
)
def test_other_weights_are_refused(
    state: dict[str, Tensor], tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    small = {name: tensor for name, tensor in state.items() if tensor.numel() < 200_000}
    changed = {name: t for name, t in {**small, **change}.items() if t is not None}
    torch.save(changed, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=message):
        VGGLossNetwork(tmp_path / "x.pth")


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"features.0.weight": Marking(tmp_path / "marker")}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="could run code"):
        VGGLossNetwork(tmp_path / "x.pth")
    assert not (tmp_path / "marker").exists()


def test_a_truncated_download_is_refused(pth: Path, tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(pth.read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match=r"x\.pth: refused: it is damaged"):
        VGGLossNetwork(tmp_path / "x.pth")
