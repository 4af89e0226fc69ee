"""The oracle on the output side: a gated layer's output is its stock twin's output times v.

Comparing a fused layer with the gated one proves nothing, since both read the same tensor. The twin
is the stock layer on its raw parameters, and only its *output* is multiplied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from asr_core.asr.layers import CONV_TRANSPOSE, LINEAR, VALUES, LayerKind, Side, slots_of
from asr_core.errors import TargetError
from asr_core.graph.activations import is_activation
from asr_core.modules.copies import copy_model

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
LARGE = 2**24
"""Number of parameters above which a check in float64 would need too much memory."""


def precision(parameters: Mapping[str, Tensor]) -> torch.dtype:
    """The dtype in which a layer with these ``parameters`` is checked."""
    large = sum(p.numel() for p in parameters.values()) > LARGE
    return torch.float32 if large else torch.float64


def twin(layer: nn.Module, parameters: Mapping[str, Tensor], dtype: torch.dtype) -> nn.Module:
    """A plain stand-in for ``layer``: stock class, eval mode, CPU, ``dtype``, no hooks.

    Tensors named in ``parameters`` replace the layer's. A layer that ends in an activation (timm's
    BatchNormAct2d) comes without it, since v acts before it.
    """

    def cast(value: Tensor | None) -> Tensor | None:
        if value is None or not value.is_floating_point():
            return None if value is None else value.detach().cpu()
        return value.detach().to("cpu", dtype)

    plain: nn.Module = object.__new__(parametrize.type_before_parametrizations(layer))
    plain.__dict__.update(layer.__dict__)
    tensors = {**layer._parameters, **parameters}
    children = {n: m for n, m in layer._modules.items() if n not in ("asr", "parametrizations")}
    plain.__dict__.update(
        _parameters={name: cast(value) for name, value in tensors.items()},
        _buffers={name: cast(value) for name, value in layer._buffers.items()},
        _modules={n: m and _inner(m, dtype) for n, m in children.items()},
        training=False,
    )
    return plain


def _inner(child: nn.Module, dtype: torch.dtype) -> nn.Module:
    return nn.Identity() if is_activation(child) else twin(child, {}, dtype)


def output(layer: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    """The output of the layer's forward; the first of several (attention)."""
    with torch.no_grad():
        result = layer.forward(*inputs)
    return result[0] if isinstance(result, tuple) else result


def along(v: Tensor, axis: int, ndim: int) -> Tensor:
    """v (C,) in a shape that broadcasts against a tensor of ``ndim`` axes with C on ``axis``."""
    shape = [1] * ndim
    shape[axis] = -1
    return v.reshape(shape)


def disagreement(stock: Tensor, folded: Tensor, v: Tensor, axis: int) -> float:
    """Greatest |folded − stock × v|, relative to the greatest |stock × v| if that is over 1."""
    return difference(stock * along(v, axis, stock.ndim), folded)


def difference(expected: Tensor, folded: Tensor) -> float:
    """Greatest |folded − expected|, relative to the greatest |expected| if that is over 1."""
    return ((folded - expected).abs().max() / expected.abs().max().clamp_min(1.0)).item()


def synthetic_inputs(
    layer: Any, kind: LayerKind, dtype: torch.dtype
) -> Iterator[tuple[Tensor, ...]]:
    """Inputs that a layer of this kind may accept, most likely first."""
    random = torch.Generator("cpu").manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=dtype, device="cpu")

    channels = kind.channels(layer)
    sizes = [size for size in (4, 5, 6, 7) if size != channels][:3]
    if kind.family == "conv":
        yield (draw(2, layer.in_channels, *_spatial(layer, kind)),)
    elif kind is LINEAR:
        yield (draw(*sizes, layer.in_features),)
    elif kind is VALUES:
        query, length = sizes[:2], sizes[2]
        source = (length, query[1]) if not layer.batch_first else (query[0], length)
        yield draw(*query, layer.embed_dim), draw(*source, layer.kdim), draw(*source, layer.vdim)
    else:
        spatial = sizes[: _dimensions(layer, kind)]
        first, last = draw(2, channels, *spatial), draw(2, *spatial, channels)
        yield from ((x,) for x in ((first, last) if kind.axis == 1 else (last, first)))


def scaled_axis(
    layer: nn.Module, kind: LayerKind, created: Mapping[str, Tensor], side: Side = "output"
) -> int:
    """The axis of the layer's output, or input, along which v in its parameters scales.

    It is known for stock layers. The forward of a subclass may be anything, so it is tried with
    random parameters and a random v.

    Raises:
        TargetError: the output is not the stock output times v (or that on the input times v), or
            the forward writes to the layer's parameters.
    """
    if type(layer) in kind.types:
        return kind.axis
    random = torch.Generator("cpu").manual_seed(0)
    slots = slots_of(layer, created, side)
    # All of them, because a parameter at 0 would hide what the forward does with the others.
    raw = _random({**layer._parameters, **created}, random)
    channels = kind.width(layer, side)
    v = torch.rand(channels, generator=random, dtype=torch.float64, device="cpu") + 0.5
    scaled = {slot.tensor: slot.scaled(raw[slot.tensor], v) for slot in slots}
    pair = tuple(twin(layer, tensors, torch.float64) for tensors in (raw, {**raw, **scaled}))
    for plain in pair:
        _randomise_children(plain)
    entering = (v, kind.axis) if side == "input" else None
    outputs = accepted(pair, synthetic_inputs(layer, kind, torch.float64), entering)
    name = f"{type(layer).__name__} (a subclass of {_stock_type(layer, kind).__name__})"
    if outputs is None:
        raise TargetError(
            f"a {name} takes none of the inputs tried, so its gate cannot be checked: exclude it"
        )
    if _writes(layer, kind, raw):
        raise TargetError(
            f"the forward of {name} writes to its parameters, which a gate would undo: exclude it"
        )
    stock, folded = outputs
    if side == "input":
        if difference(stock, folded) <= TOLERANCE[torch.float64]:
            return kind.axis
    else:
        for axis in dict.fromkeys([kind.axis % stock.ndim, *range(stock.ndim)]):
            fits = stock.shape[axis] == channels
            if fits and disagreement(stock, folded, v, axis) <= TOLERANCE[torch.float64]:
                return axis - stock.ndim if kind.axis < 0 and axis == stock.ndim - 1 else axis
    raise TargetError(
        f"the {side} of {name} does not scale with its parameters, so that a gate could not be "
        "folded into them: exclude it"
    )


def _random(like: Mapping[str, Tensor | None], random: torch.Generator) -> dict[str, Tensor]:
    """Random positive values for those that are not None."""
    return {
        name: torch.rand(p.shape, generator=random, dtype=torch.float64, device="cpu") + 0.5
        for name, p in like.items()
        if p is not None
    }


def _writes(layer: nn.Module, kind: LayerKind, raw: Mapping[str, Tensor]) -> bool:
    """Whether the layer's forward changes its parameters, for example to bound their norm."""
    # Large and of both signs, so that no bound holds by chance.
    wild = {name: (value - 1) * 1e3 for name, value in raw.items()}
    # A copy, to keep the layer's statistics; and in both modes: some write in training only.
    plain = copy_model(twin(layer, wild, torch.float64))
    for training in (False, True):
        accepted((plain.train(training),) * 2, synthetic_inputs(layer, kind, torch.float64))
    now = plain._parameters
    return any((p := now[n]) is None or not torch.equal(p, value) for n, value in wild.items())


def _randomise_children(plain: nn.Module) -> None:
    random = torch.Generator("cpu").manual_seed(1)
    for child in (module for module in plain.modules() if module is not plain):
        child._parameters.update(_random(child._parameters, random))  # type: ignore[arg-type]


def accepted(
    pair: tuple[nn.Module, ...],
    candidates: Iterator[tuple[Tensor, ...]],
    entering: tuple[Tensor, int] | None = None,
) -> tuple[Tensor, Tensor] | None:
    """The outputs of both modules on the first inputs that the first module takes, or None.

    With ``entering``, v and its axis, the first module's input is multiplied by v.
    """
    for inputs in candidates:
        try:
            x = inputs[0] if entering is None else inputs[0] * along(*entering, inputs[0].ndim)
            first = output(pair[0], (x, *inputs[1:]))
        except Exception:  # a forward may raise anything on an unexpected input
            continue
        return first, output(pair[1], inputs)
    return None


def _dimensions(layer: nn.Module, kind: LayerKind) -> int:
    """Number of a norm's spatial dimensions: that in its class's name, else two."""
    name = _stock_type(layer, kind).__name__
    return int(name[-2]) if name.endswith("d") else 2


def _stock_type(layer: nn.Module, kind: LayerKind) -> type:
    return next(base for base in type(layer).__mro__ if base in kind.types)


def _spatial(layer: Any, kind: LayerKind) -> list[int]:
    """Sizes with at least one output pixel, whatever the kernel and padding."""
    padding = [0] * len(layer.kernel_size) if isinstance(layer.padding, str) else layer.padding
    sizes = []
    for k, d, s, p in zip(layer.kernel_size, layer.dilation, layer.stride, padding, strict=True):
        reach = d * (k - 1) + 1
        sizes.append(3 + 2 * p if kind is CONV_TRANSPOSE else max(reach, p + 1) + 2 * s)
    return sizes
