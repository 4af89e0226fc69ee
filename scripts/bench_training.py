"""What ASR costs on ResNet164 at 32×32: a training step, and inference, beside the plain net.

All variants run in one process, in turns, each round starting with another one. The clock is the
process's CPU time on one thread, which other processes disturb little. "plain, again" is the plain
net a second time: how far it is from 1 is the noise of the measurement. Prints a Markdown page and
writes it where --out says. The two variables let glibc keep freed memory; otherwise a third of the
time goes to the kernel, which hands out the same pages again and again.

    export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1
    python scripts/bench_training.py [--rounds 9] [--batch 128] [--out docs/BENCHMARKS.md]
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asr_core import fuse_asr
from asr_core.attention import ATTENTIONS
from asr_core.files import write_text
from asr_core.fold.norms import fold_conv_bn
from asr_core.fold.pairs import conv_bn_pairs
from asr_core.models.backbones import BACKBONES
from asr_core.models.resnet_cifar import resnet_cifar
from asr_core.parametrization import gated_layers

CLASSES = 100
SIDE = 32
BOUNDS = {
    ("training step", "ASR"): "≤ 1.02",
    ("inference", "ASR, fused"): "1.00 ± 0.01",
    ("inference", "ASR, folded"): "≤ 0.9",
}

Step = Callable[[], object]


class OnTheOutput(nn.Module):
    """The published form: bn(x) × attention(ψ), a pass over the feature map."""

    def __init__(self, bn: nn.BatchNorm2d, attention: nn.Module, psi: Tensor) -> None:
        super().__init__()
        self.bn, self.attention, self.psi = bn, attention, nn.Parameter(psi)

    def forward(self, x: Tensor) -> Tensor:
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
    folded = fold_conv_bn(fused, conv_bn_pairs(fused))
    trained = {
        "plain": plain,
        "plain, again": copy.deepcopy(plain),
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
    @torch.inference_mode()
    def infer() -> Tensor:
        return model.eval()(images)

    return infer


def gates_alone(model: nn.Module) -> Step:
    """All that gates add to a step: v, its products, their gradients, the update of ψ and θ."""
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


def in_turns(steps: Mapping[str, Step], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each step in each round, after a round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for turn in range(rounds + 1):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            before = time.process_time()
            steps[name]()
            if turn:
                seconds[name].append(time.process_time() - before)
    return seconds


def table(what: str, seconds: Mapping[str, list[float]]) -> str:
    """A Markdown table; a ratio is the median of the rounds' ratios to plain, and of the minima."""
    plain = seconds["plain"]
    lines = [
        f"| {what} | median s | fastest s | ratio, median | ratio, fastest | bound |",
        "|---|---|---|---|---|---|",
    ]
    for name, values in seconds.items():
        ratios = [mine / theirs for mine, theirs in zip(values, plain, strict=True)]
        cells = [
            f"{statistics.median(values):.3f}",
            f"{min(values):.3f}",
            f"{statistics.median(ratios):.3f}",
            f"{min(values) / min(plain):.3f}",
            BOUNDS.get((what, name), ""),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--depth", type=int, default=164)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.randn(options.batch, 3, SIDE, SIDE)
    labels = torch.randint(CLASSES, (options.batch,))
    trained, plain_again = variants(options.depth)
    infer = {name: inference(m, images) for name, m in {**trained, **plain_again}.items()}
    last = images.to(memory_format=torch.channels_last)
    for name, model in (("plain", trained["plain"]), ("ASR, folded", plain_again["ASR, folded"])):
        copied = copy.deepcopy(model).to(memory_format=torch.channels_last)
        infer[f"{name}, channels last"] = inference(copied, last)
    train = {name: training_step(m, images, labels) for name, m in trained.items()}
    steps, runs = in_turns(train, options.rounds), in_turns(infer, 3 * options.rounds)
    alone = in_turns({"gates": gates_alone(trained["ASR"])}, 10 * options.rounds)["gates"]
    share = statistics.median(alone) / statistics.median(steps["plain"])
    page = "\n\n".join(
        [
            "# What ASR costs",
            f"ResNet{options.depth}, {SIDE}×{SIDE}, batch {options.batch}, SE gates after each "
            f"block's last BatchNorm, float32, one thread of {os.cpu_count()} cores "
            f"{platform.machine()}, torch {torch.__version__.split('+')[0]}; CPU seconds of one "
            f"step, {options.rounds} rounds "
            f"in turns ({3 * options.rounds} of inference). A median ratio is over the rounds, "
            'each against plain in the same round; "plain, again" is the noise of the measurement. '
            "Made by `scripts/bench_training.py`.",
            table("training step", steps),
            f"The gates alone, with their gradients and update, one pixel at a time: "
            f"{1000 * statistics.median(alone):.1f} ms, {share:.2%} of the plain step.",
            table("inference", runs),
        ]
    )
    print(page)
    if options.out:
        write_text(options.out, page + "\n")


if __name__ == "__main__":
    main()
