"""Foreign images in a training batch: batch noise from mixed data sets (IEBN, arXiv 1908.04008).

The foreign images share the batch's statistics and nothing else: no loss is taken of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from asr_core.data import DATASETS, open_data
from asr_core.data.split import Split
from asr_core.draws import generator
from asr_core.registry import unknown_name

NOISE = "noise"

Mates = Callable[[Tensor], Tensor]
"""``mates(images)``: foreign images (M, 3, H, W) for a batch (N, 3, H, W)."""


@contextlib.contextmanager
def mixed_batch(model: nn.Module, mates: Mates) -> Iterator[None]:
    """Each forward of ``model`` also sees foreign images; only the outputs of its own come back.

    Args:
        model: images (N, 3, H, W) -> outputs (N, …).
        mates: the foreign images of a forward.
    """

    def join(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        (images,) = inputs
        counts.append(len(images))
        foreign = mates(images).to(images)
        joined = torch.cat([images, foreign])
        if images.is_contiguous(memory_format=torch.channels_last):
            joined = joined.contiguous(memory_format=torch.channels_last)
        return (joined,)

    def part(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output[: counts.pop()]

    counts: list[int] = []
    with contextlib.ExitStack() as stack:
        stack.callback(model.register_forward_pre_hook(join).remove)
        stack.callback(model.register_forward_hook(part, prepend=True).remove)
        yield


class ForeignImages:
    """As many foreign images as a batch has of its own: noise, or another data set's.

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

    def at(self, step: int) -> Mates:
        """The foreign images of a step; a step's forwards see equal ones."""

        def mates(images: Tensor) -> Tensor:
            chance = generator("foreign", self._seed, step)
            if self.name == NOISE:
                return torch.rand(images.shape, generator=chance)
            split = self._open(images.shape[-1])
            return split.test_batch(torch.randint(len(split), (len(images),), generator=chance))

        return mates

    def _open(self, size: int) -> Split:
        if self._split is None:
            data = open_data(self.name, image_size=size)
            self._split = data.train
        return self._split


def check_mix(name: str) -> str:
    """``name``, if there are such foreign images.

    Raises:
        InputError: neither "noise", nor a data set, nor a folder.
    """
    if name != NOISE and name not in DATASETS and not Path(name).is_dir():
        raise unknown_name("foreign images", name, [NOISE, *DATASETS.names(), "or a folder"])
    return name
