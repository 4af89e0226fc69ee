"""Every number that is taken of one stylised picture."""

from __future__ import annotations

from torch import Tensor

from robust.metrics import METRICS
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


def own_measures(output: Tensor, content: Tensor, loss: PerceptualLoss) -> dict[str, float]:
    """Measures of ``output`` by itself and against its ``content``, both (1, 3, H, W) in [0, 1]."""
    terms = loss(output, content)
    found = {"content_loss": terms.content.item(), "style_loss": terms.style.item()}
    for name in METRICS:
        if METRICS[name].kind == "own":
            found[name] = METRICS[name].compute(output).item()
    return found


def similarities(output: Tensor, reference: Tensor, suffix: str) -> dict[str, float]:
    """PSNR, SSIM and MS-SSIM of ``output`` to ``reference``, both (1, 3, H, W) in [0, 1]."""
    return {
        f"{name}_{suffix}": METRICS[name].compute(output, reference).item()
        for name in METRICS
        if METRICS[name].kind == "reference"
    }
