"""Foreign images in a training batch: batch noise from mixed data sets (IEBN, arXiv 1908.04008).

The foreign images share the batch's statistics and nothing else: no loss is taken of them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from asr_core.data import DATASETS, open_data
from asr_core.data.split import Split
from asr_core.draws import generator
from asr_core.registry import unknown_name
from robust.norm_noise.companions import Join

NOISE = "noise"


class ForeignImages:
    """Foreign images for a batch, as many as its own: noise, or another data set's.

    Args:
        name: "noise" for independent U(0, 1) pixels, or a data set by name or folder, from whose
            training split images are drawn with replacement, without augmentation. It is opened at
            the first batch.
        seed: of the draws.

    Raises:
        InputError: an unknown name.
    """

    def __init__(self, name: str, *, seed: int) -> None:
        self.name = check_mix(name)
        self._seed = seed
        self._split: Split | None = None

    def draw(self, images: Tensor, *, step: int) -> Tensor:
        """The foreign images of a step, as many as ``images``, (N, 3, H, W) in [0, 1]."""
        chance = generator("foreign", self._seed, step)
        if self.name == NOISE:
            return torch.rand(images.shape, generator=chance).to(images)
        if self._split is None:
            self._split = open_data(self.name, image_size=images.shape[-1]).train
        chosen = torch.randint(len(self._split), (len(images),), generator=chance)
        return self._split.test_batch(chosen).to(images)

    def at(self, step: int) -> Join:
        """Puts the foreign images of a step behind the batch's own; each forward sees the same."""
        return lambda images: (
            torch.cat([images, self.draw(images, step=step)]),
            slice(len(images)),
        )


def check_mix(name: str) -> str:
    """``name``, if there are such foreign images.

    Raises:
        InputError: neither "noise", nor a data set, nor a folder.
    """
    if name != NOISE and name not in DATASETS and not Path(name).is_dir():
        raise unknown_name("foreign images", name, [NOISE, *DATASETS.names(), "or a folder"])
    return name
