"""One table of gated layers: geometry × attention × δ × dtype, shared by the tests of fusion."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from representative import some_of
from torch import nn
from torchvision.models.convnext import LayerNorm2d

from asr_core import insert_asr
from asr_core.attention import ATTENTIONS

AS_GATE = [name for name in ATTENTIONS if not ATTENTIONS[name].asr_refusal]
DTYPES = (torch.float64, torch.float32)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


class SelfAttention(nn.MultiheadAttention):
    """Multi-head attention of one tensor with itself."""

    def forward(self, x):
        return super().forward(x, x, x)


class ValuesOnly(nn.MultiheadAttention):
    """Attention without an output projection: softmax(q kᵀ / √d) v, heads side by side."""

    def __init__(self, embed_dim, num_heads, **options):
        super().__init__(embed_dim, num_heads, **options)
        self.out_proj = None

    def forward(self, query, key=None, value=None):
        key, value = (query if key is None else key), (query if value is None else value)
        e = self.embed_dim
        if self.in_proj_weight is None:
            weights = self.q_proj_weight, self.k_proj_weight, self.v_proj_weight
        else:
            weights = self.in_proj_weight.split(e)
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.split(e)
        inputs = (query, key, value)
        q, k, v = (nn.functional.linear(*a) for a in zip(inputs, weights, biases, strict=True))
        if self.bias_v is not None:
            k = torch.cat([k, self.bias_k.expand(1, k.shape[1], e)])
            v = torch.cat([v, self.bias_v.expand(1, v.shape[1], e)])
        # (L, N, E) -> (N, heads, L, E / heads)
        heads = [t.unflatten(-1, (self.num_heads, -1)).permute(1, 2, 0, 3) for t in (q, k, v)]
        mixed = nn.functional.scaled_dot_product_attention(*heads)
        return mixed.permute(2, 0, 1, 3).flatten(2), None


@dataclass(frozen=True)
class Geometry:
    """A stock layer, an input for it, and the axis of the output that v belongs to."""

    name: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    axis: int = 1


GEOMETRIES = [
    Geometry("conv1d", lambda: nn.Conv1d(4, 6, 3), (2, 4, 9)),
    Geometry("conv2d", lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 7, 8)),
    Geometry("conv2d no bias", lambda: nn.Conv2d(4, 6, (1, 3), bias=False), (2, 4, 5, 6)),
    Geometry("conv2d dilated", lambda: nn.Conv2d(4, 6, 3, dilation=2), (2, 4, 7, 7)),
    Geometry(
        "conv2d reflect",
        lambda: nn.Conv2d(4, 6, 5, padding=2, padding_mode="reflect"),
        (2, 4, 6, 6),
    ),
    Geometry("conv2d same", lambda: nn.Conv2d(4, 6, 3, padding="same"), (2, 4, 5, 5)),
    Geometry("conv2d grouped", lambda: nn.Conv2d(4, 6, 3, groups=2), (2, 4, 5, 6)),
    Geometry("conv2d depthwise", lambda: nn.Conv2d(6, 6, 3, groups=6), (2, 6, 5, 6)),
    Geometry("conv3d", lambda: nn.Conv3d(2, 6, 2), (2, 2, 3, 4, 5)),
    Geometry("convT1d", lambda: nn.ConvTranspose1d(4, 6, 3, stride=2), (2, 4, 5)),
    Geometry("convT2d", lambda: nn.ConvTranspose2d(4, 6, 3, padding=1), (2, 4, 5, 6)),
    Geometry(
        "convT2d grouped",
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2),
        (2, 4, 5, 6),
    ),
    Geometry(
        "convT2d depthwise",
        lambda: nn.ConvTranspose2d(6, 6, 2, groups=6, bias=False),
        (2, 6, 3, 4),
    ),
    Geometry("convT3d", lambda: nn.ConvTranspose3d(4, 6, 2, groups=2), (2, 4, 2, 3, 2)),
    Geometry("linear", lambda: nn.Linear(5, 6), (3, 4, 5), -1),
    Geometry("linear no bias", lambda: nn.Linear(5, 6, bias=False), (3, 5), -1),
    Geometry("bn1d vectors", lambda: nn.BatchNorm1d(6), (4, 6)),
    Geometry("bn1d", lambda: nn.BatchNorm1d(6), (4, 6, 5)),
    Geometry("bn2d", lambda: nn.BatchNorm2d(6), (4, 6, 5, 4)),
    Geometry("bn2d no affine", lambda: nn.BatchNorm2d(6, affine=False), (4, 6, 5, 4)),
    Geometry(
        "bn2d batch statistics",
        lambda: nn.BatchNorm2d(6, track_running_stats=False),
        (4, 6, 5, 4),
    ),
    Geometry("bn3d", lambda: nn.BatchNorm3d(6), (2, 6, 3, 4, 2)),
    Geometry("sync bn", lambda: nn.SyncBatchNorm(6), (4, 6, 5, 4)),
    Geometry("in1d", lambda: nn.InstanceNorm1d(6, affine=True), (2, 6, 5)),
    Geometry("in2d", lambda: nn.InstanceNorm2d(6, affine=True), (2, 6, 5, 4)),
    Geometry("in2d no affine", lambda: nn.InstanceNorm2d(6), (2, 6, 5, 4)),
    Geometry(
        "in3d", lambda: nn.InstanceNorm3d(6, affine=True, track_running_stats=True), (2, 6, 2, 3, 4)
    ),
    Geometry("group norm", lambda: nn.GroupNorm(3, 6), (2, 6, 4, 5)),
    Geometry("group norm no affine", lambda: nn.GroupNorm(2, 6, affine=False), (2, 6, 4, 5)),
    Geometry("layer norm", lambda: nn.LayerNorm(6), (2, 5, 6), -1),
    Geometry("layer norm no bias", lambda: nn.LayerNorm(6, bias=False), (2, 5, 6), -1),
    Geometry("layer norm no affine", lambda: nn.LayerNorm(6, elementwise_affine=False), (5, 6), -1),
    Geometry("layer norm, channels first", lambda: LayerNorm2d(6), (2, 6, 4, 5)),
    Geometry("rms norm", lambda: nn.RMSNorm(6), (2, 5, 6), -1),
    Geometry("rms norm no affine", lambda: nn.RMSNorm(6, elementwise_affine=False), (2, 6), -1),
    Geometry("attention", lambda: SelfAttention(6, 2), (5, 2, 6), -1),
    Geometry(
        "attention no bias",
        lambda: SelfAttention(6, 3, bias=False, batch_first=True),
        (2, 5, 6),
        -1,
    ),
    Geometry("values", lambda: ValuesOnly(6, 2), (5, 2, 6), -1),
    Geometry("values, own matrix", lambda: ValuesOnly(6, 3, kdim=6, vdim=6), (5, 2, 6), -1),
    Geometry("values, added bias", lambda: ValuesOnly(6, 2, add_bias_kv=True), (5, 2, 6), -1),
]


@dataclass(frozen=True)
class Case:
    """A row: a stock layer and the gate that it gets."""

    geometry: Geometry
    attention: str
    delta: int
    dtype: torch.dtype

    def __str__(self):
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{self.geometry.name}-{self.attention}-{self.delta}-{dtype}"

    def stock(self):
        """The layer with random parameters and statistics, the same each time."""
        torch.manual_seed(0)
        layer = self.geometry.make()
        randomise(layer)
        return layer.to(self.dtype)

    def gated(self):
        """The same layer with a gate of random values, and the v that the gate gives."""
        layer = self.stock()
        report = insert_asr(
            layer, self.attention, targets=is_root, create_affine=True, delta=self.delta
        )
        (position,) = report.positions
        layer.to(self.dtype)  # a norm without γ and β has no dtype of its own
        v = torch.zeros(position.channels)
        # Where all ReLUs are dead v is the same everywhere, and where it is tiny nothing is seen.
        while v.min() < 0.01 or v.std() < 0.1 * v.mean():
            randomise(position.gate, std=0.4)
            v = position.gate.scale().detach()
        return layer, v

    def input(self):
        """An input for the layer."""
        generator = torch.Generator().manual_seed(1)
        return torch.randn(self.geometry.shape, generator=generator, dtype=torch.float64).to(
            self.dtype
        )


# Every geometry × attention × δ; the dtypes take turns, so that each of the pairs has both.
CASES = [
    Case(geometry, attention, delta, dtype)
    for (geometry, attention, delta), dtype in zip(
        itertools.product(GEOMETRIES, AS_GATE, (1, 2, 3)), itertools.cycle(DTYPES), strict=False
    )
]
KEPT = [
    case
    for i, case in enumerate(CASES)
    if case.geometry.name in ("bn2d", "convT2d grouped") or i % 19 == 0
]
"""Each geometry, and each attention × δ on two of them."""
EVERY_ROW = some_of(CASES, KEPT)


def is_root(module, name):
    """Target: the model itself."""
    return name == ""


def randomise(module, std=1.0):
    """Parameters, statistics and frozen ψ that no symmetry can hide behind."""
    for name, tensor in itertools.chain(module.named_parameters(), module.named_buffers()):
        with torch.no_grad():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif tensor.is_floating_point():
                tensor.normal_(0, std)


def first(output):
    """The output itself, or the first of several (attention)."""
    return output[0] if isinstance(output, tuple) else output


def times(output, v, axis):
    """``output`` with v along ``axis``: the oracle, written as a loop over channels."""
    result = output.clone()
    for channel in range(len(v)):
        result.select(axis, channel).mul_(v[channel])
    return result
