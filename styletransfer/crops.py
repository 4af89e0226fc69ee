"""Random training crops of photographs, equal for equal generators."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.functional import resize

_SHORTEST, _LONGEST = 0.4, 1.0
_TINT = 0.25


def draw_crops(
    images: Sequence[Tensor], count: int, size: int, *, generator: torch.Generator
) -> Tensor:
    """Square crops of randomly chosen photographs, (count, 3, size, size) in [0, 1].

    Each takes 40-100 % of the shorter side, is flipped with probability 1/2, and is darkened by up
    to a quarter per colour, so that grey photographs do not teach that content is grey.

    Args:
        images: photographs (3, H, W) in [0, 1], on the device of the crops; an entry given twice is
            drawn twice as often.
        generator: of the CPU, so that a seed means the same crops on every device.
    """

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    crops = []
    for _ in range(count):
        image = images[int(torch.randint(len(images), (), generator=generator))]
        height, width = image.shape[-2:]
        side = max(1, round(uniform(_SHORTEST, _LONGEST) * min(height, width)))
        top = round(uniform(0, height - side))
        left = round(uniform(0, width - side))
        crop = resize(image[:, top : top + side, left : left + side], [size, size], antialias=True)
        if uniform(0, 1) < 0.5:
            crop = crop.flip(-1)
        tint = 1 - _TINT * torch.rand(3, 1, 1, generator=generator)
        crops.append(crop * tint.to(crop.device))
    return torch.stack(crops).clamp(0, 1)
