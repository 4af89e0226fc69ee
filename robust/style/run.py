"""Every network on one picture, clean and under each severity, with the metrics of its outputs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
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
from robust.style.measure import Measures, similarities
from robust.style.names import LPIPS_TO_IN, OTHER_SEED, TO_CLEAN, TO_IN
from robust.style.plan import AttackPlan
from robust.style.results import CLEAN, Row
from styletransfer.network import StyleNetwork
from styletransfer.zoo import StyleCheckpoint, load_network

TASK = "style"
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
    """An :class:`AttackPlan` with its networks loaded and fused; for one thread at a time.

    Args:
        plan: what to do.
        measures: of the pictures.
        pool: companions of batch noise, (P, 3, size, size) in [0, 1].
        device: where to compute.

    Raises:
        CheckpointError: a network cannot be read.
        InputError: the pool is too small for the largest batch.
    """

    def __init__(
        self,
        plan: AttackPlan,
        measures: Measures,
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
        self._measures = measures
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
        content = self._measures.of_content(image)
        instance: dict[int, tuple[Tensor, list[Tensor] | None]] = {}
        for checkpoint, network in sorted(self._networks, key=lambda pair: pair[0].norm != "in"):
            outputs = []
            for output in self._outputs(checkpoint, network, name, image):
                outputs.append(output)
                on_output(output)
            if checkpoint.norm == "in":
                clean = outputs[0].picture
                instance[checkpoint.seed] = clean, self._measures.of_reference(clean)
            yield from self._measured(checkpoint, content, outputs, instance.get(checkpoint.seed))
        if self._measures.every:
            yield from self._ceiling(name, {seed: clean for seed, (clean, _) in instance.items()})

    def _outputs(
        self, checkpoint: StyleCheckpoint, network: StyleNetwork, name: str, image: Tensor
    ) -> Iterator[Output]:
        """The network's pictures, the clean one first."""
        norm = checkpoint.norm
        picture = self._output(network, norm, name, image, None, 0)
        clean = Output(name, norm, checkpoint.seed, None, 0, picture)
        yield clean
        for severity in self.plan.severities_of(norm):
            for draw in range(self.plan.draws_of(severity, norm)):
                if norm == "in" and isinstance(severity, BatchNoise):
                    attacked = picture  # companions cannot reach an instance norm
                else:
                    attacked = self._output(network, norm, name, image, severity, draw)
                yield clean._replace(severity=severity, draw=draw, picture=attacked)

    def _measured(
        self,
        checkpoint: StyleCheckpoint,
        content: list[Tensor],
        outputs: list[Output],
        reference: tuple[Tensor, list[Tensor] | None] | None,
    ) -> Iterator[Row]:
        """The rows of one network's outputs for one image, the clean one first."""
        distinct = {id(output.picture): output.picture for output in outputs}
        position = {key: index for index, key in enumerate(distinct)}
        pictures = torch.cat(list(distinct.values()))
        found = self._measures.numbers(pictures, content, reference)
        for output in outputs:
            is_reference = output.severity is None and checkpoint.norm == "in"
            for metric, values in found.items():
                to_itself = (metric.endswith(TO_IN) and is_reference) or (
                    metric.endswith(TO_CLEAN) and output.severity is None
                )
                if metric == LPIPS_TO_IN or not to_itself:
                    draw = "" if output.severity is None else output.draw
                    value = values[position[id(output.picture)]].item()
                    yield self._row(checkpoint, output, metric, value, draw)
        for severity in self.plan.severities:
            draws = [output for output in outputs if output.severity == severity]
            if len(draws) > 1:
                deviation = spread(torch.cat([output.picture for output in draws])).item()
                yield self._row(checkpoint, draws[0], "spread", deviation, "")

    def _ceiling(self, name: str, instance: dict[int, Tensor]) -> Iterator[Row]:
        """How alike two IN networks are that differ in nothing but the training seed."""
        seeds = sorted(instance)
        if len(seeds) < 2:
            return
        style = self.plan.networks[0].style
        for seed, other in zip(seeds, [*seeds[1:], seeds[0]], strict=True):
            found = similarities(instance[other], instance[seed], TO_IN)
            if self._measures.lpips is not None:
                found[LPIPS_TO_IN] = self._measures.lpips(instance[other], instance[seed])
            for metric, value in found.items():
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
            head=network.deconv3,
            granularity=plan.granularity,
            statistics=BatchNoise(plan.batch_size) if own_batch else None,
        )


def _ready(network: StyleNetwork, device: torch.device) -> StyleNetwork:
    """Fused, since an attack on the fused network is the attack on the gated one; channels last."""
    fused = cast(StyleNetwork, fuse_asr(network, inplace=True))
    return fused.to(device).to(memory_format=torch.channels_last)
