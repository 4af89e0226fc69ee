"""A training run of a style network as data, and the folder that it writes."""

from __future__ import annotations

import csv
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_core.errors import InputError
from asr_core.saving.checkpoint import load_meta
from asr_core.saving.files import write_csv, write_json
from asr_core.saving.run_folder import RunFolder
from asr_core.saving.schema import Name, Several, Text, parse, record
from asr_core.training.folder import CONFIG
from robust.norm_noise import RUNNING
from robust.norm_noise.training import NO_NOISE, TrainNoise
from robust.training.run_file import check_fields, read_run_file, train_noise
from styletransfer.images.embedded import (
    UNSEEN,
    held_out,
    training_photographs,
    validation,
)
from styletransfer.images.lazy import LazyImages
from styletransfer.images.read import MAX_PIXELS, find_images, write_image
from styletransfer.images.styles import style_image
from styletransfer.losses.choose import (
    AUTO,
    EMBEDDED,
    VGG16,
    loss_network,
    name_of,
    settled,
)
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.network import StyleNetwork
from styletransfer.recipe import StyleRecipe
from styletransfer.train import StyleStep, evaluate, train_style
from styletransfer.zoo import load_network, save_network

NETWORK, RESUME, LOG, STYLE = "network.safetensors", "resume.pt", "log.csv", "style.png"
DEFAULT_NORM = "bn+asr"
SAVE_EVERY = 25


@record
@dataclass(frozen=True, kw_only=True)
class _Own:
    """Fields of a run file beside those of the recipe and the noise."""

    style: Name
    images: Several[Text] = ()
    loss_network: Text = AUTO


_OWN = tuple(each.name for each in fields(_Own))
_RECIPE = tuple(each.name for each in fields(StyleRecipe))
FIELDS = (*_OWN, "noise", "severity", *_RECIPE)
"""What a run file of a style network may say."""


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
    """

    recipe: StyleRecipe
    style: str
    noise: TrainNoise = NO_NOISE
    images: tuple[str, ...] = ()
    loss_network: str = AUTO

    @classmethod
    def from_fields(cls, said: Mapping[str, Any]) -> StyleRun:
        """The run that a run file or options say.

        Args:
            said: values by names in :data:`FIELDS`. Of ``size`` follows ``coarse_size``, and of
                batch noise the batch size.

        Raises:
            InputError: an unknown field, or a value that no run can have.
        """
        said = _of_today(said)
        check_fields(said, FIELDS)
        own = parse(_Own, {name: said[name] for name in _OWN if name in said})
        noise = train_noise(said)
        recipe = {name: said[name] for name in _RECIPE if name in said}
        recipe |= noise.batch_size(recipe.pop("batch_size", None))
        if "size" in recipe and "coarse_size" not in recipe:
            recipe["coarse_size"] = StyleRecipe.coarse_size_for(recipe["size"])
        return cls(
            StyleRecipe(**{"norm": DEFAULT_NORM, **recipe}),
            own.style,
            noise,
            own.images,
            own.loss_network,
        )

    def as_fields(self) -> dict[str, Any]:
        """What :meth:`from_fields` takes, as JSON-able data."""
        own = {"style": self.style, "images": list(self.images)}
        own["loss_network"] = self.loss_network
        return {**own, **(self.noise.as_dict() or {}), **self.recipe.as_dict()}

    @property
    def name(self) -> str:
        """Of its folder, unless another is chosen."""
        return f"style-{self.style_image[0]}-{self.recipe.norm}-{self.recipe.seed}"

    @cached_property
    def style_image(self) -> tuple[str, Tensor]:
        """Name and picture (3, H, W) of the style.

        Raises:
            InputError: neither a known name nor a readable image.
        """
        return style_image(self.style)

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
        facts, name = load_meta(place.network), self.style_image[0]
        own = {"style": name, "recipe": self.recipe.as_dict(), "noise": self.noise.as_dict()}
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
    ) -> Path:
        """Train to the end and write the network; returns its path.

        An unfinished run in the folder resumes, unless it is overwritten.

        Args:
            place: folder of the run.
            photographs: of :meth:`photographs`.
            on_step: called with the number of finished steps and a line on loss and speed.

        Raises:
            InputError: the folder is in use.
            CheckpointError: the unfinished run has other options.
            Interrupted: a KeyboardInterrupt, saying how to go on.
        """
        if self.loss_network == AUTO:
            run = self.settled(place)
            return run.train(place, photographs, device=device, on_step=on_step)
        loss = PerceptualLoss(loss_network(self.loss_network), self.style_image[1])
        with place.claim():
            resume = place.path / RESUME
            if not resume.exists():  # a refused run must not change that of the unfinished one
                write_json(place.path / CONFIG, {"schema": 1, **self.as_fields()})
            log = _StepLog(place.path / LOG, resumed=resume.exists())
            started = time.perf_counter()
            images = 0

            def told(step: StyleStep) -> None:
                nonlocal images
                images += step.images
                speed = images / (time.perf_counter() - started)
                log.add(step)
                on_step(step.step + 1, f"loss {step.loss:.3f}, {speed:.1f} images/s")

            network = train_style(
                self.recipe,
                loss,
                photographs,
                device=device,
                noise=self.noise.context(self.recipe.seed),
                resume=resume,
                setting=self._setting(loss),
                save_every=SAVE_EVERY,
                on_step=told,
                on_save=log.write,
            )
            self._write(place, network.cpu(), loss.cpu())
            resume.unlink(missing_ok=True)
            return place.network

    def _setting(self, loss: PerceptualLoss) -> dict[str, Any]:
        """What decides the run beside its recipe; files go by name and size."""
        name, picture = self.style_image
        files = [f"{path.name} {path.stat().st_size}" for path in self._files()]
        return {
            "noise": self.noise.text,
            "style": f"{name} {_digest(picture.numpy().tobytes())}",
            "images": _digest(os.fsencode("\n".join(files))) if files else "embedded",
            "loss_network": loss.network.name,
        }

    def _files(self) -> list[Path]:
        return find_images(self.images) if self.images else []

    def _write(self, place: StyleFolder, network: StyleNetwork, loss: PerceptualLoss) -> None:
        name, picture = self.style_image
        write_image(place.path / STYLE, picture)
        facts = {
            "recipe": self.recipe.as_dict(),
            "noise": self.noise.as_dict(),
            "images": f"{len(self._files())} files" if self.images else "embedded",
            "style_image": STYLE,
            "loss_network": loss.network.name,
            "held_out_statistics": "instance" if self.recipe.norm == "in" else RUNNING,
            "torch": torch.__version__,
        }
        save_network(place.network, network, style=name, seed=self.recipe.seed, facts=facts)
        network, _ = load_network(place.network)  # what counts is the network as it is on disk
        facts["validation"] = evaluate(network, loss, validation())
        facts["held_out"] = evaluate(network, loss, [held_out(name) for name in UNSEEN])
        save_network(place.network, network, style=name, seed=self.recipe.seed, facts=facts)


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
        rows = [[step, *values] for step, values in sorted(self._rows.items())]
        write_csv(self._path, self.COLUMNS, rows)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _of_today(said: Mapping[str, Any]) -> dict[str, Any]:
    """Fields under today's names: run files of before have VGG16's file, or "cached", or none."""
    fields = dict(said)
    if "vgg_weights" in fields:
        old = fields.pop("vgg_weights")
        now = EMBEDDED if old is None else VGG16 if old == "cached" else old
        fields.setdefault("loss_network", now)
    return fields


def _style_run(config: Path) -> StyleRun | None:
    """The run that a ``config.json`` says; None where it is missing, or no style network's."""
    try:
        return StyleRun.from_fields(read_run_file(config))
    except (OSError, ValueError):
        return None
