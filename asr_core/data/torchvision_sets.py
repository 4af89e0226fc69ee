"""CIFAR10, CIFAR100 and STL10: read and checked by torchvision, kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor
from torchvision.datasets import CIFAR10, CIFAR100, STL10
from torchvision.datasets.utils import check_integrity

from asr_core.data.image_set import ImageSet
from asr_core.data.memory import MemorySplit
from asr_core.data.source import DATASETS, Source
from asr_core.data.stratify import cut
from asr_core.errors import InputError

VALIDATION_FRACTION = 0.1

Figures = tuple[float, float, float]
Labelled = tuple[Tensor, Tensor]
"""Images uint8 (N, 3, H, W) and labels int64 (N,)."""
Read = Callable[[Any, Path, bool], tuple[Labelled, Labelled, tuple[str, ...]]]


class LabelledSTL10(STL10):
    """STL10 without its 2.6 GB of unlabelled images."""

    train_list = STL10.train_list[:2]


@dataclass(frozen=True)
class Kept:
    """One of torchvision's data sets. The validation split is 10 % of each training class.

    Attributes:
        name: in :data:`DATASETS`.
        dataset: torchvision's class.
        read: train and test images and the names of the classes, by (dataset, folder, download).
        image_size: in pixels.
        mean: mean of the training images, in [0, 1].
        std: their standard deviation.
    """

    name: str
    dataset: Any
    read: Read
    image_size: int
    mean: Figures
    std: Figures

    def open(self, source: Source) -> ImageSet:
        """Read the whole set.

        Raises:
            InputError: files are missing or damaged, or the download fails.
        """
        source.check_size(self.name, self.image_size)
        if source.folder is None:
            raise InputError(f"{self.name} needs a folder of its files. {self._way_out('DIR')}")
        try:
            (images, labels), test, classes = self.read(
                self.dataset, source.folder, source.download
            )
        except (URLError, ConnectionError, TimeoutError) as error:
            raise InputError(
                f"{self.name}: the download from {self.dataset.url} failed ({error}). "
                f"{self._way_out(source.folder)}"
            ) from error
        except RuntimeError as error:  # raised for missing and for damaged files
            raise InputError(
                f"{source.folder}: {self._faults(source.folder) or error}. "
                f"{self._way_out(source.folder)}"
            ) from error
        kept, taken = cut(labels, VALIDATION_FRACTION)
        return ImageSet(
            name=self.name,
            classes=classes,
            image_size=self.image_size,
            mean=self.mean,
            std=self.std,
            train=MemorySplit(images[kept], labels[kept]),
            validation=MemorySplit(images[taken], labels[taken]),
            test=MemorySplit(*test),
        )

    def _files(self) -> dict[str, str]:
        """The files in the folder of the set, with their MD5."""
        files = dict([*self.dataset.train_list, *self.dataset.test_list])
        if hasattr(self.dataset, "meta"):
            files[self.dataset.meta["filename"]] = self.dataset.meta["md5"]
        return files

    def _faults(self, folder: Path) -> str:
        place = folder / self.dataset.base_folder
        if not place.is_dir():
            return f"there is no {place.name}/ in it" if folder.is_dir() else "no such folder"
        missing, damaged = [], []
        for name, md5 in self._files().items():
            if not (place / name).exists():
                missing.append(name)
            elif not check_integrity(place / name, md5):
                damaged.append(name)
        said = {"missing": missing, "damaged (its MD5 is another)": damaged}
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in said.items() if names)

    def _way_out(self, folder: Path | str) -> str:
        return (
            f"Expected: {folder}/{self.dataset.base_folder}/ with {', '.join(self._files())}, "
            f"unpacked from {self.dataset.url}; or let it be downloaded to {folder}"
        )


def read_cifar(
    dataset: Any, folder: Path, download: bool
) -> tuple[Labelled, Labelled, tuple[str, ...]]:
    """CIFAR's pickled batches, which torchvision opens only if their MD5 is right."""
    parts = dataset(folder, train=True, download=download), dataset(folder, train=False)
    train, test = (
        (
            torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(),
            torch.tensor(part.targets, dtype=torch.int64),
        )
        for part in parts
    )
    return train, test, tuple(parts[0].classes)


def read_stl10(
    dataset: Any, folder: Path, download: bool
) -> tuple[Labelled, Labelled, tuple[str, ...]]:
    """STL10's binary files."""
    parts = dataset(folder, split="train", download=download), dataset(folder, split="test")
    train, test = (
        (torch.from_numpy(part.data).contiguous(), torch.from_numpy(part.labels).long())
        for part in parts
    )
    classes = (
        "airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck",
    )  # fmt: skip
    return train, test, classes


KEPT = (
    Kept(
        "cifar10", CIFAR10, read_cifar, 32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    ),
    Kept(
        "cifar100", CIFAR100, read_cifar, 32, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
    ),
    Kept(
        "stl10", LabelledSTL10, read_stl10, 96, (0.4467, 0.4398, 0.4066), (0.2603, 0.2566, 0.2713)
    ),
)  # fmt: skip

for _each in KEPT:
    DATASETS.register(_each.name)(_each.open)
