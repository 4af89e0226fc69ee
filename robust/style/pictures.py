"""One style network on pictures: in memory, or from files to files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, Unpack, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from asr_core.data.images import rgb
from asr_core.errors import InputError
from asr_core.saving.exclusive import exclusive
from robust.device import choose_device
from robust.report.grid import picture_of
from styletransfer import inference
from styletransfer.images.names import unique_names
from styletransfer.images.read import PathLike, find_images, read_images, write_image
from styletransfer.network import StyleNetwork
from styletransfer.zoo import load_network, new_twin, select, shipped

MAX_PIXELS = 16_000_000
"""Of a picture; so many take 1 GB beside the network."""
_MUCH_LARGER = 3
"""Times the side of the training crops, from which on strokes look small."""
OnSkip = Callable[[Path, str], None]
"""Called with an unreadable file in a folder, and why."""
_TIMED_SIDE = 512
"""The speed is measured on no more of a picture than this, so that large ones do not wait."""


@dataclass(frozen=True)
class Stylised:
    """What :func:`stylize_files` did.

    Attributes:
        written: the pictures' files.
        skipped: unreadable files in folders, and why.
        speed: with ``fused``: height and width of what was timed, seconds of the fused network and
            of an IN network of the same width, and their ratio.
    """

    written: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    speed: dict[str, float] | None = None


class NetworkOptions(TypedDict, total=False):
    """Which network, and where it computes: see :func:`stylize`."""

    style: str
    norm: str
    train_seed: int
    model: PathLike | None
    fused: bool
    device: str


class StylizeOptions(NetworkOptions, total=False):
    """The options of :func:`stylize`."""

    size: int | None
    max_pixels: int
    on_skip: OnSkip


@overload
def stylize(images: Tensor, **options: Unpack[StylizeOptions]) -> Tensor: ...
@overload
def stylize(images: Image.Image, **options: Unpack[StylizeOptions]) -> Image.Image: ...
@overload
def stylize(
    images: PathLike | Sequence[Image.Image | PathLike], **options: Unpack[StylizeOptions]
) -> list[Image.Image]: ...
def stylize(
    images: Tensor | Image.Image | PathLike | Sequence[Image.Image | PathLike],
    *,
    style: str = "mosaic",
    norm: str = "bn+asr",
    train_seed: int = 0,
    model: PathLike | None = None,
    fused: bool = False,
    size: int | None = None,
    max_pixels: int = MAX_PIXELS,
    device: str = "cpu",
    on_skip: OnSkip = lambda path, reason: None,
) -> Tensor | Image.Image | list[Image.Image]:
    """Stylise pictures with one network.

    Args:
        images: a tensor (N, 3, H, W) in [0, 1]; a PIL image; a file or folder; or a list of images,
            files and folders. Sides are 16 pixels or more.
        style: of a shipped network.
        norm: its norm variant, "in", "bn", "bn+asr" or "bn+const".
        train_seed: its training seed.
        model: file of your own network instead.
        fused: whether gates and batch norms are folded away first, which is faster. Outputs agree
            up to rounding.
        size: files are resized so that their shorter side has this many pixels; None leaves them.
        max_pixels: the largest width × height of a file.
        device: "cpu", "cuda", "cuda:1", "mps".
        on_skip: called with each unreadable file in a folder, and why.

    Returns:
        For a tensor, (N, 3, H, W) in [0, 1] on ``device``; for a PIL image, one; else a list.

    Raises:
        InputError: unknown names, pictures that cannot be used, a device that is not there, or
            ``size`` for pictures that are no files.
        CheckpointError: ``model`` cannot be read.
    """
    listed = [images] if isinstance(images, Image.Image | str | os.PathLike) else images
    in_memory = any(isinstance(each, Tensor | Image.Image) for each in listed)
    if size is not None and in_memory:
        raise InputError(f"size {size} is for files; resize pictures in memory beforehand")
    network, target, _ = _opened(style, norm, train_seed, model, fused, device)
    if isinstance(images, Tensor):
        return inference.stylize(network, images.to(target))
    found = []
    for number, each in enumerate(listed):
        if isinstance(each, Image.Image):
            pixels = torch.from_numpy(np.array(rgb(f"image {number}", each)))
            given = iter([pixels.permute(2, 0, 1) / 255])
        else:
            read = read_images(each, on_skip=on_skip, max_pixels=max_pixels, size=size)
            given = (image for _, image in read)
        for image in given:
            found.append(picture_of(inference.stylize(network, image[None].to(target))[0]))
    return found[0] if isinstance(images, Image.Image) else found


def stylize_files(
    images: Sequence[PathLike],
    out: PathLike,
    *,
    suffix: str = "png",
    overwrite: bool = False,
    on_written: Callable[[Path], None] = lambda path: None,
    on_skip: OnSkip = lambda path, reason: None,
    on_large: Callable[[str, int, int], None] = lambda name, side, learned: None,
    size: int | None = None,
    max_pixels: int = MAX_PIXELS,
    **options: Unpack[NetworkOptions],
) -> Stylised:
    """Stylise files and folders, one picture in memory at a time, into the folder ``out``.

    Args:
        images: files and folders; the pictures take their names.
        out: folder for the pictures.
        suffix: "png" or "jpg".
        overwrite: whether pictures that exist are replaced.
        on_written: called with each picture's file.
        on_large: called with the name of a picture in which strokes will look small, with its
            shorter side, and with that of the pictures that the network learned on.
        on_skip, size, max_pixels, options: as in :func:`stylize`; with ``fused`` the speed is
            measured, too.

    Raises:
        InputError: as :func:`stylize`; or a picture exists already, or another process holds
            ``out``.
        CheckpointError: ``model`` cannot be read.
        KeyboardInterrupt: it says how many pictures are finished.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; pictures need a folder")
    names = unique_names(find_images(images))
    existing = [file for name in names if (file := folder / f"{name}.{suffix}").exists()]
    if existing and not overwrite:
        exist = "exists" if len(existing) == 1 else f"and {len(existing) - 1} more exist"
        raise InputError(f"{existing[0]} {exist} already; choose another folder, or overwrite")
    network, device, learned = _opened(**options)
    instance = new_twin(network, norm="in").to(device) if options.get("fused") else None
    written: list[str] = []
    skipped: dict[str, str] = {}
    speed: dict[str, float] | None = None

    def skip(file: Path, reason: str) -> None:
        skipped[str(file)] = reason
        on_skip(file, reason)

    with exclusive(folder):
        try:
            for name, image in read_images(images, on_skip=skip, max_pixels=max_pixels, size=size):
                file = folder / f"{name}.{suffix}"
                if learned and (side := min(image.shape[1:])) > _MUCH_LARGER * learned:
                    on_large(name, side, learned)
                batch = image[None].to(device)
                write_image(file, inference.stylize(network, batch)[0])
                written.append(str(file))
                if instance is not None and speed is None:
                    speed = _speed(instance, network, batch[..., :_TIMED_SIDE, :_TIMED_SIDE])
                on_written(file)
        except KeyboardInterrupt as error:
            error.args = (f"{folder} keeps the {len(written)} finished pictures",)
            raise
    return Stylised(written, skipped, speed)


def _opened(
    style: str = "mosaic",
    norm: str = "bn+asr",
    train_seed: int = 0,
    model: PathLike | None = None,
    fused: bool = False,
    device: str = "cpu",
) -> tuple[StyleNetwork, torch.device, int | None]:
    """The network, its device, and the side of the crops that it was trained on, if it says so."""
    target = choose_device(device)
    if model is None:
        model = select(shipped(), style=style, norm=norm, seed=train_seed)[0].path
    network, facts = load_network(Path(model))
    network = network.to(target)
    learned = (facts.get("recipe") or {}).get("size")
    if not isinstance(learned, int):
        learned = None
    return (inference.fold_network(network) if fused else network), target, learned


def _speed(instance: StyleNetwork, fused: StyleNetwork, images: Tensor) -> dict[str, float]:
    slow, fast = inference.speed_ratio(instance, fused, images)
    return {
        "height": images.shape[2],
        "width": images.shape[3],
        "in_seconds": slow,
        "fused_seconds": fast,
        "ratio": slow / fast,
    }
