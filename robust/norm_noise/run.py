"""Testing a model under noise: one function for every noise and task."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from torch import Tensor, nn

from asr_core.draws import Key
from asr_core.errors import InputError
from robust.norm_noise.noise import Noise
from robust.norm_noise.severity import BatchNoise, Severity

GRANULARITY_OF_TESTS = "sample"
"""What tests draw random noise by. The noise is drawn afresh for each forward, and an image under
test stands for a forward of its own, whatever batch it is computed in."""


def run_under(
    model: nn.Module,
    images: Tensor,
    severity: Severity | None,
    *,
    seed: int = 0,
    keys: Sequence[Key] | None = None,
    draw: int = 0,
    companions: Tensor | None = None,
    head: nn.Module | None = None,
    granularity: str = GRANULARITY_OF_TESTS,
    statistics: BatchNoise | None = None,
) -> Tensor:
    """``model``'s outputs for ``images`` under one draw of a noise, whatever the batching.

    Args:
        model: the network, in the mode in which it is to be tested.
        images: (N, 3, H, W) in [0, 1].
        severity: the noise and its strength; None for clean.
        seed: of the draws.
        keys: one name or number per image, which its draws follow; None for 0, 1, 2, ...
        draw: the index of the draw, 0, 1, 2, ...
        companions: of batch noise, as in :class:`Noise`.
        head: of batch noise, as in :class:`Noise`.
        granularity: of random noise; "sample" by default, so that each image is tested as if it had
            a forward of its own.
        statistics: the batch whose statistics BatchNorm uses where ``severity`` leaves that open
            (clean, constant, random); None for the statistics that the model uses by itself.

    Returns:
        (N, ...), each image's output.

    Raises:
        InputError: keys and images differ in number; and as :class:`Noise`.
    """
    samples: list[Key] = list(range(len(images)) if keys is None else keys)
    if len(samples) != len(images):
        raise InputError(f"{len(samples)} keys for {len(images)} images: give one key per image")
    if isinstance(severity, BatchNoise):
        statistics, severity = severity, None
    with contextlib.ExitStack() as stack:
        if statistics is not None:
            batch = Noise(model, statistics, seed=seed, companions=companions, head=head)
            batch.pin(draw=draw, samples=samples)
            stack.enter_context(batch)
            if batch.adds_companions:
                others = [f"companion {index}" for index in range(statistics.size - 1)]
                samples = [key for sample in samples for key in (sample, *others)]
        if severity is not None:
            noise = Noise(model, severity, seed=seed, granularity=granularity)
            noise.pin(draw=draw, samples=samples)
            stack.enter_context(noise)
        output: Tensor = model(images)
    return output
