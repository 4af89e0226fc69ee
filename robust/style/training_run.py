"""A training run of a style network as a folder: resumable, with its recipe and style beside it."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_core.errors import InputError
from asr_core.saving.checkpoint import load_meta
from asr_core.saving.exclusive import contents, exclusive
from asr_core.saving.files import write_text
from robust.norm_noise import RUNNING
from robust.norm_noise.training import NO_NOISE, TrainNoise
from styletransfer.images.embedded import HELD_OUT, held_out, training_photographs
from styletransfer.images.lazy import LazyImages
from styletransfer.images.read import find_images, write_image
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.network import StyleNetwork
from styletransfer.recipe import StyleRecipe
from styletransfer.train import StyleStep, evaluate, train_style
from styletransfer.zoo import save_network

NETWORK, RESUME, LOG, STYLE = "network.safetensors", "resume.pt", "log.csv", "style.png"
SAVE_EVERY = 25


@dataclass(frozen=True)
class StyleRun:
    """One run folder: ``network.safetensors``, ``style.png``, ``log.csv``.

    Attributes:
        style: name of the style.
        images: the user's files and folders to train on; none for the embedded photographs.
    """

    folder: Path
    recipe: StyleRecipe
    style: str
    noise: TrainNoise = NO_NOISE
    images: tuple[str, ...] = ()

    @property
    def network(self) -> Path:
        """The file of the trained network."""
        return self.folder / NETWORK

    def is_finished(self) -> bool:
        """Whether the folder holds the network that this run would train."""
        if not self.network.is_file():
            return False
        facts = load_meta(self.network)
        told = {"style": self.style, "recipe": self.recipe.as_dict(), "noise": self.noise.as_dict()}
        return all(facts.get(field) == value for field, value in told.items())

    def check(self, *, overwrite: bool) -> None:
        """Refuse a folder that is in use by anything but an interrupted run; nothing is written.

        Raises:
            InputError: a file, or without ``overwrite`` a folder that holds a finished run or
                other files.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder} is a file; --out names a folder")
        if overwrite or not self.folder.exists() or (self.folder / RESUME).exists():
            return
        if contents(self.folder) and not self._only_begun():
            holds = "a finished run" if (self.folder / NETWORK).exists() else "other files"
            raise InputError(f"{self.folder} holds {holds}; choose another --out, or --overwrite")

    def _only_begun(self) -> bool:
        """Whether there is nothing but the log of a run that was killed before it was saved."""
        log = self.folder / LOG
        if contents(self.folder) != [log] or not log.is_file():
            return False
        with log.open("rb") as file:
            return file.readline(100).strip() == ",".join(_StepLog.COLUMNS).encode()

    def photographs(
        self, *, max_pixels: int, on_skip: Callable[[Path, str], None]
    ) -> Sequence[Tensor]:
        """Training pictures: the user's, their shorter side twice the crop, or the embedded."""
        if not self.images:
            return training_photographs()
        size = 2 * self.recipe.size
        return LazyImages(self.images, on_skip=on_skip, max_pixels=max_pixels, size=size)

    def train(
        self,
        loss: PerceptualLoss,
        style: Tensor,
        photographs: Sequence[Tensor],
        *,
        device: torch.device,
        overwrite: bool = False,
        on_step: Callable[[int, str], None],
    ) -> Path:
        """Train to the end and write the network; returns its path.

        An interrupted run in the folder is gone on with. With ``overwrite`` it is dropped; a
        finished network stays until the new one takes its place.

        Args:
            on_step: called with the number of finished steps and a line on loss and speed.

        Raises:
            InputError: as :meth:`check`; the interrupted run had other options, or another
                process holds the folder.
            KeyboardInterrupt: with a note on how to go on.
        """
        self.check(overwrite=overwrite)
        with exclusive(self.folder):
            self.check(overwrite=overwrite)  # another run may have ended since
            return self._train(
                loss, style, photographs, device=device, overwrite=overwrite, on_step=on_step
            )

    def _train(
        self,
        loss: PerceptualLoss,
        style: Tensor,
        photographs: Sequence[Tensor],
        *,
        device: torch.device,
        overwrite: bool,
        on_step: Callable[[int, str], None],
    ) -> Path:
        resume = self.folder / RESUME
        if overwrite:
            resume.unlink(missing_ok=True)
        log = _StepLog(self.folder / LOG, resumed=resume.exists())
        started = time.perf_counter()
        images = 0

        def record(step: StyleStep) -> None:
            nonlocal images
            images += step.images
            speed = images / (time.perf_counter() - started)
            log.add(step)
            if (step.step + 1) % SAVE_EVERY == 0 or step.step + 1 == self.recipe.steps:
                log.write()
            on_step(step.step + 1, f"loss {step.loss:.3f}, {speed:.1f} images/s")

        try:
            network = train_style(
                self.recipe,
                loss,
                photographs,
                device=device,
                noise=self.noise.context(self.recipe.seed),
                resume=resume,
                setting=self._setting(loss, style),
                save_every=SAVE_EVERY,
                on_step=record,
            )
        except KeyboardInterrupt as error:
            error.args = (
                f"the same command (without --overwrite) goes on from the last multiple of "
                f"{SAVE_EVERY} steps, kept in {self.folder}",
            )
            raise
        self._write(network.cpu(), loss.cpu(), style)
        resume.unlink(missing_ok=True)
        return self.folder / NETWORK

    def _setting(self, loss: PerceptualLoss, style: Tensor) -> dict[str, Any]:
        """What decides the run beside its recipe; files go by name and size."""
        files = [f"{path.name} {path.stat().st_size}" for path in self._files()]
        return {
            "noise": self.noise.text,
            "style": f"{self.style} {_digest(style.numpy().tobytes())}",
            "images": _digest(os.fsencode("\n".join(files))) if files else "embedded",
            "loss_network": loss.network.name,
        }

    def _files(self) -> list[Path]:
        return find_images(self.images) if self.images else []

    def _write(self, network: StyleNetwork, loss: PerceptualLoss, style: Tensor) -> None:
        write_image(self.folder / STYLE, style)
        save_network(
            self.folder / NETWORK,
            network,
            style=self.style,
            seed=self.recipe.seed,
            facts={
                "recipe": self.recipe.as_dict(),
                "noise": self.noise.as_dict(),
                "images": f"{len(self._files())} files" if self.images else "embedded",
                "style_image": STYLE,
                "loss_network": loss.network.name,
                "held_out": evaluate(network, loss, [held_out(name) for name in HELD_OUT]),
                "held_out_statistics": "instance" if self.recipe.norm == "in" else RUNNING,
                "torch": torch.__version__,
            },
        )


class _StepLog:
    """Losses by step, as CSV; a resumed run continues the file of the interrupted one."""

    COLUMNS = ("step", "loss", "content", "style")

    def __init__(self, path: Path, *, resumed: bool) -> None:
        self._path = path
        self._rows: dict[int, list[str]] = {}
        if resumed and path.is_file():
            try:
                with path.open(newline="", encoding="utf-8") as file:
                    rows = list(csv.reader(file))[1:]
                self._rows = {int(step): values for step, *values in rows}
            except (ValueError, csv.Error):  # not UTF-8, or no numbers
                raise InputError(f"{path}: not the log of this run; remove it") from None

    def add(self, step: StyleStep) -> None:
        self._rows[step.step] = [f"{v:.6g}" for v in (step.loss, step.content, step.style)]

    def write(self) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.COLUMNS)
        writer.writerows([step, *values] for step, values in sorted(self._rows.items()))
        write_text(self._path, text.getvalue())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
