"""The loop: every network on every picture, clean and under each severity, picture by picture."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from asr_core.errors import InputError
from robust.attack.measure import TO_CLEAN, TO_IN, own_measures, similarities
from robust.attack.plan import AttackPlan
from robust.attack.results import CLEAN, Results, Row
from robust.metrics import spread
from robust.noise import (
    BatchNoise,
    Severity,
    attack,
    batch_statistics,
    companions,
    reestimated_statistics,
    run_in_batch,
    run_under,
)
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.network import StyleNetwork
from styletransfer.zoo import StyleCheckpoint, load_network

TASK = "style"
OTHER_SEED = "in (other seed)"
"""The norm that ``metrics.csv`` gives to the ceiling: IN of one training seed against another's."""

_POOL_BATCH = 5


class Output(NamedTuple):
    """A stylised picture on its way to the grid; ``severity`` is None for clean."""

    image: str
    norm: str
    training_seed: int
    severity: Severity | None
    draw: int
    picture: Tensor


class StyleAttack:
    """Runs an :class:`AttackPlan`.

    Args:
        plan: what to do.
        loss: towards the style of the plan's networks.
        pool: companions of batch noise, (P, 3, size, size) in [0, 1].
        device: where to compute.

    Raises:
        CheckpointError: a network cannot be read.
        InputError: the pool is too small for the largest batch.
    """

    def __init__(
        self,
        plan: AttackPlan,
        loss: PerceptualLoss,
        pool: Tensor,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.plan = plan
        largest = max(
            [s.size for s in plan.severities if isinstance(s, BatchNoise)]
            + [plan.batch_size if plan.statistics == "batch" else 1]
        )
        if largest - 1 > len(pool):
            raise InputError(
                f"a batch of {largest} needs {largest - 1} companions; {len(pool)} ship"
            )
        self._device = torch.device(device)
        self._loss = loss.to(self._device)
        self._pool = pool.to(self._device)
        self._networks: list[tuple[StyleCheckpoint, StyleNetwork]] = [
            (checkpoint, load_network(checkpoint.path)[0].to(self._device))
            for checkpoint in plan.networks
        ]

    def run(
        self,
        images: Iterable[tuple[str, Tensor]],
        results: Results,
        *,
        on_output: Callable[[Output], None],
    ) -> None:
        """Stylise, attack and measure.

        Args:
            images: (name, (3, size, size) in [0, 1]) pairs; read one at a time.
            results: where rows go, image by image: an interrupted run keeps whole images.
            on_output: called with every stylised picture.
        """
        with torch.inference_mode(), self._statistics():
            for name, image in images:
                rows = list(self._rows_of(name, image[None].to(self._device), on_output))
                results.add(rows)

    @contextlib.contextmanager
    def _statistics(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if self.plan.statistics == "re-estimated":
                for _, network in self._networks:
                    batches = self._pool.split(_POOL_BATCH)
                    stack.enter_context(reestimated_statistics(network, batches))
            yield

    def _rows_of(
        self, name: str, image: Tensor, on_output: Callable[[Output], None]
    ) -> Iterator[Row]:
        clean: dict[tuple[str, int], Tensor] = {}
        for checkpoint, network in self._networks:
            picture = self._output(network, checkpoint.norm, name, image, None, 0)
            clean[checkpoint.norm, checkpoint.seed] = picture
            on_output(Output(name, checkpoint.norm, checkpoint.seed, None, 0, picture))
        instance = {seed: picture for (norm, seed), picture in clean.items() if norm == "in"}
        yield from self._ceiling(name, instance)
        for checkpoint, network in self._networks:
            norm, seed = checkpoint.norm, checkpoint.seed
            reference = instance.get(seed)
            picture = clean[norm, seed]
            found = own_measures(picture, image, self._loss)
            if reference is not None and norm != "in":
                found |= similarities(picture, reference, TO_IN)
            yield from self._rows(name, checkpoint, None, found, "")
            for severity in self.plan.severities:
                yield from self._attacked(
                    name, image, checkpoint, network, severity, picture, reference, on_output
                )

    def _attacked(
        self,
        name: str,
        image: Tensor,
        checkpoint: StyleCheckpoint,
        network: StyleNetwork,
        severity: Severity,
        clean: Tensor,
        reference: Tensor | None,
        on_output: Callable[[Output], None],
    ) -> Iterator[Row]:
        norm = checkpoint.norm
        draws = []
        for draw in range(self.plan.draws_of(severity, norm)):
            picture = self._output(network, norm, name, image, severity, draw)
            on_output(Output(name, norm, checkpoint.seed, severity, draw, picture))
            found = own_measures(picture, image, self._loss)
            if reference is not None:
                found |= similarities(picture, reference, TO_IN)
            found |= similarities(picture, clean, TO_CLEAN)
            yield from self._rows(name, checkpoint, severity, found, draw)
            draws.append(picture)
        if len(draws) > 1:
            value = {"spread": spread(torch.cat(draws)).item()}
            yield from self._rows(name, checkpoint, severity, value, "")

    def _ceiling(self, name: str, instance: dict[int, Tensor]) -> Iterator[Row]:
        """How alike two IN networks are that differ in nothing but the training seed."""
        seeds = sorted(instance)
        if len(seeds) < 2:
            return
        for seed, other in zip(seeds, [*seeds[1:], seeds[0]], strict=True):
            found = similarities(instance[other], instance[seed], TO_IN)
            for metric, value in found.items():
                style = self.plan.networks[0].style
                yield Row(TASK, OTHER_SEED, CLEAN, "", seed, name, metric, value, style, "instance")

    def _rows(
        self,
        name: str,
        checkpoint: StyleCheckpoint,
        severity: Severity | None,
        found: dict[str, float],
        draw: int | str,
    ) -> Iterator[Row]:
        statistics = self.plan.statistics_name(severity, checkpoint.norm)
        for metric, value in found.items():
            yield Row(
                TASK,
                checkpoint.norm,
                severity.noise if severity else CLEAN,
                severity.text if severity else "",
                checkpoint.seed,
                name,
                metric,
                value,
                checkpoint.style,
                statistics,
                draw,
            )

    def _output(
        self,
        network: StyleNetwork,
        norm: str,
        name: str,
        image: Tensor,
        severity: Severity | None,
        draw: int,
    ) -> Tensor:
        """The network's output for one image (1, 3, H, W), under one draw of a severity."""
        plan = self.plan
        if norm == "in" and isinstance(severity, BatchNoise):
            return network(image)  # companions cannot reach an instance norm
        if isinstance(severity, BatchNoise):
            return run_under(
                network, image, severity, seed=plan.seed, keys=[name], draw=draw, pool=self._pool
            )
        mates = image[:0]
        with contextlib.ExitStack() as stack:
            if plan.statistics == "batch" and norm != "in":
                stack.enter_context(batch_statistics(network))
                mates = companions(
                    self._pool, plan.batch_size - 1, seed=plan.seed, image_key=name, draw=draw
                )
            if severity is not None:
                noise = stack.enter_context(
                    attack(network, severity, seed=plan.seed, granularity=plan.granularity)
                )
                keys = [name, *(f"companion {index}" for index in range(len(mates)))]
                noise.pin(draw=draw, samples=keys)
            return run_in_batch(network, image, mates)
