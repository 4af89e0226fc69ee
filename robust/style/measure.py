"""The metrics of one stylised picture."""

from __future__ import annotations

from torch import Tensor

from robust.metrics import METRICS, psnr, ssim_and_ms_ssim
from styletransfer.losses.perceptual import PerceptualLoss

TO_IN, TO_CLEAN = "to_in", "to_clean"
"""Suffixes of similarity metrics: to the IN network's clean output, to the network's own."""

TITLES = {
    "content_loss": "content loss",
    "style_loss": "style loss",
    **{metric: METRICS[metric].title for metric in METRICS if METRICS[metric].kind != "reference"},
    **{
        f"{metric}_{suffix}": f"{METRICS[metric].title} {words}"
        for suffix, words in ((TO_IN, "to IN"), (TO_CLEAN, "to own clean"))
        for metric in METRICS
        if METRICS[metric].kind == "reference"
    },
}
"""What tables call each metric of ``metrics.csv``."""


def output_measures(outputs: Tensor, content: Tensor, loss: PerceptualLoss) -> dict[str, Tensor]:
    """Losses and no-reference metrics of ``outputs`` (K, 3, H, W), stylised from one ``content``.

    ``content`` is (1, 3, H, W); all in [0, 1]. Returns (K,) by metric.
    """
    terms = loss(outputs, content)
    plain = {n: METRICS[n] for n in METRICS if METRICS[n].kind == "no-reference"}
    return {
        "content_loss": terms.content,
        "style_loss": terms.style,
        **{name: metric.compute(outputs) for name, metric in plain.items()},
    }


def similarities(outputs: Tensor, reference: Tensor, suffix: str) -> dict[str, Tensor]:
    """PSNR, SSIM and MS-SSIM of ``outputs`` (K, 3, H, W) to one ``reference`` (1, 3, H, W)."""
    references = reference.expand_as(outputs)
    ssim, ms_ssim = ssim_and_ms_ssim(outputs, references)
    values = {"psnr": psnr(outputs, references), "ssim": ssim, "ms_ssim": ms_ssim}
    return {f"{name}_{suffix}": value for name, value in values.items()}
