"""What style networks and the optimisation of each picture reach, measured once and kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from asr_core import fuse_asr
from asr_core.errors import InputError
from asr_core.pretrained import cached
from asr_core.saving.checkpoint import load_meta
from asr_core.saving.files import write_json
from asr_core.saving.run_folder import require_same
from asr_core.saving.schema import Number, Text, parse, record
from asr_core.saving.text_files import read_json
from robust.metrics.lpips import LPIPS
from robust.report.progress import progress_bar
from robust.style.options import style_picture
from styletransfer.gatys import optimised_pictures
from styletransfer.images.embedded import HELD_OUT, UNSEEN, held_out
from styletransfer.images.read import write_image
from styletransfer.losses.choose import loss_network
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.network import StyleNetwork
from styletransfer.recipe import Precision, StyleRecipe
from styletransfer.zoo import StyleCheckpoint, load_network

MARKS = (0, 10, 25, 50, 100, 200)
"""Iterations whose pictures are measured and kept."""
WEIGHTS = {
    "content_weight": "content", "style_weight": "style", "tv_weight": "total variation",
}  # fmt: skip
"""Weights of a recipe, and what each weighs."""
_TIMED = 3


@record
@dataclass(frozen=True, kw_only=True)
class Measured:
    """One picture.

    Attributes:
        norm: of the network that made it; empty for an optimised picture.
        seed: of the network's training.
        iterations: of the optimisation; 0 for a network.
        content, style, total: losses, in float32.
        judged: the total in the precision of the iterations.
        lpips: to the photograph; None where its weights have not been fetched.
        seconds: of one core.
    """

    norm: str = ""
    seed: int = 0
    iterations: int = 0
    content: Number
    style: Number
    total: Number
    judged: Number
    lpips: Number | None
    seconds: Number


@record
@dataclass(frozen=True, kw_only=True)
class Kept:
    """A file of the study: what decides its numbers, and the loss after each iteration."""

    identity: dict[str, Any]
    pictures: list[Measured]
    totals: list[Number] = field(default_factory=list)


@record
@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is compared.

    Attributes:
        size: side of the pictures.
        iterations: of the optimisation, at most.
        precision: that it runs in.
        loss_network: of :func:`styletransfer.losses.choose.loss_network`.
        photographs: how many of the test photographs.
    """

    size: int = 256
    iterations: int = 200
    precision: Precision = "bfloat16"
    loss_network: Text = "auto"
    photographs: int = 12

    @property
    def names(self) -> list[str]:
        """The first of those test photographs that nobody looked at while choosing."""
        return list(UNSEEN[: self.photographs])

    @property
    def marks(self) -> list[int]:
        """The iterations that are measured."""
        return [mark for mark in MARKS if mark < self.iterations] + [self.iterations]


class Bench:
    """Measures pictures by one style's loss, and keeps what it measured in files.

    Args:
        setting: what is compared.
        networks: of one style, trained by equal weights of the losses.
        style: their style image, where none is beside the network.
        runs: folder of the files.

    Raises:
        InputError: networks of other weights, or without a recipe.
    """

    def __init__(
        self, setting: Setting, networks: Sequence[StyleCheckpoint], style: str | None, runs: Path
    ) -> None:
        self.setting = setting
        self.networks = networks
        self.recipe = replace(_recipe(networks), precision=setting.precision)
        self.folder = runs / networks[0].style
        self.folder.mkdir(parents=True, exist_ok=True)
        picture = style_picture(networks[0], style)
        self.loss = PerceptualLoss(loss_network(setting.loss_network), picture)
        self.loss.to(memory_format=torch.channels_last)
        self.lpips = LPIPS("alex") if cached("lpips-alex") else None
        self._identity = {
            "style": networks[0].style,
            "probe": self._probe(),
            "loss_network": self.loss.network.name,
            "weights": {name: getattr(self.recipe, name) for name in WEIGHTS},
            "size": setting.size,
            "precision": setting.precision,
        }

    @torch.no_grad()
    def _probe(self) -> list[float]:
        """Losses of one picture: another style picture or another definition shows in them."""
        picture = held_out(HELD_OUT[0], size=128)[None]
        return [float(f"{term.item():.3g}") for term in self.loss(picture.flip(-1), picture)]

    def optimised(self, name: str) -> Kept:
        """The photograph ``name``, optimised; some of its pictures are kept."""
        identity = {"photograph": name, "iterations": self.setting.iterations}

        def make() -> Kept:
            content = held_out(name, size=self.setting.size)
            states = optimised_pictures(
                content, self.loss, self.recipe, iterations=self.setting.iterations
            )
            totals: list[float] = []
            measured = []
            spent = 0.0  # until the picture was there; judging it is the next iteration's cost
            started = time.process_time()
            with progress_bar() as bar:
                label = f"{self.networks[0].style}, {name}"
                task = bar.add_task(label, total=self.setting.iterations, note="")
                for state in states:
                    totals.append(state.total)
                    bar.update(task, completed=state.iterations, note=f"loss {state.total:.3f}")
                    judged = time.process_time() - started
                    if state.iterations in self.setting.marks:
                        row = self._measure(state.picture, content, spent)
                        measured.append(replace(row, iterations=state.iterations))
                        self._keep(name, f"{state.iterations:03}", state.picture)
                        started = time.process_time() - judged
                    spent = judged
            return Kept(identity=self._identity | identity, pictures=measured, totals=totals)

        return _kept(self.folder / f"{name}.json", self._identity | identity, make)

    def stylised(self, name: str, network: StyleCheckpoint) -> Kept:
        """The photograph ``name`` by a network, on its running statistics."""
        identity = {"photograph": name, "network": network.sha256}

        def make() -> Kept:
            content = held_out(name, size=self.setting.size)
            loaded = cast(StyleNetwork, fuse_asr(load_network(network.path)[0], inplace=True))
            seconds = []
            with torch.inference_mode():
                for _ in range(_TIMED):
                    started = time.process_time()
                    picture = loaded(content[None])[0]
                    seconds.append(time.process_time() - started)
            row = self._measure(picture, content, min(seconds))
            self._keep(name, f"{network.norm}-{network.seed}", picture)
            row = replace(row, norm=network.norm, seed=network.seed)
            return Kept(identity=self._identity | identity, pictures=[row])

        file = self.folder / f"{name}-{network.norm}-{network.seed}.json"
        return _kept(file, self._identity | identity, make)

    @torch.no_grad()
    def _measure(self, picture: Tensor, content: Tensor, seconds: float) -> Measured:
        terms = self.loss(picture[None], content[None])
        with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            judged = self.loss(picture[None], content[None])
        lpips = self.lpips(picture[None], content[None]).item() if self.lpips else None
        return Measured(
            content=terms.content.item(),
            style=terms.style.item(),
            total=self.recipe.total(terms).item(),
            judged=self.recipe.total(judged).item(),
            lpips=lpips,
            seconds=seconds,
        )

    def _keep(self, name: str, by: str, picture: Tensor) -> None:
        write_image(self.folder / f"{name}-{by}.png", picture)


def _recipe(networks: Sequence[StyleCheckpoint]) -> StyleRecipe:
    """The recipe whose weights of the losses all ``networks`` have."""
    found = {}
    for network in networks:
        said = load_meta(network.path).get("recipe") or {}
        if not set(WEIGHTS) <= said.keys():
            raise InputError(f"{network.path} does not say by which weights it was trained")
        found[tuple(said[name] for name in WEIGHTS)] = network.path
    if len(found) > 1:
        files = ", ".join(f"{path} {weights}" for weights, path in found.items())
        raise InputError(f"networks of one style, trained by other weights of the losses: {files}")
    return StyleRecipe(**dict(zip(WEIGHTS, next(iter(found)), strict=True)))


def _kept(file: Path, identity: Mapping[str, Any], make: Callable[[], Kept]) -> Kept:
    """What ``file`` says, if it is of the same study; made and written where it is missing."""
    if not file.exists():
        made = make()
        write_json(file, asdict(made))
        return made
    found = parse(Kept, read_json(file), where=str(file))
    require_same(found.identity, identity, file)
    return found
