"""A training run of a style network as a folder: resumable, with its recipe and style beside it."""

from __future__ import annotations

import csv
import dataclasses
import io
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from asr_core.errors import InputError
from asr_core.files import write_text
from robust.noise import BatchNoise, Severity, attack, default_severities, parse_severity
from styletransfer.images.embedded import HELD_OUT, held_out, training_photographs
from styletransfer.images.read import read_images, write_image
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.recipe import StyleRecipe
from styletransfer.train import Step, StepNoise, evaluate, train_style
from styletransfer.zoo import save_network

NETWORK, RESUME, LOG, STYLE = "network.safetensors", "resume.pt", "log.csv", "style.png"


@dataclass(frozen=True)
class TrainNoise:
    """Noise during training; none where ``severity`` is None.

    Batch noise in training is the batch size: it arises by itself in batch norm.
    """

    severity: Severity | None = None

    def adjust(self, recipe: StyleRecipe) -> StyleRecipe:
        """The recipe with the batch size that batch noise asks for."""
        if isinstance(self.severity, BatchNoise):
            return dataclasses.replace(recipe, batch_size=self.severity.size)
        return recipe

    def context(self, seed: int) -> StepNoise | None:
        """The ``noise`` of :func:`styletransfer.train.train_style`; draws follow the step."""
        severity = self.severity
        if severity is None or isinstance(severity, BatchNoise):
            return None

        def at(network: nn.Module, step: int) -> AbstractContextManager[object]:
            disturbed = attack(network, severity, seed=seed)
            disturbed.pin(draw=step)
            return disturbed

        return at


def parse_train_noise(noise: str | None, severity: str | None) -> TrainNoise:
    """Noise for the train phase from ``--noise`` and ``--severity``.

    Raises:
        InputError: an unknown noise, a severity of another form or without a noise, or noise
            images as companions, which training has no use for.
    """
    if noise is None:
        if severity is not None:
            raise InputError("--severity needs --noise")
        return TrainNoise()
    chosen = parse_severity(noise, severity) if severity else default_severities(noise)[-2]
    if isinstance(chosen, BatchNoise) and chosen.companions != "photos":
        raise InputError(f"batch noise {chosen.text} cannot be trained under; give a batch size")
    return TrainNoise(chosen)


@dataclass(frozen=True)
class StyleRun:
    """One run folder: ``network.safetensors`` and its JSON, ``style.png``, ``log.csv``."""

    folder: Path
    recipe: StyleRecipe
    style: str
    noise: TrainNoise = TrainNoise()

    def prepare(self, *, overwrite: bool) -> None:
        """Make the folder; an interrupted run in it is resumed, a finished one is an error.

        Raises:
            InputError: the folder holds a finished run and ``overwrite`` is false.
        """
        if overwrite:
            for name in (NETWORK, RESUME, LOG, STYLE, Path(NETWORK).with_suffix(".json")):
                (self.folder / name).unlink(missing_ok=True)
        if (self.folder / NETWORK).exists():
            raise InputError(
                f"{self.folder} holds a finished run; choose another --out, or --overwrite"
            )
        self.folder.mkdir(parents=True, exist_ok=True)

    def photographs(
        self, paths: Sequence[str], *, max_pixels: int, on_skip: Callable[[Path, str], None]
    ) -> list[Tensor]:
        """Training pictures: the user's, their shorter side twice the crop, or the embedded."""
        if not paths:
            return training_photographs()
        stream = read_images(
            paths, on_skip=on_skip, max_pixels=max_pixels, size=2 * self.recipe.size
        )
        return [image for _, image in stream]

    def train(
        self,
        loss: PerceptualLoss,
        style: Tensor,
        photographs: Sequence[Tensor],
        *,
        device: torch.device,
        on_step: Callable[[int, str], None],
    ) -> Path:
        """Train to the end and write the network; returns its path.

        Args:
            on_step: called with the number of finished steps and a line on loss and speed.

        Raises:
            KeyboardInterrupt: with a note on how to go on.
        """
        started = time.perf_counter()
        log = _StepLog(self.folder / LOG)
        images = 0

        def record(step: Step) -> None:
            nonlocal images
            images += step.images
            speed = images / (time.perf_counter() - started)
            log.add(step)
            note = f"loss {step.loss:.3f} (content {step.content:.3f}, style {step.style:.3f})"
            on_step(step.step + 1, f"{note}, {speed:.1f} images/s")

        write_image(self.folder / STYLE, style)
        try:
            network = train_style(
                self.recipe,
                loss,
                photographs,
                device=device,
                noise=self.noise.context(self.recipe.seed),
                resume=self.folder / RESUME,
                save_every=25,
                on_step=record,
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{self.folder} keeps the last 25 steps or fewer to redo; "
                "the same command goes on from there"
            ) from None
        finally:
            log.write()
        network = network.cpu()
        pictures = [held_out(name) for name in HELD_OUT]
        severity = self.noise.severity
        save_network(
            self.folder / NETWORK,
            network,
            style=self.style,
            seed=self.recipe.seed,
            facts={
                "recipe": self.recipe.as_dict(),
                "noise": severity and {"noise": severity.noise, "severity": severity.text},
                "style_image": STYLE,
                "loss_network": loss.network.name,
                "held_out": evaluate(network, loss.cpu(), pictures),
                "torch": torch.__version__,
            },
        )
        (self.folder / RESUME).unlink(missing_ok=True)
        return self.folder / NETWORK


class _StepLog:
    """Losses by step, as CSV; a resumed run continues the file of the interrupted one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[int, list[str]] = {}
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    self._rows[int(row["step"])] = [
                        row[name] for name in ("loss", "content", "style")
                    ]

    def add(self, step: Step) -> None:
        self._rows[step.step] = [f"{v:.6g}" for v in (step.loss, step.content, step.style)]

    def write(self) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["step", "loss", "content", "style"])
        writer.writerows([step, *values] for step, values in sorted(self._rows.items()))
        write_text(self._path, text.getvalue())
