"""Tiny data sets in the formats that the real ones have on disk."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100

from asr_core.data.torchvision_sets import LabelledSTL10

Pixels = NDArray[np.uint8]


def random_images(count: int, size: int, *, seed: int = 0) -> Pixels:
    """uint8 (count, 3, size, size)."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


def write_cifar(
    folder: Path, patch: pytest.MonkeyPatch, *, classes: int = 10, per_class: int = 10
) -> tuple[Pixels, list[int]]:
    """CIFAR10's or CIFAR100's pickled batches, and torchvision's MD5 lists for them.

    Returns:
        The images uint8 (N, 3, 32, 32) and labels of all training batches in order. The test batch
        holds one image a class, drawn with seed 1.
    """
    dataset = {10: CIFAR10, 100: CIFAR100}[classes]
    key = {10: "labels", 100: "fine_labels"}[classes]
    place = folder / dataset.base_folder
    place.mkdir(parents=True)
    images = random_images(classes * per_class, 32)
    labels = list(range(classes)) * per_class
    names = [name for name, _ in dataset.train_list]
    parts = zip(
        names, np.array_split(images, len(names)), np.array_split(labels, len(names)), strict=True
    )
    train_list = [
        [name, _dump(place / name, {"data": x.reshape(-1, 3072), key: y.tolist()})]
        for name, x, y in parts
    ]
    ((name, _),) = dataset.test_list
    test = {"data": random_images(classes, 32, seed=1).reshape(-1, 3072), key: [*range(classes)]}
    patch.setattr(dataset, "train_list", train_list)
    patch.setattr(dataset, "test_list", [[name, _dump(place / name, test)]])
    meta = {dataset.meta["key"]: [f"class {i}" for i in range(classes)]}
    md5 = _dump(place / dataset.meta["filename"], meta)
    patch.setattr(dataset, "meta", {**dataset.meta, "md5": md5})
    return images, labels


def write_stl10(
    folder: Path, patch: pytest.MonkeyPatch, *, per_class: int = 2, labels: list[int] | None = None
) -> tuple[Pixels, list[int]]:
    """STL10's binary files: labels from 1, images column by column; and the MD5 lists for them.

    Returns:
        The training images uint8 (N, 3, 96, 96) and labels from 0.
    """
    place = folder / LabelledSTL10.base_folder
    place.mkdir(parents=True)
    labels = list(range(10)) * per_class if labels is None else labels
    images = random_images(len(labels), 96)
    files = {
        "train_X.bin": images.transpose(0, 1, 3, 2).tobytes(),
        "train_y.bin": bytes(label + 1 for label in labels),
        "test_X.bin": random_images(10, 96, seed=1).transpose(0, 1, 3, 2).tobytes(),
        "test_y.bin": bytes(range(1, 11)),
    }
    md5 = {name: _write(place / name, data) for name, data in files.items()}
    for attribute in ("train_list", "test_list"):
        known = [[name, md5[name]] for name, _ in getattr(LabelledSTL10, attribute)]
        patch.setattr(LabelledSTL10, attribute, known)
    return images, labels


def write_class_folders(
    folder: Path, *, classes: tuple[str, ...] = ("n01", "n02"), per_class: int = 4, seed: int = 0
) -> None:
    """JPEGs of 70×60 pixels, as ``folder``/CLASS/CLASS_0.JPEG; smooth, each of its own colours."""
    random = np.random.default_rng(seed)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            small = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
            large = Image.fromarray(small).resize((70, 60), Image.Resampling.BICUBIC)
            large.save(folder / name / f"{name}_{number}.JPEG")


def write_imagenet(
    folder: Path, *, classes: tuple[str, ...] = ("n01", "n02"), per_class: int = 4
) -> None:
    """``train/`` and ``val/`` of :func:`write_class_folders`."""
    write_class_folders(folder / "train", classes=classes, per_class=per_class)
    write_class_folders(folder / "val", classes=classes, per_class=per_class, seed=1)


def _dump(path: Path, value: object) -> str:
    return _write(path, pickle.dumps(value, protocol=2))


def _write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return hashlib.md5(data).hexdigest()
