"""The losses of style networks under batch noise, from the folder of an attack."""

from __future__ import annotations

from pathlib import Path

from robust.protocol.scores import StyleLoss
from robust.style.folder import METRICS
from robust.style.names import PRIMARY
from robust.style.results import attacked_means


def style_losses(folder: Path) -> list[StyleLoss]:
    """The loss of IN, BN and BN+ASR, by training seed and picture.

    Raises:
        InputError: as :func:`robust.style.results.attacked_means`.
    """
    instance, batch, ours = attacked_means(
        folder / METRICS, PRIMARY, noise="batch", norms=("in", "bn", "bn+asr")
    ).values()
    return [StyleLoss(*place, instance[place], batch[place], ours[place]) for place in instance]
