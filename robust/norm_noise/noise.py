"""Constant, random and batch noise on norm layers, undone when the context ends.

The noise is defined on the normalised features, y = v ⊙ (γ ⊙ (Na ⊙ x̂ + Nb) + β). A layer's own
output is y₀ = w ⊙ x̂ + b with w = vγ and b = vβ, hence

    y = Na ⊙ y₀ + b ⊙ (1 - Na) + w ⊙ Nb,

which needs no knowledge of how x̂ was computed: one forward hook serves every kind of norm layer,
train and eval mode, gated and fused models alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from asr_core.draws import Key, check_seed, generator
from asr_core.errors import InputError
from asr_core.placement.targets import Targets
from asr_core.registry import unknown_name
from robust.norm_noise.companions import draw_companions, joined
from robust.norm_noise.layers import (
    channel_axis,
    check_hookable,
    check_plain_affine,
    effective_affine,
    require_norm_layers,
)
from robust.norm_noise.severity import BatchNoise, ConstantNoise, RandomNoise, Severity
from robust.norm_noise.statistics import batch_statistics

GRANULARITIES = ("layer", "channel", "sample")


class Noise:
    """Noise on the norm layers of a model while its context is active: ``with Noise(...):``.

    Constant and random noise replace x̂ by Na ⊙ x̂ + Nb in every norm layer. Batch noise of size n
    makes BatchNorm normalise each image with n - 1 companions by their common statistics. The model
    is never changed; train and eval mode, autograd and running statistics work as without noise.
    Contexts nest: the inner one's noise comes first.

    Draws depend on the seed, the draw index and, for random noise, the layer's name, the count of
    that layer's calls within the forward (a layer used twice gets two independent draws) and, per
    sample, the image's key; companions depend on the image's key. Nothing else matters. The draw
    index advances with each forward of ``model`` itself, or is set by :meth:`pin`. Activation
    checkpointing, which runs layers again in the backward pass, counts as further calls: don't
    combine them.

    Args:
        model: the network; not compiled, scripted or wrapped for parallel training.
        severity: from :func:`robust.norm_noise.parse_severity`, or one of the classes.
        seed: of the draws.
        granularity: of random noise, one draw per "layer" (the default), per "channel", or per
            "sample" (the first axis of each layer's output). Constant noise is the same for all.
        layers: which norm layers, by name, glob or callable; None for all.
        companions: of batch noise, a pool (P, 3, H, W) in [0, 1] from which each image of a forward
            gets n - 1 by chance; N images then take the memory of N · n. None makes the images of a
            forward each other's companions, each n in a row. Severities such as ``4:noise`` make
            noise images instead and need no pool.
        head: of batch noise with companions, a part of ``model`` behind which images don't meet, as
            its last convolution: companions leave before it, which saves its time. None for none.

    Attributes:
        severity: the noise and its strength.
        layers: the dotted names of the layers under noise; of batch noise, BatchNorms alone.

    Raises:
        InputError: no norm layer, an unknown granularity or one for batch noise, a seed that is no
            whole number, or a wrapped model; in a forward, a batch that is no multiple of n, or a
            pool that is too small.
        TargetError: ``layers`` matches nothing, or a norm layer whose forward does more than
            normalise.

    Source: Liang et al., IEBN (arXiv 1908.04008), which trains under such noise.
    """

    def __init__(
        self,
        model: nn.Module,
        severity: Severity,
        *,
        seed: int = 0,
        granularity: str | None = None,
        layers: Targets | None = None,
        companions: Tensor | None = None,
        head: nn.Module | None = None,
    ) -> None:
        if granularity is not None and granularity not in GRANULARITIES:
            raise unknown_name("granularity", granularity, list(GRANULARITIES))
        check_hookable(model)
        self._targets = require_norm_layers(model, layers)
        if isinstance(severity, BatchNoise):
            if granularity is not None:
                raise InputError(
                    f"batch noise {severity.text} has no granularity: nothing is drawn in its "
                    f"layers; leave {granularity!r} out"
                )
            # The other norms take no statistics from the batch.
            self._targets = {n: m for n, m in self._targets.items() if isinstance(m, _BatchNorm)}
        for name, layer in self._targets.items():
            check_plain_affine(layer, name)
        self.severity = severity
        self.layers = tuple(self._targets)
        self._model = model
        self._chosen_layers = layers
        self._seed = check_seed(seed)
        self._granularity = granularity or "layer"
        self._pool = companions
        self._head = head
        self._undo: contextlib.ExitStack | None = None
        self._pinned: int | None = None
        self._samples: tuple[Key, ...] | None = None
        self._draw = 0
        self._calls: dict[str, int] = {}

    def __enter__(self) -> Self:
        if self._undo is not None:
            raise RuntimeError("this noise is active already: make a second one to nest them")
        self._draw = -1
        self._calls = {}
        with contextlib.ExitStack() as stack:
            before = self._model.register_forward_pre_hook(self._start_forward)
            stack.callback(before.remove)
            if isinstance(self.severity, BatchNoise):
                if self.adds_companions:
                    stack.enter_context(joined(self._model, self._with_companions, head=self._head))
                size, layers = self.severity.size, self._chosen_layers
                stack.enter_context(batch_statistics(self._model, size, layers=layers))
            else:
                for name, layer in self._targets.items():
                    # prepend: before any hook of the user's, so that it sees the layer's own output
                    handle = layer.register_forward_hook(self._hook(name), prepend=True)
                    stack.callback(handle.remove)
            self._undo = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        undo, self._undo = self._undo, None
        if undo is not None:
            undo.close()

    @property
    def adds_companions(self) -> bool:
        """Whether it puts companions between the images of a forward, n - 1 behind each."""
        severity = self.severity
        if not isinstance(severity, BatchNoise) or severity.size == 1:
            return False
        return severity.companions == "noise" or self._pool is not None

    def pin(self, *, draw: int | None = None, samples: Sequence[Key] | None = None) -> None:
        """Fix the draws of the forwards from here on; without arguments, release them.

        Args:
            draw: the draw index of every forward until the next call; None lets it advance by one
                per forward of the model, from 0 at the start of the context.
            samples: one key (a name or a number) per image of the batch, which companions and draws
                of granularity "sample" follow, wherever the image is in the batch. None for the
                position.

        Raises:
            InputError: a negative draw index.
        """
        if draw is not None and draw < 0:
            raise InputError(f"draw {draw} is negative. Expected 0, 1, 2, ...")
        self._pinned = draw
        self._samples = None if samples is None else tuple(samples)

    def _start_forward(self, model: nn.Module, inputs: Any) -> None:
        self._draw += 1
        self._calls = {}

    @property
    def _current_draw(self) -> int:
        # layers called without the model's own forward belong to the first draw
        return max(self._draw, 0) if self._pinned is None else self._pinned

    def _with_companions(self, images: Tensor) -> tuple[Tensor, slice]:
        """Each image followed by its companions: (N, ...) -> (N · n, ...)."""
        severity = self.severity
        assert isinstance(severity, BatchNoise)
        pool = images if severity.companions == "noise" else self._pool
        assert pool is not None
        if pool.shape[1:] != images.shape[1:]:
            raise InputError(
                f"images of shape {tuple(images.shape)} cannot share a batch with companions of "
                f"shape {tuple(pool.shape)}. Expected equal (3, H, W)"
            )
        rows = []
        for image, key in zip(images, self._sample_keys(len(images)), strict=True):
            mates = draw_companions(
                pool,
                severity.size - 1,
                seed=self._seed,
                image_key=key,
                draw=self._current_draw,
                kind=severity.companions,
            )
            rows.append(torch.cat([image[None], mates.to(images)]))
        return torch.cat(rows), slice(None, None, severity.size)

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def disturb(layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            weight, bias = effective_affine(layer, output)
            scale, shift = self._noise(name, channel_axis(layer, output), output)
            return scale * output + bias * (1 - scale) + weight * shift

        return disturb

    def _noise(self, name: str, axis: int, output: Tensor) -> tuple[Tensor, Tensor]:
        """Na and Nb for this call of the layer ``name``, shaped to broadcast over ``output``."""
        severity = self.severity
        if isinstance(severity, ConstantNoise):
            pair = torch.tensor([[severity.scale], [severity.shift]], dtype=torch.float64)
            axis = 0
        elif isinstance(severity, RandomNoise):
            call = self._calls.get(name, 0)
            self._calls[name] = call + 1
            key = (self._seed, name, self._current_draw, call)
            if self._granularity == "sample":
                axis = 0
                samples = self._sample_keys(output.shape[0])
                pair = torch.cat([_draw_pair(severity, 1, *key, s) for s in samples], dim=1)
            elif self._granularity == "channel":
                pair = _draw_pair(severity, output.shape[axis], *key)
            else:
                pair = _draw_pair(severity, 1, *key)
        else:
            raise TypeError(f"no rule for {severity!r}")
        pair = pair.to(output).reshape(2, -1, *(1,) * (output.dim() - axis - 1))
        return pair[0], pair[1]

    def _sample_keys(self, count: int) -> Sequence[Key]:
        if self._samples is None:
            return range(count)
        if len(self._samples) != count:
            raise InputError(
                f"{len(self._samples)} sample keys are pinned for a batch of {count}: "
                "pin one key per image"
            )
        return self._samples


def _draw_pair(severity: RandomNoise, size: int, *key: Key) -> Tensor:
    """Na and Nb, float64 (2, size) on the CPU, named by ``key``."""
    chance = generator(*key)
    return torch.stack(
        [
            low + (high - low) * torch.rand(size, generator=chance, dtype=torch.float64)
            for low, high in (severity.scale_range, severity.shift_range)
        ]
    )
