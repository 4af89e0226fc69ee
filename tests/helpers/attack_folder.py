"""The folder of an attack on style networks, written without any network: numbers and pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch

from robust.norm_noise import BatchNoise, Severity
from robust.style.folder import AttackFolder
from robust.style.kept import KeptPictures
from robust.style.names import PRIMARY, SHARED
from robust.style.plan import AttackPlan
from robust.style.results import CLEAN, Results, Row
from robust.style.run import Output
from robust.style.summary import summarise
from styletransfer.zoo import StyleCheckpoint

NORMS = ("in", "bn", "bn+asr", "bn+frozen")
QUICK = BatchNoise(1), BatchNoise(2), BatchNoise(8)


def write_attack(
    folder: Path,
    *,
    images: tuple[str, ...] = ("cat", "yurt"),
    severities: tuple[Severity, ...] = QUICK,
    size: int = 64,
    rises: float = 0.3,
) -> Path:
    """A run in which every BN loses ``rises`` under noise, and IN nothing."""
    networks = tuple(
        StyleCheckpoint("mosaic", norm, seed, Path(f"mosaic-{norm}-{seed}.safetensors"), "0" * 64)
        for norm in NORMS
        for seed in (0, 1)
    )
    plan = AttackPlan(networks, severities, draws=1, size=64, controls_for=("bn",))
    place = AttackFolder(folder)
    results = Results(io.StringIO())
    chance = np.random.default_rng(0)
    kinds: list[Severity | None] = [None, *severities]
    with place.claim(), place.pictures() as pictures:
        kept = KeptPictures(plan, pictures)
        kept.style(torch.rand(3, size, size))
        for image in images:
            kept.content(image, torch.rand(3, size, size))
            for norm in NORMS:
                for severity in kinds:
                    if severity is not None and severity not in plan.severities_of(norm):
                        continue
                    picture = torch.from_numpy(chance.random((1, 3, size, size))).float()
                    kept.output(Output(image, norm, 0, severity, 0, picture))
                    noise = severity.noise if severity else CLEAN
                    text = severity.text if severity else ""
                    statistics = plan.statistics_name(severity, norm)
                    lost = rises if severity and not severity.is_control and norm != "in" else 0
                    for seed in (0, 1):
                        for metric in SHARED:
                            value = 1 + 0.2 * (norm != "in") + lost * (metric == PRIMARY)
                            value += 0.002 * chance.standard_normal()
                            key = ("style", norm, noise, text, seed, image, metric, value)
                            results.add([Row(*key, "mosaic", statistics)])
        kept.write_index(results.images)
        facts = {
            "command": ["robust", "attack", "--noise", "batch"],
            "seconds": 1.5,
            "loss_network": "embedded",
            **plan.as_dict(),
            "environment": {"python": "3", "device": "cpu", "versions": {"torch": "2"}},
        }
        summary = summarise(results, plan.objective, loss_network="embedded")
        from PIL import Image

        place.write(summary, facts, Image.new("RGB", (4, 4)))
    return folder
