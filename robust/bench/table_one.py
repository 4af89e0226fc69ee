"""Table 1 of the paper's supplementary: ResNet164's parameters and speed under attention."""

from __future__ import annotations

from typing import NamedTuple


class Cell(NamedTuple):
    """Parameters in millions, and images a second on the authors' machine."""

    parameters: float
    speed: float


TABLE_ONE: dict[str, dict[str, Cell]] = {
    "cifar100": {
        "plain": Cell(1.73, 1944),
        "IE": Cell(1.74, 1505),
        "CBAM": Cell(1.93, 793),
        "SE": Cell(1.93, 1469),
        "SRM": Cell(1.76, 1387),
        "DIA": Cell(1.95, 1092),
        "SPA": Cell(3.86, 1080),
        "ASR(SE)": Cell(1.73, 1942),
        "ASR(SPA)": Cell(1.73, 1946),
    },
    "stl10": {
        "plain": Cell(1.70, 255),
        "IE": Cell(1.72, 170),
        "CBAM": Cell(1.90, 127),
        "SE": Cell(1.91, 173),
        "SRM": Cell(1.74, 162),
        "DIA": Cell(1.92, 154),
        "SPA": Cell(3.83, 180),
        "ASR(SE)": Cell(1.70, 255),
        "ASR(SPA)": Cell(1.70, 253),
    },
}
"""{data set: {label: cell}}, with the labels of :mod:`robust.bench.measure`."""

MODEL = "resnet164"
