"""Table 1 of the paper's supplementary: ResNet164's parameters and speed under attention."""

from __future__ import annotations

from typing import NamedTuple


class Printed(NamedTuple):
    """A cell of the table: parameters in millions, and images a second on the authors' machine."""

    parameters: float
    speed: float


TABLE_ONE: dict[str, dict[str, Printed]] = {
    "cifar100": {
        "plain": Printed(1.73, 1944),
        "IE": Printed(1.74, 1505),
        "CBAM": Printed(1.93, 793),
        "SE": Printed(1.93, 1469),
        "SRM": Printed(1.76, 1387),
        "DIA": Printed(1.95, 1092),
        "SPA": Printed(3.86, 1080),
        "ASR(SE)": Printed(1.73, 1942),
        "ASR(SPA)": Printed(1.73, 1946),
    },
    "stl10": {
        "plain": Printed(1.70, 255),
        "IE": Printed(1.72, 170),
        "CBAM": Printed(1.90, 127),
        "SE": Printed(1.91, 173),
        "SRM": Printed(1.74, 162),
        "DIA": Printed(1.92, 154),
        "SPA": Printed(3.83, 180),
        "ASR(SE)": Printed(1.70, 255),
        "ASR(SPA)": Printed(1.70, 253),
    },
}
"""{data set: {label: what is printed}}, with the labels of :mod:`robust.bench.measure`."""

MODEL = "resnet164"
