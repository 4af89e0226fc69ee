"""From the options of ``robust attack`` to a job; every option is checked before work begins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from torch import Tensor

from asr_core import limits
from asr_core.errors import InputError
from asr_core.saving.checkpoint import load_meta
from robust.device import choose_device
from robust.norm_noise import (
    GRANULARITY_OF_TESTS,
    BatchNoise,
    check_used,
    choose_severities,
)
from robust.style.folder import AttackFolder
from robust.style.job import AttackJob
from robust.style.plan import AttackPlan
from styletransfer.images.drawn import STYLES, draw_style
from styletransfer.images.read import find_images, read_image
from styletransfer.images.styles import style_image
from styletransfer.losses.choose import loss_network
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.network import NORMS
from styletransfer.zoo import StyleCheckpoint, describe, select, shipped

DEFAULT_STYLE = "mosaic"
_DRAWS, _FULL_DRAWS = 2, 3
_QUICK_LARGEST_BATCH = 8


def job_from_options(
    *,
    noise: str,
    severities: Sequence[str],
    norms: Sequence[str],
    style: str | None,
    models: Sequence[str],
    images: Sequence[str],
    seed: int,
    train_seeds: int | None,
    repeats: int | None,
    size: int,
    batch_size: int | None,
    statistics: str,
    granularity: str | None,
    full: bool,
    vgg_weights: str | None,
    max_pixels: int,
    device: str,
    out: str | None,
    overwrite: bool,
    command: list[str],
) -> AttackJob:
    """Check every option before anything is written.

    Raises:
        InputError: an option that cannot be used, with the way out.
    """
    chosen = choose_severities(noise, severities)
    if not full and not severities:
        chosen = tuple(
            s for s in chosen if not (isinstance(s, BatchNoise) and s.size > _QUICK_LARGEST_BATCH)
        )
    check_used(chosen, granularity=granularity, repeats=repeats)
    if batch_size is not None and statistics != "batch":
        raise InputError(
            f"--batch-size {batch_size} is n of --statistics batch, not of {statistics!r}; leave "
            "it out (batch noise has its n from --severity)"
        )
    networks = _networks(models, style, norms, train_seeds)
    plan = AttackPlan(
        networks=networks,
        severities=chosen,
        draws=repeats if repeats is not None else _FULL_DRAWS if full else _DRAWS,
        seed=seed,
        size=size,
        granularity=granularity or GRANULARITY_OF_TESTS,
        statistics=statistics,
        batch_size=4 if batch_size is None else batch_size,
    )
    if images:
        find_images(images)
    target = choose_device(device)
    loss = PerceptualLoss(loss_network(vgg_weights), _style_picture(networks[0], style))
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = AttackFolder(Path(out or f"runs/attack-{noise}-{stamp}"), overwrite)
    folder.check()
    return AttackJob(plan, folder, loss, tuple(images), full, max_pixels, target, command)


def _networks(
    models: Sequence[str], style: str | None, norms: Sequence[str], train_seeds: int | None
) -> tuple[StyleCheckpoint, ...]:
    for norm in norms:
        NORMS[norm]  # an unknown name lists the known ones
    if models:
        networks = [describe(path) for path in models]
    else:
        networks = select(shipped(), style=style or DEFAULT_STYLE)
    if norms:
        networks = [found for norm in norms for found in select(networks, norm=norm)]
    if train_seeds is not None:
        limits.whole("--train-seeds", train_seeds, 1, limits.RUNS)
        kept = sorted({network.seed for network in networks})[:train_seeds]
        networks = [network for network in networks if network.seed in kept]
    known = NORMS.names()
    return tuple(sorted(networks, key=lambda found: (known.index(found.norm), found.seed)))


def _style_picture(network: StyleCheckpoint, style: str | None) -> Tensor:
    """The style image of a network: the drawn one, the one beside it, or the one given."""
    if style is not None:
        return style_image(style)[1]
    if network.style in STYLES:
        return draw_style(network.style)
    if network.path.suffix == ".safetensors":
        name = load_meta(network.path).get("style_image")
        if isinstance(name, str) and (network.path.parent / Path(name).name).is_file():
            return read_image(network.path.parent / Path(name).name)
    raise InputError(f"{network.path}: which style image was it trained on? Give --style IMAGE")
