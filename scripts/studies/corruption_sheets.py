"""Contact sheets of all 15 corruptions at all severities, for images of 32 and of 224 pixels.

Each sheet has one embedded photograph, corrupted by the table published for its size.

    python scripts/studies/corruption_sheets.py [--photograph chelsea] [--seed 0]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image
from rich.console import Console
from torch import Tensor

from asr_core.data.photographs import PHOTOGRAPHS, pixels
from asr_core.saving.files import atomic_path
from robust.corruptions import KINDS, SEVERITIES, TABLES, corrupt
from robust.report.grid import Label, Picture, draw_grid

CELLS = {"32": 96, "224": 112}
"""Side of a picture on the sheet, by the side of the image in pixels."""

GROUPS = ("noise",) * 3 + ("blur",) * 4 + ("weather",) * 4 + ("digital",) * 4


def square(name: str, side: int) -> Tensor:
    """The middle of an embedded photograph, uint8 (3, side, side)."""
    whole = pixels(name)
    edge = min(whole.shape[1:])
    top, left = ((size - edge) // 2 for size in whole.shape[1:])
    image = whole[:, top : top + edge, left : left + edge].permute(1, 2, 0).numpy()
    small = Image.fromarray(image).resize((side, side), Image.Resampling.BOX)
    return torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).view(
        side, side, 3
    ).permute(2, 0, 1)  # fmt: skip


def sheet(name: str, table: str, seed: int) -> Image.Image:
    """The photograph and its 75 corruptions, a row a kind."""
    image, cell = square(name, int(table)), CELLS[table]
    rows: list[tuple[Label, list[Picture]]] = []
    for group, kind in zip(GROUPS, KINDS, strict=True):
        shown = [image] + [
            corrupt(image[None], kind, severity, indices=[0], seed=seed)[0]
            for severity in SEVERITIES
        ]
        label = "frost (drawn)" if kind == "frost" else kind.replace("_", " ")
        # Nearest: what is seen are the pixels that a network gets.
        rows.append(((group, label), [_enlarged(picture, cell) for picture in shown]))
    return draw_grid(
        rows,
        column_labels=["clean", *(f"severity {severity}" for severity in SEVERITIES)],
        title=f"The 15 corruptions at {table}×{table} pixels",
        footnote=f"Photograph {name!r}, seed {seed}; strengths as published for {table} pixels. "
        "Frost is drawn by code: the published photographs of frost are not part of this project.",
        cell=cell,
    )


def _enlarged(image: Tensor, cell: int) -> Image.Image:
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    if picture.width >= cell:
        return picture
    return picture.resize((cell, cell), Image.Resampling.NEAREST)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photograph", choices=PHOTOGRAPHS, default="chelsea")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/gallery"))
    options = parser.parse_args()
    for table in sorted(TABLES, key=int):
        path = options.out / f"corruptions-{table}.jpg"
        picture = sheet(options.photograph, table, options.seed)
        with atomic_path(path) as temporary:
            picture.save(temporary, quality=72, optimize=True)
        Console().print(f"{path}: {picture.width}×{picture.height}, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
