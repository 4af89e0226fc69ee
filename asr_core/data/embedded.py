"""The data sets that need no download: 32×32 patches of 18 photographs and textures.

The class is the picture of a patch; for ``embedded-quarters`` also the quarter of its height: finer
labels of the same images, as CIFAR100's are to CIFAR10's, and far harder. The splits lie side by
side in each picture, so no pixel is in two of them: train in the left half, validation in the next
10 % of the width, test in the right 35 %, with a gap of 5 % between validation and test. Grey
pictures give grey patches. In training a moved patch is filled up by reflection: black borders
would be in training batches alone, and cost a network 14 points more on a test batch's statistics
(docs/results/borders.md).

Patches lie at the points of the R2 sequence (M. Roberts, "The unreasonable effectiveness of
quasirandom sequences", 2018), which cover a region evenly: a fixed split, without random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from asr_core.data.image_set import ImageSet
from asr_core.data.memory import MemorySplit
from asr_core.data.photographs import PHOTOGRAPHS, pixels
from asr_core.data.source import DATASETS, Source
from asr_core.errors import InputError

CLASSES = tuple(name for name in PHOTOGRAPHS if name != "motorcycle_right")
"""The 18 classes: every picture, but only the left one of the stereo pair."""

SIZE = 32
QUARTERS = 4
REGIONS = {"train": (0.0, 0.5), "validation": (0.5, 0.6), "test": (0.65, 1.0)}
"""Where each split lies, in fractions of a picture's width."""

PATCHES = {"train": 400, "validation": 50, "test": 100}
"""Number of patches of each class."""

MEAN = (0.4692, 0.4034, 0.3831)
STD = (0.2418, 0.2103, 0.2150)
"""Of the training patches, in [0, 1]."""

_PLASTIC = 1.32471795724474602596  # the real root of x³ = x + 1, on which R2 rests


def corners(split: str, height: int, width: int) -> Tensor:
    """The upper left corners of a split's patches in a picture, int64 (n, 2): row, column."""
    left, right = (round(fraction * width) for fraction in REGIONS[split])
    places = height - SIZE + 1, right - left - SIZE + 1
    points = []
    for k in range(PATCHES[split]):
        down, across = (math.modf(0.5 + (k + 1) / _PLASTIC**power)[0] for power in (1, 2))
        points.append((int(down * places[0]), left + int(across * places[1])))
    return torch.tensor(points)


def patches(split: str, pictures: Sequence[Tensor]) -> MemorySplit:
    """The patches of ``split`` from ``pictures``, uint8 (3, H, W), in their order."""
    images = []
    for picture in pictures:
        rows, columns = corners(split, *picture.shape[1:]).unbind(1)
        windows = picture.unfold(1, SIZE, 1).unfold(2, SIZE, 1)  # (3, H', W', 32, 32)
        images.append(windows[:, rows, columns].transpose(0, 1))
    labels = torch.arange(len(pictures)).repeat_interleave(PATCHES[split])
    return MemorySplit(torch.cat(images), labels, border="reflect")


def quarters(split: str, pictures: Sequence[Tensor]) -> Tensor:
    """Labels of :func:`patches`, int64: 4 · picture + quarter of the middle, from the top."""
    labels = []
    for number, picture in enumerate(pictures):
        height, width = picture.shape[1:]
        middles = corners(split, height, width)[:, 0] + SIZE // 2
        labels.append(QUARTERS * number + middles * QUARTERS // height)
    return torch.cat(labels)


@DATASETS.register("embedded")
def open_embedded(source: Source) -> ImageSet:
    """The embedded patches, from files that come with scikit-image."""
    pictures = _pictures("embedded", source)
    return _image_set("embedded", CLASSES, {split: patches(split, pictures) for split in REGIONS})


@DATASETS.register("embedded-quarters")
def open_quarters(source: Source) -> ImageSet:
    """The same patches in 72 classes, a quarter of a picture's height each."""
    pictures = _pictures("embedded-quarters", source)
    splits = {
        split: MemorySplit(
            patches(split, pictures).images, quarters(split, pictures), border="reflect"
        )
        for split in REGIONS
    }
    classes = tuple(f"{name}-{quarter + 1}" for name in CLASSES for quarter in range(QUARTERS))
    return _image_set("embedded-quarters", classes, splits)


def _pictures(name: str, source: Source) -> list[Tensor]:
    source.check_size(name, SIZE)
    if source.folder is not None:
        raise InputError(f"{name} needs no folder of files; leave out {source.folder}")
    return [pixels(picture) for picture in CLASSES]


def _image_set(name: str, classes: tuple[str, ...], splits: Mapping[str, MemorySplit]) -> ImageSet:
    return ImageSet(
        name=name,
        classes=classes,
        image_size=SIZE,
        mean=MEAN,
        std=STD,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
    )
