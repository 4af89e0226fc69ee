"""The figures of the stripe observation, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from asr_core.asr.report import Refusal
from asr_core.data.split import Split
from asr_core.saving.model_facts import StockModel
from asr_core.stripes import (
    AttentionRecord,
    chosen,
    differences,
    gate_values,
    permuted,
    settled_epoch,
    settled_share,
    spatial_attention,
    spread,
    stripe_score,
    typical,
)
from robust.models.names import build_model

BATCH = 64
_SPATIAL_IMAGES = 6


@dataclass(frozen=True)
class Gates:
    """A model's attention on images of a split.

    Attributes:
        values: live channel gates, float32 (N, C), by the name of the attention module.
        refusals: attention without a gate per image and channel.
        images: their indices in the split, int64 (N,), in the order of the pictures.
        spatial: CBAM's spatial attention on the first six of them, (n, H, W) by name.
        shown: those six images, float32 (n, 3, H, W).
    """

    values: Mapping[str, Tensor]
    refusals: tuple[Refusal, ...]
    images: Tensor
    spatial: Mapping[str, Tensor]
    shown: Tensor


def measure(model: nn.Module, split: Split, *, images: int = 100, seed: int = 0) -> Gates:
    """Run ``model`` over at most ``images`` random images of ``split``, the same for every model.

    Raises:
        InputError: fewer than one image, or a gate that is not finite.
    """
    indices = chosen("images", len(split), images, seed=seed)
    values, refusals = gate_values(model, split.test_stream(indices.split(BATCH)))
    first = split.test_batch(indices[:_SPATIAL_IMAGES])
    spatial = spatial_attention(model, first)
    return Gates(values, tuple(refusals), indices, spatial, first.cpu())


def scores(values: Mapping[str, Tensor]) -> dict[str, float]:
    """The stripe score of each layer (:func:`asr_core.stripes.stripe_score`)."""
    return {name: stripe_score(gate) for name, gate in values.items()}


@dataclass(frozen=True)
class Convergence:
    """When the live gates of a run stopped moving, all recorded images and channels together.

    Attributes:
        epochs: number of epochs recorded.
        threshold: a smaller change in an epoch counts as none.
        settled: epochs after which 95 % of the gates stay put; None if not before the last.
        layers: the same for each layer.
        at_decay: share that stays put from the first decay of the learning rate on; None, like
            the next two, if no recorded epoch saw one.
        before_decay: median change in an epoch before that decay.
        after_decay: median change after it.
    """

    epochs: int
    threshold: float
    settled: int | None
    layers: Mapping[str, int | None]
    at_decay: float | None
    before_decay: float | None
    after_decay: float | None


def convergence(
    record: AttentionRecord, *, threshold: float, decay: float | None = None
) -> Convergence:
    """When the live gates of ``record`` settled (:func:`asr_core.stripes.settled_epoch`).

    Args:
        record: with live gates.
        threshold: a smaller change in an epoch counts as none.
        decay: the epoch of the first decay of the learning rate, if there was one.

    Raises:
        InputError: fewer than two epochs, or a threshold out of range.
    """
    steps = {name: differences(values).flatten(1) for name, values in record.live.items()}
    together = torch.cat(list(steps.values()), dim=1)
    first = None if decay is None else math.ceil(decay)
    if first is not None and not 1 < first < record.epochs:
        first = None  # nothing was recorded before or after it
    return Convergence(
        epochs=record.epochs,
        threshold=threshold,
        settled=settled_epoch(together, threshold=threshold),
        layers={n: settled_epoch(each, threshold=threshold) for n, each in steps.items()},
        at_decay=None if first is None else settled_share(together, first, threshold=threshold),
        before_decay=None if first is None else together[: first - 1].median().item(),
        after_decay=None if first is None else together[first - 1 :].median().item(),
    )


def untrained(
    stock: StockModel, batches: Iterable[Tensor], device: torch.device, *, seed: int = 0
) -> nn.Module:
    """The ``stock`` model as it is before training, batch norms' statistics those of ``batches``.

    The gates of a layer may be alike before anything was learnt: stripes of a trained network are
    to be seen beside these.

    Args:
        stock: what a saved model was made from, with its live attention.
        batches: images (N, 3, H, W) on ``device``.
        device: takes the model.
        seed: of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        fresh = stock.normalized(build_model(stock.name, stock.arguments)).to(device).eval()
    for module in fresh.modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            module.momentum = None  # the mean over batches
            module.training = True
    with torch.no_grad():
        for batch in batches:
            fresh(batch)
    return fresh.eval()


def figures(
    gates: Gates, beside: Mapping[str, Tensor] | None = None, *, seed: int = 0
) -> list[dict[str, Any]]:
    """A line per layer, JSON-able: name, channels, mean, deviations, stripe score, η².

    Beside η² stand those without the oddest images (``_trimmed``), with channels permuted in each
    image (``_permuted``), and of an untrained network (``_untrained``). An infinite score, where
    images differ and channels do not, is None, and so is an η² of equal gates.

    Args:
        gates: of the model.
        beside: values of the untrained network's gates.
        seed: of the permutation.
    """
    stripes = scores(gates.values)
    lines = []
    for name, values in gates.values.items():
        all_images, without = spread(values), spread(typical(values))
        fresh = None if beside is None or name not in beside else spread(beside[name])
        lines.append(
            {
                "name": name,
                "channels": values.shape[1],
                "mean": values.mean().item(),
                "std_between_images": all_images.deviation,
                "std_between_images_trimmed": without.deviation,
                "std_between_images_untrained": None if fresh is None else fresh.deviation,
                "std_between_channels": values.mean(0).std(correction=0).item(),
                "stripe": stripes[name] if math.isfinite(stripes[name]) else None,
                "eta2": all_images.eta2,
                "eta2_trimmed": without.eta2,
                "eta2_permuted": spread(permuted(values, seed=seed)).eta2,
                "eta2_untrained": None if fresh is None else fresh.eta2,
            }
        )
    return lines
