"""Images a second, on one core: augmented by the batch, and one by one in torchvision's pipeline.

Both give batches in float32 in [0, 1], of random uint8 images in memory, cropped with a
padding of 4 and flipped. They take turns; the clock is the process's CPU time on one thread.
The bound is meant for 32×32; larger images leave both waiting for memory.

    python scripts/benchmarks/augment.py [--rounds 9] [--size 32] [--batch 128] [--json FILE]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from asr_core.data import MemorySplit, train_batches
from asr_core.saving.files import write_json
from robust.report.table import Table

IMAGES = 5120
BOUND = 10.0
OURS, THEIRS = "by the batch", "torchvision, one by one"

Batches = Callable[[int], Iterator[Any]]


class OneByOne(Dataset[Any]):
    """As torchvision's CIFAR10: a PIL image from the array, then the transforms."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = labels.tolist()
        size = images.shape[-1]
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(size, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def pipelines(size: int, batch: int) -> dict[str, Batches]:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (IMAGES, 3, size, size), dtype=torch.uint8, generator=random)
    labels = torch.randint(100, (IMAGES,), generator=random)
    split, theirs = MemorySplit(images, labels), OneByOne(images, labels)
    return {
        OURS: lambda epoch: train_batches(split, batch_size=batch, seed=0, epoch=epoch),
        THEIRS: lambda _: iter(DataLoader(theirs, batch, shuffle=True, drop_last=True)),
    }


def speed(batches: Iterator[Any], count: int) -> float:
    """Images a second of CPU time over ``count`` batches."""
    start, seen = time.process_time(), 0
    for images, _ in itertools.islice(batches, count):
        seen += len(images)
    return seen / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    both = pipelines(options.size, options.batch)
    counts = {OURS: IMAGES // options.batch, THEIRS: 1024 // options.batch}
    speeds: dict[str, list[float]] = {name: [] for name in counts}
    for epoch in range(options.rounds + 1):
        for name, batches in both.items():
            speeds[name].append(speed(batches(epoch), counts[name]))
    medians = {name: statistics.median(found[1:]) for name, found in speeds.items()}  # 0 warms up
    ratio = statistics.median(
        ours / theirs for ours, theirs in zip(speeds[OURS][1:], speeds[THEIRS][1:], strict=True)
    )
    rows = [(name, f"{median:,.0f}") for name, median in medians.items()]
    rows.append(("ratio", f"{ratio:.1f} (bound: ≥ {BOUND:.0f})"))
    about = f"{options.batch} of {options.size}×{options.size}"
    Console().print(Table(("pipeline", "images/s"), rows, caption=about).rich())
    if options.json:
        write_json(
            options.json,
            {
                "size": options.size,
                "batch": options.batch,
                "images_per_second": medians,
                "ratio": ratio,
                "bound": BOUND,
            },
        )


if __name__ == "__main__":
    main()
