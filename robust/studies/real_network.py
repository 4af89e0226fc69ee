"""EfficientNet-Lite0, trained on ImageNet by others, under normalisation noise and with ASR.

Its answers on crops of photographs need no labels: what counts is whether its first class stays
what it was on the clean crop. With an ImageNet folder it is accuracy.
"""

from __future__ import annotations

import copy
import importlib
import statistics
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms.functional import resized_crop

from asr_core import fold_report, fuse_asr, insert_asr
from asr_core.data import ImageSet, MemorySplit
from asr_core.data.photographs import photograph
from asr_core.data.split import Split
from asr_core.draws import generator
from asr_core.models import Normalized
from asr_core.saving.export import INPUT, export_onnx, require_onnx
from robust.bench.speed import timed
from robust.models.lite0 import STOCK
from robust.norm_noise import parse_statistics
from robust.norm_noise.endings import apart
from robust.stats.intervals import mean_interval
from robust.suites import SuiteOptions, SuiteResult, make_suite, run_suite
from styletransfer.images.embedded import (
    HELD_OUT,
    TRAINING,
    UNSEEN,
    VALIDATION,
    held_out,
    source_of,
    validation,
)

SIDE = STOCK.input_shape[-1]
STATISTICS = ("batch:16", "blend:16:16", "re-estimated")
"""Beside the running ones."""
WANTED = (0.3, 0.7)
"""The share of answers that a calibrated severity leaves, on the validation photographs."""
SIZES = (2, 4, 8, 16, 32, 64)
STEPS = 7
Tell = Callable[[str], None]


def crops(name: str, count: int) -> Tensor:
    """Crops of a photograph, uint8 (count, 3, 224, 224): 40 to 100 % of its area, at random."""
    image = photograph(name if name in TRAINING else source_of(name))
    height, width = image.shape[1:]
    chance = generator("crops", name)
    made = []
    for _ in range(count):
        draws = torch.rand(3, generator=chance).tolist()
        side = int(min(height, width) * (0.4 + 0.6 * draws[0]) ** 0.5)
        top = int(draws[1] * (height - side + 1))
        left = int(draws[2] * (width - side + 1))
        made.append(resized_crop(image, top, left, side, side, [SIDE, SIDE], antialias=True))
    return (torch.stack(made).clamp(0, 1) * 255).round().to(torch.uint8)


def photographs(model: nn.Module, count: int) -> ImageSet:
    """Crops as a data set whose labels are the clean answers of ``model``.

    Re-estimated statistics come from the training photographs, severities from the validation
    ones, and results from the unseen ones.
    """

    def split(names: Sequence[str]) -> MemorySplit:
        images = torch.cat([crops(name, count) for name in names])
        labels = _logits(model, images.float() / 255).argmax(1)
        return MemorySplit(images, labels, padding=0)

    mean, std = STOCK.mean, STOCK.std
    assert mean is not None
    assert std is not None
    return ImageSet(
        "photographs", tuple(map(str, range(1000))), SIDE, tuple(mean), tuple(std),  # type: ignore[arg-type]
        train=split(TRAINING), validation=split(VALIDATION), test=split(UNSEEN),
    )  # fmt: skip


def sampled(data: ImageSet, count: int) -> ImageSet:
    """At most ``count`` random images of each split, in memory and without augmentation."""

    def drawn(name: str) -> MemorySplit:
        split: Split = getattr(data, name)
        order = torch.randperm(len(split), generator=generator("sampled", name))[:count]
        parts = [
            (part * 255).round().to(torch.uint8) for part in split.test_stream(order.split(64))
        ]
        return MemorySplit(torch.cat(parts).cpu(), split.labels[order], padding=0)

    return replace(data, train=drawn("train"), validation=drawn("validation"), test=drawn("test"))


def calibrated(noise: str, share: Callable[[str], float], *, sizes: Sequence[int]) -> str:
    """The severity of a noise that leaves about half of the answers.

    Args:
        noise: "batch", "constant" or "random".
        share: of a severity, as text: the share of answers that it leaves.
        sizes: those of batches, to choose from.
    """
    if noise == "batch":
        return min(map(str, sizes), key=lambda text: abs(share(text) - 0.5))
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if share(_severity(noise, middle)) > 0.5 else (low, middle)
    return _severity(noise, (low + high) / 2)


def _severity(noise: str, strength: float) -> str:
    """Constant noise weakens the features as much as it shifts them."""
    return f"{strength:.3f}" if noise == "random" else f"{1 - strength:.3f},{strength:.3f}"


def under_noise(
    model: nn.Module, data: ImageSet, *, repeats: int, batch_size: int, tell: Tell = lambda _: None
) -> list[dict[str, Any]]:
    """Clean and under each noise, on each of the statistics: shares of right answers, JSON-able.

    The model's norms end in no activation (:func:`robust.norm_noise.endings.apart`).
    """
    rows: list[dict[str, Any]] = []

    def tested(split: str, noise: str, severity: str, **more: Any) -> SuiteResult:
        options = SuiteOptions(data=data, split=split, noise=noise, severities=(severity,), **more)
        tell(f"{split}: {noise} {severity}")
        suite = make_suite("norm-noise", options)
        return run_suite(model, getattr(data, split), suite, batch_size=batch_size)

    for noise in ("constant", "random", "batch"):

        def share(severity: str, noise: str = noise) -> float:
            return tested("validation", noise, severity).outcomes[1].top1

        most = min(len(data.validation), len(data.test))
        severity = calibrated(noise, share, sizes=[size for size in SIZES if size <= most])
        kept = share(severity)
        found = tested(
            "test", noise, severity, repeats=repeats,
            statistics=() if noise == "batch" else tuple(map(parse_statistics, STATISTICS)),
        )  # fmt: skip
        for condition in found.cells():
            if condition.kind == "clean" and noise != "constant":
                continue  # it has been told
            right = found.share_right(condition)
            # Crops of a photograph are not independent: the interval is over photographs.
            groups = right.reshape(len(UNSEEN), -1).mean(1) if data.name == "photographs" else right
            interval = mean_interval(groups[None])
            own = condition.kind != "clean"
            rows.append(
                {
                    "noise": condition.kind,
                    "severity": condition.label if own else "",
                    "statistics": condition.statistics,
                    "share": interval.mean,
                    "low": interval.low,
                    "high": interval.high,
                    "calibrated": kept if own else None,
                }
            )
    return rows


class _Program(nn.Module):
    """An ONNX file as a module, on one CPU thread for each of torch's."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        onnxruntime = importlib.import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def forward(self, images: Tensor) -> Tensor:
        (outputs,) = self._session.run(None, {INPUT: images.numpy()})
        return torch.from_numpy(outputs)


def transformed(
    model: Normalized, images: Tensor, *, rounds: int, tell: Tell = lambda _: None
) -> list[dict[str, Any]]:
    """ASR inserted into the trained network, fused, folded, exported, in 8 bits; JSON-able.

    For each: the greatest difference of a logit relative to the greatest logit, the share of
    ``images`` whose first class stays, and seconds an image, all in turns.

    Raises:
        InputError: the packages of the extra ``export`` are missing.
    """
    require_onnx()
    quantization = importlib.import_module("onnxruntime.quantization")
    steps: dict[str, nn.Module] = {"as published": model}
    gated = copy.deepcopy(model)
    report = insert_asr(gated, "se", preserve=True)
    gated.eval()
    steps[f"{len(report.positions)} ASR(SE) gates inserted (preserve)"] = gated
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no gate was trained, which fusing warns of
        fused = fuse_asr(gated)
    steps["gates fused"] = fused
    folded = fold_report(fused, example=images[:2])
    steps[f"{len(folded.pairs)} batch norms folded too"] = folded.model
    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder) / "net.onnx", Path(folder) / "net-int8.onnx"
        tell("export")
        export_onnx(whole, folded.model, images[:2])
        quantization.quantize_dynamic(whole, small, weight_type=quantization.QuantType.QUInt8)
        steps["as ONNX"], steps["as ONNX, dynamic INT8"] = _Program(whole), _Program(small)
        sizes = {"as ONNX": whole.stat().st_size, "as ONNX, dynamic INT8": small.stat().st_size}
        expected = _logits(model, images)
        rows = []
        tell("speed")
        seconds = timed(list(steps.values()), images[:8], rounds=rounds)
        for (name, step), own in zip(steps.items(), seconds, strict=True):
            found = _logits(step, images)
            rows.append(
                {
                    "step": name,
                    "difference": ((found - expected).abs().max() / expected.abs().max()).item(),
                    "share": (found.argmax(1) == expected.argmax(1)).double().mean().item(),
                    "seconds": statistics.median(own) / len(images[:8]),
                    "bytes": sizes.get(name),
                }
            )
    return rows


def labelled(model: nn.Module) -> dict[str, int]:
    """How many of the photographs with an ImageNet label, all held out, the network has right."""
    names = [name for name in (*VALIDATION, *HELD_OUT) if source_of(name).startswith("imagenet_")]
    labels = torch.tensor([int(source_of(name).rpartition("_")[2]) for name in names])
    pictures = torch.stack([_middle(name) for name in names])
    right = _logits(model, pictures).argmax(1) == labels
    return {"right": int(right.sum()), "of": len(names)}


def _middle(name: str) -> Tensor:
    if name in VALIDATION:
        return validation(size=SIDE)[VALIDATION.index(name)]
    return held_out(name, size=SIDE)


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([model(part) for part in images.split(16)])


def found(
    model: Normalized,
    data: ImageSet | None,
    *,
    count: int,
    repeats: int,
    rounds: int,
    tell: Tell = lambda _: None,
) -> dict[str, Any]:
    """All of it, JSON-able: :func:`robust.studies.real_network_page.tables` shows it.

    Args:
        model: :func:`robust.models.lite0.efficientnet_lite0`.
        data: a data set with ImageNet's classes; None for crops of photographs.
        count: crops of each photograph.
        repeats: draws of what depends on chance.
        rounds: timed forwards.
        tell: called with what comes next.
    """
    fast = copy.deepcopy(apart(model)).to(memory_format=torch.channels_last)  # half the time
    own = data or photographs(fast, count)
    images = own.test.test_batch(torch.arange(min(len(own.test), count * len(UNSEEN))))
    return {
        "model": STOCK.name,
        "data": own.name,
        "images": len(own.test),
        "photographs": len(UNSEEN) if data is None else None,
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "labelled": labelled(fast) if data is None else None,
        "noise": under_noise(fast, own, repeats=repeats, batch_size=32, tell=tell),
        "steps": transformed(model, images, rounds=rounds, tell=tell),
    }
