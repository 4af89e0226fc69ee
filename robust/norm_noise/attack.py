"""Constant, random and batch noise on norm layers (DESIGN §5), undone when the context ends.

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
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from asr_core.errors import InputError
from asr_core.placement.targets import Targets
from asr_core.registry import unknown_name
from robust.norm_noise.draws import Key, check_seed, generator, uniform
from robust.norm_noise.groups import grouped_statistics
from robust.norm_noise.layers import (
    channel_axis,
    check_plain_affine,
    effective_affine,
    require_norm_layers,
)
from robust.norm_noise.severity import BatchNoise, ConstantNoise, RandomNoise, Severity

GRANULARITIES = ("layer", "channel", "sample")


class Attack:
    """Noise on the norm layers of a model while the context is active; made by :func:`attack`.

    Attributes:
        severity: the noise and its strength.
        layers: the dotted names of the layers under noise; of batch noise, BatchNorms alone.
    """

    def __init__(
        self,
        model: nn.Module,
        severity: Severity,
        *,
        seed: int,
        granularity: str = "layer",
        layers: Targets | None = None,
    ) -> None:
        if granularity not in GRANULARITIES:
            raise unknown_name("granularity", granularity, list(GRANULARITIES))
        if isinstance(severity, BatchNoise):
            _check_batch_noise(severity, granularity)
        _check_hookable(model)
        self._targets = require_norm_layers(model, layers)
        for name, layer in self._targets.items():
            check_plain_affine(layer, name)
        if isinstance(severity, BatchNoise):
            # The others take no statistics from the batch.
            self._targets = {n: m for n, m in self._targets.items() if isinstance(m, _BatchNorm)}
        self.severity = severity
        self.layers = tuple(self._targets)
        self._model = model
        self._layers = layers
        self._seed = check_seed(seed)
        self._granularity = granularity
        self._undo: contextlib.ExitStack | None = None
        self._pinned: int | None = None
        self._samples: tuple[Key, ...] | None = None
        self._draw = 0
        self._calls: dict[str, int] = {}

    def __enter__(self) -> Attack:
        if self._undo is not None:
            raise RuntimeError("this attack is active already: make a second one to nest them")
        self._draw = -1
        self._calls = {}
        with contextlib.ExitStack() as stack:
            if isinstance(self.severity, BatchNoise):
                size = self.severity.size
                stack.enter_context(grouped_statistics(self._model, size, self._layers))
            else:
                before = self._model.register_forward_pre_hook(self._start_forward)
                stack.callback(before.remove)
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

    def pin(self, *, draw: int | None = None, samples: Sequence[Key] | None = None) -> None:
        """Fix the draws of the forwards from here on; without arguments, release them.

        Args:
            draw: the draw index of every forward until the next call; None lets it advance by one
                per forward of the model, from 0 at the start of the context.
            samples: with granularity "sample", one key (a name or a number) per image of the batch:
                an image's draw follows its key, wherever it is in the batch. None for the position.

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
            # layers called without the model's own forward belong to the first draw
            draw = max(self._draw, 0) if self._pinned is None else self._pinned
            key = (self._seed, name, draw, call)
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


def attack(
    model: nn.Module,
    severity: Severity,
    *,
    seed: int,
    granularity: str = "layer",
    layers: Targets | None = None,
) -> Attack:
    """Noise on the norm layers of ``model``, as a context manager: ``with attack(...) as noise:``.

    Constant and random noise replace x̂ by Na ⊙ x̂ + Nb in every norm layer. Batch noise of size n
    makes BatchNorm normalise each n images in a row by their own statistics: the caller puts the
    companions into the batch, as :func:`run_under` does for each image. The model is
    never changed; train and eval mode, autograd and running statistics work as without
    noise. Attacks nest: the inner one's noise comes first.

    Random draws depend on the seed, the layer's name, the draw index, the count of that layer's
    calls within the forward (a layer used twice gets two independent draws) and, per sample, the
    image's key; on nothing else. The draw index advances with each forward of ``model`` itself, or
    is set by :meth:`Attack.pin`. Activation checkpointing, which runs layers again in the backward
    pass, counts as further calls: don't combine them.

    Args:
        model: the network; not compiled, scripted or wrapped for parallel training.
        severity: from :func:`robust.norm_noise.parse_severity` or one of the classes.
        seed: of the random draws; constant and batch noise draw nothing.
        granularity: one random draw per "layer", per "channel", or per "sample" (the first axis of
            each layer's output); constant noise is the same for all, batch noise takes none.
        layers: which norm layers, by name, glob or callable; None for all.

    Raises:
        InputError: no norm layer, an unknown granularity, a seed that is no whole number, a
            wrapped model, or batch noise with noise images as companions, which have to be made
            (:func:`run_under`); in a forward, a batch that is no multiple of n.
        TargetError: ``layers`` matches nothing, or a norm layer whose forward does more than
            normalise.

    Source: Liang et al., IEBN (arXiv 1908.04008), which trains under such noise.
    """
    return Attack(model, severity, seed=seed, granularity=granularity, layers=layers)


def _check_batch_noise(severity: BatchNoise, granularity: str) -> None:
    """Refuse what batch noise on a batch of the caller's could only ignore."""
    if granularity != "layer":
        raise InputError(
            f"batch noise {severity.text} has no granularity {granularity!r}: nothing is drawn in "
            "its layers; leave it out"
        )
    if severity.companions != "photos":
        raise InputError(
            f"batch noise {severity.text} makes noise images, but here the batch is taken as it "
            f"comes: call run_under, or put them in yourself and give {severity.size}"
        )


def _draw_pair(severity: RandomNoise, size: int, *key: Key) -> Tensor:
    """Na and Nb, (2, size), named by ``key``."""
    draw = generator(*key)
    scale = uniform(*severity.scale_range, size, draw)
    return torch.stack([scale, uniform(*severity.shift_range, size, draw)])


def _check_hookable(model: nn.Module) -> None:
    """Refuse models on whose layers hooks don't run, or run under other names."""
    if any(
        isinstance(module, torch.jit.ScriptModule)
        or hasattr(module, "_orig_mod")
        or module._compiled_call_impl is not None
        for module in model.modules()
    ):
        raise InputError(
            "a compiled or scripted model cannot be attacked: give the model that it was made from"
        )
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        raise InputError(
            f"the model is wrapped by {type(model).__name__}: attack its .module, "
            "which takes effect in the wrapped one"
        )
