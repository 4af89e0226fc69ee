"""From the options of an attack on style networks to a job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from asr_core import limits
from asr_core.errors import InputError
from asr_core.pretrained import cached
from asr_core.saving.checkpoint import load_meta
from robust.device import choose_device, has_fast_bfloat16
from robust.metrics.lpips import LPIPS
from robust.norm_noise import (
    GRANULARITY_OF_TESTS,
    RUNNING,
    BatchNoise,
    Severity,
    check_used,
    choose_severities,
    parse_statistics,
)
from robust.norm_noise.severity import Value
from robust.style.folder import AttackFolder
from robust.style.job import AttackJob
from robust.style.measure import Measures
from robust.style.objective import objective_of
from robust.style.plan import AttackPlan
from robust.style.situations import spread_out
from styletransfer.images.drawn import STYLES, draw_style
from styletransfer.images.read import MAX_PIXELS, PathLike, find_images, read_image
from styletransfer.images.styles import style_image, style_side
from styletransfer.losses import choose
from styletransfer.losses.choose import AUTO
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.losses.vgg import VGGLossNetwork
from styletransfer.network import NORMS
from styletransfer.zoo import StyleCheckpoint, describe, select, shipped

DEFAULT_STYLE = "mosaic"
_DRAWS, _FULL_DRAWS = 1, 3
_QUICK_BATCHES = (BatchNoise(1), BatchNoise(2), BatchNoise(8))
_QUICK_SEVERITIES = 2


def attack_job(
    noise: str = "batch",
    *,
    severities: Sequence[Value] = (),
    norms: Sequence[str] = (),
    style: str | None = None,
    models: Sequence[PathLike] = (),
    images: Sequence[PathLike] = (),
    seed: int = 0,
    train_seeds: int | None = None,
    repeats: int | None = None,
    size: int = 256,
    batch_size: int | None = None,
    statistics: str = RUNNING,
    granularity: str | None = None,
    full: bool = False,
    loss_network: str = AUTO,
    max_pixels: int = MAX_PIXELS,
    device: str = "cpu",
    out: PathLike | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
) -> AttackJob:
    """Attack style networks with noise on their norm layers, and measure what that does.

    Photographs are stylised clean and under noise, by networks that differ in the norm variant and
    in the training seed. Every option is checked before anything is written.

    Args:
        noise: "batch", "constant", "random", or "all".
        severities: of one noise: n or "n:noise" (batch), (Na, Nb) (constant), a strength from 0 to
            1 or "uniform" (random). None for the noise's defaults.
        norms: norm variants; none for all, without ``full`` for all but the constant gate.
        style: of the shipped networks, "mosaic" by default; or the style image of ``models``.
        models: files of your own style networks instead of the shipped ones, all of one style.
        images: photographs, files or folders; none for held-out ones that ship.
        seed: of the draws of noise.
        train_seeds: how many training seeds; None for all.
        repeats: draws per image of a noise that depends on chance; None for 1, or 3 with ``full``.
        size: side of the square pictures in pixels, a multiple of 4 from 64.
        batch_size: with statistics "batch", images in that batch; None for 4.
        statistics: what BatchNorm uses where the noise leaves that open (clean, constant, random):
            "running", "batch", "batch:N" with N images in that batch, or "re-estimated".
        granularity: random noise is drawn per "sample" (the default), "layer" or "channel".
        full: all held-out photographs, severities and metrics, and more draws: many minutes.
        loss_network: of the losses: "vgg16", "embedded", a file with VGG16's weights, or "auto":
            VGG16 where it has been fetched, or else the one that ships.
        max_pixels: the largest width × height of an image.
        device: "cpu", "cuda", "cuda:1", "mps".
        out: folder for grid.png, metrics.csv, summary.json and run.json; None writes nothing.
        overwrite: whether files of an earlier run in ``out`` may be replaced.
        command: that was typed, for run.json.

    Raises:
        InputError: an option that cannot be used, with the way out.
        CheckpointError: a network cannot be read.
    """
    chosen = choose_severities(noise, severities)
    quick = not (full or severities)
    if not severities:
        chosen = _default_severities(chosen, full=full)
    check_used(chosen, granularity=granularity, repeats=repeats)
    told = parse_statistics(statistics)
    if batch_size is None and told.kind == "batch" and ":" in statistics:
        statistics, batch_size = told.kind, told.size
    if batch_size is not None and statistics != "batch":
        raise InputError(
            f"batch size {batch_size} is n of statistics 'batch', not of {statistics!r}; leave it "
            "out (batch noise has its n in its severity)"
        )
    networks = _networks(models, style, norms, train_seeds)
    if not (full or norms or models):
        networks = _without_the_coarser_control(networks)
    plan = AttackPlan(
        networks=networks,
        severities=chosen,
        draws=repeats if repeats is not None else _FULL_DRAWS if full else _DRAWS,
        seed=seed,
        size=size,
        granularity=granularity or GRANULARITY_OF_TESTS,
        statistics=statistics,
        batch_size=4 if batch_size is None else batch_size,
        controls_for=("bn",) if quick and any(n.norm == "bn" for n in networks) else None,
        objective=objective_of(networks),
    )
    if images:
        find_images(images)
    target = choose_device(device)
    picture = style_picture(networks[0], style)
    network = choose.loss_network(loss_network).to(memory_format=torch.channels_last)
    measures = Measures(
        PerceptualLoss(network, picture).to(target),
        plan.objective,
        LPIPS("alex").to(target) if cached("lpips-alex") else None,
        every=full,
        lower=isinstance(network, VGGLossNetwork) and has_fast_bfloat16(target),
    )
    folder = None
    if out is not None:
        folder = AttackFolder(Path(out), overwrite)
        folder.check()
    return AttackJob(
        plan, folder, measures, picture, tuple(images), full, max_pixels, target, list(command)
    )


def _default_severities(all_of_them: Sequence[Severity], *, full: bool) -> tuple[Severity, ...]:
    """A batch of 8 more; without ``full`` two attacks a noise, and batch noise's control."""
    batches = [s for s in all_of_them if isinstance(s, BatchNoise)]
    if batches:
        batches = sorted(
            {*batches, *_QUICK_BATCHES}, key=lambda s: (s.companions == "noise", s.size)
        )
    found = list[Severity](batches if full else _QUICK_BATCHES if batches else ())
    others = [s for s in all_of_them if not isinstance(s, BatchNoise)]
    for noise in dict.fromkeys(severity.noise for severity in others):
        of_noise = [severity for severity in others if severity.noise == noise]
        found += of_noise if full else spread_out(of_noise, _QUICK_SEVERITIES)
    return tuple(found)


def _networks(
    models: Sequence[PathLike],
    style: str | None,
    norms: Sequence[str],
    train_seeds: int | None,
) -> tuple[StyleCheckpoint, ...]:
    for norm in norms:
        NORMS[norm]  # an unknown name lists the known ones
    if models:
        networks = [describe(Path(path)) for path in models]
    else:
        networks = select(shipped(), style=style or DEFAULT_STYLE)
    if norms:
        networks = [found for norm in norms for found in select(networks, norm=norm)]
    if train_seeds is not None:
        limits.whole("train seeds", train_seeds, 1, limits.RUNS)
        seeds = sorted({network.seed for network in networks})[:train_seeds]
        networks = [network for network in networks if network.seed in seeds]
    known = NORMS.names()
    return tuple(sorted(networks, key=lambda found: (known.index(found.norm), found.seed)))


def _without_the_coarser_control(
    networks: tuple[StyleCheckpoint, ...],
) -> tuple[StyleCheckpoint, ...]:
    """Without the constant gates where there are frozen ones, which start as those of ASR do."""
    if not any(network.norm == "bn+frozen" for network in networks):
        return networks
    return tuple(network for network in networks if network.norm != "bn+const")


def style_picture(network: StyleCheckpoint, style: str | None) -> Tensor:
    """The style image of a network: the one given, the one beside it, or the drawn one.

    Raises:
        InputError: none of them is there.
    """
    size = style_side(network.stroke_size)
    if style is not None:
        return style_image(style, size=size)[1]
    if network.path.suffix == ".safetensors":
        name = load_meta(network.path).get("style_image")
        if isinstance(name, str) and (network.path.parent / Path(name).name).is_file():
            return read_image(network.path.parent / Path(name).name)
    if network.style in STYLES:
        return draw_style(network.style, size=size)
    raise InputError(f"{network.path}: which style image was it trained on? Give it as the style")
