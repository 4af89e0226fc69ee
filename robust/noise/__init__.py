"""Noise on normalisation layers: batch, constant and random, one definition for every task."""

from robust.noise.attack import GRANULARITIES, Attack, attack
from robust.noise.batch import companions, run_in_batch, run_under
from robust.noise.layers import norm_layers
from robust.noise.severity import (
    NOISES,
    BatchNoise,
    ConstantNoise,
    RandomNoise,
    Severity,
    default_severities,
    parse_severity,
)
from robust.noise.statistics import (
    REESTIMATED,
    RUNNING,
    batch_name,
    batch_statistics,
    reestimated_statistics,
)

__all__ = [
    "GRANULARITIES",
    "NOISES",
    "REESTIMATED",
    "RUNNING",
    "Attack",
    "BatchNoise",
    "ConstantNoise",
    "RandomNoise",
    "Severity",
    "attack",
    "batch_name",
    "batch_statistics",
    "companions",
    "default_severities",
    "norm_layers",
    "parse_severity",
    "reestimated_statistics",
    "run_in_batch",
    "run_under",
]
