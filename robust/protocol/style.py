"""The losses of style networks under batch noise, from the folder of an attack."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import fmean

from asr_core.errors import InputError
from robust.norm_noise.severity import parse_severity
from robust.protocol.scores import StyleLoss
from robust.style.folder import METRICS
from robust.style.measure import PRIMARY

NORMS = ("in", "bn", "bn+asr")


def style_losses(folder: Path) -> list[StyleLoss]:
    """The loss of IN, BN and BN+ASR, by training seed and picture.

    The mean over severities, of each the mean over draws, controls left out, as in the attack's own
    summary.

    Raises:
        InputError: no attack with batch noise, or it lacks a norm on a seed that another has.
    """
    file = folder / METRICS
    if not file.is_file():
        raise InputError(f"{file}: no such file; `robust attack --noise batch --full` makes it")
    draws: dict[tuple[str, int, str, str], list[float]] = {}
    with file.open(encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            if row["metric"] != PRIMARY or row["noise"] != "batch" or row["norm"] not in NORMS:
                continue
            if not parse_severity("batch", row["severity"]).is_control:
                key = row["norm"], int(row["seed"]), row["image"], row["severity"]
                draws.setdefault(key, []).append(float(row["value"]))
    places = list(dict.fromkeys((seed, image) for _, seed, image, _ in draws))
    if not places:
        raise InputError(f"{file}: no {PRIMARY} of {', '.join(NORMS)} under batch noise")
    severities = {severity for *_, severity in draws}
    losses = []
    for seed, image in places:
        try:
            instance, batch, ours = (
                fmean(fmean(draws[norm, seed, image, severity]) for severity in severities)
                for norm in NORMS
            )
        except KeyError as error:
            norm, *_, severity = error.args[0]
            raise InputError(
                f"{file}: seed {seed} has no {norm} under batch noise {severity}; the share needs "
                f"{', '.join(NORMS)} of each training seed"
            ) from None
        losses.append(StyleLoss(seed, image, instance, batch, ours))
    return losses
