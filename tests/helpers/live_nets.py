"""Small networks with live channel gates in the places where they stand in real ones."""

import torch
from timm.models.resnet import Bottleneck, ResNet
from torch import nn
from torchvision.ops.misc import SqueezeExcitation

from asr_core.attention import SE


def randomise(model, seed=0):
    """Weights, biases and running statistics from a seed, so that gates differ between images."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if not value.is_floating_point():
                continue
            draw = torch.rand(value.shape, generator=generator, dtype=torch.float64)
            if value.ndim < 2:
                start = 0.0 if name.endswith(("bias", "running_mean", "beta")) else 0.7
                value.copy_(start + 0.6 * draw)
            else:
                fan_in = value[0].numel()
                value.copy_((draw - 0.5) * (12 * 2 / fan_in) ** 0.5)
    return model


def ready(model, seed=0):
    """Randomised, in float64 and eval mode."""
    return randomise(model, seed).double().eval()


def images(n=4, size=16, channels=3, seed=0):
    """Inputs of unequal contrast, float64 (n, channels, size, size)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, channels, size, size, generator=generator, dtype=torch.float64)
    return x * torch.linspace(0.2, 3, n, dtype=torch.float64)[:, None, None, None]


def timm_resnet(attention=None, classes=5):
    """A ResNet of timm's with one bottleneck a stage; ``attention`` as timm names it."""
    options = {"block_args": {"attn_layer": attention}} if attention else {}
    return ResNet(
        Bottleneck, (1, 1, 1, 1), num_classes=classes, channels=(8, 8, 16, 16), stem_width=8,
        **options,
    )  # fmt: skip


class Gated(nn.Module):
    """before -> x * SE(x) -> behind, with a gate that does not multiply by itself."""

    def __init__(self, before, behind, channels=8, *, activation="sigmoid"):
        super().__init__()
        self.before = before
        self.gate = SE(channels, activation=activation)
        self.behind = behind

    def forward(self, x):
        x = self.before(x)
        return self.behind(x * self.gate(x))


def squeeze(channels=8):
    """torchvision's module, which multiplies by itself."""
    return SqueezeExcitation(channels, 4)
