"""The metrics of stylised pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.metrics import METRICS, psnr, ssim_and_ms_ssim
from robust.metrics.lpips import LPIPS
from robust.style.names import LPIPS_TO_IN, PRIMARY, SHARED, TO_CLEAN, TO_IN
from robust.style.objective import Objective
from styletransfer.losses.perceptual import PerceptualLoss

_AT_ONCE = 2  # bounds memory: features of a loss network are large


@dataclass(frozen=True)
class Measures:
    """What measures the pictures of a run. It keeps nothing, so threads may share it.

    Attributes:
        loss: towards the style.
        objective: what the loss's terms are weighted by.
        lpips: the distance to the clean IN picture; None where its weights are not there.
        every: also the metrics outside ``SHARED``.
        lower: the loss network computes in bfloat16, its features' statistics in float32: of VGG16
            that moves content and style loss by 0.1 % at most.
    """

    loss: PerceptualLoss
    objective: Objective
    lpips: LPIPS | None = None
    every: bool = False
    lower: bool = False

    def of_content(self, content: Tensor) -> list[Tensor]:
        """The features of a content picture (1, 3, H, W), which all its outputs share."""
        with self._precision(content):
            return self.loss.content_features(_ready(content))

    def of_reference(self, picture: Tensor) -> list[Tensor] | None:
        """The features of a clean IN picture (1, 3, H, W), which are compared with."""
        return None if self.lpips is None else self.lpips.unit_features(picture)

    def numbers(
        self,
        outputs: Tensor,
        content: list[Tensor],
        reference: tuple[Tensor, list[Tensor] | None] | None,
    ) -> dict[str, Tensor]:
        """The metrics of ``outputs`` (K, 3, H, W) in [0, 1], stylised from one picture.

        Args:
            outputs: of one network; the first is its clean one.
            content: of the picture, by :meth:`of_content`.
            reference: the clean IN picture of the training seed, and its :meth:`of_reference`.

        Returns:
            (K,) by metric.
        """
        return _concatenated(
            self._numbers(part, content, reference, outputs[:1]) for part in outputs.split(_AT_ONCE)
        )

    def _numbers(
        self,
        outputs: Tensor,
        content: list[Tensor],
        reference: tuple[Tensor, list[Tensor] | None] | None,
        clean: Tensor,
    ) -> dict[str, Tensor]:
        with self._precision(outputs):
            terms = self.loss.compare(_ready(outputs), content)
        objective = self.objective
        found = {
            PRIMARY: objective.content_weight * terms.content
            + objective.style_weight * terms.style,
            "style_loss": terms.style,
            "content_loss": terms.content,
        }
        if self.lpips is not None and reference is not None and reference[1] is not None:
            features = self.lpips.unit_features(outputs)
            found[LPIPS_TO_IN] = self.lpips.distance(features, reference[1])
        for name in METRICS:
            metric = METRICS[name]
            if metric.kind == "no-reference" and (self.every or name in SHARED):
                found[name] = metric.compute(outputs)
        if self.every:
            if reference is not None:
                found |= similarities(outputs, reference[0], TO_IN)
            found |= similarities(outputs, clean, TO_CLEAN)
        return found

    def _precision(self, images: Tensor) -> torch.autocast:
        return torch.autocast(images.device.type, torch.bfloat16, enabled=self.lower)


def similarities(outputs: Tensor, reference: Tensor, suffix: str) -> dict[str, Tensor]:
    """PSNR, SSIM and MS-SSIM of ``outputs`` (K, 3, H, W) to one ``reference`` (1, 3, H, W)."""
    references = reference.expand_as(outputs)
    ssim, ms_ssim = ssim_and_ms_ssim(outputs, references)
    values = {"psnr": psnr(outputs, references), "ssim": ssim, "ms_ssim": ms_ssim}
    return {f"{name}_{suffix}": value for name, value in values.items()}


def _ready(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def _concatenated(parts: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    listed = list(parts)
    return {metric: torch.cat([part[metric] for part in listed]) for metric in listed[0]}
