"""The data sets ``shapes`` (32 pixels) and ``shapes-96``: drawn once, then read from the cache."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from asr_core.data.image_set import ImageSet
from asr_core.data.memory import MemorySplit
from asr_core.data.shapes.draw import draw
from asr_core.data.shapes.figures import CLASSES
from asr_core.data.shapes.textures import TEST, TRAIN, Pixels
from asr_core.data.source import DATASETS, Source
from asr_core.data.stratify import cut
from asr_core.errors import InputError
from asr_core.pretrained.cache import folder
from asr_core.saving.files import atomic_path

PARTS = {"train": (20_000, TRAIN), "test": (10_000, TEST)}
"""Pictures in each part, and the photographs that fill them."""
VALIDATION_FRACTION = 0.1


@dataclass(frozen=True)
class Shapes:
    """One of the two sets.

    Attributes:
        name: in :data:`DATASETS`.
        size: H = W, in pixels.
        digest: SHA-256 of the pixels, training then test.
        mean: mean of the training pictures, in [0, 1].
        std: their standard deviation.
    """

    name: str
    size: int
    digest: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def open(self, source: Source) -> ImageSet:
        """The set; the first time it is drawn, in less than a minute.

        Raises:
            InputError: another size, a folder, or this machine draws other pictures.
        """
        source.check_size(self.name, self.size)
        if source.folder is not None:
            raise InputError(f"{self.name} needs no folder of files; leave out {source.folder}")
        images = torch.from_numpy(self._cached())
        labels = torch.arange(len(images)) % len(CLASSES)  # of each part, by turns
        count = PARTS["train"][0]
        kept, taken = cut(labels[:count], VALIDATION_FRACTION)
        tested = torch.arange(count, len(images))
        train, validation, test = (
            MemorySplit(
                images[part], labels[part % count], padding=self.size // 8, border="reflect"
            )
            for part in (kept, taken, tested)
        )
        return ImageSet(
            name=self.name,
            classes=CLASSES,
            image_size=self.size,
            mean=self.mean,
            std=self.std,
            train=train,
            validation=validation,
            test=test,
        )

    def _cached(self) -> Pixels:
        """All pictures, uint8 (N, 3, H, W), from the cache if its file is whole."""
        path = folder() / f"{self.name}-{self.digest[:12]}.npy"
        if (images := self._read(path)) is not None:
            return images
        images = drawn(self.size)
        if (found := digest(images)) != self.digest:
            raise InputError(
                f"{self.name}: this machine draws other pictures: their SHA-256 is {found[:12]}…, "
                f"not {self.digest[:12]}…. Pillow, scikit-image or foolbox may come with other "
                "photographs, or decode them otherwise; install the released packages"
            )
        try:
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                np.save(file, images, allow_pickle=False)
        except OSError as error:
            warnings.warn(f"{self.name} is not kept, and drawn each time: {error}", stacklevel=2)
        return images

    def _read(self, path: Path) -> Pixels | None:
        try:
            images = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return images if digest(images) == self.digest else None


def drawn(size: int) -> Pixels:
    """The pictures of both parts at ``size`` pixels, uint8 (N, 3, size, size)."""
    return np.concatenate(
        [
            draw(count, size, seed=seed, photographs=photographs)[0]
            for seed, (count, photographs) in enumerate(PARTS.values())
        ]
    )


def digest(images: Pixels) -> str:
    """SHA-256 of the pixels and their shape, in hexadecimal."""
    text = f"{images.dtype.str}{images.shape}".encode()
    return hashlib.sha256(text + np.ascontiguousarray(images).data.cast("B")).hexdigest()


SETS = (
    Shapes(
        "shapes", 32,
        "bb764f9e7fd0f30f96581df957e4521d3d676c436507f6e336004f34d9c9a44a",
        (0.4988, 0.4992, 0.4987), (0.1901, 0.1903, 0.1900),
    ),
    Shapes(
        "shapes-96", 96,
        "8df8fce71141ac830a51c31a34ddd4d3485373473db66a2a4059314c622f1abf",
        (0.4988, 0.4991, 0.4986), (0.1917, 0.1920, 0.1917),
    ),
)  # fmt: skip

for _each in SETS:
    DATASETS.register(_each.name)(_each.open)
