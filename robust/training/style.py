"""A training run of a style network as data, and the folder that it writes."""

from __future__ import annotations

import functools
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from asr_core.saving.checkpoint import load_meta
from asr_core.saving.files import write_json
from asr_core.saving.run_folder import RunFolder
from asr_core.training.folder import CONFIG
from robust.norm_noise import RUNNING
from robust.norm_noise.training import NO_NOISE, TrainNoise
from robust.training.progress import Clock, StepLog
from robust.training.run_file import read_run_file
from robust.training.style_fields import OWN, read_fields
from styletransfer.images.embedded import (
    UNSEEN,
    held_out,
    training_photographs,
    validation,
)
from styletransfer.images.lazy import LazyImages
from styletransfer.images.read import MAX_PIXELS, find_images, write_image
from styletransfer.images.styles import style_image, style_side
from styletransfer.losses.choose import AUTO, loss_network, name_of, settled
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.network import StyleNetwork
from styletransfer.recipe import StyleRecipe
from styletransfer.train import StyleStep, evaluate, train_style
from styletransfer.zoo import load_network, save_network

NETWORK, RESUME, LOG, STYLE = "network.safetensors", "resume.pt", "log.csv", "style.png"
SAVE_EVERY = 25


@dataclass(frozen=True)
class StyleFolder(RunFolder):
    """``config.json``, ``network.safetensors``, ``style.png``, ``log.csv``.

    An unfinished run also has its state, ``resume.pt``. A finished network stays until that of an
    overwriting run takes its place.
    """

    result = NETWORK
    replaced = (RESUME,)

    @property
    def network(self) -> Path:
        """The file of the trained network."""
        return self.path / NETWORK

    @property
    def finished(self) -> bool:
        """Whether there is a network, and no other run on the way to replace it."""
        return super().finished and not (self.path / RESUME).exists()

    @property
    def resumable(self) -> bool:
        """Whether there is a state, or the config of a run that was ended before its first."""
        return (self.path / RESUME).exists() or _style_run(self.path / CONFIG) is not None


@dataclass(frozen=True)
class StyleRun:
    """All that decides the run of a style network but the machine.

    Attributes:
        recipe: network, sizes and steps.
        style: a known name, or an image file.
        noise: that it trains under.
        images: the user's files and folders to train on; none for the embedded photographs.
        loss_network: of the loss (:func:`styletransfer.losses.choose.loss_network`).
        stroke_size: 1 for a style picture whose shorter side has 512 pixels; 0.5 makes its strokes
            half as large.
    """

    recipe: StyleRecipe
    style: str
    noise: TrainNoise = NO_NOISE
    images: tuple[str, ...] = ()
    loss_network: str = AUTO
    stroke_size: float = 1.0

    @classmethod
    def from_fields(cls, said: Mapping[str, Any]) -> StyleRun:
        """The run that a run file or options say.

        Args:
            said: values by names in :data:`robust.training.style_fields.FIELDS`.

        Raises:
            InputError: an unknown field, or a value that no run can have.
        """
        own, noise, recipe = read_fields(said)
        return cls(recipe, noise=noise, **vars(own))

    def as_fields(self) -> dict[str, Any]:
        """What :meth:`from_fields` takes, as JSON-able data."""
        own = {name: getattr(self, name) for name in OWN} | {"images": list(self.images)}
        return {**own, **(self.noise.as_dict() or {}), **self.recipe.as_dict()}

    @property
    def name(self) -> str:
        """Of its folder, unless another is chosen."""
        strokes = "" if self.stroke_size == 1 else f"-strokes{self.stroke_size:g}"
        return f"style-{self.style_image[0]}{strokes}-{self.recipe.norm}-{self.recipe.seed}"

    @cached_property
    def style_image(self) -> tuple[str, Tensor]:
        """Name and picture (3, H, W) of the style.

        Raises:
            InputError: neither a known name nor a readable image, or a stroke size out of range.
        """
        return style_image(self.style, size=style_side(self.stroke_size))

    def photographs(
        self, *, max_pixels: int = MAX_PIXELS, on_skip: Callable[[Path, str], None]
    ) -> Sequence[Tensor]:
        """Training pictures: the user's, their shorter side twice the crop, or the embedded."""
        if not self.images:
            return training_photographs()
        size = 2 * self.recipe.size
        return LazyImages(self.images, on_skip=on_skip, max_pixels=max_pixels, size=size)

    def is_finished(self, place: StyleFolder) -> bool:
        """Whether ``place`` holds the network that this run would train."""
        if not place.finished:
            return False
        # Networks from before there was a choice don't name their stroke size.
        facts, name = {"stroke_size": 1.0, **load_meta(place.network)}, self.style_image[0]
        own = {
            "style": name,
            "recipe": self.recipe.as_dict(),
            "noise": self.noise.as_dict(),
            "stroke_size": self.stroke_size,
        }
        if self.loss_network != AUTO:
            own["loss_network"] = name_of(self.loss_network)
        return all(facts.get(field) == value for field, value in own.items())

    def settled(self, place: StyleFolder) -> StyleRun:
        """This run with a loss network in place of "auto".

        It is that of the unfinished run in ``place``, whatever has been fetched since, or else
        what "auto" stands for on this machine.
        """
        if self.loss_network != AUTO:
            return self
        earlier = None if place.overwrite else _style_run(place.path / CONFIG)
        chosen = AUTO if earlier is None else earlier.loss_network
        return replace(self, loss_network=settled(chosen))

    def train(
        self,
        place: StyleFolder,
        photographs: Sequence[Tensor],
        *,
        device: torch.device | str = "cpu",
        on_step: Callable[[int, str], None],
        on_estimate: Callable[[float], None] = lambda seconds: None,
    ) -> Path:
        """Train to the end and write the network; returns its path.

        An unfinished run in the folder resumes, unless it is overwritten.

        Args:
            place: folder of the run.
            photographs: of :meth:`photographs`.
            on_step: called with the number of finished steps and a line on loss and speed.
            on_estimate: called once, after the first steps, with the seconds that are left.

        Raises:
            InputError: the folder is in use.
            CheckpointError: the unfinished run has other options.
            Interrupted: a KeyboardInterrupt, saying how to go on.
        """
        if self.loss_network == AUTO:
            run = self.settled(place)
            return run.train(
                place, photographs, device=device, on_step=on_step, on_estimate=on_estimate
            )
        loss = self._loss(device)
        with place.claim():
            resume = place.path / RESUME
            if not resume.exists():  # a refused run must not change that of the unfinished one
                write_json(place.path / CONFIG, {"schema": 1, **self.as_fields()})
            log = StepLog(place.path / LOG, resumed=resume.exists())
            started = time.perf_counter()
            images = 0
            clock = Clock(self.recipe, on_estimate)

            def told(step: StyleStep) -> None:
                nonlocal images
                images += step.images
                speed = images / (time.perf_counter() - started)
                log.add(step)
                clock.step(step.step)
                on_step(step.step + 1, f"loss {step.loss:.3f}, {speed:.1f} images/s")

            network = train_style(
                self.recipe,
                loss,
                photographs,
                device=device,
                noise=self.noise.context(self.recipe.seed),
                resume=resume,
                setting=self._setting(loss),
                save_every=SAVE_EVERY if torch.device(device).type == "cpu" else 20 * SAVE_EVERY,
                on_step=told,
                on_save=log.write,
            )
            write_image(place.path / STYLE, self.style_image[1])
            self._write(place.network, network.cpu(), loss, device)
            resume.unlink(missing_ok=True)
            return place.network

    def _loss(self, device: torch.device | str) -> PerceptualLoss:
        network = loss_network(self.loss_network).to(device)
        return PerceptualLoss(network, self.style_image[1].to(device))

    def _setting(self, loss: PerceptualLoss) -> dict[str, Any]:
        """What decides the run beside its recipe; files go by name and size."""
        name, picture = self.style_image
        strokes = {} if self.stroke_size == 1 else {"stroke_size": self.stroke_size}
        files = [f"{path.name} {path.stat().st_size}" for path in self._files()]
        return {
            "noise": self.noise.text,
            "style": f"{name} {_digest(picture.numpy().tobytes())}",
            "images": _digest(os.fsencode("\n".join(files))) if files else "embedded",
            "loss_network": loss.network.name,
            "loss_definition": loss.definition,
            **strokes,
        }

    def _files(self) -> list[Path]:
        return find_images(self.images) if self.images else []

    def pack(self, network: Path, target: Path, *, device: torch.device | str = "cpu") -> None:
        """Write the trained ``network`` of this run as ``target``, with weights of 8 bits.

        The losses in its facts are those of the smaller file.
        """
        loss = self._loss(device)
        self._write(target, load_network(network)[0], loss, device, bits=8)

    def _write(
        self,
        path: Path,
        network: StyleNetwork,
        loss: PerceptualLoss,
        device: torch.device | str,
        *,
        bits: Literal[8, 16] = 16,
    ) -> None:
        facts = {
            "recipe": self.recipe.as_dict(),
            "noise": self.noise.as_dict(),
            "images": f"{len(self._files())} files" if self.images else "embedded",
            "style_image": STYLE,
            "stroke_size": self.stroke_size,
            "loss_network": loss.network.name,
            "held_out_statistics": "instance" if self.recipe.norm == "in" else RUNNING,
            "torch": torch.__version__,
        }
        save = functools.partial(
            save_network, path, network, style=self.style_image[0], seed=self.recipe.seed, bits=bits
        )
        save(facts=facts)
        written = load_network(path)[0].to(device)  # what counts is the network as it is on disk
        facts["validation"] = evaluate(written, loss, validation())
        facts["held_out"] = evaluate(written, loss, [held_out(name) for name in UNSEEN])
        save(facts=facts)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _style_run(config: Path) -> StyleRun | None:
    """The run that a ``config.json`` says; None where it is missing, or no style network's."""
    try:
        return StyleRun.from_fields(read_run_file(config))
    except (OSError, ValueError):
        return None
