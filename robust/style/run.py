"""Every network on one picture, clean and under each severity, with the metrics of its outputs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor

from asr_core import fuse_asr
from asr_core.errors import InputError
from robust.metrics import spread
from robust.norm_noise import (
    REESTIMATED,
    BatchNoise,
    Severity,
    reestimated_statistics,
    run_under,
)
from robust.style.measure import TO_CLEAN, TO_IN, output_measures, similarities
from robust.style.plan import AttackPlan
from robust.style.results import CLEAN, Row
from styletransfer.losses.perceptual import PerceptualLoss
from styletransfer.network import StyleNetwork
from styletransfer.zoo import StyleCheckpoint, load_network

TASK = "style"
OTHER_SEED = "in (other seed)"
"""The norm that ``metrics.csv`` gives to the ceiling: IN of one training seed against another's."""

_POOL_BATCH = 5
_MEASURED_AT_ONCE = 2  # bounds memory: features of a loss network are large


class Output(NamedTuple):
    """A stylised picture on its way to the grid; ``severity`` is None for clean."""

    image: str
    norm: str
    training_seed: int
    severity: Severity | None
    draw: int
    picture: Tensor


class StyleAttack:
    """An :class:`AttackPlan` with its networks loaded and fused; for one thread at a time.

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
            (checkpoint, _ready(load_network(checkpoint.path)[0], self._device))
            for checkpoint in plan.networks
        ]

    @contextlib.contextmanager
    def statistics(self) -> Iterator[None]:
        """The context in which :meth:`rows` is called: the plan's statistics are in place."""
        with contextlib.ExitStack() as stack:
            if self.plan.statistics == REESTIMATED:
                for _, network in self._networks:
                    batches = self._pool.split(_POOL_BATCH)
                    stack.enter_context(reestimated_statistics(network, batches))
            yield

    def rows(self, name: str, image: Tensor, *, on_output: Callable[[Output], None]) -> list[Row]:
        """Stylise one image with every network, clean and under noise, and measure.

        Args:
            name: of the image, which the draws of noise follow.
            image: (3, size, size) in [0, 1].
            on_output: called with every stylised picture; an exception from it stops the image.
        """
        with torch.inference_mode():
            return list(self._rows_of(name, image[None].to(self._device), on_output))

    def _rows_of(
        self, name: str, image: Tensor, on_output: Callable[[Output], None]
    ) -> Iterator[Row]:
        clean = [
            self._output(network, checkpoint.norm, name, image, None, 0)
            for checkpoint, network in self._networks
        ]
        instance = {
            checkpoint.seed: picture
            for (checkpoint, _), picture in zip(self._networks, clean, strict=True)
            if checkpoint.norm == "in"
        }
        yield from self._ceiling(name, instance)
        for (checkpoint, network), picture in zip(self._networks, clean, strict=True):
            outputs = [Output(name, checkpoint.norm, checkpoint.seed, None, 0, picture)]
            on_output(outputs[0])
            for severity in self.plan.severities:
                for draw in range(self.plan.draws_of(severity, checkpoint.norm)):
                    if checkpoint.norm == "in" and isinstance(severity, BatchNoise):
                        attacked = picture  # companions cannot reach an instance norm
                    else:
                        attacked = self._output(
                            network, checkpoint.norm, name, image, severity, draw
                        )
                    outputs.append(
                        outputs[0]._replace(severity=severity, draw=draw, picture=attacked)
                    )
                    on_output(outputs[-1])
            yield from self._measured(checkpoint, image, outputs, instance.get(checkpoint.seed))

    def _measured(
        self,
        checkpoint: StyleCheckpoint,
        image: Tensor,
        outputs: list[Output],
        reference: Tensor | None,
    ) -> Iterator[Row]:
        """The rows of one network's outputs for one image, the clean one first."""
        distinct = {id(output.picture): output.picture for output in outputs}
        position = {key: index for index, key in enumerate(distinct)}
        pictures = torch.cat(list(distinct.values()))
        found = _concatenated(
            self._numbers(part, image, reference, pictures[:1])
            for part in pictures.split(_MEASURED_AT_ONCE)
        )
        for output in outputs:
            is_reference = output.severity is None and checkpoint.norm == "in"
            for metric, values in found.items():
                to_itself = (metric.endswith(TO_IN) and is_reference) or (
                    metric.endswith(TO_CLEAN) and output.severity is None
                )
                if not to_itself:
                    draw = "" if output.severity is None else output.draw
                    value = values[position[id(output.picture)]].item()
                    yield self._row(checkpoint, output, metric, value, draw)
        for severity in self.plan.severities:
            draws = [output for output in outputs if output.severity == severity]
            if len(draws) > 1:
                deviation = spread(torch.cat([output.picture for output in draws])).item()
                yield self._row(checkpoint, draws[0], "spread", deviation, "")

    def _numbers(
        self, pictures: Tensor, image: Tensor, reference: Tensor | None, clean: Tensor
    ) -> dict[str, Tensor]:
        found = output_measures(pictures, image, self._loss)
        if reference is not None:
            found |= similarities(pictures, reference, TO_IN)
        return found | similarities(pictures, clean, TO_CLEAN)

    def _ceiling(self, name: str, instance: dict[int, Tensor]) -> Iterator[Row]:
        """How alike two IN networks are that differ in nothing but the training seed."""
        seeds = sorted(instance)
        if len(seeds) < 2:
            return
        style = self.plan.networks[0].style
        for seed, other in zip(seeds, [*seeds[1:], seeds[0]], strict=True):
            for metric, value in similarities(instance[other], instance[seed], TO_IN).items():
                key = (TASK, OTHER_SEED, CLEAN, "", seed, name, metric)
                yield Row(*key, value.item(), style, "instance")

    def _row(
        self,
        checkpoint: StyleCheckpoint,
        output: Output,
        metric: str,
        value: float,
        draw: int | str,
    ) -> Row:
        severity = output.severity
        return Row(
            TASK,
            checkpoint.norm,
            severity.noise if severity else CLEAN,
            severity.text if severity else "",
            checkpoint.seed,
            output.image,
            metric,
            value,
            checkpoint.style,
            self.plan.statistics_name(severity, checkpoint.norm),
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
        own_batch = plan.statistics == "batch" and norm != "in"
        return run_under(
            network,
            image,
            severity,
            seed=plan.seed,
            keys=[name],
            draw=draw,
            companions=self._pool,
            granularity=plan.granularity,
            statistics=BatchNoise(plan.batch_size) if own_batch else None,
        )


def _ready(network: StyleNetwork, device: torch.device) -> StyleNetwork:
    """Fused, since an attack on the fused network is the attack on the gated one; channels last."""
    fused = cast(StyleNetwork, fuse_asr(network, inplace=True))
    return fused.to(device).to(memory_format=torch.channels_last)


def _concatenated(parts: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    listed = list(parts)
    return {metric: torch.cat([part[metric] for part in listed]) for metric in listed[0]}
