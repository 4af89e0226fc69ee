"""Image metrics, and what each one's direction means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from asr_core.registry import Registry
from robust.metrics.grid import grid_energy
from robust.metrics.no_reference import blur, laplacian_variance, spread, total_variation
from robust.metrics.reference import ms_ssim, psnr, ssim, ssim_and_ms_ssim

Kind = Literal["no-reference", "reference", "draws"]
Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Metric:
    """A metric and how to read it.

    Attributes:
        name: as in ``metrics.csv``.
        title: as in tables.
        kind: "no-reference" takes images, "reference" images and a reference, both give (N,);
            "draws" takes the outputs of several draws for one image and gives one number.
        better: which direction is better; "neither" where only closeness to a reference's value
            means something.
        compute: the function.
    """

    name: str
    title: str
    kind: Kind
    better: Better
    compute: Callable[..., Tensor]


METRICS: Registry[Metric] = Registry("metric")

for _metric in (
    Metric("psnr", "PSNR (dB)", "reference", "higher", psnr),
    Metric("ssim", "SSIM", "reference", "higher", ssim),
    Metric("ms_ssim", "MS-SSIM", "reference", "higher", ms_ssim),
    Metric("blur", "blur", "no-reference", "lower", blur),
    Metric(
        "laplacian_variance", "Laplacian variance", "no-reference", "neither", laplacian_variance
    ),
    Metric("total_variation", "total variation", "no-reference", "neither", total_variation),
    Metric("grid_energy", "grid", "no-reference", "lower", grid_energy),
    Metric("spread", "spread over draws", "draws", "lower", spread),
):
    METRICS.register(_metric.name)(_metric)

__all__ = [
    "METRICS",
    "Metric",
    "blur",
    "grid_energy",
    "laplacian_variance",
    "ms_ssim",
    "psnr",
    "spread",
    "ssim",
    "ssim_and_ms_ssim",
    "total_variation",
]
