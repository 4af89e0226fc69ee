"""Class folders as data sets: ImageNet, and any other."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from asr_core.data.folder.class_files import ClassFiles, Skip, read_classes, told
from asr_core.data.folder.split import FolderSplit, unreadable
from asr_core.data.image_set import ImageSet
from asr_core.data.source import DATASETS, Source
from asr_core.errors import InputError

IMAGE_SIZE = 224
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of the ImageNet training images, in [0, 1]; used for other folders too."""

TEST_FRACTION = 0.2
VALIDATION_FRACTION = 0.1
IMAGENET_VALIDATION_FRACTION = 0.04
"""About 50 images a class, as many as ``val/`` has."""

_IMAGENET = (
    "DIR/train/n01440764/*.JPEG and DIR/val/n01440764/*.JPEG, with a folder for each class in both "
    "(ILSVRC2012 from https://image-net.org, where you can download it after registration)"
)
_FOLDER = (
    "DIR/train/CLASS/*.jpg and DIR/test/CLASS/*.jpg (or val), or DIR/CLASS/*.jpg, of which a part "
    "is set aside"
)


@DATASETS.register("imagenet")
def open_imagenet(source: Source) -> ImageSet:
    """ImageNet (ILSVRC2012): tests on ``val/``; the validation split is 4 % of ``train/``.

    Raises:
        InputError: as :func:`open_folder`.
    """
    root = _root("imagenet", source, _IMAGENET)
    for name in ("train", "val"):
        if not (root / name).is_dir():
            raise InputError(f"{root}: there is no {name}/ in it. Expected: {_IMAGENET}")
    parts = read_classes(root / "train"), None, read_classes(root / "val")
    return _image_set("imagenet", source, *parts, fraction=IMAGENET_VALIDATION_FRACTION)


@DATASETS.register("folder")
def open_folder(source: Source) -> ImageSet:
    """Any set in class folders.

    With ``train/``, tests use ``test/``, or else ``val/``. The validation split is ``val/`` if
    there is a ``test/`` too, or else 10 % of each class of ``train/``. Without ``train/``, the
    folder's subfolders are the classes, and 20 % of each are the test split.

    Raises:
        InputError: another layout, an empty class folder, parts with different classes, or a split
            without images.
    """
    root = _root("folder", source, _FOLDER)
    if (root / "train").is_dir():
        train = read_classes(root / "train")
        others = [read_classes(root / name) for name in ("val", "test") if (root / name).is_dir()]
        if not others:
            raise InputError(f"{root}: has train/, but neither test/ nor val/. Expected: {_FOLDER}")
        validation, test = (others[0] if len(others) == 2 else None), others[-1]
    else:
        train, test = read_classes(root).cut(TEST_FRACTION)
        validation = None
    return _image_set("folder", source, train, validation, test, fraction=VALIDATION_FRACTION)


def _root(name: str, source: Source, layout: str) -> Path:
    if source.folder is None:
        raise InputError(f"{name} needs a folder of its files. Expected: {layout}")
    if not source.folder.is_dir():
        raise InputError(f"{source.folder}: no such folder. Expected: {layout}")
    return source.folder


def _image_set(
    name: str,
    source: Source,
    train: ClassFiles,
    validation: ClassFiles | None,
    test: ClassFiles,
    *,
    fraction: float,
) -> ImageSet:
    """The set of these files; ``validation`` is cut from ``train`` if it is None."""
    parts = [part for part in (train, validation, test) if part is not None]
    for part in parts[1:]:
        train.check_classes(part)
    skipped = list(dict.fromkeys(skip for part in parts for skip in part.skipped))
    _warn(f"{len(skipped)} links or special files are left out", skipped)
    if source.on_unreadable == "skip":
        paths = [path for part in parts for path in part.paths]
        faults = unreadable(paths, workers=source.workers)
        _warn(f"{len(faults)} of {len(paths)} files are unreadable and left out", faults)
        skipped += faults
        bad = {str(path) for path, _ in faults}
        train, test = train.without(bad), test.without(bad)
        validation = validation and validation.without(bad)
    if validation is None:
        train, validation = train.cut(fraction)
    for split, part in (("train", train), ("validation", validation), ("test", test)):
        if not part.paths:
            raise InputError(f"{source.folder}: too few images: none is left for {split}")
    size = IMAGE_SIZE if source.image_size is None else source.image_size
    split_of = partial(FolderSplit, image_size=size, workers=source.workers)
    return ImageSet(
        name=name,
        classes=train.classes,
        image_size=size,
        mean=MEAN,
        std=STD,
        train=split_of(train.paths, train.labels),
        validation=split_of(validation.paths, validation.labels),
        test=split_of(test.paths, test.labels),
        unreadable=tuple(skipped),
    )


def _warn(what: str, skipped: Sequence[Skip]) -> None:
    if skipped:
        warnings.warn(f"{what}: {told(skipped)}", stacklevel=2)
