"""The Python API, for notebooks: ``robust.attack`` and ``robust.noise``.

``robust.stylize`` is in :mod:`robust.style.pictures`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import ParamSpec

from torch import Tensor, nn

from asr_core.errors import InputError
from asr_core.placement.targets import Targets
from robust.norm_noise import Noise, Severity, parse_severity
from robust.norm_noise.severity import Value
from robust.style.job import AttackJob, AttackResult
from robust.style.options import attack_job

P = ParamSpec("P")


def noise(
    model: nn.Module,
    noise: str | Severity,
    severity: Value | None = None,
    *,
    seed: int = 0,
    granularity: str | None = None,
    layers: Targets | None = None,
    companions: Tensor | None = None,
) -> Noise:
    """Noise on the norm layers of any model: ``with robust.noise(model, "constant", (0.8, 0.5)):``.

    Args:
        model: any module with norm layers; it is as before when the context ends.
        noise: "constant", "random" or "batch"; or a severity of one of them.
        severity: (Na, Nb) of constant noise; a strength from 0 to 1, or "uniform", of random noise;
            the number of images in a batch, such as 4 or "4:noise", of batch noise.
        seed, granularity, layers, companions: as in :class:`robust.norm_noise.Noise`.

    Raises:
        InputError: an unknown noise, a severity of another form or out of range; and as
            :class:`robust.norm_noise.Noise`.
        TargetError: as :class:`robust.norm_noise.Noise`.
    """
    if isinstance(noise, str):
        chosen = parse_severity(noise, "" if severity is None else severity)
    elif severity is None:
        chosen = noise
    else:
        raise InputError(f"noise {noise!r} has its severity; leave {severity!r} out")
    return Noise(
        model, chosen, seed=seed, granularity=granularity, layers=layers, companions=companions
    )


def _run(prepare: Callable[P, AttackJob]) -> Callable[P, AttackResult]:
    @wraps(prepare)
    def run(*args: P.args, **options: P.kwargs) -> AttackResult:
        return prepare(*args, **options).run()

    run.__name__ = run.__qualname__ = "attack"
    shown = signature(prepare).replace(return_annotation="AttackResult")
    run.__signature__ = shown  # type: ignore[attr-defined]
    return run


attack = _run(attack_job)
"""What ``robust attack`` does: prepared by :func:`robust.style.options.attack_job`, and run."""
