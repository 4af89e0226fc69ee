"""What docs/BENCHMARKS.md compares: the plain network, live attention, and ASR's forms."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from asr_core import fuse_asr
from asr_core.asr.parametrization import gated_layers
from asr_core.attention import ATTENTIONS
from asr_core.fold.norms import fold_conv_bn
from asr_core.fold.pairs import find_pairs
from asr_core.models.backbones import BACKBONES
from asr_core.models.networks.resnet_cifar import resnet_cifar
from robust.bench.speed import Step
from robust.bench.step_counts import count_here

CLASSES = 100
SIDE = 32
TRAINING, INFERENCE, GATES = "training step", "inference", "gates alone"
AGAIN = "plain, again"

Point = tuple[int, int]
"""Depth of the net and batch size."""


class OnTheOutput(nn.Module):
    """The published form: bn(x) × attention(ψ), a pass over the feature map."""

    def __init__(self, bn: nn.BatchNorm2d, attention: nn.Module, psi: Tensor) -> None:
        super().__init__()
        self.bn, self.attention, self.psi = bn, attention, nn.Parameter(psi)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return self.bn(x) * self.attention(self.psi)


def published(model: nn.Module) -> nn.Module:
    """``model`` in place, with the published form at the paper's positions."""
    for name, bn in list(model.named_modules()):
        if name.endswith(".bn3"):
            attention = ATTENTIONS["se"](bn.num_features)
            psi = torch.full((1, bn.num_features, 1, 1), 0.1)
            parent = model.get_submodule(name.removesuffix(".bn3"))
            parent.bn3 = OnTheOutput(bn, attention, psi)
    return model


def variants(depth: int) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
    """The models by name, those that are trained and those that only infer."""
    plain = resnet_cifar(depth, CLASSES)
    gated = copy.deepcopy(plain)
    BACKBONES["resnet164"].insert(gated, "se")
    for parameter in gated.parameters():  # away from the start, so that there is a gate to fuse
        parameter.data.add_(torch.randn_like(parameter), alpha=1e-3)
    fused = fuse_asr(gated).eval()
    folded = fold_conv_bn(fused, find_pairs(fused).pairs)
    trained = {
        "plain": plain,
        AGAIN: copy.deepcopy(plain),
        "SE, live": resnet_cifar(depth, CLASSES, attention="se"),
        "bn(x) × attention(ψ), as published": published(copy.deepcopy(plain)),
        "ASR": gated,
    }
    return trained, {"ASR, fused": fused, "ASR, folded": folded}


def training_step(model: nn.Module, images: Tensor, labels: Tensor) -> Step:
    """One step of the recipe's SGD."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    loss = nn.CrossEntropyLoss()

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        loss(model(images), labels).backward()
        optimizer.step()

    return step


def inference(model: nn.Module, images: Tensor) -> Step:
    """One forward, in eval mode."""

    @torch.inference_mode()
    def infer() -> Tensor:
        return model.eval()(images)

    return infer


def gates_alone(model: nn.Module) -> Step:
    """What gates add to a step: v, its products, their gradients, the update of ψ and θ."""
    layers: list[Any] = [layer for _, layer in gated_layers(model)]
    own = [parameter for layer in layers for parameter in layer.asr.parameters()]
    optimizer = torch.optim.SGD(own, lr=1e-3, momentum=0.9, weight_decay=1e-4)
    pixel = [torch.randn(1, layer.num_features, 1, 1) for layer in layers]

    def step() -> None:
        optimizer.zero_grad()
        for layer, x in zip(layers, pixel, strict=True):
            layer.eval()(x).sum().backward()
        optimizer.step()

    return step


def unit(what: str, name: str, at: Point) -> str:
    """The key of one step's count."""
    return " / ".join((what, name, *map(str, at)))


def batch_of(size: int) -> tuple[Tensor, Tensor]:
    """Random images and labels."""
    return torch.randn(size, 3, SIDE, SIDE), torch.randint(CLASSES, (size,))


def counted_steps(points: Iterable[Point]) -> dict[str, Step]:
    """The counted steps, by :func:`unit`."""
    torch.manual_seed(0)
    models = {depth: variants(depth) for depth, _ in points}
    steps = {}
    for depth, size in points:
        images, labels = batch_of(size)
        trained, only_infer = models[depth]
        for name, model in {**trained, **only_infer}.items():
            if name in trained and name != AGAIN:
                steps[unit(TRAINING, name, (depth, size))] = training_step(model, images, labels)
            if name != AGAIN:
                steps[unit(INFERENCE, name, (depth, size))] = inference(model, images)
    return steps


def count_under_valgrind(points: str, *wanted: str) -> None:
    """In the process that callgrind runs: count the ``wanted`` units, in their order."""
    torch.set_num_threads(1)
    steps = counted_steps([point(text) for text in points.split(",")])
    count_here({name: steps[name] for name in wanted})


def point(text: str) -> Point:
    """The point that ``text`` names: "11x2" is ResNet11 at batch 2."""
    depth, batch = map(int, text.split("x"))
    if depth < 11 or depth % 9 != 2 or batch < 1:
        raise ValueError(f"{text!r} is not a depth of 9n + 2 and a batch size, as 11x2")
    return depth, batch
